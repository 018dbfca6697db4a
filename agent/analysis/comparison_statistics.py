"""What a comparison came to, in numbers: of each run, and of each mode over its seeds. A function of the journals."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from agent.analysis.comparison import Comparison
from agent.run.ending import Ending, for_trials, stop_reason
from agent.run.resume import with_raises
from agent.store.run_config import RunConfig, budget_of
from agent.store.stored_run import StoredRun
from agent.text import counted
from agent.trials.best_so_far import Cost, as_charged, best_so_far, by_the_clock
from agent.trials.budget import Ledger, duration
from agent.trials.keep_rule import HELD_OUT_SEED
from agent.trials.noise import Estimate
from agent.trials.repeat import Repeat
from agent.trials.trial import Status, Trial, Usage

SHARES = (0.25, 0.5, 0.75)
"""Of the budget, at which the best so far is told beside that of all of it."""


class State(StrEnum):
    """How far a run has come."""

    GOING_ON = "going on"
    DONE = "done"
    STUCK = "stuck"  # its proposals did not run any more
    BASELINE_FAILED = "baseline failed"


class Made(StrEnum):
    """What the number that a run may publish is made of."""

    HELD_OUT = "held-out seeds"
    FRESH = "fresh runs"
    BASELINE = "the baseline"  # nothing better was confirmed; its runs were not chosen for being low
    SINGLE = "the one run it was kept for"  # which was chosen for being low: it flatters


@dataclass(frozen=True)
class Axis:
    """What the budget of a run is counted in; the first of trials, training time and clock that has a cap."""

    total: float  # all of it
    unit: str  # in words
    cost: Cost

    @classmethod
    def of(cls, config: RunConfig) -> "Axis":
        if config.trials is not None:
            return cls(config.trials, f"{counted(config.trials, 'trial')}, the baseline included", _one_a_trial)
        if config.budget_seconds is not None:
            return cls(config.budget_seconds, f"{duration(config.budget_seconds)} of training", as_charged)
        assert config.wall_seconds is not None, "a comparison has a budget"
        return cls(config.wall_seconds, f"{duration(config.wall_seconds)} by the clock", by_the_clock)


@dataclass(frozen=True)
class RunFigures:
    """One run in numbers. Losses are minimised."""

    run_id: str
    seed: int
    state: State
    n_trials: int
    n_lost: int  # without a loss, whatever the reason
    n_out_of_memory: int
    n_ran: int  # in a sandbox, the baseline left out
    n_unique: int  # different scripts among those
    n_copies: int  # proposals of values that somebody else had proposed before
    ledger: Ledger  # repeats included
    repeat_seconds: float  # of training, as charged
    baseline: float | None
    at_shares: tuple[float | None, ...]  # best so far at SHARES of the budget; None: it has not come so far
    best: float | None  # lowest loss of a trial that was kept and not rolled back
    result: float | None  # the number that may be published
    made: Made | None  # of what


@dataclass(frozen=True)
class ModeFigures:
    """One mode over its seeds."""

    mode: str
    is_reference: bool
    runs: tuple[RunFigures, ...]
    minus: Estimate | None  # best minus the reference's best, paired by seed; None: of the reference, or not yet known

    def over_seeds(self, number: Callable[[RunFigures], float | None]) -> Estimate | None:
        """Return the estimate of a number of each run; None where one of them lacks it."""
        return _estimate([number(run) for run in self.runs])

    def share(self, part: Callable[[RunFigures], float], whole: Callable[[RunFigures], float]) -> float:
        """Return a share of what all runs of the mode have together."""
        return sum(map(part, self.runs)) / (sum(map(whole, self.runs)) or 1.0)

    @property
    def ledger(self) -> Ledger:
        return added(run.ledger for run in self.runs)


def figures(comparison: Comparison, stored: Sequence[StoredRun], reference: str | None = None) -> list[ModeFigures]:
    """Return a row a mode, in the order in which they were named.

    Args:
        stored: the runs that there are.
        reference: the mode that others are held against; the first one if not given.
    """
    found = {run.run_id: of_run(run) for run in stored}
    rows = {mode: [found[name] for name in names if name in found] for mode, names in comparison.run_ids().items()}
    first = reference or comparison.modes[0]
    against = {run.seed: run.best for run in rows[first]}
    return [
        ModeFigures(mode, mode == first, tuple(runs), None if mode == first else _minus(runs, against))
        for mode, runs in rows.items()
    ]


def of_run(stored: StoredRun) -> RunFigures:
    """Return one run in numbers, as far as it has come."""
    trials, config = stored.history.trials, with_raises(stored.config, stored.history.raises)
    results = stored.history.results
    proposed = [trial for trial in trials[1:] if trial.status is not None and trial.status.ran]
    state, axis = _state(stored, config), Axis.of(config)
    curve = best_so_far(stored.history, axis.cost)
    spent = curve.x[-1] if curve.x else 0.0
    is_over = state is not State.GOING_ON
    result, made = _result(stored)
    return RunFigures(
        run_id=stored.run_id,
        seed=config.seed,
        state=state,
        n_trials=len(trials),
        n_lost=sum(trial.val_loss is None for trial in trials),
        n_out_of_memory=sum(trial.status is Status.OUT_OF_MEMORY for trial in trials),
        n_ran=len(proposed),
        n_unique=len({trial.proposal.fingerprint for trial in proposed}),
        n_copies=sum(trial.proposal.copied_from is not None for trial in trials),
        ledger=Ledger.of(results),
        repeat_seconds=sum(as_charged(each) for each in results if isinstance(each, Repeat)),
        baseline=trials[0].val_loss if trials else None,
        at_shares=tuple(
            curve.at(share * axis.total) if is_over or spent >= share * axis.total else None for share in SHARES
        ),
        best=curve.best[-1] if curve.best else None,
        result=result,
        made=made,
    )


def added(ledgers: Iterable[Ledger]) -> Ledger:
    """Return one ledger for all."""
    trials, train_seconds, wall_seconds = 0, 0.0, 0.0
    usage: Usage | None = None
    for ledger in ledgers:
        trials += ledger.trials
        train_seconds += ledger.train_seconds
        wall_seconds += ledger.wall_seconds
        usage = usage.plus(ledger.usage) if usage and ledger.usage else usage or ledger.usage
    return Ledger(trials, train_seconds, wall_seconds, usage)


def _one_a_trial(result: Trial | Repeat) -> float:
    """One a trial, the baseline included, as budgets are counted."""
    return 1.0 if isinstance(result, Trial) else 0.0


def _state(stored: StoredRun, config: RunConfig) -> State:
    history, ledger = stored.history, Ledger.of(stored.history.results)
    given_up = stop_reason(history.trials)
    if given_up is not None and given_up.ending is Ending.BASELINE_FAILED:
        return State.BASELINE_FAILED
    budget = budget_of(config)
    if ledger.spent(for_trials(budget, stored.keeper.rule, config.final_runs, history.trials)) is None:
        return State.GOING_ON if given_up is None else State.STUCK
    in_flight = history.pending is not None or history.repeating is not None
    due = stored.keeper.wants() if ledger.spent(budget.of_time) is None else None
    left = in_flight or due is not None or stored.keeper.final(config.final_runs) is not None
    return State.GOING_ON if left else State.DONE


def _result(stored: StoredRun) -> tuple[float | None, Made | None]:
    """Return the loss that a run may publish, and what it is made of."""
    keeper = stored.keeper
    if keeper.result is None:
        return None, None
    reading = keeper.reading(keeper.result)
    if keeper.result == 0:
        return reading.mean, Made.BASELINE
    if reading.selected:
        return reading.mean, Made.SINGLE
    is_held_out = any(seed >= HELD_OUT_SEED for seed in keeper.losses(keeper.result))
    return reading.mean, Made.HELD_OUT if is_held_out else Made.FRESH


def _minus(runs: Sequence[RunFigures], against: dict[int, float | None]) -> Estimate | None:
    pairs = [(run.best, against.get(run.seed)) for run in runs]
    return _estimate([None if own is None or other is None else own - other for own, other in pairs])


def _estimate(values: Sequence[float | None]) -> Estimate | None:
    known = [value for value in values if value is not None]
    return Estimate.of(known) if known and len(known) == len(values) else None
