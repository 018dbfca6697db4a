"""The noise of one run, and the standard error of a mean of several.

The keep rule starts with a guess of the noise and updates it with repeats; comparisons use their runs alone.
"""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache

PRIOR_RUNS = 2.0  # weight of the guess, in repeats


@dataclass
class Noise:
    """Standard deviation of the loss of one script over training seeds, as measured so far."""

    guess: float
    n_learned: int = field(default=0, init=False)  # differences that have updated it
    _squares: float = field(default=0.0, init=False)  # sum of their squares
    _n_again: int = field(default=0, init=False)  # losses of scripts that had a loss under another seed
    _differ: bool = field(default=False, init=False)  # whether two seeds have ever given one script different losses

    @property
    def sigma(self) -> float:
        """Standard deviation of one run, from the measurements and the guess."""
        if self.is_unobservable:  # the seed has no effect; data order and initialisation may still add noise
            return self.guess
        return math.sqrt((PRIOR_RUNS * self.guess**2 + self._squares) / (PRIOR_RUNS + self.n_learned))

    @property
    def is_unobservable(self) -> bool:
        """Whether scripts ran under several seeds and no loss ever differed, so that repeats cannot measure noise."""
        return self._n_again > 0 and not self._differ

    def observe(self, loss: float, others: Collection[float]) -> None:
        """Record a script's loss under a further seed, given its losses under other seeds."""
        self._n_again += bool(others)
        self._differ = self._differ or any(other != loss for other in others)

    def update(self, square: float) -> None:
        """Record one more squared deviation, scaled so that its expectation is the variance of one run."""
        self._squares += square
        self.n_learned += 1


@dataclass(frozen=True)
class MeanEstimate:
    """Mean of `n` numbers, their standard deviation, and half the width of the mean's 95 % confidence interval."""

    mean: float
    std: float | None  # n - 1 in the denominator; None for a single number
    half: float | None  # None for a single number
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "MeanEstimate":
        """Return the estimate from at least one number."""
        from statistics import mean, stdev  # takes 10 ms, which commands that only read avoid

        if len(values) == 1:
            return cls(values[0], None, None, 1)
        deviation = stdev(values)
        half = t_quantile(len(values) - 1) * deviation / math.sqrt(len(values))
        return cls(mean(values), deviation, half, len(values))

    @property
    def low(self) -> float | None:
        return None if self.half is None else self.mean - self.half

    @property
    def high(self) -> float | None:
        return None if self.half is None else self.mean + self.half


@dataclass(frozen=True)
class LossEstimate:
    """A loss for publication."""

    mean: float  # minimised
    error: float | None  # standard error of the mean; None: repeats cannot measure it
    n_runs: int
    selected: bool  # the only run, which was selected for its low loss: biased downwards


class SeedLosses:
    """The losses of scripts by training seed, and the noise measured from them."""

    def __init__(self) -> None:
        self.noise = Noise(0.0)
        self.baseline_noise = Noise(0.0)  # from the baseline's repeats only, which no searched script can forge
        self.n_scripts = 0  # with a loss
        self._losses: dict[int, dict[int, float | None]] = {}  # trial → seed → loss; None: that run failed

    def guess(self, sigma: float) -> None:
        """Set the noise of one run to assume before any measurement."""
        self.noise.guess = self.baseline_noise.guess = sigma

    def of(self, trial: int) -> dict[int, float | None]:
        """Return the losses of a trial by training seed; None for a run that failed."""
        return self._losses.get(trial, {})

    def losses(self, trial: int) -> dict[int, float]:
        """Return the losses of a trial by training seed, in the order in which they were recorded; no failures."""
        return {seed: loss for seed, loss in self.of(trial).items() if loss is not None}

    def observe(self, trial: int, seed: int, loss: float | None, *, beside: int | None) -> None:
        """Record one more loss; None if the run failed.

        Args:
            beside: the trial whose losses under the same seeds are subtracted first; None: seeds are not paired.
        """
        own = self.losses(trial)
        self._losses.setdefault(trial, {})[seed] = loss
        if loss is None:
            return
        taught = [self.noise, self.baseline_noise] if trial == 0 and beside is None else [self.noise]
        for noise in taught:
            noise.observe(loss, own.values())
        if not own:
            self.n_scripts += 1
            return
        other: dict[int, float] = {}
        if beside is not None:
            other = self.losses(beside)
            own = {at: value for at, value in own.items() if at in other}
            if seed not in other or not own:
                return
        before = mean_of([value - other.get(at, 0.0) for at, value in own.items()])
        difference = loss - other.get(seed, 0.0) - before
        n_before, runs_each = len(own), 2 if other else 1  # a paired difference has twice the variance of a run
        for noise in taught:
            noise.update(difference**2 * n_before / (n_before + 1) / runs_each)

    def published(self, trial: int, held_out: int) -> LossEstimate:
        """Return a trial's loss over the seeds from `held_out` on, else over all runs but the first.

        The first run of a kept trial was selected for its low loss. The baseline's was not, so it counts.
        """
        losses = self.losses(trial)
        decided_nothing = [loss for seed, loss in losses.items() if seed >= held_out]
        fresh = decided_nothing or list(losses.values())[0 if trial == 0 else 1 :]
        values = fresh or list(losses.values())
        error = None if self.noise.is_unobservable else self.noise.sigma / math.sqrt(len(values))
        return LossEstimate(mean_of(values), error, len(values), selected=not fresh)


@dataclass(frozen=True)
class Lead:
    """How far one artifact's loss is below another's on fresh text, in units of the loss (bits per byte)."""

    mean: float  # above 0: the first one is better
    error: float  # standard error from sampling the text, without the noise of training seeds

    def less(self, other: "Lead") -> "Lead":
        """Return this lead minus another one that was measured on different text."""
        return Lead(self.mean - other.mean, math.hypot(self.error, other.error))

    @classmethod
    def pooled(cls, leads: Sequence["Lead"]) -> "Lead":
        """Return the mean of at least one lead, each measured on different text."""
        return cls(
            sum(lead.mean for lead in leads) / len(leads), math.hypot(*(lead.error for lead in leads)) / len(leads)
        )


@cache
def t_quantile(freedom: int, level: float = 0.95) -> float:
    """Return the t for which P(|T| <= t) = `level` under Student's distribution; `freedom` is at least 1."""
    low, high = 0.0, 1.0
    while within(high, freedom) < level:
        high *= 2
    for _ in range(80):  # until the bounds are adjacent floats
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


def mean_of(values: Iterable[float]) -> float:
    """Return the mean of at least one number."""
    listed = list(values)
    return sum(listed) / len(listed)
