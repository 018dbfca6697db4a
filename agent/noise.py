"""The noise of one run: a first guess, and what further runs of the same script have taught."""

import math
from collections.abc import Collection
from dataclasses import dataclass, field

PRIOR_RUNS = 2.0  # as many repeats is the guess worth


@dataclass
class Noise:
    """Standard deviation of the loss of one script over training seeds, as far as it is known."""

    guess: float
    n_learned: int = field(default=0, init=False)  # differences that have taught it
    _squares: float = field(default=0.0, init=False)  # sum of the squares of those
    _n_again: int = field(default=0, init=False)  # losses of scripts that had one under another seed
    _differ: bool = field(default=False, init=False)  # whether two seeds have ever given one script two losses

    @property
    def sigma(self) -> float:
        """Standard deviation of one run; includes the guess."""
        if self.is_hidden:  # the seed changes nothing: that says nothing of another order, or of another start
            return self.guess
        return math.sqrt((PRIOR_RUNS * self.guess**2 + self._squares) / (PRIOR_RUNS + self.n_learned))

    @property
    def is_hidden(self) -> bool:
        """Whether scripts have run under several seeds and none gave another loss: then repeats cannot tell noise."""
        return self._n_again > 0 and not self._differ

    def see(self, loss: float, others: Collection[float]) -> None:
        """Take note of a script's loss under a further seed, and of those that it had under others."""
        self._n_again += bool(others)
        self._differ = self._differ or any(other != loss for other in others)

    def learn(self, square: float) -> None:
        """Take in one more squared deviation, scaled so that its mean over many is the variance of one run."""
        self._squares += square
        self.n_learned += 1
