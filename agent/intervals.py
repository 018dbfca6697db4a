"""The mean of a few numbers with its 95 % interval by Student's t, exact for any number of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from statistics import mean, stdev


@dataclass(frozen=True)
class Estimate:
    """Mean of `n` numbers, their standard deviation, and half the width of the 95 % interval of the mean."""

    mean: float
    std: float | None  # n - 1 in the denominator; None for a single number
    half: float | None  # likewise
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Estimate":
        """Return the estimate from at least one number."""
        if len(values) == 1:
            return cls(values[0], None, None, 1)
        deviation = stdev(values)
        return cls(
            mean(values), deviation, t_quantile(len(values) - 1) * deviation / math.sqrt(len(values)), len(values)
        )

    @property
    def low(self) -> float | None:
        return None if self.half is None else self.mean - self.half

    @property
    def high(self) -> float | None:
        return None if self.half is None else self.mean + self.half


@cache
def t_quantile(freedom: int, level: float = 0.95) -> float:
    """Return the t that a share `level` of Student's distribution lies within, for at least one degree of freedom."""
    low, high = 0.0, 1.0
    while within(high, freedom) < level:
        high *= 2
    for _ in range(80):  # until the bounds are neighbours
        middle = (low + high) / 2
        low, high = (middle, high) if within(middle, freedom) < level else (low, middle)
    return high


def within(t: float, freedom: int) -> float:
    """Return P(|T| <= t): Abramowitz and Stegun 26.7.3 (odd degrees of freedom) and 26.7.4 (even)."""
    angle = math.atan(t / math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term, total = (cosine, cosine if freedom > 1 else 0.0) if odd else (1.0, 1.0)
    for k in range(2 + odd, freedom - 1, 2):
        term *= cosine**2 * (k - 1) / k
        total += term
    return 2 / math.pi * (angle + sine * total) if odd else sine * total
