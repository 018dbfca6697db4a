"""What may differ when a run is resumed or analysed: a higher budget, and what the user accepts."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from agent.errors import UsageError
from agent.execution.executor import ExecutionSettings, Executor, Unseen
from agent.execution.host import Host
from agent.execution.placement.places import HERE, cluster_of
from agent.execution.sandboxes import image_is_here
from agent.store.git_repo import TrialRepo
from agent.store.run_config import RunConfig, as_given, checked, option_of, with_raised_caps
from agent.store.stored_run import StoredRun, load_task
from agent.task.task import Task
from agent.trials.history import History
from agent.trials.steering import BudgetRaised

RAISABLE = ("trials", "budget_seconds", "wall_seconds", "max_cost", "max_tokens")
"""Fields of RunConfig that hold a cap of the whole run."""


def with_workers(config: RunConfig, task: Task, workers: int | None, queue: int | None) -> RunConfig:
    """Return the configuration with other numbers of workers and of waiting proposals; None: unchanged.

    Raises:
        UsageError: one of them is too small, or the budget of a trial is wall time, which other workers shorten.
    """
    if workers is not None and workers != config.workers and task.budget.unit == "seconds":
        raise UsageError(
            f"--workers {workers}: the trials of {config.run_id} train for a time, {config.workers} at once, so that "
            "losses would not compare; leave it out, or start a new run"
        )
    requested = {name: value for name, value in (("workers", workers), ("queue", queue)) if value is not None}
    return checked(**{**asdict(config), **requested}) if requested else config


def with_place(config: RunConfig, on: str | None) -> RunConfig:
    """Return the configuration with another part of the same cluster; None: unchanged.

    Raises:
        UsageError: it is another place, where losses may differ.
    """
    if on is None or on == config.on:
        return config
    if cluster_of(on) != cluster_of(config.on):
        raise UsageError(
            f"{config.run_id} began with --on {config.on}, and losses on other machines may differ: leave out "
            f"--on {on}, or start a new run with `agent run`"
        )
    return replace(config, on=on)


def at_trial(config: RunConfig, history: History, number: int) -> RunConfig:
    """Return the configuration as it was when trial `number` was proposed."""
    return with_raised_caps(config, [event for event in history.run_events.raises if event.number <= number])


def budget_raise(
    config: RunConfig, history: History, requested: Mapping[str, float | None], at: str
) -> BudgetRaised | None:
    """Return the event that raises the caps to those `requested`, by field of RunConfig; None if nothing changes.

    Raises:
        UsageError: a cap would be lowered, or set where there was none.
    """
    now = with_raised_caps(config, history.run_events.raises)
    caps = {}
    for name, value in requested.items():
        old = getattr(now, name)
        if value is None or value == old:
            continue
        if old is None or value < old:
            raise UsageError(
                f"resume may raise a budget, not lower it: {option_of(name)} {as_given(old)} → {as_given(value)}; "
                f"leave it out, or start a new run"
            )
        caps[name] = value
    return BudgetRaised(len(history.trials), caps, at) if caps else None


def refuse_changes(config: RunConfig, requested: Mapping[str, Any]) -> None:
    """Raise UsageError if a value `requested`, by field of RunConfig, differs from the one that the run began with."""
    changes = {name: value for name, value in requested.items() if value is not None and value != getattr(config, name)}
    if changes:
        differing = ", ".join(
            f"{option_of(name)} {as_given(getattr(config, name))} → {as_given(value)}"
            for name, value in changes.items()
        )
        raises = f" (`agent resume {config.run_id}` can raise a limit)" if changes.keys() & {*RAISABLE} else ""
        raise UsageError(
            f"{config.run_id} began with other options: {differing}; leave them out{raises}, or start a new run with "
            "`agent run`"
        )


def refuse_another_task(config: RunConfig, task: Task, repo: TrialRepo) -> None:
    """Raise UsageError, naming the files that differ, unless `task` is the one that the run began with."""
    if task.digest == config.task_digest:
        return
    first = f"{config.run_id}/0000"
    before = repo.read(first) if repo.tag(config.run_id, 0) else {}
    names = sorted(name for name in before.keys() | task.files.keys() if before.get(name) != task.files.get(name))
    what = (
        f"changed: {', '.join(names)}; `git -C {repo.path} show {first}:NAME` has the old; " if before and names else ""
    )
    raise UsageError(
        f"the task in {task.folder} has changed since {config.run_id} began ({what}digest {config.task_digest} → "
        f"{task.digest}); restore it, or start a new run"
    )


def refuse_another_pool(config: RunConfig, digest: str | None) -> None:
    """Raise UsageError unless `digest` is that of the slices that the run began with; None: there are no slices."""
    if digest != config.pool:
        raise UsageError(
            f"the slices of {config.task_name} are not those that {config.run_id} began with (digest {config.pool} → "
            f"{digest or 'none'}), and the journal's slices cannot be found in others; restore them, or start a new run"
        )


def refuse_other_conditions(history: History, now: Mapping[str, str], accepted: Iterable[str]) -> None:
    """Raise UsageError if scripts would run under other conditions than the run's last trial did.

    `accepted` names conditions that the user lets differ.
    """
    before = next((t.outcome.conditions for t in reversed(history.trials) if t.outcome and t.outcome.conditions), now)
    changed = [n for n in before if before[n] != now.get(n) and n not in accepted]
    if changed:
        differing = "; ".join(f"{name} {before[name]} → {now.get(name, 'unknown')}" for name in changed)
        raise UsageError(
            f"losses here cannot be compared with the run's own ({differing}); resume where it began, start a new run, "
            f"or accept the difference with --accept-changed {changed[0]}"
        )


def image_to_resume_in(history: History, is_here: Callable[[str], bool], accepted: Iterable[str]) -> str | None:
    """Return the digest of the image that the run's trials ran in; None for no image, or if another is accepted.

    Raises:
        UsageError: the image is not on this machine.
    """
    ran = [trial.outcome.image for trial in history.trials if trial.outcome is not None and trial.outcome.sandbox]
    if not ran or ran[-1] is None or is_here(ran[-1]):
        return ran[-1] if ran else None
    if "image" in accepted:
        return None
    raise UsageError(
        f"the image {ran[-1]} that the run's trials ran in is not on this machine; bring it with `docker load`, start "
        "a new run, or accept another with --accept-changed image"
    )


@contextmanager
def open_executor(
    stored: StoredRun,
    host: Host,
    unseen: Unseen,
    *,
    trains: bool = True,
    accept_changed: tuple[str, ...] = (),
    task_folder: Path | None = None,
) -> Iterator[Executor]:
    """Open the executor of a stored run for an analysis, with the settings of the run.

    Args:
        unseen: how much of the data that no trial is scored on is opened.
        trains: False: no script is trained, only saved models are scored.
        accept_changed: conditions that may differ from the run's own.
        task_folder: where the task is now, if it was moved.

    Raises:
        UsageError: the task or the machine is not what the run began with.
        MissingRequirementError, SandboxError: the machine lacks something.
    """
    config = stored.config
    if task_folder is not None:
        config = replace(config, task_folder=str(task_folder))
    task = load_task(config, stored.runs)
    refuse_another_task(config, task, stored.repo)
    image = image_to_resume_in(stored.history, image_is_here, accept_changed)
    config = replace(config, on=HERE)  # whoever asks waits for one job after the other
    settings = ExecutionSettings.of_run(config, stored.paths, image=image, unseen=unseen, trains=trains)
    with Executor.open(task, settings, host) as executor:
        if trains:
            refuse_other_conditions(stored.history, executor.conditions, accept_changed)
        yield executor
