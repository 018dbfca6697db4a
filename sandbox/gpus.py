"""A sandbox around a sandbox: every job gets one of the GPUs to itself for as long as it runs."""

import tempfile
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue

from sandbox.errors import SandboxError, SandboxUnavailableError
from sandbox.job import Execution, Job, Limits, Sandbox

_LIMITS = Limits(wall_seconds=60.0, memory_gb=0.5)


class LeasedGpus:
    """Runs jobs on `gpus`, indices as nvidia-smi shows them; jobs beyond their number wait for one to be free.

    Other programs are not asked: give two runs different GPUs.

    Raises:
        SandboxUnavailableError: a job cannot be given one of them.
    """

    def __init__(self, sandbox: Sandbox, gpus: tuple[str, ...]) -> None:
        self._sandbox = sandbox
        self._free: SimpleQueue[str] = SimpleQueue()
        for gpu in gpus:
            self._try(gpu)
            self._free.put(gpu)

    def run(self, job: Job) -> Execution:
        """Run `job` to its end on a GPU of its own, which its Execution names.

        Raises:
            SandboxError: the sandbox failed; the job's own failure is in the Execution.
        """
        gpu = self._free.get()
        try:
            execution = self._sandbox.run(replace(job, gpus=(gpu,)))
        finally:
            self._free.put(gpu)
        return replace(execution, sandbox=f"{execution.sandbox}, gpu {gpu}")

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
