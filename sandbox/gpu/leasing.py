"""A sandbox around another that leases a GPU to each job while it runs; jobs that belong together share one."""

import fcntl
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from sandbox.errors import SandboxError, SandboxUnavailableError
from sandbox.gpu import nvml
from sandbox.gpu.monitor import ThrottleWatch, VramWatch
from sandbox.job import Execution, Job, Limits, Sandbox, StoppedBy
from sandbox.job_log import JobLog
from sandbox.output_file import OutputFile

_LIMITS = Limits(wall_seconds=60.0, memory_gb=0.5)  # of the job that checks whether a GPU is available
_WAIT_SECONDS = 0.2  # between two attempts: the kernel cannot wait for one of several locks


def shared_folder() -> Path:
    """Return the folder of locks for all runs of this user on this machine, whatever their environment."""
    runtime = Path(f"/run/user/{os.geteuid()}")
    place = runtime if os.access(runtime, os.W_OK) else Path("/tmp")
    return place / f"autocentaur-{os.geteuid()}"


class Leases:
    """Leases of devices, as locks on files in `folder`, which all runs must share."""

    def __init__(self, folder: Path, say: Callable[[str], None] = lambda _line: None) -> None:
        """`say` receives a line when a job must wait for a lease.

        Raises:
            SandboxError: the folder cannot be created, or belongs to another user.
        """
        self._folder = folder
        self._say = say
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise SandboxError(f"cannot keep locks in {folder}: {error.strerror}; make room for it") from error
        if folder.stat().st_uid != os.geteuid():
            raise SandboxError(f"the folder of locks {folder} belongs to another user; ask them to remove it")

    @contextmanager
    def one_of(
        self, devices: Sequence[str], label: str, stop_when: Callable[[], bool] | None = None
    ) -> Iterator[str | None]:
        """Lock the first free device of `devices` and yield its name; wait until one is free.

        Args:
            label: the holder's name, for the message to others that wait.
            stop_when: the wait ends when this returns True, and None is yielded.

        Raises:
            SandboxError: a lock cannot be opened.
        """
        with ExitStack() as held:
            files = {device: held.enter_context(self._opened(device)) for device in devices}
            device = self._first_free(files, stop_when)
            if device is None:
                yield None
                return
            files[device].truncate(0)
            print(f"pid {os.getpid()}, {label}", file=files[device], flush=True)
            yield device

    def _opened(self, device: str) -> IO[str]:
        path = self._folder / f"gpu-{device}.lock"
        try:
            return path.open("a+")
        except OSError as error:
            raise SandboxError(f"cannot open the lock {path}: {error.strerror}; remove it") from error

    def _first_free(self, files: dict[str, IO[str]], stop_when: Callable[[], bool] | None) -> str | None:
        """Lock the first file that is not locked and return its device; None if the wait was stopped."""
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
            if stop_when is not None and stop_when():
                return None
            time.sleep(_WAIT_SECONDS)


def _holder(file: IO[str]) -> str:
    file.seek(0)
    return file.readline().strip() or "by another run"


