"""The canary: a small job that is always the same, run where trials run, to measure the machine's speed."""

import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from agent.errors import MachineError
from agent.execution.training_job import export, limits_of, mounts_of
from agent.task.task import Task
from agent.text import last_line, read_tail
from sandbox.job import GpuState, Job, Mount, Sandbox

OFF, SHIPPED = ("off",), ("shipped",)
WORKLOAD = "/in/workload.py"
FRESH_SECONDS = 60.0  # for so long, the canary after one trial also serves as the one before the next
START_SECONDS = 120.0  # that it may take besides its own seconds: PyTorch and CUDA are slow to start
# Threads that wait for each other use CPU time and do nothing: without this the speed by CPU time varies eightfold.
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_SPEED = re.compile(r"^speed:\s+([\d.]+(?:e[+-]?\d+)?)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class SpeedSample:
    """One speed measurement."""

    speed: float  # units of its work per second
    seconds: float  # wall time of its job
    sandbox: str  # as in an Outcome, with the name of the GPU
    gpu: GpuState = field(default_factory=GpuState)


class SpeedProbe:
    """Runs the canary of a task with the interpreter, limits and GPU of its trials."""

    def __init__(
        self,
        task: Task,
        sandbox: Sandbox,
        folder: Path,
        *,
        label: str,
        on_gpu: bool,
        passed_on: Mapping[str, str],
        monotonic: Callable[[], float] = time.monotonic,
        cpu_time_seconds: float | None = None,
    ) -> None:
        """`folder` receives the task's files as the baseline has them, and the log.

        `cpu_time_seconds`: run the shipped canary, whatever the task has, for so long, and measure its CPU time.
        """
        self._task = task
        self._sandbox = sandbox
        self._folder = folder
        self._label = label
        self._on_gpu = on_gpu
        self._passed_on = passed_on
        self._monotonic = monotonic
        self._cpu_time_seconds = cpu_time_seconds
        self._last: tuple[float, SpeedSample] | None = None  # with its time

    def measure(self) -> SpeedSample:
        """Run the canary, and return its measurement.

        Raises:
            MachineError: it printed no speed.
            SandboxError: the sandbox failed.
        """
        self._last = None
        log = self._folder / "log"
        export(self._task.files, self._folder / "files")
        execution = self._sandbox.run(self._job(log))
        said = read_tail(log)
        speeds = [float(found) for found in _SPEED.findall(said)]
        if execution.exit_code != 0 or len(speeds) != 1 or not 0 < speeds[0] < math.inf:
            how = execution.stopped_by.value if execution.exit_code is None else f"exit {execution.exit_code}"
            remedy = f'fix `canary` in [machine] of {self._task.folder}/task.toml, or set it to "off"'
            if self._cpu_time_seconds is not None:
                remedy = f"fix it, or leave `max_cpu_ratio` out of [budget] in {self._task.folder}/task.toml"
            raise MachineError(
                f"the canary that measures the machine's speed printed none ({how}: {last_line(said)}); see {log}, and "
                f"{remedy}"
            )
        told = SpeedSample(speeds[0], execution.wall_seconds, execution.sandbox, execution.gpu_state or GpuState())
        self._last = self._monotonic(), told
        return told

    def recent(self) -> SpeedSample:
        """Return the last measurement, at no cost, if it is at most a minute old; else run the canary."""
        if self._last is not None and self._monotonic() - self._last[0] <= FRESH_SECONDS:
            return replace(self._last[1], seconds=0.0)
        return self.measure()

    def invalidate(self) -> None:
        """Discard the last measurement, which has shown a changed speed, so that the canary runs anew."""
        self._last = None

    def _job(self, log: Path) -> Job:
        task = self._task
        argv, mounts = task.machine.canary, (Mount(self._folder / "files", "/task"), *mounts_of(task))
        seconds = self._cpu_time_seconds or task.canary_seconds
        if argv == SHIPPED or self._cpu_time_seconds is not None:
            kind = "cpu-time" if self._cpu_time_seconds is not None else "gpu" if self._on_gpu else "cpu"
            argv = ("python", WORKLOAD, f"{seconds:g}", kind)
            mounts = (*mounts, Mount(Path(__file__).with_name("probe_workload.py"), WORKLOAD))
        wall_seconds = seconds + START_SECONDS
        return Job(
            argv=argv,
            label=f"{self._label}/canary",
            limits=replace(limits_of(task), wall_seconds=wall_seconds, cpu_seconds=None),
            log=log,
            mounts=mounts,
            environment={
                **self._passed_on,
                **task.variables,
                **(_ONE_THREAD if self._cpu_time_seconds is not None else {}),
                "CANARY_SECONDS": f"{seconds:g}",
            },
            workdir="/task",
        )


def has_canary(task: Task) -> bool:
    """Return whether a canary checks the trials of a task: only where the budget is seconds, and it is not off."""
    return task.budget.unit == "seconds" and task.machine.canary != OFF
