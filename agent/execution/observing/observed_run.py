"""One training of a script under observation: the training job of a trial, with the observer beside it."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from agent.execution.executor import Executor
from agent.execution.judge import failure
from agent.execution.observing.observer import FOLDER, NOTES_VARIABLE, PROGRAM, FileNotes
from agent.execution.scoring.metric_file import hands_out_metric_file
from agent.execution.scoring.scorer import artifact_in
from agent.execution.training_job import export, training_job
from agent.execution.working_copy import folder_of
from agent.store.paths import TrialPaths
from agent.task.init.shortening import Training
from agent.task.task import Task
from agent.text import read_tail
from agent.trials.trial import Score, Status
from sandbox.job import EXTRA_OUTPUT, Mount, StoppedBy


@dataclass(frozen=True)
class ObservedRun:
    """How a training ended, and what the script opened and printed."""

    seconds: float  # wall
    log: str  # all that the script printed, as far as limits.log_mb keeps it
    notes: FileNotes
    failed: tuple[Status, str] | None  # None: it ended well
    is_cut_short: bool = False  # by the time that it was given
    score: Score | None = None  # as a trial's would be; None: it was not scored
    peak_memory_gb: float | None = None
    sandbox: str = ""
    folder: str = field(default="/task")  # where the script ran, inside


def observed_run(
    executor: Executor,
    training: Training,
    root: Path,
    *,
    label: str,
    seed: int,
    seconds: float,
    budget: dict[str, str],
) -> ObservedRun:
    """Train a script once, in the sandbox of an executor, and observe it.

    Args:
        executor: opened for the script's task; its environment, limits and scorer apply.
        training: the files and the command.
        root: an empty folder for files and logs.
        label: of the job.
        seed: its TRAIN_SEED.
        seconds: the longest wall time.
        budget: its TRAIN_BUDGET variables, if they differ from the task's.

    Raises:
        SandboxError: the sandbox failed, not the script.
    """
    task, paths = executor.task, TrialPaths(root)
    root.mkdir(parents=True, exist_ok=True)
    export(training.files, paths.files)
    export({"sitecustomize.py": PROGRAM.encode()}, root / "observer")
    job = training_job(
        task,
        executor.corpus,
        paths,
        label=label,
        train_seed=seed,
        baseline_cpu_seconds=None,
        passed_on=executor.passed_on,
        command=training.command,
    )
    job = hands_out_metric_file(job, task)
    path = ":".join([FOLDER, *filter(None, [job.environment.get("PYTHONPATH")])])
    limits = replace(job.limits, wall_seconds=min(seconds, job.limits.wall_seconds))
    notes = root / "notes"
    execution = executor.sandbox.run(
        replace(
            job,
            limits=limits,
            mounts=(*job.mounts, Mount(root / "observer", FOLDER)),
            environment={**job.environment, **budget, "PYTHONPATH": path, NOTES_VARIABLE: EXTRA_OUTPUT},
            extra_output=notes,
        )
    )
    log = read_tail(paths.log)
    failed = failure(execution, log, task.budget)
    score = None
    if failed is None:
        score = executor.score(artifact_in(paths, paths.score, label, 0))
    return ObservedRun(
        execution.wall_seconds,
        paths.log.read_bytes().decode(errors="replace") if paths.log.is_file() else "",
        FileNotes.load(notes),
        failed,
        is_cut_short=execution.stopped_by is StoppedBy.WALL_LIMIT,
        score=score,
        peak_memory_gb=execution.peak_memory_gb,
        sandbox=execution.sandbox,
        folder=_started_in(task),
    )


def _started_in(task: Task) -> str:
    return folder_of(task) if task.environment.writable_copy else "/task"
