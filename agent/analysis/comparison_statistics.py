"""The statistics of a comparison, for each run and for each mode over its seeds. They follow from the journals."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from agent.analysis.comparison import Comparison
from agent.run.ending import RunState, state_of
from agent.store.run_config import RunConfig
from agent.store.stored_run import StoredRun
from agent.text import plural
from agent.trials.best_so_far import Cost, as_charged, best_so_far, by_the_clock
from agent.trials.budget import Ledger, duration
from agent.trials.keeping.keep_rule import HELD_OUT_SEED
from agent.trials.keeping.noise import MeanEstimate
from agent.trials.repeat import Repeat
from agent.trials.trial import Status, Trial

SHARES = (0.25, 0.5, 0.75)
"""Shares of the budget at which the tables show the best loss so far, besides the whole budget."""


class ResultBasis(StrEnum):
    """The kind of runs behind the loss that a run may publish."""

    HELD_OUT = "held-out seeds"
    FRESH = "fresh runs"
    BASELINE = "the baseline"  # nothing better was confirmed; its runs were not selected
    SINGLE = "the one run it was kept for"  # selected for its low loss, hence optimistic


@dataclass(frozen=True)
class Axis:
    """The unit of a run's budget: the first of trials, training budget and wall time that has a limit."""

    total: float  # the whole budget
    unit: str  # in words
    cost: Cost

    @classmethod
    def of(cls, config: RunConfig) -> "Axis":
        if config.trials is not None:
            return cls(config.trials, f"{plural(config.trials, 'trial')}, the baseline included", _one_a_trial)
        if config.budget_seconds is not None:
            return cls(config.budget_seconds, f"{duration(config.budget_seconds)} of training", as_charged)
        assert config.wall_seconds is not None, "a comparison has a budget"
        return cls(config.wall_seconds, f"{duration(config.wall_seconds)} by the clock", by_the_clock)


@dataclass(frozen=True)
class RunFigures:
    """The statistics of one run. Losses are minimised."""

    run_id: str
    seed: int
    state: RunState
    n_trials: int
    n_lost: int  # trials without a loss, for any reason
    n_out_of_memory: int
    n_ran: int  # trials that ran in a sandbox, without the baseline
    n_unique: int  # different scripts among those
    n_copies: int  # proposals copied from another proposer's point
    ledger: Ledger  # repeats included
    repeat_seconds: float  # training budget spent on repeats
    baseline: float | None
    at_shares: tuple[float | None, ...]  # best so far at SHARES of the budget; None: the run has not reached it
    best: float | None  # lowest loss of a trial that was kept and not rolled back
    result: float | None  # the loss that may be published
    made: ResultBasis | None  # the kind of runs behind `result`


@dataclass(frozen=True)
class ModeFigures:
    """The statistics of one mode over its seeds."""

    mode: str
    is_reference: bool
    runs: tuple[RunFigures, ...]
    minus: MeanEstimate | None  # best minus the reference's best, paired by seed; None for the reference, or if unknown

    def over_seeds(self, number: Callable[[RunFigures], float | None]) -> MeanEstimate | None:
        """Return the estimate of a number over the runs; None if a run lacks it."""
        return _estimate([number(run) for run in self.runs])

    def share(self, part: Callable[[RunFigures], float], whole: Callable[[RunFigures], float]) -> float:
        """Return the share of `part` in `whole`, each summed over the runs of the mode."""
        return sum(map(part, self.runs)) / (sum(map(whole, self.runs)) or 1.0)

    @property
    def ledger(self) -> Ledger:
        return added(run.ledger for run in self.runs)


def figures(comparison: Comparison, stored: Sequence[StoredRun], reference: str | None = None) -> list[ModeFigures]:
    """Return one row per mode, in the order of the comparison.

    Args:
        stored: the existing runs.
        reference: the reference mode; the first one if not given.
    """
    found = {run.run_id: of_run(run) for run in stored}
    rows = {mode: [found[name] for name in names if name in found] for mode, names in comparison.run_ids().items()}
    return by_mode(rows, reference or comparison.modes[0])


def by_mode(runs: Mapping[str, Sequence[RunFigures]], reference: str) -> list[ModeFigures]:
    """Return one row per mode, in the given order, each compared with the reference mode seed by seed."""
    against = {run.seed: run.best for run in runs[reference]}
    return [
        ModeFigures(mode, mode == reference, tuple(those), None if mode == reference else _minus(those, against))
        for mode, those in runs.items()
    ]


def of_run(stored: StoredRun) -> RunFigures:
    """Return the statistics of one run up to now."""
    trials, config = stored.history.trials, stored.config_now
    results = stored.history.results
    proposed = [trial for trial in trials[1:] if trial.status is not None and trial.status.ran]
    state, axis = state_of(stored), Axis.of(config)
    curve = best_so_far(stored.history, axis.cost)
    spent = curve.x[-1] if curve.x else 0.0
    is_over = state is not RunState.GOING_ON
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
    """Return the sum of the ledgers."""
    total = Ledger(0, 0.0, 0.0, None)
    for ledger in ledgers:
        total = Ledger(
            trials=total.trials + ledger.trials,
            train_seconds=total.train_seconds + ledger.train_seconds,
            wall_seconds=total.wall_seconds + ledger.wall_seconds,
            usage=total.usage.plus(ledger.usage) if total.usage and ledger.usage else total.usage or ledger.usage,
            device_seconds=total.device_seconds + ledger.device_seconds,
            lost_seconds=total.lost_seconds + ledger.lost_seconds,
        )
    return total


def _one_a_trial(result: Trial | Repeat) -> float:
    """Return 1 for a trial, the baseline included, and 0 for a repeat, as budgets count them."""
    return 1.0 if isinstance(result, Trial) else 0.0


def _result(stored: StoredRun) -> tuple[float | None, ResultBasis | None]:
    """Return the loss that a run may publish, and the kind of runs behind it."""
    keeper = stored.keeper
    if keeper.result is None:
        return None, None
    reading = keeper.reading(keeper.result)
    if keeper.result == 0:
        return reading.mean, ResultBasis.BASELINE
    if reading.selected:
        return reading.mean, ResultBasis.SINGLE
    is_held_out = any(seed >= HELD_OUT_SEED for seed in keeper.losses(keeper.result))
    return reading.mean, ResultBasis.HELD_OUT if is_held_out else ResultBasis.FRESH


def _minus(runs: Sequence[RunFigures], against: dict[int, float | None]) -> MeanEstimate | None:
    pairs = [(run.best, against.get(run.seed)) for run in runs]
    return _estimate([None if own is None or other is None else own - other for own, other in pairs])


def _estimate(values: Sequence[float | None]) -> MeanEstimate | None:
    known = [value for value in values if value is not None]
    return MeanEstimate.of(known) if known and len(known) == len(values) else None
