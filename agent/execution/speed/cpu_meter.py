"""Measures what the comparison of CPU seconds needs: the speed per CPU second, and the baseline's start-up.

Both jobs run in the sandbox of the trials. The shipped probe measures speed by its own CPU time: waiting for a
processor does not count, but all that slows the processor itself (neighbours, its clock) does.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from agent.execution.speed.probe import SpeedProbe
from agent.execution.training_job import ONE_STEP, export, training_job
from agent.store.paths import TrialPaths
from agent.task.corpus import Corpus
from agent.task.task import Task
from sandbox.job import Sandbox

PROBE_SECONDS = 0.5  # of CPU time: about 3 % of a trial of the bundled task


class CpuMeter:
    """Measures for one run, with its task's interpreter and limits."""

    def __init__(
        self,
        task: Task,
        corpus: Corpus | None,
        sandbox: Sandbox,
        folder: Path,
        *,
        label: str,
        passed_on: Mapping[str, str],
    ) -> None:
        """`folder` receives the task's files, and the logs of the jobs."""
        self._task = task
        self._corpus = corpus
        self._sandbox = sandbox
        self._folder = folder
        self._label = label
        self._passed_on = passed_on
        self._probe = SpeedProbe(
            task, sandbox, folder, label=label, on_gpu=False, passed_on=passed_on, cpu_time_seconds=PROBE_SECONDS
        )

    def speed(self) -> float:
        """Return the machine's speed, in units of the probe per CPU second.

        Raises:
            MachineError: the probe printed no speed.
            SandboxError: the sandbox failed.
        """
        return self._probe.measure().speed

    def recent_speed(self) -> float:
        """Return the last speed if it was measured no more than a minute ago; else measure it."""
        return self._probe.recent().speed

    def startup_seconds(self) -> float | None:
        """Train the task's own script for one step; return the job's CPU seconds, None if it failed."""
        paths = TrialPaths(self._folder / "startup")
        export(self._task.files, paths.files)
        job = training_job(
            self._task,
            self._corpus,
            paths,
            label=f"{self._label}/startup",
            train_seed=0,
            baseline_cpu_seconds=None,
            passed_on=self._passed_on,
        )
        execution = self._sandbox.run(replace(job, environment={**job.environment, **ONE_STEP}))
        paths.artifact.unlink(missing_ok=True)
        return execution.cpu_seconds if execution.exit_code == 0 else None


def cpu_meter_of(
    task: Task, corpus: Corpus | None, sandbox: Sandbox, folder: Path, *, label: str, passed_on: Mapping[str, str]
) -> CpuMeter | None:
    """Return the meter of a run; None if task.toml sets no `max_cpu_ratio`."""
    if task.budget.max_cpu_ratio is None:
        return None
    return CpuMeter(task, corpus, sandbox, folder, label=label, passed_on=passed_on)