@dataclass
class _Shared:
    """A lease that several jobs share."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    held: ExitStack = field(default_factory=ExitStack)
    device: str | None = None
    n_jobs: int = 0


def run_on_gpu(sandbox: Sandbox, job: Job, gpu: str) -> Execution:
    """Run `job` in a sandbox on a GPU that no other job has, with what the driver reports about it meanwhile.

    Raises:
        SandboxError: the sandbox failed. A failure of the job is part of the Execution instead.
    """
    with ThrottleWatch(nvml.state_reader(gpu)) as throttle, VramWatch(nvml.memory_reader(gpu)) as vram:
        execution = sandbox.run(replace(job, gpus=(gpu,)))
    return replace(
        execution,
        sandbox=f"{execution.sandbox}, gpu {gpu}",
        peak_vram_gb=vram.peak_gb,
        gpu_state=throttle.state,
    )


class GpuLeasingSandbox:
    """Runs each job on one of `gpus`, as nvidia-smi names them; a job waits while this or another run uses all.

    Programs of other users do not count.

    Raises:
        SandboxUnavailableError: a job cannot use one of them.
    """

    def __init__(self, sandbox: Sandbox, gpus: tuple[str, ...], leases: Leases) -> None:
        self._sandbox = sandbox
        self._leases = leases
        for gpu in gpus:
            self._try(gpu)
        # By UUID, because two runs may give a device different names.
        self._gpus = {nvml.uuid_of(gpu) or gpu: gpu for gpu in gpus}
        self._shared: dict[tuple[str, tuple[str, ...]], _Shared] = {}
        # By the GPUs that a job may use: the device of the last one, preferred for the next, as GPUs differ in speed.
        self._last: dict[tuple[str, ...], str] = {}

    def run(self, job: Job) -> Execution:
        """Run `job` until it ends on a leased GPU, which the Execution names; without a GPU if `job.on_cpu`.

        It is one of `job.gpus`, or of all if that is empty. `job.stop_when` also stops a job that waits for a GPU; its
        wall time is then zero.

        Raises:
            SandboxError: the sandbox failed, or `job.gpus` names one that is not in `gpus`. A failure of the job is
                part of the Execution instead.
        """
        if job.on_cpu:
            return self._sandbox.run(job)
        with self._leased(job) as device:
            if device is None:
                return stopped_before_its_start(job)
            return run_on_gpu(self._sandbox, job, self._gpus[device])

    @contextmanager
    def _leased(self, job: Job) -> Iterator[str | None]:
        """Yield the device for the job, its own or the shared one; None if the job was stopped while it waited."""
        allowed = self._allowed(job)
        order = sorted(allowed, key=lambda device: device != self._last.get(allowed))
        if not job.together:
            with self._leases.one_of(order, job.label, job.stop_when) as own:
                if own is not None:
                    self._last[allowed] = own
                yield own
            return
        shared = self._shared.setdefault((job.together, allowed), _Shared())
        with shared.lock:  # the first job waits for a device, the others wait for the first
            if shared.n_jobs == 0:
                shared.device = shared.held.enter_context(self._leases.one_of(order, job.label, job.stop_when))
                if shared.device is not None:
                    self._last[allowed] = shared.device
            device = shared.device
            if device is None:
                shared.held.close()
            else:
                shared.n_jobs += 1
        if device is None:
            yield None
            return
        try:
            yield device
        finally:
            with shared.lock:
                shared.n_jobs -= 1
                if shared.n_jobs == 0:
                    shared.held.close()

    def _allowed(self, job: Job) -> tuple[str, ...]:
        """Return the devices that the job may use. Raises SandboxError if it names a GPU that is not here."""
        unknown = sorted(set(job.gpus) - set(self._gpus.values()))
        if unknown:
            raise SandboxError(f"{job.label} needs GPU {', '.join(unknown)}, which --gpus does not name; add it there")
        return tuple(device for device, gpu in self._gpus.items() if not job.gpus or gpu in job.gpus)

    def close(self) -> None:
        """Close the inner sandbox. Safe to call twice."""
        self._sandbox.close()

    def _try(self, gpu: str) -> None:
        """Run an empty job with the GPU, so that a missing GPU is noticed before the first trial."""
        with tempfile.TemporaryDirectory(prefix="gpu-") as folder:
            job = Job(("true",), f"gpu/{gpu}", _LIMITS, Path(folder) / "log", gpus=(gpu,))
            try:
                self._sandbox.run(job)
            except SandboxError as error:
                self._sandbox.close()
                raise SandboxUnavailableError(f"no job can use GPU {gpu}: {error}") from error


def stopped_before_its_start(job: Job) -> Execution:
    """Create an empty log and empty outputs, and return the Execution of a job that was stopped while it waited."""
    with JobLog(job):
        for path in filter(None, (job.output, job.extra_output)):
            with OutputFile(path, os.geteuid(), os.getegid()):
                pass
    return Execution(
        exit_code=None,
        stopped_by=StoppedBy.CALLER,
        wall_seconds=0.0,
        cpu_seconds=0.0,
        peak_memory_gb=None,
        output_bytes=0 if job.output is not None else None,
        log_truncated=False,
    )
