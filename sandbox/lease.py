"""Who may use a GPU now, among all runs of this user on this machine: one locked file a device.

The kernel drops a lock with its holder, however that one ends.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from sandbox.errors import SandboxError

_WAIT_SECONDS = 0.2  # the kernel cannot wait for the first of several locks to be free


def shared_folder() -> Path:
    """Return where all runs of this user on this machine look for locks, whatever their environments say."""
    runtime = Path(f"/run/user/{os.geteuid()}")
    place = runtime if os.access(runtime, os.W_OK) else Path("/tmp")
    return place / f"autocentaur-{os.geteuid()}"


class Leases:
    """Leases of devices, kept as locks in `folder`, which all runs must share."""

    def __init__(self, folder: Path, say: Callable[[str], None] = lambda _line: None) -> None:
        """`say` is told in one line when a lease has to be waited for.

        Raises:
            SandboxError: the folder cannot be made, or is another user's.
        """
        self._folder = folder
        self._say = say
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise SandboxError(f"cannot keep locks in {folder}: {error.strerror}; make room for it") from error
        if folder.stat().st_uid != os.geteuid():
            raise SandboxError(f"the folder of locks {folder} belongs to another user; have it removed")

    @contextmanager
    def one_of(self, devices: Sequence[str], label: str) -> Iterator[str]:
        """Hold the first of `devices` that is free and yield its name; wait while none is.

        Args:
            label: what it is for; those who wait for it are told.

        Raises:
            SandboxError: a lock cannot be opened.
        """
        with ExitStack() as held:
            files = {device: held.enter_context(self._opened(device)) for device in devices}
            device = self._first_free(files)
            files[device].truncate(0)
            print(f"pid {os.getpid()}, {label}", file=files[device], flush=True)
            yield device

    def _opened(self, device: str) -> IO[str]:
        path = self._folder / f"gpu-{device}.lock"
        try:
            return path.open("a+")
        except OSError as error:
            raise SandboxError(f"cannot open the lock {path}: {error.strerror}; remove it") from error

    def _first_free(self, files: dict[str, IO[str]]) -> str:
        """Lock the first file that nobody holds, and return its device."""
        has_said = False
        while True:
            for device, file in files.items():
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                return device
            if not has_said:
                holders = ", ".join(f"{device} ({_holder(file)})" for device, file in files.items())
                self._say(f"waiting for a GPU; in use: {holders}")
                has_said = True
            time.sleep(_WAIT_SECONDS)


def _holder(file: IO[str]) -> str:
    file.seek(0)
    return file.readline().strip() or "by another run"
