"""Atomic writes: a file is either complete or absent, whenever the machine stops."""

import os
from pathlib import Path

from agent.files import plain_file


def write_durably(path: Path, content: str | bytes) -> None:
    """Write `content` to `path` in one step, and wait until it is on disk."""
    temporary = plain_file(path.with_name(f"{path.name}.tmp"))
    with temporary.open("wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Wait until the names in `folder` are on disk: the fsync of a file does not include its name."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
