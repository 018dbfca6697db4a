"""Folders that commands of task.toml prepare: made once in the cache, and verified by hash when they are read."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from agent.agents.custom import PYTHONS
from agent.errors import MissingRequirementError, TaskError
from agent.extras import install_hint

DIVISION = "division.json"
"""Name of the file, in a cache folder `rows-KEY`, with the division of the validation examples."""

OPENED = "opened.jsonl"
"""Name of the file, beside slices of unseen text or rows, that records which runs on this machine opened which."""

_SIGNS = ("No such file", "No module named")
_OF_THE_COPY = (
    " (it runs in a copy of the frozen files, of what its command names and of the Python files beside the script: "
    "add what it lacks to `frozen` in task.toml, or name it in the command)"
)

Found = TypeVar("Found")


def made_once(folder: Path, what: str, find: Callable[[], Found | None], make: Callable[[], str]) -> Found:
    """Return the result of `find` in `folder`; if there is none, `make` it first, one process at a time.

    Args:
        what: name of the result in messages, e.g. "the data".
        find: returns None if there is nothing yet.
        make: fills the folder and returns the last line that its command printed. If it raises, or if nothing is found
            afterwards, the folder is removed.

    Raises:
        MissingRequirementError: nothing was found after `make`.
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
        finally:  # also after Ctrl-C
            if found is None:
                shutil.rmtree(folder, ignore_errors=True)
        if found is None:
            raise MissingRequirementError(f"preparing {what} failed: {last}")
        return found


def run_command(folder: Path, command: Sequence[str], places: Mapping[str, Path], what: str) -> str:
    """Run a command of task.toml on the host, in `folder`; return the last line that it printed.

    Args:
        folder: a private copy of what it runs on (agent.task.host_commands.host_code).
        places: the paths that replace {name} in the command.

    Raises:
        MissingRequirementError: it cannot be run, or its exit code is not 0; the message has the last line it printed.
    """
    argv = list(command)
    for name, place in places.items():
        argv = [part.replace(f"{{{name}}}", str(place)) for part in argv]
    argv[0] = sys.executable if argv[0] in PYTHONS else argv[0]
    try:
        done = subprocess.run(
            argv,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise MissingRequirementError(f"cannot run {argv[0]} to prepare {what}: {error.strerror}") from error
    last = (done.stdout.strip().splitlines() or ["no output"])[-1]
    if done.returncode != 0:
        hint = _OF_THE_COPY if any(sign in last for sign in _SIGNS) else install_hint(last)
        raise MissingRequirementError(f"preparing {what} failed: {last}{hint}")
    return last


def whole(folder: Path, name: str, sha256: str) -> bytes:
    """Return the content of a prepared file. Raises TaskError if it has changed since it was written."""
    path = folder / name
    content = path.read_bytes() if path.is_file() else None
    if content is None or hashlib.sha256(content).hexdigest() != sha256:
        raise TaskError(f"{path} has changed since it was prepared; remove {folder} and run again")
    return content


def digest_of(sha256s: Sequence[str]) -> str:
    """Return a digest of several files, given their own hashes: 16 hexadecimal digits."""
    return hashlib.sha256("\n".join(sha256s).encode()).hexdigest()[:16]


def digest_of_file(path: Path) -> str:
    """Return the same kind of digest of the content of one file."""
    return digest_of([hashlib.sha256(path.read_bytes()).hexdigest()])
