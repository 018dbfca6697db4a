"""A journal on a disk that becomes full, and a disk of a few kilobytes."""

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agent.store.journal import Journal


class FullFile:
    """A journal's file on a disk without room for some lines: a few bytes of such a line are written."""

    def __init__(self, inner: Any, is_room_for: Callable[[bytes], bool]) -> None:
        self._inner, self._is_room_for = inner, is_room_for

    def write(self, data: memoryview) -> int:
        if self._is_room_for(bytes(data)):
            return int(self._inner.write(data))
        self._inner.write(bytes(data)[:20])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def fill(journal: Journal, is_room_for: Callable[[bytes], bool]) -> None:
    """Let a journal have room only for the lines for which `is_room_for` returns True."""
    journal._file = FullFile(journal._file, is_room_for)  # type: ignore[assignment]


@contextmanager
def small_disk(folder: Path, kib: int) -> Iterator[Callable[[int], None]]:
    """Mount a file system of `kib` KiB, which needs root; yield a function that changes its size to so many KiB."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(folder)], check=True)
    try:
        yield lambda kib: subprocess.run(["mount", "-o", f"remount,size={kib}k", str(folder)], check=True) and None
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
