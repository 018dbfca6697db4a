"""How far a run is, in one line: `trial 7 of 40, best 2.0174 (−3.1 %), ends about 06:20`."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from agent.errors import AgentError
from agent.report.best import BestValue
from agent.store.paths import RunsFolder
from agent.store.run_config import RunConfig, budget_of, load, option_of
from agent.store.stored_run import StoredRun
from agent.text import plural, time_of_day
from agent.trials.budget import Budget, Ledger, duration, seconds_left
from agent.trials.history import History
from agent.trials.keeping.keep_rule import KeepPolicy, closing_runs

if TYPE_CHECKING:
    from agent.run.open_run import Run


def progress(run: "Run", now: datetime) -> str:
    """Return how far a run is, its best value, and when it is expected to end; `now` has the zone for times of day."""
    best, end = BestValue.of(run.history, run.keeper), expected_end(run, now)
    parts = [_how_far(Ledger.of(run.history.results), run.policy.budget)]
    if best is not None:
        parts.append(f"best {best.describe(run.executor.task.metric)}")
    if end is not None:
        parts.append(f"ends about {time_of_day(end, now)}")
    return ", ".join(parts)


def expected_end(run: "Run", now: datetime) -> datetime | None:
    """Return when a run is expected to end, as if all in flight had begun now; None if nothing can be said yet."""
    return _after(now, _seconds_left(run))


def progress_of_all(runs: Sequence["Run"], now: datetime) -> str:
    """Return how far runs are that take turns in the same slots: `trial 12 of 60 in 6 runs, ends about 06:20`."""
    most = [run.policy.budget.trials for run in runs]
    done, left = sum(len(run.history.trials) for run in runs), [_seconds_left(run) for run in runs]
    of = "" if None in most else f" of {sum(filter(None, most))}"
    line = f"trial {done}{of} in {plural(len(runs), 'run')}"
    if None in left:
        return line
    end = _after(now, sum(filter(None, left)) / len(runs[0].slots))
    return line if end is None else f"{line}, ends about {time_of_day(end, now)}"


def how_far(stored: StoredRun) -> str:
    """Return how far a run on disk is: `trial 7 of 40`."""
    return _how_far(Ledger.of(stored.history.results), budget_of(stored.config_now))


def expected_end_of(stored: StoredRun, now: datetime) -> datetime | None:
    """Return when a run on disk is expected to end if it continues now; None if nothing can be said yet."""
    config = stored.config_now
    return _after(now, _seconds_left_of(stored.history, stored.keeper, budget_of(config), config.final_runs))


def _after(now: datetime, seconds: float | None) -> datetime | None:
    """Return the time so many seconds from now; None if that is unknown, or beyond the year 9999."""
    try:
        return None if seconds is None else now + timedelta(seconds=seconds)
    except OverflowError:
        return None


def _seconds_left(run: "Run") -> float | None:
    """Return the expected wall time that a run has left; None if nothing can be said yet."""
    return _seconds_left_of(run.history, run.keeper, run.policy.budget, run.policy.final_runs)


def _seconds_left_of(history: History, keeper: KeepPolicy, budget: Budget, final_runs: int) -> float | None:
    baseline = history.trials[0].outcome if history.trials else None
    closing = closing_runs(keeper.rule, final_runs) * baseline.total_seconds if baseline else 0.0
    return seconds_left(Ledger.of(history.results), budget, closing)


def _how_far(spent: Ledger, budget: Budget) -> str:
    """Return how far a run is: in trials, or in the time that its budget counts."""
    if budget.trials is not None:
        return f"trial {spent.trials} of {budget.trials}"
    for used, cap, what in (
        (spent.wall_seconds, budget.wall_seconds, "wall time"),
        (spent.train_seconds, budget.train_seconds, "training"),
    ):
        if cap is not None:
            return f"trial {spent.trials}, {duration(used)} of {duration(cap)} of {what}"
    return f"trial {spent.trials}"


def budget_in_words(budget: Budget, *, is_default: bool) -> str:
    """Return the budget of a run: `100 trials (the default; --trials, --budget and --wall set others)`."""
    parts = [plural(budget.trials, "trial")] if budget.trials is not None else []
    parts += [f"{duration(budget.train_seconds)} of training"] if budget.train_seconds is not None else []
    parts += [f"{duration(budget.wall_seconds)} of wall time"] if budget.wall_seconds is not None else []
    parts += [f"{budget.caps.tokens} model tokens"] if budget.caps.tokens is not None else []
    parts += [f"${budget.caps.dollars:g}"] if budget.caps.dollars is not None else []
    options = [option_of(name) for name in ("trials", "budget_seconds", "wall_seconds")]
    default = f" (the default; {', '.join(options[:-1])} and {options[-1]} set others)" if is_default else ""
    return (", ".join(parts) or "no limit") + default


def end_in_words(runs: RunsFolder, config: RunConfig, budget: Budget, now: datetime) -> str:
    """Return when a new run is expected to end, judged by the last run of the same task, or what will show it."""
    earlier = next(_earlier_runs(runs, config), None)
    left, like = seconds_left(Ledger.of(()), budget), ""
    if earlier is not None and budget.trials is not None:
        spent = Ledger.of(earlier.history.results)
        expected = budget.trials * spent.wall_seconds / spent.trials
        if left is None or expected < left:
            left, like = expected, f" if its trials take as long as those of {earlier.run_id}"
    if left is None:
        return "its baseline will show when it ends"
    end = _after(now, left)
    return "ends after the year 9999" if end is None else f"ends about {time_of_day(end, now)}{like}"


def _earlier_runs(runs: RunsFolder, config: RunConfig) -> Iterator[StoredRun]:
    """Yield the other runs of a task with as many workers and at least two trials, the latest first."""
    for run_id in reversed(runs.run_ids()):
        with suppress(AgentError, PermissionError):  # a run that cannot be read says nothing about others
            found = load(runs.run(run_id).run_json)
            is_alike = (found.task_digest, found.workers) == (config.task_digest, config.workers)
            if run_id == config.run_id or not is_alike:
                continue
            stored = StoredRun.find(runs, run_id)
            if len(stored.history.trials) > 1:
                yield stored
