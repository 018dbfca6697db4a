"""What a command of task.toml prepares: made once, in a folder of the cache, and checked by hash when it is read."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from agent.errors import MissingRequirementError, TaskError

DIVISION = "division.json"
"""Name of the file, in a folder `rows-KEY` of the cache, that says which validation examples stand."""

OPENED = "opened.jsonl"
"""Beside slices of unseen text or rows: which runs of this machine have opened which."""

_SIGNS = ("No such file", "No module named")
_OF_THE_COPY = (
    " (it runs in a copy of the frozen files, of what its command names and of the Python files beside the script: "
    "add what it lacks to `frozen` in task.toml, or name it in the command)"
)

Found = TypeVar("Found")


def made_once(folder: Path, what: str, find: Callable[[], Found | None], make: Callable[[], str]) -> Found:
    """Return what `find` finds in `folder`, which `make` fills if it is not there; one process at a time makes it.

    Args:
        what: it is, in messages: "the data".
        find: returns None if it is not there.
        make: returns the last line that was printed. If it raises, or if nothing is found then, the folder is removed.

    Raises:
        MissingRequirementError: `make` left nothing that can be found.
    """
    from filelock import FileLock

    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        found = find()
        if found is not None:
            return found
        try:
            last = make()
            found = find()
        finally:  # after Ctrl-C, too
            if found is None:
                shutil.rmtree(folder, ignore_errors=True)
        if found is None:
            raise MissingRequirementError(f"preparing {what} failed: {last}")
        return found


def run_command(folder: Path, command: Sequence[str], places: Mapping[str, Path], what: str) -> str:
    """Run a command of task.toml on the host, in `folder`; return the last line that it printed.

    Args:
        folder: a private copy of what it runs on (agent.task.host_code).
        places: what stands for {name} in the command.

    Raises:
        MissingRequirementError: it cannot be run, or ended with an exit code that is not 0; its last line is told.
    """
    argv = list(command)
    for name, place in places.items():
        argv = [part.replace(f"{{{name}}}", str(place)) for part in argv]
    argv[0] = sys.executable if argv[0] == "python" else argv[0]
    try:
        done = subprocess.run(
            argv, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False
        )
    except OSError as error:
        raise MissingRequirementError(f"cannot run {argv[0]} to prepare {what}: {error.strerror}") from error
    last = (done.stdout.strip().splitlines() or ["it printed nothing"])[-1]
    if done.returncode != 0:
        hint = _OF_THE_COPY if any(sign in last for sign in _SIGNS) else ""
        raise MissingRequirementError(f"preparing {what} failed: {last}{hint}")
    return last


def whole(folder: Path, name: str, sha256: str) -> bytes:
    """Return the content of a prepared file. Raises TaskError if it is not the one that was written."""
    path = folder / name
    content = path.read_bytes() if path.is_file() else None
    if content is None or hashlib.sha256(content).hexdigest() != sha256:
        raise TaskError(f"{path} has changed since it was prepared; remove {folder} and run again")
    return content


def digest_of(sha256s: Sequence[str]) -> str:
    """Return the digest of files that are known by their own: 16 hex digits."""
    return hashlib.sha256("\n".join(sha256s).encode()).hexdigest()[:16]


def digest_of_file(path: Path) -> str:
    """Return the same digest of what one file holds."""
    return digest_of([hashlib.sha256(path.read_bytes()).hexdigest()])
