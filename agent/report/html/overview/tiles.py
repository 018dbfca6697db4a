"""The tiles of a page: its main numbers, each with a label and a note."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agent.analysis.comparison_statistics import added
from agent.report.comparison_text import digits_of, interval_text
from agent.report.html.modes import ModesCompared
from agent.report.html.tables import RunOnPage
from agent.report.run_summary import clock_time, is_measured, slots_used
from agent.report.slices import Published, published
from agent.report.trial_table import verdict
from agent.text import plural
from agent.trials.added_lines import ReintroducedShare
from agent.trials.budget import Ledger, duration
from agent.trials.history import stands
from agent.trials.keeping.keep_rule import KeepPolicy
from agent.trials.metric import Metric
from agent.trials.trial import Trial


@dataclass(frozen=True)
class Tile:
    """One number of the page, in the units of its label."""

    label: str
    value: str
    note: str


def tiles(runs: Sequence[RunOnPage], compared: ModesCompared | None) -> list[Tile]:
    """Return the result of a run or of each mode, and what all runs cost together."""
    results = _result(runs[0]) if len(runs) == 1 else _modes(compared, runs[0].stored.metric) if compared else ()
    return [*results, *_cost(runs)]


def _result(run: RunOnPage) -> Iterator[Tile]:
    """Yield the best value of a run and its change from the baseline; nothing if the baseline has no loss."""
    trial, keeper, metric = run.stored.best, run.stored.keeper, run.stored.metric
    if trial is None:
        return
    word = f"best {metric.name}, {verdict(trial).replace('_', ' ')}"
    where = f"trial {trial.number}" if trial.number else "the baseline"
    found = published(run.stored.history, keeper)
    yield from (
        _published(found, metric, word, where) if found is not None else _searched(trial, keeper, metric, word, where)
    )


def _published(found: Published, metric: Metric, word: str, where: str) -> Iterator[Tile]:
    """Yield the result on slices, and its difference from the baseline there."""
    result, baseline, lead = metric.display(found.result), metric.display(found.baseline), found.lead
    errors = f"{lead.mean / lead.error:.1f} standard errors (seeds and sampling)"
    yield Tile(f"{word} on {found.unseen}", f"{result:.6f}", f"{where}, slice {found.slice}")
    yield Tile(
        f"change from the baseline, on {found.unseen}", f"{_signed(result - baseline, 4)} ± {lead.error:.2g}", errors
    )  # fmt: skip


def _searched(trial: Trial, keeper: KeepPolicy, metric: Metric, word: str, where: str) -> Iterator[Tile]:
    """Yield the search loss of a run's best trial, and its difference from the baseline's."""
    reading, first = keeper.reading(trial.number), keeper.reading(0)
    fresh = "1 run" if reading.selected else plural(reading.n_runs, "fresh run")
    yield Tile(word, f"{metric.display(reading.mean):.6f}", f"{where}, {fresh}")
    if trial.number:
        change = metric.display(reading.mean) - metric.display(first.mean)
        guessed = "" if is_measured(keeper) else " (a guess)"
        noise = f"{abs(change) / keeper.sigma:.1f} × the noise of one run{guessed}"
        if keeper.noise.is_unobservable:
            noise = "the noise of one run is unknown"
        yield Tile("change from the baseline", _signed(change, 6), noise)


def _signed(number: float, digits: int) -> str:
    return f"{number:+.{digits}f}".replace("-", "−")


def _modes(compared: ModesCompared, metric: Metric) -> Iterator[Tile]:
    """Yield the mean of each mode's best values with its interval; of many modes, the best four."""
    digits = digits_of(compared.rows)
    found = [(row, mean) for row in compared.rows if (mean := row.over_seeds(lambda run: run.best)) is not None]
    for row, mean in sorted(found, key=lambda pair: pair[1].mean)[:4]:
        interval = f"95 % interval {interval_text(mean, metric, digits)}" if mean.half is not None else "no interval"
        reference = ", the reference" if row.is_reference else ""
        yield Tile(
            f"{row.mode}{reference}: mean best {metric.name}", f"{metric.display(mean.mean):.{digits}f}",
            f"{interval}, {plural(len(row.runs), 'run')}",
        )  # fmt: skip


def _cost(runs: Sequence[RunOnPage]) -> Iterator[Tile]:
    """Yield the number of trials, the time and the tokens of all runs together."""
    trials = [trial for run in runs for trial in run.trials]
    ledgers = [Ledger.of(run.results) for run in runs]
    total = added(ledgers)
    n_kept = sum(trial.number > 0 and stands(trial) for trial in trials)
    n_lost = sum(trial.val_loss is None for trial in trials)
    yield Tile("trials", str(len(trials)), f"{n_kept} kept, {n_lost} without a loss")
    again = [ReintroducedShare.of(run.stored.added_lines) for run in runs]
    if n_lines := sum(each.n_lines for each in again):
        n_again = sum(each.n_again for each in again)
        yield Tile("added lines of rejected trials", f"{n_again / n_lines:.0%}", f"{n_again} of {n_lines} added lines")
    n_slots = max(slots_used(run.stored.history) for run in runs)
    yield Tile("training budget used", duration(total.train_seconds), clock_time(total, n_slots))
    usages = [ledger.usage for ledger in ledgers if ledger.usage is not None]
    if usages:
        tokens = sum(used.prompt_tokens + used.completion_tokens for used in usages)
        known = [used.dollars for used in usages if used.dollars is not None]
        price = f"${sum(known):.2f}" if len(known) == len(usages) else "price unknown"
        yield Tile("model tokens", f"{tokens:,}", f"{plural(sum(used.calls for used in usages), 'call')}, {price}")
