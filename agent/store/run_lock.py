"""The lock of a run: only one process writes to the run, and others can see which."""

import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from agent.errors import UsageError
from agent.files import read_text
from agent.store.paths import RunPaths, RunsFolder
from sandbox import host_identity


@contextmanager
def locked(paths: RunPaths) -> Iterator[None]:
    """Lock the run for this process. Raises UsageError with the pid of the process that holds the lock."""
    paths.root.mkdir(parents=True, exist_ok=True)
    lock = FileLock(paths.lock)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        pid = _pid(_named(paths.lock_owner)) or "unknown"
        raise UsageError(f"another process (pid {pid}) is using {paths.run_id}; wait for it, or stop it") from error
    try:
        paths.lock_owner.write_text(f"{host_identity.process_id()}\n", encoding="utf-8")
        yield
    finally:
        paths.lock_owner.unlink(missing_ok=True)
        lock.release()


def holder(paths: RunPaths) -> int | None:
    """Return the pid of the process that holds the lock; None if there is none. This does not take the lock."""
    name = _named(paths.lock_owner)
    return None if not name or host_identity.is_dead(name) else _pid(name)


def held_together(runs: RunsFolder, run_id: str) -> list[str]:
    """Return the names of all runs that the process works on that works on this run, such as those of a comparison.

    The name of the run itself is among them. Empty if no process works on it.
    """
    name = _named(runs.run(run_id).lock_owner)
    if not name or host_identity.is_dead(name):
        return []
    return [each for each in runs.run_ids() if _named(runs.run(each).lock_owner) == name]


def stop_holder(paths: RunPaths, wait_seconds: float) -> bool:
    """Stop the process that holds the lock, as Ctrl-C in its terminal would; return whether it ended in time.

    The signal is SIGTERM, which is handled as SIGINT is: a shell lets a process in the background ignore SIGINT.

    Raises:
        UsageError: no process of this machine holds the lock, or it belongs to another user or container.
    """
    name, pid = _named(paths.lock_owner), holder(paths)
    if pid is None:
        raise UsageError(f"no process of this machine works on {paths.run_id}")
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        if not host_identity.is_alive_here(name):  # checked last: from here on the number cannot mean another process
            raise UsageError(f"the process that works on {paths.run_id} is in another container; stop it from there")
        signal.pidfd_send_signal(process, signal.SIGTERM)
        return bool(select.select([process], [], [], wait_seconds)[0])
    except ProcessLookupError:
        return True
    except PermissionError as error:
        raise UsageError(f"process {pid}, which works on {paths.run_id}, belongs to another user") from error
    finally:
        os.close(process)


def _named(path: Path) -> str:
    try:
        return read_text(path, 2**10).strip()
    except (FileNotFoundError, PermissionError, ValueError):
        return ""


def _pid(name: str) -> int | None:
    """Return the pid in a name from `host_identity.process_id`."""
    parts = name.split(".")
    return int(parts[1]) if len(parts) == 3 and parts[1].isdecimal() else None
