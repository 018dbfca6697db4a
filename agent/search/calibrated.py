"""What will not fit in memory by the task's own estimate, where the run's trials cannot tell yet.

An estimate made without the GPU is wrong by a factor that hardly depends on the configuration: on 30 configurations of
the paper's space by 5 per cent (standard deviation), see benchmarks/memory_estimate.py. So one trial that has run, the
baseline, makes it useful, long before the weights of a MemoryModel are known.
"""

import math
from collections.abc import Callable, Sequence

from agent.edits.edit import Params
from agent.search.feasible import HOPELESS_BELOW, Estimate, MemoryModel

Ask = Callable[[Params], float | None]
"""Returns the task's own estimate in GB, always the same for the same values; None: it has none."""

PRIOR_ERROR = 0.1  # of the factor between configurations, relative: before trials have shown it,
PRIOR_TRIALS = 2  # and beside them as if so many had


class CalibratedMemory:
    """A learned model, and where that cannot tell, the task's own estimate times a factor that trials have shown.

    The task is asked about every trial that runs until the learned model speaks, then about points of which the
    model is less sure than the estimate would be. It follows from the order of the calls, so a resumed run asks again.
    """

    def __init__(self, learned: MemoryModel, ask: Ask) -> None:
        """`learned`: fresh; without terms it never speaks."""
        self._learned = learned
        self._ask = ask
        self._measured: list[tuple[float, float | None]] = []  # own estimate and peak; None: it ran out of memory

    def learn(self, params: Params, peak_gb: float | None) -> None:
        """Note what a trial needed; None: it ran out of memory."""
        if self._learned.estimate(params) is None and (own_gb := self._ask(params)) is not None:
            self._measured.append((own_gb, peak_gb))
        self._learned.learn(params, peak_gb)

    def estimate(self, params: Params) -> Estimate | None:
        """Return what `params` will need, by whichever is surer; None while neither can tell."""
        learned = self._learned.estimate(params)
        if all(peak_gb is None for _, peak_gb in self._measured):
            return learned
        factor, error = calibration(self._measured, self._learned.limit_gb)
        if learned is not None and (learned.error <= error or _tells(learned)):
            return learned
        own_gb = self._ask(params)
        return learned if own_gb is None else Estimate(factor * own_gb, error, self._learned.limit_gb)


def _tells(estimate: Estimate) -> bool:
    return not HOPELESS_BELOW <= estimate.chance <= 1 - HOPELESS_BELOW


def calibration(measured: Sequence[tuple[float, float | None]], limit_gb: float) -> tuple[float, float]:
    """Return the factor from own estimates to peaks, and the relative standard deviation of a next peak from it.

    Args:
        measured: own estimate and peak of each trial, None where it ran out of memory; at least one peak.
        limit_gb: what a trial that ran out needed at least, where the factor says that it would have fitted.
    """
    ratios = [math.log(peak_gb / own_gb) for own_gb, peak_gb in measured if peak_gb is not None]
    mean = sum(ratios) / len(ratios)
    failed = [math.log(limit_gb / own_gb) for own_gb, peak_gb in measured if peak_gb is None]
    ratios += [ratio for ratio in failed if ratio > mean]
    mean = sum(ratios) / len(ratios)
    squares = sum((ratio - mean) ** 2 for ratio in ratios)
    variance = (PRIOR_TRIALS * PRIOR_ERROR**2 + squares) / (PRIOR_TRIALS + len(ratios) - 1)
    return math.exp(mean), math.sqrt(variance * (1 + 1 / len(ratios)))
