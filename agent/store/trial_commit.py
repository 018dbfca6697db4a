"""The commit of a finished trial: its files, and its results as trailers; derived from the journal alone."""

from collections.abc import Mapping

from agent.store.git.objects import Commit
from agent.store.run_config import EARLIER_NAMES
from agent.task.task import Task
from agent.text import one_line
from agent.trials.trial import Trial


def commit_of(
    trial: Trial,
    files: Mapping[str, bytes],
    parent: str | None,
    *,
    onto: int | None,
    run_id: str,
    mode: str,
    task: Task,
    model: str | None,
) -> Commit:
    """Return the commit of a finished trial: its files, and its results as trailers.

    Args:
        parent: hash of its git parent, the tip of the branch when the trial ended.
        onto: the trial of that commit; a trailer names the trial that was edited if it is another one.
    """
    outcome = trial.outcome
    assert outcome is not None
    assert trial.finished_at is not None
    mode, model = EARLIER_NAMES.get(mode, (mode, model))
    facts = _facts(trial, onto=onto, run_id=run_id, mode=mode, task=task, model=model)
    title = f"trial {trial.number}: {one_line(trial.proposal.title)}"
    return Commit(files, _message(title, one_line(outcome.reason), facts), parent, trial.finished_at)


def _message(title: str, why: str, facts: Mapping[str, object]) -> str:
    trailers = "".join(f"{name}: {value}\n" for name, value in facts.items() if value is not None)
    return f"{title}\n" + (f"\n{why}\n" if why else "") + f"\n{trailers}"


def _facts(
    trial: Trial, *, onto: int | None, run_id: str, mode: str, task: Task, model: str | None
) -> dict[str, object]:
    """Return the trailers of a trial's commit by name; a trailer with None is omitted."""
    outcome = trial.outcome
    assert outcome is not None
    machine, agent = outcome.machine, trial.proposal.agent
    return {
        "Run": run_id,
        "Trial": trial.number,
        "Mode": mode,
        "Origin": trial.proposal.origin,
        "Edited": None if trial.parent == onto else f"{run_id}/{trial.parent:04d}",
        "Copied-From": trial.proposal.copied_from,
        "Status": outcome.status,
        # A commit is final, but confirmation comes later; so only the tag RUN/champion marks a confirmed trial.
        "Kept": "no" if not outcome.kept else "yes" if trial.number == 0 else "provisional",
        "Val-Loss": None if outcome.val_loss is None else repr(outcome.val_loss),
        "Raw-Loss": None if outcome.raw_loss == outcome.val_loss else repr(outcome.raw_loss),
        "Machine": f"{machine.ratio:.4f}" if machine is not None and machine.ratio is not None else None,
        "Void-Attempts": len(trial.voids) or None,
        "Score": outcome.score.kind if outcome.score else None,
        "Train-Seconds": f"{outcome.train_seconds:.1f}",
        "Wall-Seconds": f"{outcome.wall_seconds:.3f}" if outcome.status.ran else None,
        "Stopped-At": None if outcome.stopped_at is None else repr(outcome.stopped_at),
        "Condemned": outcome.condemned.to_trailer if outcome.condemned else None,
        "Cpu-Seconds": None if outcome.cpu_seconds is None else f"{outcome.cpu_seconds:.3f}",
        "Budget": f"{task.budget.amount:g} {task.budget.unit}, {task.budget.kind}",
        "Seed": trial.proposal.train_seed,
        "Image": outcome.sandbox or None,
        "Task": f"{task.name} {task.digest}",
        "Profile": task.profile,
        "Model": trial.proposal.usage.model if trial.proposal.usage else model,
        "Agent": f"{agent.name} {agent.version}" if agent is not None else None,
        "Prompt": trial.proposal.prompt,
        **{name.capitalize(): one_line(value) for name, value in outcome.conditions.items()},
    }
