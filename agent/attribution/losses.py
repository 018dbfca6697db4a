"""The losses of scripts by training seed, and what they teach about the noise of one run."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.noise import Noise


@dataclass
class Losses:
    """What is known of each script. Scripts are compared with the whole, the result of the run.

    Where seeds are paired, a run's noise is what it adds to a difference under the same seed, which has two runs in it;
    what the seed does to all scripts alike is no noise. Elsewhere it is what sets runs of the same script apart.
    """

    whole: str
    paired: bool
    noise: Noise  # begins at what the run knew of it
    known: dict[str, dict[int, float | None]] = field(default_factory=dict)  # script → seed → loss; None: it failed

    def __post_init__(self) -> None:
        for own in self.known.values():
            losses = [loss for loss in own.values() if loss is not None]
            for n_before, loss in enumerate(losses):
                self.noise.see(loss, losses[:n_before])

    def error(self, n_seeds: int) -> float:
        """Return the standard error of a difference between two scripts that have run under so many seeds."""
        return self.noise.sigma * math.sqrt(2 / n_seeds)

    def of(self, script: str) -> Mapping[int, float | None]:
        return self.known.get(script, {})

    def take(self, script: str, seed: int, loss: float | None) -> None:
        """Take in one more loss."""
        if loss is not None:
            self.noise.see(loss, [other for other in self.of(script).values() if other is not None])
        before = self._comparable(script)
        self.known.setdefault(script, {})[seed] = loss
        now = self._comparable(script)
        if seed in now and before:
            deviation = now[seed] - sum(before.values()) / len(before)
            self.noise.learn(deviation**2 * len(before) / len(now) / (2 if self.paired else 1))

    def _comparable(self, script: str) -> dict[int, float]:
        """Return what noise can be told from: a script's losses or, where seeds are paired, what sets it apart."""
        own = {seed: loss for seed, loss in self.of(script).items() if loss is not None}
        if not self.paired:
            return own
        whole = self.of(self.whole)
        pairs = {seed: (loss, whole.get(seed)) for seed, loss in own.items()} if script != self.whole else {}
        return {seed: loss - other for seed, (loss, other) in pairs.items() if other is not None}
