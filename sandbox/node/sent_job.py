"""A job that was sent to a node with its files: what the node does, independent of how the bytes are transferred.

The node runs it as `sandbox.node` runs the job of any folder, in a folder of its own, of which it reports what the
caller would see in a shared folder: that the job started, what it prints, and finally how it ended.
"""

import mmap
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from sandbox.errors import SandboxError
from sandbox.node.__main__ import run_on_node
from sandbox.node.job_folder import PRINTED, WRITTEN, JobFolder, JobRequest, JobResult, Started
from sandbox.node.snapshot import PIECE_BYTES, FileSnapshot
from sandbox.node.snapshot_cache import SnapshotCache

_LOOK_SECONDS = 0.2  # between two reads of what the job has printed
_ASK_SECONDS = 1.0  # between two checks whether it must stop, while it prints nothing


@dataclass(frozen=True)
class SentJob:
    """A job with its files."""

    name: str
    request: JobRequest  # the sources of its mounts are those of the caller
    snapshots: tuple[FileSnapshot | None, ...]  # of its mounts, in their order; None: the node sees the source itself


@dataclass(frozen=True)
class Progress:
    """What is new about a job."""

    name: str
    started: Started | None
    printed: Mapping[str, tuple[int, bytes]] = field(default_factory=dict)  # by name: where it begins, and the bytes
    has_begun: bool = False  # whether the job itself runs


@dataclass(frozen=True)
class SentResult:
    """How a job ended. The files that it wrote follow, each in `n_pieces` pieces."""

    result: JobResult
    started: Started | None  # also of a job that could not be started there
    printed: Mapping[str, bytes]
    sizes: Mapping[str, int]  # of the files that it wrote, bytes


def n_pieces(request: JobRequest) -> int:
    """Return the number of pieces of each file that the job writes, which is that of the largest allowed file."""
    return max(1, -int(-request.job.limits.output_mb * 2**20 // PIECE_BYTES))


def run_sent_job(
    sent: SentJob, node: str, fetch: Callable[[FileSnapshot], Iterable[bytes]], report: Callable[[Progress], bool]
) -> tuple[SentResult, list[memoryview]]:
    """Run a job on this node, called `node`; return how it ended, and the pieces of the files that it wrote.

    Args:
        fetch: returns the bytes of a snapshot. Raises an OSError without a number if they do not come.
        report: sends progress to the caller, and returns whether the job must stop.
    """
    try:
        kept = SnapshotCache.of_node()
        own = kept.new_folder()
    except (SandboxError, OSError) as error:
        return _without_start(node, error)
    try:
        with ExitStack() as held:
            try:
                mounts = tuple(
                    mount if snapshot is None else replace(mount, source=held.enter_context(kept.held(snapshot, fetch)))
                    for mount, snapshot in zip(sent.request.job.mounts, sent.snapshots, strict=True)
                )
                request = replace(sent.request, job=replace(sent.request.job, mounts=mounts))
                folder = JobFolder(own / sent.name)
                folder.create(request)
            except (SandboxError, OSError) as error:
                return _without_start(node, error)
            with _reported(sent.name, folder, report):
                run_on_node(folder.path, node)
            result = folder.result(request.token) or JobResult(lost="it was asked to end before it started")
            printed = {name: folder.file(name).read_bytes() for name in PRINTED if folder.file(name).exists()}
            written = [name for name in WRITTEN if folder.file(name).exists()]
            sizes = {name: folder.file(name).stat().st_size for name in written}
            pieces = [piece for name in written for piece in _pieces(folder.file(name), n_pieces(request))]
            return SentResult(result, folder.started(), printed, sizes), pieces
    finally:
        shutil.rmtree(own, ignore_errors=True)  # what is mapped stays until it is read
        kept.sweep()


def _without_start(node: str, error: SandboxError | OSError) -> tuple[SentResult, list[memoryview]]:
    """Return the result of a job that could not be started: it fails by its node, or by the way to it."""
    if isinstance(error, SandboxError):
        result = JobResult(failed=str(error))
    elif error.errno is None:  # of `fetch`
        result = JobResult(lost=f"its files did not reach the node: {error}")
    else:
        result = JobResult(failed=f"cannot write its files: {error}; make room in {tempfile.gettempdir()} there")
    return SentResult(result, Started(node, "", time.time()), {}, {}), []


def _pieces(path: Path, n: int) -> Iterator[memoryview]:
    """Yield a file in `n` pieces, of which the last ones may be empty, without reading it into memory."""
    size = path.stat().st_size
    with path.open("rb") as file:
        whole = memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)) if size else memoryview(b"")
    for number in range(n):
        yield whole[number * PIECE_BYTES : (number + 1) * PIECE_BYTES]


@contextmanager
def _reported(name: str, folder: JobFolder, report: Callable[[Progress], bool]) -> Iterator[None]:
    """Report what happens in the folder, from a thread, until the end of the `with` block."""
    ended = threading.Event()
    thread = threading.Thread(target=_follow, args=(name, folder, report, ended), name="report", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _follow(name: str, folder: JobFolder, report: Callable[[Progress], bool], ended: threading.Event) -> None:
    started: Started | None = None
    has_begun = False
    sizes = dict.fromkeys(PRINTED, 0)
    next_question = 0.0
    while not ended.is_set():
        new_start = None if started is not None else folder.started()
        printed = {file: (sizes[file], data) for file in PRINTED if (data := _since(folder.file(file), sizes[file]))}
        begins = not has_begun and folder.has_begun()
        now = time.monotonic()
        if new_start is not None or begins or printed or now >= next_question:
            next_question = now + _ASK_SECONDS
            with suppress(ConnectionError):  # the rest comes with the next report, or with the result
                if report(Progress(name, new_start, printed, begins)):
                    folder.request_stop()
                started, has_begun = started or new_start, has_begun or begins
                sizes |= {file: begin + len(data) for file, (begin, data) in printed.items()}
        ended.wait(_LOOK_SECONDS)


def _since(path: Path, offset: int) -> bytes:
    """Return what was appended to a file; it comes in pieces of at most a mebibyte."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        return b""
    try:
        return os.pread(fd, 2**20, offset)
    finally:
        os.close(fd)
