"""The files of a task: which files an entry of task.toml stands for, and which of them may be read.

`agent init` and `agent run` use the same functions, so that a task which the one writes is one that the other accepts.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from agent.edits.syntax import BYTE_ORDER_MARK
from agent.errors import TaskError
from agent.files import RUNS_MARKER

MOST_BYTES = 2**28
"""Largest size of a task's file; every trial's commit contains these files."""

MOST_FILES = 10_000
"""Largest number of files in a folder that a task freezes."""

_NO_SOURCES = frozenset({".git", ".venv", "venv", "__pycache__", ".ipynb_checkpoints"})
"""Folders that are never frozen with the folder around them."""


def link_out(folder: Path, name: str) -> Path | None:
    """Return where a path in `folder` leads to if that is outside of the folder, through `..` or a link; else None."""
    target = (folder / name).resolve()
    return None if target.is_relative_to(folder.resolve()) else target


def read_entries(folder: Path, names: Iterable[str], config: str) -> dict[str, bytes]:
    """Return the content of the files that entries of task.toml stand for, by name; what is missing is left out.

    Args:
        folder: the task's folder.
        names: a file, or a folder, which stands for all files below it.
        config: the name of task.toml, for messages.

    Raises:
        TaskError: an entry or a file below it leads out of the folder, or is too large, or a folder has too many files.
    """
    found: dict[str, bytes] = {}
    for name in names:
        for file in _files(folder, name):
            if (target := link_out(folder, file)) is not None:
                if not (folder / file).is_symlink() and ".." in Path(file).parts:
                    raise TaskError(f"{folder / config}: {name} is outside the task's folder; copy it in")
                raise TaskError(
                    f"{folder / config}: {file} is outside the task's folder: it is a link to {target}; copy it in, or "
                    "open it to trials as a mount of [environment]"
                )
            if (folder / file).is_file():
                found[file] = content_of(folder / file)
    return found


def below(folder: Path, name: str) -> Iterator[str]:
    """Yield the files below a folder of a task, in order: no caches, virtual environments, runs or git's files.

    Raises:
        TaskError: they are too many.
    """
    n_files = 0
    for place, folders, files in os.walk(folder / name):
        folders[:] = sorted(
            each for each in folders if each not in _NO_SOURCES and not (Path(place) / each / RUNS_MARKER).exists()
        )
        links = [each for each in folders if (Path(place) / each).is_symlink()]
        for file in sorted([*files, *links]):
            if not file.endswith(".pyc"):
                n_files += 1
                if n_files > MOST_FILES:
                    raise TaskError(f"{folder / name} has more than {MOST_FILES} files; name those that trials need")
                yield (Path(place) / file).relative_to(folder).as_posix()


def expanded(entries: Iterable[str], names: Iterable[str], without: Iterable[str]) -> tuple[str, ...]:
    """Return the files among `names` that the entries stand for; an entry without a file stands for itself.

    Args:
        entries: files, and folders with or without a slash at the end.
        names: all files that there are.
        without: files that belong to no folder entry, such as the script.
    """
    there, left_out = list(names), set(without)
    found: dict[str, None] = {}
    for entry in entries:
        start = os.path.normpath(entry) + "/"
        inside = [name for name in there if (start == "./" or name.startswith(start)) and name not in left_out]
        found.update(dict.fromkeys(inside if inside and entry not in there else [entry]))
    return tuple(found)


def content_of(path: Path) -> bytes:
    """Return the content of a file of a task. Raises TaskError if it is too large or cannot be read."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise TaskError(f"{path} is larger than {MOST_BYTES / 2**20:g} MiB; let [data] prepare provide large files")
        return path.read_bytes()
    except OSError as error:
        raise TaskError(f"{path} cannot be read: {error.strerror}; mend that") from None


def text_of(content: bytes, path: Path, *, keeps_mark: bool = False) -> str:
    """Return the text of a file of a task; its byte order mark is left out, unless `keeps_mark`.

    Raises:
        TaskError: it is not UTF-8 text.
    """
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise TaskError(f"{path}: not UTF-8 text (byte {error.start}); convert it, e.g. with iconv") from error
    return text if keeps_mark else text.removeprefix(BYTE_ORDER_MARK)


def _files(folder: Path, name: str) -> Iterator[str]:
    """Yield the files of one entry. A link out of the folder is yielded itself."""
    if (folder / name).is_dir() and link_out(folder, name) is None:
        yield from below(folder, os.path.normpath(name))
    else:
        yield name
