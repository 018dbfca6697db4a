"""The cache of a node: files and folders that were sent there, for the next jobs that need them."""

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sandbox.errors import SandboxError
from sandbox.host_identity import folders_of_dead_processes, own_folder
from sandbox.node.snapshot import FileSnapshot, unpack

_JOB = "job-"
_MOST_KEPT = 8
"""Unused snapshots that stay on a node. A task's data is used by every training job, an artifact by a few jobs."""


class SnapshotCache:
    """A folder of a node with the content of snapshots, each named by its digest.

    A lock on the file DIGEST.lock, which ends with the process that holds it, keeps a snapshot from being removed.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    @classmethod
    def of_node(cls) -> "SnapshotCache":
        """Return the folder of this user on this node. Raises SandboxError if another user owns it."""
        root = Path(tempfile.gettempdir(), f"autocentaur-node-{os.geteuid()}")
        root.mkdir(mode=0o700, exist_ok=True)
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
        place = self._root / snapshot.digest
        fd = self._locked(snapshot.digest)
        try:
            while not place.exists():
                fcntl.flock(fd, fcntl.LOCK_EX)
                if not place.exists():
                    part = self._root / f"{snapshot.digest}.part"
                    _remove(part)
                    unpack(snapshot.entries, fetch(snapshot), part)
                    part.rename(place)
                fcntl.flock(fd, fcntl.LOCK_SH)
            os.utime(self._root / f"{snapshot.digest}.lock")
            yield place
        finally:
            os.close(fd)

    def sweep(self) -> None:
        """Remove unused snapshots except the most recent ones, and the folders of killed jobs."""
        for folder in folders_of_dead_processes(_JOB, self._root):
            shutil.rmtree(folder, ignore_errors=True)
        locks = []
        for path in self._root.glob("*.lock"):
            with suppress(OSError):
                locks.append((path.stat().st_mtime_ns, path))
        for _, path in sorted(locks, reverse=True)[_MOST_KEPT:]:
            with suppress(OSError):
                fd = os.open(path, os.O_RDWR)
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    _remove(path.with_suffix(".part"))
                    _remove(path.with_suffix(""))
                    path.unlink()
                finally:
                    os.close(fd)

    def _locked(self, digest: str) -> int:
        """Return the descriptor of a snapshot's lock file, with a shared lock."""
        path = self._root / f"{digest}.lock"
        while True:
            fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(fd, fcntl.LOCK_SH)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(fd), path.stat()):  # it was not removed before we got the lock
                    return fd
            os.close(fd)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        for folder, _, _ in os.walk(path):
            with suppress(OSError):
                os.chmod(folder, 0o700)
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
