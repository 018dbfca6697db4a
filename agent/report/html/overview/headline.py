"""The headline of a page: what came of a run, or which mode is best, in one sentence of plain words."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from agent.analysis.comparison_statistics import ModeFigures, by_mode
from agent.report.comparison_text import digits_of, interval_text
from agent.report.html.modes import ModesCompared
from agent.report.html.tables import RunOnPage
from agent.report.run_summary import is_measured
from agent.report.runs_table import RUNNING, state_word
from agent.report.slices import published, why_repeated
from agent.run.ending import stop_reason
from agent.store.run_lock import holder
from agent.text import one_line, plural
from agent.trials.keeping.keep_rule import KeepPolicy
from agent.trials.keeping.noise import LossEstimate
from agent.trials.metric import Metric
from agent.trials.trial import KeepState, Trial


class Tone(StrEnum):
    """How good the news is. It sets the colour of the headline; the words say it as well."""

    GAIN = "gain"
    OPEN = "open"  # a gain that no fresh run supports, or none
    FAILED = "failed"


@dataclass(frozen=True)
class Headline:
    """The result of a run or of a comparison in plain words."""

    tone: Tone
    verdict: str  # "Confirmed", "No improvement confirmed", ...
    sentence: str  # the figures
    state: str = ""  # what the run is doing, if it is not done
    is_open: bool = False  # whether a process works on it


def headline(runs: Sequence[RunOnPage], compared: ModesCompared | None) -> Headline:
    """Return the headline of a page about these runs; `compared`: their figures by mode, if there are several."""
    if len(runs) == 1:
        return replace(_of_run(runs[0]), is_open=holder(runs[0].stored.paths) is not None)
    return _of_modes(runs, compared)


def _of_run(run: RunOnPage) -> Headline:
    stored, metric, keeper = run.stored, run.stored.metric, run.stored.keeper
    best, state = stored.best, _state(run)
    if best is None:
        baseline = run.trials[0].outcome
        assert baseline is not None, "a page is about finished trials"
        why = f": {one_line(baseline.reason)}" if baseline.reason else ""
        words = f"{baseline.status.value.replace('_', ' ')}{why}. No trial can be compared with it."
        return Headline(Tone.FAILED, "The baseline has no loss", words, state)
    first = keeper.reading(0)
    if best.number == 0:
        n_others = len(run.trials) - 1
        direction = "below" if metric.goal == "minimise" else "above"
        none = f"None of {plural(n_others, 'trial')} was {direction} the baseline's"
        words = f"{none if n_others else 'Only the baseline has finished:'} {_value(first.mean, metric)}."
        n_better = sum(trial.val_loss is not None and trial.val_loss < first.mean for trial in run.trials[1:])
        if n_better:
            better = f"{n_better} had a better value than the baseline's {_value(first.mean, metric)}"
            words = f"Of {plural(n_others, 'trial')}, {better}, but none is kept."
        return Headline(Tone.OPEN, "No improvement", words, state)
    champion = stored.history.champion
    if champion is None or champion.number != best.number:
        return Headline(Tone.OPEN, "No improvement confirmed", _candidate(best, keeper, metric), state)
    found = published(stored.history, keeper)
    word = "Confirmed" if best.standing is KeepState.CONFIRMED else "Repeated"
    if found is not None:
        errors = f"{abs(found.lead.mean) / found.lead.error:.1f} standard errors" if found.lead.error else "paired"
        runs_of = plural(found.n_runs, "held-out run") if found.held_out else "the confirming run"
        words = (
            f"{_value(found.result, metric)} on {found.unseen}, {_change(found.result, found.baseline, metric)} there "
            f"({errors}, {runs_of}). It is trial {best.number}."
        )
        return Headline(Tone.GAIN, word, words, state)
    reading = keeper.reading(best.number)
    words = f"{_value(reading.mean, metric)}, {_change(reading.mean, first.mean, metric)} "
    words += f"({_sigmas(reading.mean - first.mean, keeper)}, {_runs(reading)}). It is trial {best.number}."
    if why := why_repeated(stored.history, keeper):
        words += f" It is repeated, not confirmed: {why}."
    return Headline(Tone.GAIN, word, words, state)


def _candidate(best: Trial, keeper: KeepPolicy, metric: Metric) -> str:
    """Return the words about an incumbent whose gain no fresh run supports yet."""
    reading, first = keeper.reading(best.number), keeper.reading(0)
    change = _change(reading.mean, first.mean, metric)
    return (
        f"Best candidate: trial {best.number}, {_value(reading.mean, metric)}, {change} "
        f"({_sigmas(reading.mean - first.mean, keeper)}, {_runs(reading)})."
    )


def _value(loss: float, metric: Metric) -> str:
    return f"{metric.name} {metric.display(loss):.5g}"


def _change(loss: float, baseline: float, metric: Metric) -> str:
    """Return the change from the baseline in words: `3.1 % below the baseline`."""
    change = metric.display(loss) - metric.display(baseline)
    direction = "below" if change < 0 else "above"
    size = f"{abs(change / baseline):.1%}".replace("%", " %") if baseline else f"{abs(change):.4g}"
    return f"{size} {direction} the baseline"


def _sigmas(change: float, keeper: KeepPolicy) -> str:
    """Return a change in units of the noise of one run; the text says if it is unknown or a guess."""
    if keeper.noise.is_unobservable:
        return "the noise of one run is unknown: every seed gives the same loss"
    guessed = "" if is_measured(keeper) else ", if sigma is as guessed: no repeat has measured it"
    return f"{abs(change) / keeper.sigma:.1f} sigma{guessed}"


def _runs(reading: LossEstimate) -> str:
    return "one run" if reading.selected else plural(reading.n_runs, "fresh run")


def _state(run: RunOnPage) -> str:
    """Return what the run was doing when the page was made; empty if it is done."""
    stored = run.stored
    state, name = state_word(stored, holder(stored.paths)), stored.run_id
    most = stored.config_now.trials
    done = f"{len(run.trials)} of {most} trials" if most is not None else plural(len(run.trials), "trial")
    if state == RUNNING:
        return f"The run was in progress when this page was made: {done} had finished."
    if state == "interrupted" and most is not None and len(run.trials) >= most:
        return f"All {done} have finished, but fresh runs are left; `agent resume {name}` runs them."
    if state in ("interrupted", "paused"):
        return f"The run is {state} after {done}; `agent resume {name}` continues it."
    if state == "waiting":
        return f"The run waits for an approval or a submission, after {done}; `agent resume {name}` continues it."
    stopped = stop_reason(stored.history.by_finish)
    return f"The run stopped: {one_line(stopped.reason)}." if state == "stuck" and stopped is not None else ""


def _of_modes(runs: Sequence[RunOnPage], compared: ModesCompared | None) -> Headline:
    metric, state = runs[0].stored.metric, _unfinished(runs)
    if compared is None:
        return Headline(
            Tone.OPEN, plural(len(runs), "run"), "These runs have no budget, so their modes cannot be compared.", state
        )
    means = {row.mode: found.mean for row in compared.rows if (found := row.over_seeds(lambda run: run.best))}
    if not means:
        return Headline(Tone.FAILED, "No mode can be compared", "Every mode has a run without a loss.", state)
    best = min(means, key=lambda mode: means[mode])
    row = next(row for row in compared.rows if row.mode == best)
    missing = [row.mode for row in compared.rows if row.mode not in means]
    left_out = f" Not compared, because a run has no loss: {', '.join(missing)}." if missing else ""
    is_clear, difference = _difference(row, compared, metric)
    unclear = _not_beaten(best, means, compared) if is_clear else []
    if unclear:
        is_clear, left_out = False, f" It is not shown to be better than {', '.join(unclear)}.{left_out}"
    verdict = f"Best mode: {best}" if is_clear else "No mode is shown to be the best"
    if len(compared.rows) == 1:
        verdict = f"Mode {best}"
    sentence = f"{best}: {_mean(row, compared, metric)}{difference}.{left_out}"
    return Headline(Tone.GAIN if is_clear else Tone.OPEN, verdict, sentence, state)


def _not_beaten(best: str, others: Collection[str], compared: ModesCompared) -> list[str]:
    """Return the modes than which the best one is not better, seed by seed, beyond chance; `others`: may have it."""
    rows = by_mode({row.mode: row.runs for row in compared.rows}, best)
    found = {row.mode: row.minus.low if row.minus is not None else None for row in rows if not row.is_reference}
    return [mode for mode, low in found.items() if mode in others and (low is None or low <= 0)]


def _difference(row: ModeFigures, compared: ModesCompared, metric: Metric) -> tuple[bool, str]:
    """Return whether the best mode is better than the reference beyond chance, and the difference in words."""
    minus, digits, reference = row.minus, digits_of(compared.rows), compared.reference.mode
    if len(compared.rows) == 1:
        return False, ""
    if row.is_reference:
        others = [each.minus for each in compared.rows if each.minus is not None]
        is_clear = bool(others) and all(each.low is not None and each.low > 0 for each in others)
        chance = "by more than chance" if is_clear else "but not by more than chance"
        return is_clear, f"; it is the reference, and its mean is the best, {chance}"
    if minus is None:
        return False, f"; it cannot be compared with {reference} seed by seed"
    change = metric.display(minus.mean)
    words = f"; {abs(change):.{digits}f} {'below' if change < 0 else 'above'} {reference}, seed by seed"
    if minus.low is None or minus.high is None:
        return False, f"{words}; one seed gives no interval, so this may be chance"
    is_clear = minus.low * minus.high > 0
    chance = "" if is_clear else "; it includes 0, so the difference may be chance"
    return is_clear, f"{words} (95 % interval {interval_text(minus, metric, digits, '+')}{chance})"


def _mean(row: ModeFigures, compared: ModesCompared, metric: Metric) -> str:
    """Return the mean of a mode's best losses with its interval."""
    found, digits = row.over_seeds(lambda run: run.best), digits_of(compared.rows)
    assert found is not None, "the mode has a mean"
    mean = f"mean of the best {metric.name} {metric.display(found.mean):.{digits}f}"
    interval = f"95 % interval {interval_text(found, metric, digits)}, " if found.half is not None else ""
    return f"{mean} ({interval}{plural(len(row.runs), 'run')})"


def _unfinished(runs: Sequence[RunOnPage]) -> str:
    """Return how many runs of several are not done, and what they are doing."""
    states = [state_word(run.stored, holder(run.stored.paths)) for run in runs]
    left = {state: states.count(state) for state in states if state != "done"}
    if not left:
        return ""
    return f"Not done, of {plural(len(runs), 'run')}: {', '.join(f'{n} {state}' for state, n in left.items())}."
