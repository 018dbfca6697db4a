"""One search on the surrogate: its trials, their charges, and the best loss at any hour."""

from dataclasses import dataclass, field

import numpy as np

from agent.edits.edit import Params
from benchmarks.autoresearch.experiment import DEFAULTS
from benchmarks.autoresearch.surrogate import Result, Surrogate


@dataclass
class Course:
    """The result of a search: the best loss at every charged second."""

    n_failed: int = 0
    curve: list[tuple[float, float]] = field(default_factory=list)  # seconds, best val_bpb so far; the baseline first

    @property
    def n_trials(self) -> int:
        """Trials after the baseline."""
        return len(self.curve) - 1

    @property
    def best(self) -> float:
        return self.curve[-1][1]

    def at(self, hours: float) -> float:
        """Return the best val_bpb after `hours` of charged time."""
        return [best for seconds, best in self.curve if seconds <= hours * 3600][-1]


class Ledger(Course):
    """A search in progress, charged as in the paper: training budget for a success, measured seconds for a failure."""

    def __init__(self, surrogate: Surrogate, seed: int, budget_seconds: float) -> None:
        """Run the baseline, which is trial 0."""
        super().__init__()
        self.seed = seed
        self.budget_seconds = budget_seconds
        self.seconds = 0.0
        self.surrogate = surrogate
        self._rng = np.random.default_rng([seed, 2603])  # the same noise for every mode
        self.baseline = self.run(DEFAULTS)

    @property
    def spent(self) -> bool:
        return self.seconds >= self.budget_seconds

    def draw(self, params: Params) -> Result:
        """Return the result of one training."""
        return self.surrogate.run(params, self._rng)

    def run(self, params: Params) -> Result:
        """Run one trial; it cannot become the best if it ends after the budget."""
        result = self.draw(params)
        self.seconds += result.seconds
        self.n_failed += result.val_bpb is None
        best = self.best if self.curve else np.inf
        if result.val_bpb is not None and self.seconds <= self.budget_seconds:
            best = min(best, result.val_bpb)
        self.curve.append((self.seconds, best))
        return result
