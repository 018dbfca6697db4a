"""What one run shows about the files, modules and network that a script needs, and what is to be changed."""

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from agent.execution.observing.observed_run import ObservedRun
from agent.task.init.dependencies import Needs, freeze, may_be_mounted
from agent.task.init.script_report import ScriptReport
from agent.task.task_files import below, link_out
from agent.text import last_line
from agent.trials.trial import Status

_NO_MODULE = re.compile(r"^(?:ModuleNotFoundError|ImportError): No module named '([\w.]+)'", re.MULTILINE)
_NO_FILE = re.compile(
    r"No such file or directory: b?['\"](.+?)['\"]|(?<![^\s:'\"])([^\s:'\"]++): No such file or directory"
)
_NETWORK = re.compile(
    r"Name or service not known|Temporary failure in name resolution|Network is unreachable|getaddrinfo failed"
    r"|Failed to resolve|ConnectionError|Max retries exceeded",
)
_SEEN_AS = "seen in a run"
_TASK_FOLDERS = ("/task/",)


@dataclass(frozen=True)
class Learned:
    """A report corrected by what a run showed, and the names of what was added."""

    reading: ScriptReport
    added: tuple[str, ...]


def learn_files(reading: ScriptReport, run: ObservedRun) -> Learned:
    """Return the report with the files of the folder that the run missed; they are frozen, or mounted if too large.

    Nothing outside of the folder is opened to trials by what a script tries to read: that stays the user's decision.
    """
    before = {*reading.needs.frozen, *reading.needs.mounts}
    needs = replace(reading.needs, frozen={**reading.needs.frozen}, mounts={**reading.needs.mounts})
    for path in _missing(run):
        name = _in_folder(path, run)
        if name is None or not (reading.folder / name).exists() or link_out(reading.folder, name) is not None:
            continue
        if name not in (reading.script.name, reading.edited[0]):
            freeze(needs, reading.folder, name, _SEEN_AS)
    modules, added_roots = reading.modules, []
    for module in _NO_MODULE.findall(run.log):
        found = _module_file(reading.folder, module)
        if found is not None:
            root, name = found
            freeze(needs, reading.folder, name, _SEEN_AS)
            beside = posixpath.dirname(reading.script.name) or "."
            if root not in (beside, *modules.roots) and modules.module is None:
                modules = replace(modules, roots=(*modules.roots, root))
                added_roots.append(f"PYTHONPATH {root}")
    added = (name for name in (*needs.frozen, *needs.mounts) if name not in before)
    return Learned(replace(reading, needs=needs, modules=modules), (*added, *added_roots))


def failures(reading: ScriptReport, run: ObservedRun) -> Iterator[str]:
    """Yield why a run failed, each with the one line to change; nothing if it ended well."""
    if run.failed is None:
        return
    if run.is_cut_short:
        yield (
            f"it did not end within {run.seconds:.0f} s: give it a shorter training, such as --args '--max-steps 100', "
            "or more time: --try-budget 1h"
        )
        return
    status, reason = run.failed
    if status is Status.OUT_OF_MEMORY:
        yield f"{reason}: raise memory_gb in [limits], or make the model or its batch smaller"
        return
    yield from _of_modules(reading, run)
    yield from _of_files(reading.needs, reading.folder, run)
    hosts = run.notes.network
    if (hosts or _NETWORK.search(run.log)) and not reading.needs.mounts:
        host = f" ({hosts[0]})" if hosts else ""
        yield (
            f"it uses the network{host}, which no trial has: download the data once, and open their folder: "
            'mounts = [{ source = "~/data", target = "/tmp/data" }] in [environment]'
        )


def crash(run: ObservedRun) -> str:
    """Return why a run failed if nothing else explains it."""
    assert run.failed is not None
    return f"{run.failed[1]}; start the script yourself once: what fails there fails in a trial"


