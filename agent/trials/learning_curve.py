"""The learning curve that a script prints while it trains: reported, not trusted, and summarised by a few numbers."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

HALF = 0.5
WINDOW = 0.1  # of the budget: a level is the mean of the points in this window before it, as single points are noisy
_ROUNDING = 5e-4  # rounding error of a share printed with three decimals


@dataclass(frozen=True)
class Point:
    """One line of a curve."""

    share: float  # of the budget, 0 to 1
    loss: float  # as printed, in the script's own units; may be nan or inf


@dataclass(frozen=True)
class LearningCurve:
    """The summary of a curve, in the script's own units."""

    start: float  # the first point
    half: float | None = None  # level at half of the budget; None: no points there
    error: float = 0.0  # standard error of `half`, from the scatter of its points
    end: float | None = None  # level at the end; None: the trial was stopped, or there are no points
    quarter: float | None = None  # level at a quarter of the budget; None: likewise, or an earlier version recorded it
    three_quarters: float | None = None  # level at three quarters; None: likewise

    @classmethod
    def of(cls, points: Sequence[Point]) -> "LearningCurve | None":
        """Return the summary of points, given in the order in which they were printed; None if none is finite."""
        finite = [point for point in points if math.isfinite(point.loss)]
        if not finite:
            return None
        quarter, half, three_quarters, end = (level(finite, share) for share in (0.25, HALF, 0.75, 1.0))
        return cls(
            start=finite[0].loss,
            half=half[0] if half else None,
            error=half[1] if half else 0.0,
            end=end[0] if end else None,
            quarter=quarter[0] if quarter else None,
            three_quarters=three_quarters[0] if three_quarters else None,
        )

    @property
    def readings(self) -> list[tuple[float, float]]:
        """Up to five pairs of a share of the budget and the level there, from start to end."""
        levels = [(0.25, self.quarter), (HALF, self.half), (0.75, self.three_quarters), (1.0, self.end)]
        return [(0.0, self.start), *((share, loss) for share, loss in levels if loss is not None)]

    def to_json(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class PruningDecision:
    """The decision to stop a trial at half of its budget; see agent.execution.early_stopping."""

    half: float  # the trial's level there
    gap: float  # how far that is above the champion's
    limit: float  # the largest gap allowed

    @property
    def to_trailer(self) -> str:
        """The three numbers as a commit trailer has them."""
        return f"{self.half!r} {self.gap!r} {self.limit!r}"

    @classmethod
    def from_trailer(cls, text: str) -> "PruningDecision":
        """Return the decision in a commit trailer. Raises ValueError if it is malformed."""
        half, gap, limit = map(float, text.split())
        return cls(half, gap, limit)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def level(points: Sequence[Point], share: float) -> tuple[float, float] | None:
    """Return the mean of the points in the WINDOW before `share`, and its standard error; None if there are none.

    The scatter is measured about a fitted line, so that the slope of the curve does not count as noise.
    """
    from statistics import linear_regression, mean  # takes 10 ms, which commands that only read avoid

    within = [point for point in points if share - WINDOW - _ROUNDING <= point.share <= share + _ROUNDING]
    if not within:
        return None
    shares, losses = [point.share for point in within], [point.loss for point in within]
    if len(set(shares)) < 3:
        return mean(losses), 0.0
    slope, intercept = linear_regression(shares, losses)
    squares = sum((y - slope * x - intercept) ** 2 for x, y in zip(shares, losses, strict=True))
    return mean(losses), math.sqrt(squares / (len(within) - 2) / len(within))
