"""`python -m sandbox.node FOLDER` runs the job of a folder, on the node that the cluster has chosen."""

import os
import platform
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType

from sandbox.bubblewrap import BubblewrapSandbox
from sandbox.errors import JobLostError, SandboxError
from sandbox.gpu.leasing import run_on_gpu
from sandbox.job import Execution, StoppedBy
from sandbox.node.job_folder import PRINTED, WRITTEN, InnerSandbox, JobFolder, JobRequest, JobResult, Started

_LATE_SIGNAL_SECONDS = 1.0  # in which a signal arrives here too that has already ended the job


class _Cancelled:
    """Whether the cluster has asked this program to end: it cancels, preempts or times out a job with SIGTERM."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def receive(self, number: int, _frame: FrameType | None) -> None:
        self.signal = number


@contextmanager
def _cancelled_by_signals() -> Iterator[_Cancelled]:
    cancelled = _Cancelled()
    before = {number: signal.signal(number, cancelled.receive) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield cancelled
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_on_node(path: Path, node: str = "") -> int:
    """Run the job of the folder `path`, unless it was started before, and record how it ended; return an exit code.

    `node`: the name of this node; empty: what Slurm calls it, or else its host name.
    """
    folder = JobFolder(path)
    request = folder.request()
    if request is None:
        print(f"there is no request in {path}: is it on a file system that the nodes share?")
        return 2
    gpus = given_gpus() if request.needs_gpu else ()
    node = node or os.environ.get("SLURMD_NODENAME") or platform.node()
    if folder.is_stop_requested() or not folder.start(Started(node, ",".join(gpus), time.time())):
        return 0
    with _cancelled_by_signals() as cancelled:
        try:  # `stop_when` notices a request to stop that came between the two
            result = JobResult(execution=_run(request, folder, gpus, node, cancelled))
        except JobLostError as error:
            result = JobResult(lost=str(error))
        except SandboxError as error:
            result = JobResult(failed=str(error))
        except OSError as error:  # of this node or its network file system: another node may do better
            result = JobResult(lost=str(error))
        if cancelled.signal is not None and not folder.is_stop_requested():
            result = JobResult(lost=f"the cluster ended it with {signal.Signals(cancelled.signal).name}")
        folder.finish(request.token, result)
    return 0


def _run(request: JobRequest, folder: JobFolder, gpus: tuple[str, ...], node: str, cancelled: _Cancelled) -> Execution:
    if request.needs_gpu and not gpus:
        raise SandboxError(f"the cluster gave no GPU to {request.job.label}; check its gres.conf")
    has_begun = False

    def is_to_stop() -> bool:
        nonlocal has_begun
        if not has_begun:  # the sandbox asks for the first time: the job runs
            has_begun = True
            folder.begin()
        return cancelled.signal is not None or folder.is_stop_requested()

    names = [name for name in (*PRINTED, *WRITTEN) if getattr(request.job, name) is not None]
    job = replace(
        request.job,
        gpus=gpus,
        stop_when=is_to_stop,
        **{name: folder.file(name) for name in names},  # type: ignore[arg-type]
    )
    with closing(_opened(request.sandbox)) as sandbox:
        execution = run_on_gpu(sandbox, job, gpus[0]) if gpus else sandbox.run(job)
    if execution.stopped_by is StoppedBy.SIGNAL and cancelled.signal is None:
        time.sleep(_LATE_SIGNAL_SECONDS)
    return replace(execution, sandbox=f"{execution.sandbox}, node {node}")


def _opened(inner: InnerSandbox) -> BubblewrapSandbox:
    python = Path(inner.python) if inner.python else None
    return BubblewrapSandbox(python, frozenset(inner.accept_unenforced), runs_one_job=True)


def given_gpus() -> tuple[str, ...]:
    """Return the numbers of the GPUs that the cluster gave to this process, as in /dev/nvidia3.

    Where Slurm hides other devices (ConstrainDevices=yes), CUDA_VISIBLE_DEVICES counts only the job's own, from 0.
    """
    named = os.environ.get("SLURM_JOB_GPUS") or os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return tuple(name for name in named.split(",") if name and name != "NoDevFiles")


if __name__ == "__main__":
    sys.exit(run_on_node(Path(sys.argv[1])))
