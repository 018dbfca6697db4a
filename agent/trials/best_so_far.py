"""The best loss so far as a curve, against trials or against what they cost, and the spread of several such curves."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from statistics import mean, stdev

from agent.trials.history import History
from agent.trials.repeat import Repeat
from agent.trials.trial import Trial

Cost = Callable[[Trial | Repeat], float]
"""What one finished trial, or repeat of one, adds to the horizontal axis."""


def as_trials(result: Trial | Repeat) -> float:
    """One a trial; the baseline is at 0, and repeats are no trials."""
    return 1.0 if isinstance(result, Trial) and result.number else 0.0


def as_charged(result: Trial | Repeat) -> float:
    """Training seconds as charged to the budget, rehearsals included."""
    assert result.outcome is not None, "curves are drawn of what has finished"
    rehearsed = result.proposal.smoke_seconds if isinstance(result, Trial) else 0.0
    return result.outcome.train_seconds + rehearsed


def by_the_clock(result: Trial | Repeat) -> float:
    """Wall seconds of all of it: proposing, training, scoring."""
    assert result.outcome is not None, "curves are drawn of what has finished"
    return result.outcome.total_seconds


@dataclass(frozen=True)
class Curve:
    """Where each trial ended on an axis, and the lowest loss up to there of a trial that was kept."""

    x: tuple[float, ...]  # one a trial; never falls
    best: tuple[float | None, ...]  # minimised; None before the first loss

    def at(self, x: float) -> float | None:
        """Return the best loss after spending `x`; None if there was none yet."""
        n_done = bisect_right(self.x, x)
        return self.best[n_done - 1] if n_done else None


def best_so_far(history: History, cost: Cost) -> Curve:
    """Return the curve of a run's finished trials. Repeats cost; what one of them has rolled back does not count."""
    spent = accumulate(cost(result) for result in history.results)
    x = [total for result, total in zip(history.results, spent, strict=True) if isinstance(result, Trial)]
    return Curve(tuple(x), tuple(history.best_so_far()))


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation of several curves, where all of them have begun and none has ended."""

    x: tuple[float, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]  # of the curves, n - 1 in the denominator; 0 for a single one
    n_curves: int


def spread(curves: Sequence[Curve], n_points: int = 200) -> Spread:
    """Return the spread of curves on a common axis. Past the end of the shortest one it would compare unlike things."""
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
