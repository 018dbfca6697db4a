"""results.tsv: a table of the run's trials in the five columns of autoresearch."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from agent.files import plain_file
from agent.text import one_line
from agent.trials.history import stands
from agent.trials.metric import Metric
from agent.trials.trial import Status, Trial

_CRASHES = (
    Status.CRASHED, Status.OUT_OF_MEMORY, Status.TIMED_OUT, Status.DIVERGED, Status.BAD_ARTIFACT, Status.REJECTED_SCORE,
)  # fmt: skip


def results_of(metric: Metric, trials: Iterable[Trial], hashes: Mapping[int, str]) -> str:
    """Return the text of results.tsv: autoresearch's five columns. A failed trial has a blank value.

    A trial that was rolled back counts as a discard, so that the lowest kept loss is the run's best.
    """
    header = f"commit\t{metric.name}\tmemory_gb\tstatus\tdescription\n"
    return header + "".join(_row(trial, metric, hashes[trial.number]) for trial in trials)


def earlier_results_of(metric: Metric, trials: Iterable[Trial], hashes: Mapping[int, str]) -> str:
    """Return the text as earlier versions wrote it, in which a trial that was rolled back counts as a keep."""
    return results_of(metric, [replace(trial, repeat_state=None) for trial in trials], hashes)


def write_results(path: Path, metric: Metric, trials: Iterable[Trial], hashes: Mapping[int, str]) -> None:
    """Write the whole of results.tsv."""
    temporary = plain_file(path.with_suffix(".tmp"))
    temporary.write_text(results_of(metric, trials, hashes), encoding="utf-8")
    temporary.replace(path)


def append_result(path: Path, metric: Metric, trial: Trial, sha: str) -> None:
    """Append the row of a finished trial."""
    with path.open("a", encoding="utf-8") as file:
        file.write(_row(trial, metric, sha))


def _row(trial: Trial, metric: Metric, sha: str) -> str:
    outcome = trial.outcome
    assert outcome is not None
    value = "" if outcome.val_loss is None else f"{metric.display(outcome.val_loss):.6f}"
    memory = outcome.peak_vram_gb or outcome.peak_memory_gb
    shown = "" if memory is None else f"{memory:.1f}"
    verdict = "keep" if stands(trial) else "crash" if outcome.status in _CRASHES else "discard"
    return f"{sha[:7]}\t{value}\t{shown}\t{verdict}\t{_cell(one_line(trial.proposal.title))}\n"


def _cell(text: str) -> str:
    """Return text as a cell; quoted if it starts with a quotation mark, else CSV readers would read to the next."""
    return '"' + text.replace('"', '""') + '"' if text.startswith('"') else text
