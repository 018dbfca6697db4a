"""Which trials a model decides in a hybrid, and which its optimizer."""

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Turns:
    """The model's turns: a share of the trials, drawn, or every k-th one; none during the warm-up."""

    seed: int
    share: float = 0.3
    warmup: int = 10  # trials, the baseline not counted
    every: int | None = None  # every k-th trial in place of a share

    def has(self, number: int) -> bool:
        """Whether the model decides trial `number`. Seed and number decide, so a resumed run draws alike."""
        if number <= self.warmup:
            return False
        if self.every is not None:
            return number % self.every == 0
        return random.Random(f"centaur {self.seed} {number}").random() < self.share
