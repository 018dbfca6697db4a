"""The copy in memory of the interpreter and its packages, for jobs that must learn nothing about each other.

A tmpfs does not cache failed look-ups, but records which pages were read. So the host reads the whole copy several
times before any job sees it, and reads by jobs change nothing.
"""

import os
import shutil
import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from sandbox.in_memory import place
from sandbox.in_memory.closure import Closure
from sandbox.interpreter import Interpreter
from sandbox.job import Job

READS = 5
"""How often the host reads the copy. By timing reads, a job got 58 % of another's bits right without, 50 % with."""
_CHUNK_BYTES = 1 << 20


class Runtime:
    """The copy for all jobs of a sandbox: made when a job first needs it, extended when a job needs more packages.

    If the interpreter belongs to an image, `python` is None and nothing is copied. Safe to use from several threads.
    A copy `for_one_job` reveals nothing to another one, so the host does not read it.
    """

    def __init__(self, python: Interpreter | None, *, for_one_job: bool = False) -> None:
        place.sweep()
        self._python = python
        self._n_reads = 0 if for_one_job else READS
        self._lock = threading.Lock()
        self._closure: Closure | None = None
        self._known: set[tuple[str, bool]] = set()
        self._copied: set[Path] = set()
        self.n_bytes = 0  # size of the copy
        self._place: place.Place | None = None
        self._maker = os.getpid()
        self._at_the_end: Callable[[], object] = _nothing  # removes the copy, also if the program ends without `close`

    @property
    def lacking(self) -> str:
        """The reason if the copy is on a disk, otherwise empty."""
        return self._place.lacking if self._place is not None else ""

    def with_packages(self, modules: Sequence[str], *, compiler: bool) -> Path:
        """Return the folder of the copy, where each file has the same path as on the host. It includes `modules`.

        `compiler` says whether it includes what torch.compile needs.
        """
        with self._lock:
            pairs = {(module, compiler) for module in ("", *modules)}
            if self._place is not None and pairs <= self._known:
                return self._place.folder / "runtime"
            wanted = self._wanted(modules, compiler=compiler)
            if wanted and self._maker != os.getpid():
                self._forget()  # this process was forked from the owner of the copy, and makes its own
                wanted = self._wanted(modules, compiler=compiler)
            if self._place is None:
                self._place = place.make(sum(map(_bytes, wanted)))
                self._maker = os.getpid()
                self._at_the_end = weakref.finalize(self, _remove_own, self._place, self._maker)
            folder = self._place.folder / "runtime"
            for path in wanted:
                _copy(path, folder)
            for _ in range(self._n_reads):
                for path in wanted:
                    _read(folder / path.relative_to("/"))
            self._copied.update(wanted)
            self.n_bytes += sum(map(_bytes, wanted))
            self._known |= pairs
            return folder

    def _wanted(self, modules: Sequence[str], *, compiler: bool) -> list[Path]:
        """Return the files for `modules` that are not in the copy yet."""
        if self._python is None:
            return []
        self._closure = self._closure or Closure(self._python)
        self._closure.add(modules, compiler=compiler)
        return [path for path in self._closure.paths if path not in self._copied]

    def folder_for_a_job(self) -> Path:
        """Create a folder beside the copy, for the files of one job. Call `with_packages` first."""
        assert self._place is not None
        for number in range(1 << 62):
            folder = self._place.folder / f"job-{number}"
            with suppress(FileExistsError):
                folder.mkdir(mode=0o700)
                return folder
        raise AssertionError

    def close(self) -> None:
        """Remove the copy. Safe to call twice."""
        with self._lock:
            self._at_the_end()
            self._forget()

    def _forget(self) -> None:
        self._place, self._closure = None, None
        self._copied = set()
        self.n_bytes = 0
        self._known = set()


class Shared:
    """The copy of an interpreter, shared by all sandboxes of this process; removed when the last one is closed.

    A forked process uses it too, until it needs files that are not in it.
    """

    _known: ClassVar[dict[tuple[Path | None, bool], "Shared._Counted"]] = {}
    _lock: ClassVar[threading.Lock] = threading.Lock()

    @dataclass
    class _Counted:
        runtime: Runtime
        n_users: int = 0

    def __init__(self, python: Interpreter | None, *, for_one_job: bool = False) -> None:
        self._key = (python.executable if python is not None else None, for_one_job)
        with self._lock:
            counted = self._known.get(self._key)
            if counted is None:
                counted = self._known[self._key] = self._Counted(Runtime(python, for_one_job=for_one_job))
            counted.n_users += 1
            self.runtime = counted.runtime
        self._is_open = True

    def close(self) -> None:
        """Stop using the copy. Safe to call twice."""
        with self._lock:
            if not self._is_open:
                return
            self._is_open = False
            counted = self._known[self._key]
            counted.n_users -= 1
            if not counted.n_users:
                del self._known[self._key]
                counted.runtime.close()


def _nothing() -> None:
    """Do nothing: there is no copy yet."""


def _remove_own(made: place.Place, maker: int) -> None:
    if os.getpid() == maker:  # not in a forked process
        made.remove()


def unseparated(job: Job, runtime: Runtime) -> tuple[str, ...]:
    """Return what a job `apart` shares with others in spite of that, as entries of `Execution.unenforced`."""
    if not job.apart or not runtime.lacking:
        return ()
    return (
        "apart: scoring jobs share a copy on the disk, whose caches could reveal to one what another read, "
        f"because {runtime.lacking}",
    )


def _copy(path: Path, folder: Path) -> None:
    target = folder / path.relative_to("/")
    for parent in reversed(path.relative_to("/").parents):
        if not (folder / parent).is_dir():
            (folder / parent).mkdir(mode=0o755)
            (folder / parent).chmod(0o755)
    with suppress(FileNotFoundError):  # removed in the meantime
        shutil.copy2(path, target, follow_symlinks=False)  # with its times, or every .pyc would be out of date


def _read(path: Path) -> None:
    if path.is_symlink() or not os.access(path, os.R_OK):
        return
    with path.open("rb", buffering=0) as file:
        while file.read(_CHUNK_BYTES):
            pass


def _bytes(path: Path) -> int:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return 0
    return -(-found.st_size // 4096) * 4096
