"""The canary: a small job that is always the same, run where trials run, to measure the machine's speed."""

import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from agent.errors import MachineError
from agent.execution.slots import slot_number
from agent.execution.training_job import export, limits_of, mounts_of
from agent.task.task import Task
from agent.text import last_line, read_tail
from sandbox.job import Execution, GpuState, Job, Mount, Sandbox

OFF, SHIPPED = ("off",), ("shipped",)
WORKLOAD = "/in/workload.py"
FRESH_SECONDS = 60.0  # for so long, the canary after one trial also serves as the one before the next
OCCUPIED_SECONDS = 600.0  # of one canary in a slot that is kept busy
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
    """Runs the canary of a task with the interpreter, limits and GPU of its trials, in the slot of the caller.

    It may be used by several threads, each in a slot of its own.
    """

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
        self._last: dict[int, tuple[float, SpeedSample]] = {}  # by slot, with its time

    def measure(self) -> SpeedSample:
        """Run the canary, and return its measurement.

        Raises:
            MachineError: it printed no speed.
            SandboxError: the sandbox failed.
        """
        self.invalidate()
        seconds = self._cpu_time_seconds or self._task.canary_seconds
        execution = self._run(seconds)
        return self._sample(execution)

    def occupy(self) -> None:
        """Run the canary over and over, until the slot is stopped.

        Raises:
            StoppedError: the slot is stopped.
            MachineError: the canary failed.
            SandboxError: the sandbox failed.
        """
        while True:
            execution = self._run(OCCUPIED_SECONDS)
            if execution.exit_code != 0:
                self._sample(execution)

    def _run(self, seconds: float) -> Execution:
        export(self._task.files, self._place / "files")
        return self._sandbox.run(self._job(seconds))

    @property
    def _place(self) -> Path:
        """The folder for the canary in the present slot."""
        number = slot_number()
        return self._folder / f"slot-{number}" if number else self._folder

    def _sample(self, execution: Execution) -> SpeedSample:
        """Return the measurement that the canary printed. Raises MachineError if it printed none."""
        log = self._place / "log"
        printed = read_tail(log)
        speeds = [float(found) for found in _SPEED.findall(printed)]
        if execution.exit_code != 0 or len(speeds) != 1 or not 0 < speeds[0] < math.inf:
            how = execution.stopped_by.value if execution.exit_code is None else f"exit {execution.exit_code}"
            remedy = f'fix `canary` in [machine] of {self._task.folder}/task.toml, or set it to "off"'
            if self._cpu_time_seconds is not None:
                remedy = f"fix it, or leave `max_cpu_ratio` out of [budget] in {self._task.folder}/task.toml"
            raise MachineError(
                f"the canary that measures the machine's speed printed none ({how}: {last_line(printed)}); see {log}, "
                f"and {remedy}"
            )
        sample = SpeedSample(speeds[0], execution.wall_seconds, execution.sandbox, execution.gpu_state or GpuState())
        self._last[slot_number()] = self._monotonic(), sample
        return sample

    def recent(self) -> SpeedSample:
        """Return the slot's last measurement, at no cost, if it is at most a minute old; else run the canary."""
        last = self._last.get(slot_number())
        if last is not None and self._monotonic() - last[0] <= FRESH_SECONDS:
            return replace(last[1], seconds=0.0)
        return self.measure()

    def invalidate(self) -> None:
        """Discard the slot's last measurement, which has shown a changed speed, so that the canary runs anew."""
        self._last.pop(slot_number(), None)

    def _job(self, seconds: float) -> Job:
        task, folder = self._task, self._place
        argv, mounts = task.machine.canary, (Mount(folder / "files", "/task"), *mounts_of(task))
        if argv == SHIPPED or self._cpu_time_seconds is not None:
            kind = "cpu-time" if self._cpu_time_seconds is not None else "gpu" if self._on_gpu else "cpu"
            argv = ("python", WORKLOAD, f"{seconds:g}", kind)
            mounts = (*mounts, Mount(Path(__file__).with_name("probe_workload.py"), WORKLOAD))
        wall_seconds = seconds + START_SECONDS
        return Job(
            argv=argv,
            label=f"{self._label}/canary",
            limits=replace(limits_of(task), wall_seconds=wall_seconds, cpu_seconds=None),
            log=folder / "log",
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