def remarks(run: ObservedRun) -> Iterator[str]:
    """Yield what a run that ended well did with files, for the user to know."""
    written = [name for name in (_in_folder(path, run) for path in run.notes.written) if name is not None]
    if written:
        yield f"writes beside itself, into a copy that ends with the trial: {_some(written)}"
    outside = [path for path in run.notes.read if _in_folder(path, run) is None and path not in run.notes.written]
    if outside:
        yield f"reads outside of its folder: {_some(outside)}"
    if run.notes.network:
        yield f"looks up {_some([*run.notes.network])}, but trials have no network"


def _some(names: list[str], most: int = 4) -> str:
    unique = [*dict.fromkeys(names)]
    return ", ".join(unique[:most]) + (f" and {len(unique) - most} more" if len(unique) > most else "")


def _missing(run: ObservedRun) -> list[str]:
    named = [one or other for one, other in _NO_FILE.findall(run.log)]
    return [*dict.fromkeys([*run.notes.missing, *(posixpath.join(run.folder, name) for name in named)])]


def _in_folder(path: str, run: ObservedRun) -> str | None:
    """Return a path of the sandbox as one in the task's folder; None if it is outside."""
    for folder in (f"{run.folder}/", *_TASK_FOLDERS):
        if path.startswith(folder):
            name = posixpath.normpath(path.removeprefix(folder))
            return None if name.startswith("..") or name == "." else name
    return None


def _module_file(folder: Path, module: str) -> tuple[str, str] | None:
    """Return the root, and the file or the folder, that a module's first name stands for, if there is one."""
    first = module.partition(".")[0]
    for name in below(folder, "."):
        if Path(name).parts[-1] == f"{first}.py":
            return Path(name).parent.as_posix(), name
        if len(Path(name).parts) > 1 and Path(name).parts[-2] == first and name.endswith(".py"):
            return Path(name).parents[1].as_posix(), Path(name).parent.as_posix()
    return None


def _of_modules(reading: ScriptReport, run: ObservedRun) -> Iterator[str]:
    for module in dict.fromkeys(_NO_MODULE.findall(run.log)):
        python = reading.python or "the python of `agent`"
        yield (
            f"{python} has no module {module}: install it into .venv of the folder (uv pip install "
            f"{module.partition('.')[0]}), or name another interpreter: --python PATH"
        )


def _of_files(needs: Needs, folder: Path, run: ObservedRun) -> Iterator[str]:
    """Yield the files that a failed run missed, if its last lines name them."""
    end = run.log[-3000:]
    for path in _missing(run):
        if Path(path).name not in end:
            continue
        name = _in_folder(path, run)
        if name is not None and not (folder / name).exists():
            yield f"{name} does not exist in {folder}: prepare the data first, or pass its place with --args"
        elif name is not None and (target := link_out(folder, name)) is not None:
            yield f"{name} is a link to {target}: {_mount(name, name)}"
        elif name is None and (above := _above(path, folder, run)) is not None:
            yield f"{above} is not open to trials: {_mount(above, above)}"
        elif name is None and Path(path).exists() and may_be_mounted(Path(path)):
            top = str(Path(path) if Path(path).is_dir() else Path(path).parent)
            yield f"{path} is not open to trials: {_mount(top, top)}"
        elif name is None and not any(path.startswith(f"{mount}/") for mount in needs.mounts):
            yield f"{path} does not exist: prepare the data first, or pass its place with --args"


def _above(path: str, folder: Path, run: ObservedRun) -> str | None:
    """Return a path of the sandbox as one above the task's folder, `../data`, if it is there on the host; else None."""
    relative = posixpath.relpath(path, run.folder)
    is_above = relative.startswith("../") and relative.count("../") < run.folder.count("/")
    there = is_above and (folder / relative).exists() and may_be_mounted(folder / relative)
    return relative if there else None


def _mount(source: str, target: str) -> str:
    return f'mounts = [{{ source = "{source}", target = "{target}" }}] in [environment]'


def explained(reading: ScriptReport, run: ObservedRun) -> list[str]:
    """Return why a run failed, in at least one line; the last line of its log is in the first."""
    found = list(failures(reading, run))
    if not found and run.failed is not None:
        return [crash(run)]
    if found and not run.is_cut_short and run.log:
        return [f"it failed with: {last_line(run.log)}", *found]
    return found
