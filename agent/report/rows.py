"""The table of all trials on a page: what is shown of each, and what it is sorted and filtered by."""

from collections.abc import Iterator
from dataclasses import dataclass

from agent.history import stands
from agent.record import one_line
from agent.report.stored_run import StoredRun
from agent.report.text import change, verdict
from agent.trial import Trial

# By verdict and, for verdicts that are not here, by tone.
_SYMBOLS = {"confirmed": "★", "provisional": "◐", "rolled back": "◌", "kept": "●", "reverted": "○", "failed": "×"}


@dataclass(frozen=True)
class Row:
    """One trial as a row. Numbers are None where there is none; they sort last."""

    mark: str  # index of the run on the page, and number of the trial: 0/7
    run_id: str
    number: int
    commit: str
    verdict: str
    symbol: str  # tells verdicts apart without colour
    tone: str  # kept (and not rolled back since), reverted or failed
    value: float | None  # of the metric
    change: float | None  # to the incumbent that it was judged against
    memory_gb: float | None
    seconds: float | None  # of training, by the clock
    origin: str
    title: str


def rows(stored: StoredRun, index: int) -> Iterator[Row]:
    """Yield the finished trials of the run with that index on the page."""
    for trial in stored.history.trials:
        yield _row(stored, trial, index)


def _row(stored: StoredRun, trial: Trial, index: int) -> Row:
    outcome, metric, word = trial.outcome, stored.metric, verdict(trial).replace("_", " ")
    assert outcome is not None, "a page is about finished trials"
    value = None if outcome.val_loss is None else metric.shown(outcome.val_loss)
    title = one_line(trial.proposal.title)
    if trial.proposal.copied_from:
        title = f"[copy of {trial.proposal.copied_from}] {title}"
    if outcome.flags:
        title = f"[{one_line(outcome.flags[0])}] {title}"
    tone = "failed" if value is None else "kept" if stands(trial) else "reverted"
    return Row(
        mark=f"{index}/{trial.number}",
        run_id=stored.run_id,
        number=trial.number,
        commit=stored.hashes.get(trial.number, "")[:7],
        verdict=word,
        symbol=_SYMBOLS.get(word, _SYMBOLS[tone]),
        tone=tone,
        value=value,
        change=change(trial, stored.history.incumbent_before(trial.number), metric),
        memory_gb=outcome.peak_vram_gb or outcome.peak_memory_gb,
        seconds=outcome.wall_seconds or None,
        origin=trial.proposal.origin.value,
        title=f"{title}: {one_line(outcome.reason)}" if outcome.reason else title,
    )
