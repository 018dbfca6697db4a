"""The training job of one trial: its mounts, variables and limits."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import takewhile
from pathlib import Path

from agent.execution.working_copy import in_working_copy, place_of
from agent.files import let_jobs_read
from agent.store.paths import TrialPaths
from agent.task.corpus import Corpus
from agent.task.task import Task
from sandbox.interpreter import NAMES
from sandbox.job import OUTPUT, Job, Limits, Mount

ONE_STEP = {"TRAIN_BUDGET": "1", "TRAIN_BUDGET_UNIT": "steps"}
"""Variables of the shortest training: one step, or one second, token or unit of work if a script ignores the unit."""
START_FACTOR = 2.0
START_SECONDS = 10.0  # besides the factor: compiling another graph may take this much longer than the baseline's


def export(files: Mapping[str, bytes], folder: Path) -> None:
    """Write the tree of a trial for the sandboxes to mount: plain files, readable by any user, without git."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(content)
        path.chmod(0o444)
    let_jobs_read(folder)


def unbuffered(command: tuple[str, ...]) -> tuple[str, ...]:
    """Return a command whose output arrives at once, also where Python's -I or -E ignores PYTHONUNBUFFERED."""
    if command[0] not in NAMES:
        return command
    options = takewhile(lambda word: word.startswith("-") and word not in ("-c", "-m", "-"), command[1:])
    ignores = any(set(word[1:]) & {"I", "E"} for word in options if word[1:2] not in ("W", "X", "-"))
    return (command[0], "-u", *command[1:]) if ignores else command


def limits_of(task: Task) -> Limits:
    """Return the task's limits as the sandbox's type."""
    return Limits(**task.limits.model_dump())


def mounts_of(task: Task) -> tuple[Mount, ...]:
    """Return the folders of the host that task.toml opens to the task's own jobs."""
    return tuple(
        Mount(Path(mount.source), place_of(mount.target, index)) for index, mount in enumerate(task.environment.mounts)
    )


def training_job(
    task: Task,
    corpus: Corpus | None,
    paths: TrialPaths,
    *,
    label: str,
    train_seed: int,
    baseline_cpu_seconds: float | None,
    baseline_wall_seconds: float | None = None,
    passed_on: Mapping[str, str],
    command: tuple[str, ...] | None = None,
) -> Job:
    """Return the job that trains the script exported to `paths.files`.

    Args:
        baseline_cpu_seconds: what trial 0 used; caps the trial where the script itself counts its budget.
        baseline_wall_seconds: what trial 0 took; where the budget is in seconds, a trial may take START_FACTOR times
            its start-up and START_SECONDS more, so that a script that stops its own clock gains next to nothing.
        passed_on: values of the variables that task.toml allows through from the caller.
        command: in place of the task's own, such as one with a shorter training.
    """
    limits = limits_of(task)
    if task.budget.counted_by == "script" and baseline_cpu_seconds is not None:
        cap = task.budget.cpu_factor * baseline_cpu_seconds
        limits = replace(limits, cpu_seconds=min(cap, limits.cpu_seconds or cap))
    if task.budget.unit == "seconds" and baseline_wall_seconds is not None:
        outside = max(0.0, baseline_wall_seconds - task.budget.amount)
        cap = task.budget.amount + START_FACTOR * outside + START_SECONDS
        limits = replace(limits, wall_seconds=min(cap, limits.wall_seconds))
    mounts = [Mount(paths.files, "/task")]
    if corpus is not None:
        mounts.append(Mount(corpus.train, "/data"))
    mounts += mounts_of(task)
    job = Job(
        argv=unbuffered(command or task.command),
        label=label,
        limits=limits,
        log=paths.log,
        stdout=paths.stdout,
        stderr=paths.stderr,
        output=paths.artifact,
        mounts=tuple(mounts),
        environment={
            **passed_on,
            **task.variables,
            "TRAIN_DATA": "/data",
            "TRAIN_OUTPUT": OUTPUT,
            "TRAIN_SEED": str(train_seed),
            "TRAIN_BUDGET": f"{task.budget.amount:g}",
            "TRAIN_BUDGET_UNIT": task.budget.unit,
        },
        workdir="/task",
    )
    return in_working_copy(job, task)
