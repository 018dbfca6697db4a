"""How a finished trial is written down for git and for tools that read autoresearch's results.tsv."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from agent.git_objects import Commit
from agent.history import stands
from agent.metric import Metric
from agent.trial import Status, Trial

if TYPE_CHECKING:  # it brings numpy, and reading commands do without
    from agent.task import Task

_CRASHES = (
    Status.CRASHED, Status.OUT_OF_MEMORY, Status.TIMED_OUT, Status.DIVERGED, Status.BAD_ARTIFACT, Status.REJECTED_SCORE,
)  # fmt: skip


def commit_of(
    trial: Trial,
    files: Mapping[str, bytes],
    parent: str | None,
    *,
    run_id: str,
    mode: str,
    task: "Task",
    model: str | None,
) -> Commit:
    """Return the commit of a finished trial: its files, and its own facts as trailers."""
    outcome = trial.outcome
    assert outcome is not None
    assert trial.finished_at is not None
    facts = _facts(trial, run_id=run_id, mode=mode, task=task, model=model)
    title = f"trial {trial.number}: {one_line(trial.proposal.title)}"
    return Commit(files, _message(title, one_line(outcome.reason), facts), parent, trial.finished_at)


def _message(title: str, why: str, facts: Mapping[str, object]) -> str:
    trailers = "".join(f"{name}: {value}\n" for name, value in facts.items() if value is not None)
    return f"{title}\n" + (f"\n{why}\n" if why else "") + f"\n{trailers}"


def _facts(trial: Trial, *, run_id: str, mode: str, task: "Task", model: str | None) -> dict[str, object]:
    """Return what a commit tells of a trial as trailers; None: nothing to tell."""
    outcome = trial.outcome
    assert outcome is not None
    machine = outcome.machine
    return {
        "Run": run_id,
        "Trial": trial.number,
        "Mode": mode,
        "Origin": trial.proposal.origin,
        "Copied-From": trial.proposal.copied_from,
        "Status": outcome.status,
        # A commit is final, and whether a gain holds is known only later: RUN/champion is the tag of what is confirmed.
        "Kept": "no" if not outcome.kept else "yes" if trial.number == 0 else "provisional",
        "Val-Loss": None if outcome.val_loss is None else repr(outcome.val_loss),
        "Raw-Loss": None if outcome.raw_loss == outcome.val_loss else repr(outcome.raw_loss),
        "Machine": f"{machine.ratio:.4f}" if machine is not None and machine.ratio is not None else None,
        "Void-Attempts": len(trial.voids) or None,
        "Score": outcome.score.kind if outcome.score else None,
        "Train-Seconds": f"{outcome.train_seconds:.1f}",
        "Wall-Seconds": f"{outcome.wall_seconds:.3f}" if outcome.status.ran else None,
        "Stopped-At": None if outcome.stopped_at is None else repr(outcome.stopped_at),
        "Condemned": outcome.condemned.told if outcome.condemned else None,
        "Cpu-Seconds": None if outcome.cpu_seconds is None else f"{outcome.cpu_seconds:.3f}",
        "Budget": f"{task.budget.amount:g} {task.budget.unit}, {task.budget.kind}",
        "Seed": trial.proposal.train_seed,
        "Image": outcome.sandbox or None,
        "Task": f"{task.name} {task.digest}",
        "Profile": task.profile,
        "Model": trial.proposal.usage.model if trial.proposal.usage else model,
        "Prompt": trial.proposal.prompt,
        **{name.capitalize(): one_line(value) for name, value in outcome.conditions.items()},
    }


def results_of(metric: Metric, trials: Iterable[Trial], hashes: Mapping[int, str]) -> str:
    """Return the text of results.tsv: autoresearch's five columns. A failed trial has no value: its cell is blank.

    What was rolled back is a discard, so that the lowest loss that was kept is the run's best.
    """
    header = f"commit\t{metric.name}\tmemory_gb\tstatus\tdescription\n"
    return header + "".join(_row(trial, metric, hashes[trial.number]) for trial in trials)


def write_results(path: Path, metric: Metric, trials: Iterable[Trial], hashes: Mapping[int, str]) -> None:
    """Write results.tsv anew."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(results_of(metric, trials, hashes))
    temporary.replace(path)


def append_result(path: Path, metric: Metric, trial: Trial, sha: str) -> None:
    """Add the row of the trial that has just finished."""
    with path.open("a") as file:
        file.write(_row(trial, metric, sha))


def one_line(text: str) -> str:
    """Return text without line breaks, tabs and control characters, so that it cannot forge a row or a trailer."""
    if text.isprintable() and "  " not in text:
        return text.strip()
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _row(trial: Trial, metric: Metric, sha: str) -> str:
    outcome = trial.outcome
    assert outcome is not None
    value = "" if outcome.val_loss is None else f"{metric.shown(outcome.val_loss):.6f}"
    memory = outcome.peak_vram_gb or outcome.peak_memory_gb
    shown = "" if memory is None else f"{memory:.1f}"
    verdict = "keep" if stands(trial) else "crash" if outcome.status in _CRASHES else "discard"
    return f"{sha[:7]}\t{value}\t{shown}\t{verdict}\t{_cell(one_line(trial.proposal.title))}\n"


def _cell(text: str) -> str:
    """Return text as a cell. From a quotation mark at its start, readers of CSV would take all up to the next one."""
    return '"' + text.replace('"', '""') + '"' if text.startswith('"') else text
