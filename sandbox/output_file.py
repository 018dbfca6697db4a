"""An output file of a job: created before the job starts, and reclaimed after it has ended."""

import os
import stat
from pathlib import Path
from types import TracebackType

from sandbox.errors import SandboxError


class OutputFile:
    """An empty file at `path` that belongs to the job's user.

    It stays open from its creation, so that `path` is not resolved again, whatever is there later.
    """

    def __init__(self, path: Path, uid: int, gid: int) -> None:
        self.path = path
        try:
            path.unlink(missing_ok=True)
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
        except OSError as error:
            raise SandboxError(f"cannot create the output file {path}: {error.strerror}; name another") from error
        if (uid, gid) != (os.geteuid(), os.getegid()):
            os.fchown(self._fd, uid, gid)

    def __enter__(self) -> "OutputFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._fd >= 0:
            self.take_back()

    def take_back(self) -> int:
        """Return the file to the user who launched the job, with mode 0600; return its size in bytes.

        No process of the job may be alive.

        Raises:
            SandboxError: it is no longer a regular file with a single link.
        """
        fd, self._fd = self._fd, -1
        try:
            if (os.geteuid(), os.getegid()) != (os.fstat(fd).st_uid, os.fstat(fd).st_gid):
                os.fchown(fd, os.geteuid(), os.getegid())
            os.fchmod(fd, 0o600)
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
                raise SandboxError(f"{self.path} was tampered with while the job ran; do not use it")
            return found.st_size
        finally:
            os.close(fd)
