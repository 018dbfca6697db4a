"""One search on the surrogate: what was run, what it was charged, and the best loss at any hour."""

from dataclasses import dataclass, field

import numpy as np

from agent.edits.edit import Params
from benchmarks.autoresearch.experiment import DEFAULTS
from benchmarks.autoresearch.surrogate import Result, Surrogate


@dataclass
class Ledger:
    """Counts as the paper did: a success its training budget, a failure its own seconds; the baseline is trial 0."""

    surrogate: Surrogate
    seed: int
    budget_seconds: float
    seconds: float = 0.0
    best: float = np.inf
    n_failed: int = 0
    curve: list[tuple[float, float]] = field(default_factory=list)  # seconds, best val_bpb so far

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng([self.seed, 2603])  # the same noise for every mode
        self.baseline = self.run(DEFAULTS)

    @property
    def spent(self) -> bool:
        return self.seconds >= self.budget_seconds

    @property
    def n_trials(self) -> int:
        """Trials after the baseline."""
        return len(self.curve) - 1

    def run(self, params: Params) -> Result:
        """Run one trial; one that ends after the budget is not counted as best."""
        result = self.surrogate.run(params, self._rng)
        self.seconds += result.seconds
        self.n_failed += result.val_bpb is None
        if result.val_bpb is not None and self.seconds <= self.budget_seconds:
            self.best = min(self.best, result.val_bpb)
        self.curve.append((self.seconds, self.best))
        return result

    def at(self, hours: float) -> float:
        """Return the best val_bpb after `hours` of charged time."""
        return [best for seconds, best in self.curve if seconds <= hours * 3600][-1]

    def hours_until(self, val_bpb: float) -> float:
        """Return the charged hours until `val_bpb` was reached; infinite if it never was."""
        return next((seconds / 3600 for seconds, best in self.curve if best <= val_bpb), np.inf)
