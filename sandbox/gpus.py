"""A sandbox around a sandbox: every job gets one of the GPUs to itself for as long as it runs."""

import tempfile
from dataclasses import replace
from pathlib import Path

from sandbox import nvml
from sandbox.errors import SandboxError, SandboxUnavailableError
from sandbox.job import Execution, Job, Limits, Sandbox
from sandbox.lease import Leases
from sandbox.throttle import ThrottleWatch
from sandbox.vram import VramWatch

_LIMITS = Limits(wall_seconds=60.0, memory_gb=0.5)


class LeasedGpus:
    """Runs jobs on `gpus`, as nvidia-smi names them; where all are in use, by this run or another, a job waits.

    Other users' programs are not asked.

    Raises:
        SandboxUnavailableError: a job cannot be given one of them.
    """

    def __init__(self, sandbox: Sandbox, gpus: tuple[str, ...], leases: Leases) -> None:
        self._sandbox = sandbox
        self._leases = leases
        for gpu in gpus:
            self._try(gpu)
        # Two runs may name the same device in two ways.
        self._gpus = {nvml.uuid_of(gpu) or gpu: gpu for gpu in gpus}
        self._last: str | None = None  # the device of the last job: one GPU is not quite as fast as the next

    def run(self, job: Job) -> Execution:
        """Run `job` to its end on a GPU of its own, which its Execution names; without one if it wants none.

        Raises:
            SandboxError: the sandbox failed; the job's own failure is in the Execution.
        """
        if job.on_cpu:
            return self._sandbox.run(job)
        with self._leases.one_of(sorted(self._gpus, key=lambda device: device != self._last), job.label) as device:
            self._last = device
            gpu = self._gpus[device]
            with ThrottleWatch(nvml.state_reader(gpu)) as throttle, VramWatch(nvml.memory_reader(gpu)) as vram:
                execution = self._sandbox.run(replace(job, gpus=(gpu,)))
        return replace(
            execution,
            sandbox=f"{execution.sandbox}, gpu {gpu}",
            peak_vram_gb=vram.peak_gb,
            gpu_state=throttle.state,
        )

    def close(self) -> None:
        """Close the sandbox. Safe to call twice."""
        self._sandbox.close()

    def _try(self, gpu: str) -> None:
        """Run nothing with the GPU, so that a machine without it is found out before the first trial."""
        with tempfile.TemporaryDirectory(prefix="gpu-") as folder:
            job = Job(("true",), f"gpu/{gpu}", _LIMITS, Path(folder) / "log", gpus=(gpu,))
            try:
                self._sandbox.run(job)
            except SandboxError as error:
                self._sandbox.close()
                raise SandboxUnavailableError(f"no job can have GPU {gpu}: {error}") from error
