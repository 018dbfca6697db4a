"""The cache of a node: files and folders that were sent there, for the next jobs that need them."""

import fcntl
import os
import platform
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sandbox.errors import SandboxError
from sandbox.host_identity import boot_id, folders_of_dead_processes, own_folder
from sandbox.node.snapshot import FileSnapshot, unpack

_JOB = "job-"
_MOST_KEPT = 8
"""Unused snapshots that stay on a node. A task's data is used by every training job, an artifact by a few jobs."""


class SnapshotCache:
    """A folder of a node with the content of snapshots, each named DIGEST-BOOT.

    A lock on the file DIGEST-BOOT.lock, which ends with the process that holds it, keeps a snapshot from being removed.
    A snapshot from before a reboot is not used, since a power failure may have cost it bytes that were not on the disk.
    """

    def __init__(self, root: Path, boot: str | None = None) -> None:
        """`boot`: a name of the time since the last start of this machine; by default its own."""
        self._root = root
        self._boot = boot or boot_id()

    @classmethod
    def of_node(cls) -> "SnapshotCache":
        """Return the folder of this user on this node. Nodes may share a folder for temporary files.

        Raises:
            SandboxError: another user owns it, or it is none.
        """
        root = Path(tempfile.gettempdir(), f"autocentaur-node-{os.geteuid()}-{platform.node()}")
        with suppress(FileExistsError):
            root.mkdir(mode=0o700)
        found = root.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise SandboxError(f"{root} is not a folder of this user alone; remove it")
        return cls(root)

    def new_folder(self) -> Path:
        """Return an empty folder for one job, which `sweep` removes if this process dies."""
        return own_folder(_JOB, self._root)

    @contextmanager
    def held(self, snapshot: FileSnapshot, fetch: Callable[[FileSnapshot], Iterable[bytes]]) -> Iterator[Path]:
        """Yield the path of a snapshot's content, which stays until the end of the `with` block.

        Args:
            fetch: returns its bytes; called if they are not here yet.
        """
        place = self._root / f"{snapshot.digest}-{self._boot}"
        while True:
            with self._lock(place, fcntl.LOCK_SH):
                if place.exists():
                    yield place
                    return
            with self._lock(place, fcntl.LOCK_EX):  # not the same one: a lock that changes its kind is free meanwhile
                if not place.exists():
                    part = place.with_suffix(".part")
                    _remove(part)
                    unpack(snapshot.entries, fetch(snapshot), part)
                    part.rename(place)

    def sweep(self) -> None:
        """Remove folders of killed jobs, and unused snapshots: all but the most recent ones since the last reboot."""
        for folder in folders_of_dead_processes(_JOB, self._root):
            shutil.rmtree(folder, ignore_errors=True)
        locks = []
        for path in self._root.glob("*.lock"):
            with suppress(OSError):
                locks.append((path.stem.endswith(f"-{self._boot}"), path.stat().st_mtime_ns, path))
        locks.sort(reverse=True)
        for number, (is_current, _, path) in enumerate(locks):
            if is_current and number < _MOST_KEPT:
                continue
            with suppress(OSError):
                fd = os.open(path, os.O_RDWR)
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    _remove(path.with_suffix(".part"))
                    _remove(path.with_suffix(""))
                    path.unlink()
                finally:
                    os.close(fd)

    @contextmanager
    def _lock(self, place: Path, kind: int) -> Iterator[None]:
        """Hold a lock of that kind on a snapshot; the time of the lock's file says when it was last taken."""
        path = place.with_suffix(".lock")
        is_held = False
        while not is_held:
            fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(fd, kind)
                with suppress(FileNotFoundError):
                    is_held = os.path.samestat(os.fstat(fd), path.stat())  # it was not removed before we got the lock
                if is_held:
                    os.utime(fd)
                    yield
            finally:
                os.close(fd)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        for folder, _, _ in os.walk(path):
            with suppress(OSError):
                os.chmod(folder, 0o700)
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
