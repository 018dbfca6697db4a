"""A private folder in memory: its own tmpfs for root, else a folder in /dev/shm, else a folder on a disk."""

import os
import shutil
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sandbox import host_identity

NAME = "autocentaur-in-memory."
"""Prefix of the names of these folders; the name of the owning process follows."""
SHARED_MEMORY = Path("/dev/shm")
SPARE_BYTES = 256 << 20
"""Memory that must stay free after a copy."""


@dataclass(frozen=True)
class Place:
    """A folder of mode 0700. `lacking` is the reason if it is on a disk, otherwise empty."""

    folder: Path
    lacking: str = ""

    def remove(self) -> None:
        """Remove the folder with its content. Safe to call twice."""
        _remove(self.folder)


def make(n_bytes: int, shared_memory: Path = SHARED_MEMORY) -> Place:
    """Create a place for `n_bytes`, in memory if possible."""
    lacking = _too_little_memory(n_bytes)
    if not lacking:
        if os.geteuid() == 0:
            folder = _new_folder(Path(tempfile.gettempdir()))
            if _mounted(folder):
                return Place(folder)
            _remove(folder)
        lacking = cannot_hold(shared_memory, n_bytes)
        if not lacking:
            return Place(_new_folder(shared_memory))
    return Place(_new_folder(Path(tempfile.gettempdir())), lacking)


def cannot_hold(folder: Path, n_bytes: int) -> str:
    """Return why `folder` cannot hold a copy of `n_bytes` with programs; empty if it can."""
    try:
        found = os.statvfs(folder)
    except OSError as error:
        return f"{folder} cannot be used ({error.strerror})"
    if found.f_flag & os.ST_NOEXEC:
        return f"programs in {folder} cannot be run (noexec)"
    if found.f_bavail * found.f_frsize < n_bytes + SPARE_BYTES // 4:
        return f"{folder} has {found.f_bavail * found.f_frsize / 2**20:.0f} MiB, {n_bytes / 2**20:.0f} are needed"
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"{folder} is not writable"
    return ""


def sweep(shared_memory: Path = SHARED_MEMORY) -> None:
    """Remove the folders of dead processes."""
    for parent in dict.fromkeys((Path(tempfile.gettempdir()), shared_memory)):
        for folder in host_identity.folders_of_dead_processes(NAME, parent):
            with suppress(FileNotFoundError):  # another process has removed it
                _remove(folder)


def _new_folder(parent: Path) -> Path:
    return host_identity.own_folder(NAME, parent)


def _mounted(folder: Path) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", "mode=0700,nosuid,nodev", "autocentaur", str(folder)]
    return (
        shutil.which("mount") is not None and not subprocess.run(command, capture_output=True, check=False).returncode
    )


def _remove(folder: Path) -> None:
    if os.path.ismount(folder):
        subprocess.run(["umount", "--lazy", str(folder)], capture_output=True, check=False)
    with suppress(FileNotFoundError):  # another process has removed it
        shutil.rmtree(folder)


def _too_little_memory(n_bytes: int) -> str:
    lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    if free >= n_bytes + SPARE_BYTES:
        return ""
    return f"{free / 2**20:.0f} MiB of memory are free, {(n_bytes + SPARE_BYTES) / 2**20:.0f} are needed"
