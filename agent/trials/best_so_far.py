"""The best loss so far as a curve over trials or over their cost, and the spread of several such curves."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from statistics import mean, stdev

from agent.trials.history import History, stands
from agent.trials.repeat import Repeat
from agent.trials.trial import Trial

Cost = Callable[[Trial | Repeat], float]
"""Returns how much one finished trial or repeat adds to the horizontal axis."""


def as_trials(result: Trial | Repeat) -> float:
    """One per trial; the baseline is at 0, and repeats do not count."""
    return 1.0 if isinstance(result, Trial) and result.number else 0.0


def as_charged(result: Trial | Repeat) -> float:
    """Seconds charged to the training budget, including smoke tests."""
    assert result.outcome is not None, "curves need finished trials"
    rehearsed = result.proposal.smoke_seconds if isinstance(result, Trial) else 0.0
    return result.outcome.train_seconds + rehearsed


def by_the_clock(result: Trial | Repeat) -> float:
    """Wall time of the run in seconds: proposing, training and scoring."""
    assert result.outcome is not None, "curves need finished trials"
    return result.outcome.elapsed_seconds


@dataclass(frozen=True)
class BestSoFar:
    """The position of each trial's end on an axis, and the lowest loss of the trials kept up to there."""

    x: tuple[float, ...]  # one per trial, in the order in which they finished; never decreases
    best: tuple[float | None, ...]  # minimised; None before the first loss

    def at(self, x: float) -> float | None:
        """Return the best loss after spending `x`; None before the first loss."""
        n_done = bisect_right(self.x, x)
        return self.best[n_done - 1] if n_done else None


def best_so_far(history: History, cost: Cost) -> BestSoFar:
    """Return the curve of a run's finished trials. Repeats add cost; trials rolled back since do not count."""
    spent = accumulate(cost(result) for result in history.results)
    x = [total for result, total in zip(history.results, spent, strict=True) if isinstance(result, Trial)]
    return BestSoFar(tuple(x), tuple(lowest_kept(history)))


def lowest_kept(history: History) -> list[float | None]:
    """Return for each of `history.by_finish` the lowest loss kept up to it; None before the first one.

    A trial that was rolled back never counts, not even before the roll-back.
    """
    found: list[float | None] = []
    best: float | None = None
    for trial in history.by_finish:
        if stands(trial) and trial.val_loss is not None:
            best = trial.val_loss if best is None else min(best, trial.val_loss)
        found.append(best)
    return found


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation of several curves, where all have a value and none has ended."""

    x: tuple[float, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]  # between the curves, n - 1 in the denominator; 0 for a single curve
    n_curves: int


def spread(curves: Sequence[BestSoFar], n_points: int = 200) -> Spread:
    """Return the spread of curves on a common axis, up to the end of the shortest: beyond it, curves are missing."""
    curves = [curve for curve in curves if any(best is not None for best in curve.best)]
    if not curves:
        return Spread((), (), (), 0)
    begun = max(next(x for x, best in zip(c.x, c.best, strict=True) if best is not None) for c in curves)
    ended = min(curve.x[-1] for curve in curves)
    if ended < begun:
        return Spread((), (), (), len(curves))
    n_steps = max(1, n_points - 1)
    grid = [begun + (ended - begun) * step / n_steps for step in range(n_steps)] + [ended]
    columns = [[best for curve in curves if (best := curve.at(x)) is not None] for x in grid]
    deviations = [stdev(column) if len(column) > 1 else 0.0 for column in columns]
    return Spread(tuple(grid), tuple(map(mean, columns)), tuple(deviations), len(curves))
