"""The files that a step of a task executes on the host: which they are, their digest, and a private copy of them.

Digest and copy are made in one pass, so that what runs is what was hashed, whoever changes the folder meanwhile.
"""

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from glob import glob
from pathlib import Path

from agent.errors import TaskError
from agent.files import RUNS_MARKER

Parts = Mapping[str, bytes | Path]
"""Files by their path in a folder: what they hold, or where they lie."""

MOST_FILES = 10_000
"""Of one folder that a task names."""

_CHUNK_BYTES = 1 << 20
_LONGEST = 1000  # characters of a path


def named_files(folder: Path, words: Sequence[str]) -> Iterator[Path]:
    """Yield the files in a folder that the words of a command name: `data.csv`, `--text=shards/*.txt`, a folder.

    Raises:
        TaskError: they are too many.
    """
    top, n_files = folder.absolute(), 0
    for name in sorted({part for word in words for part in (word, word.partition("=")[2])}):
        path = os.path.normpath(name)
        if path.startswith(("/", "..")) or path == "." or "\0" in name or len(name) > _LONGEST:
            continue
        is_pattern = any(mark in path for mark in "*?[")
        for found in map(top.joinpath, sorted(glob(path, root_dir=top, recursive=True)) if is_pattern else (path,)):
            for file in _below(found) if found.is_dir() else (found,) if found.is_file() else ():
                n_files += 1
                if n_files > MOST_FILES:
                    raise TaskError(f"{name} in {folder} is more than {MOST_FILES} files; let the task name fewer")
                yield file


def _below(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder, but for folders of runs and of git."""
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not (name == ".git" or (Path(place) / name / RUNS_MARKER).exists())]
        yield from (path for path in (Path(place) / name for name in names) if path.is_file())


def context_files(folder: Path) -> Parts:
    """Return the files of a build context: all that are not hidden, and no links. Raises TaskError if too many."""
    found: dict[str, bytes | Path] = {}
    for path in _below(folder):
        name = path.relative_to(folder)
        if not (path.is_symlink() or any(part[0] == "." for part in name.parts)):
            found[str(name)] = path
        if len(found) > MOST_FILES:
            raise TaskError(f"{folder} has more than {MOST_FILES} files: give its Dockerfile a smaller folder")
    return found


def digest_files(parts: Parts, state: str, into: Path | None = None) -> str:
    """Return the digest of `state` and of files, 64 hex digits; with `into`, write there what was read.

    Raises:
        TaskError: a name leads out of the folder, or a file cannot be read.
    """
    whole = hashlib.sha256(state.encode(errors="surrogateescape"))
    for name, content in sorted(parts.items()):
        if name.startswith("/") or ".." in Path(name).parts:
            raise TaskError(f"{name} lies outside the task's folder; copy it in")
        if isinstance(content, Path) and not content.is_file():
            continue
        digest = hashlib.sha256()
        target = into / name if into is not None else Path(os.devnull)
        if into is not None:
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with target.open("wb") as copy:
            for chunk in (content,) if isinstance(content, bytes) else _chunks(content):
                digest.update(chunk)
                copy.write(chunk)
        if into is not None:
            target.chmod(0o700)
        whole.update(json.dumps([name, digest.hexdigest()]).encode(errors="surrogateescape"))
    return whole.hexdigest()


def _chunks(path: Path) -> Iterator[bytes]:
    """Yield what a file holds. Raises TaskError if it cannot be read, or became something else than a file."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise TaskError(f"{path} is no file; the task runs it, or runs on it: put one there")
            yield from iter(lambda: file.read(_CHUNK_BYTES), b"")
    except OSError as error:
        raise TaskError(f"{path}, which the task runs, cannot be read: {error.strerror}; mend that") from error
