"""Whether the machine's speed has changed since the baseline: pure decisions on the speeds that a canary measured.

A script may be fast or slow by its own doing, and is judged by that. So only a canary, the same small job before and
after every training, shows what the machine did: if its speed has changed, the attempt is void. docs/keep-rule.md has
the measurements behind the threshold of |ln(speed / reference)|.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median, stdev

from agent.trials.machine_speed import MachineSpeed

NOISE_FACTOR = 4.0  # smallest change that counts, in standard deviations of the canary
WIDEST = 0.3  # of ln speed: noise may raise the threshold to this, so that half the speed is always noticed
HELD_BACK_SHARE = 0.1  # of the time that a GPU must be throttled beyond the baseline's share
_BY_THE_MACHINE = ("hw_slowdown", "hw_thermal", "power_brake", "sw_thermal")
# A script that computes more may reach the power cap by its own doing; a canary is always the same.
_IN_A_CANARY = (*_BY_THE_MACHINE, "clocks_set", "power_cap", "sync_boost")


@dataclass(frozen=True)
class SpeedReference:
    """The machine's speed and GPU throttling while the baseline ran."""

    speed: float
    noise: float  # standard deviation of one canary's ln speed
    gpu: Mapping[str, float]  # share of the time throttled in the baseline's training, by reason
    canary_gpu: Mapping[str, float]

    @classmethod
    def of(cls, baseline: MachineSpeed) -> "SpeedReference":
        """Return the reference that was measured around the baseline."""
        logs = [math.log(speed) for speed in baseline.speeds]
        noise = stdev(logs) if len(logs) > 1 else 0.0
        return cls(median(baseline.speeds), noise, baseline.gpu, baseline.canary_gpu)

    def threshold(self, void: float) -> float:
        """Return the threshold `void`, or the smallest that this machine's noise allows, if that is larger."""
        return max(void, min(NOISE_FACTOR * self.noise, WIDEST))

    def exceeds_limit(self, speed: float, void: float) -> str | None:
        """Return a sentence if a speed differs too much from the reference; None if an attempt may count."""
        limit = self.threshold(void)
        if abs(math.log(speed / self.speed)) <= limit:
            return None
        return f"the machine runs at {speed / self.speed:.1%} of its speed at the baseline (allowed: {_span(limit)})"

    def ratio(self, speeds: Sequence[float]) -> float:
        """Return the geometric mean of speeds over the reference."""
        return math.exp(sum(math.log(speed / self.speed) for speed in speeds) / len(speeds))

    def throttled(self, gpu: Mapping[str, float], *, canary: bool) -> str | None:
        """Return a sentence if the GPU was throttled more than at the baseline; None if it was not."""
        before, reasons = (self.canary_gpu, _IN_A_CANARY) if canary else (self.gpu, _BY_THE_MACHINE)
        for reason in reasons:
            share = gpu.get(reason, 0.0)
            if share > before.get(reason, 0.0) + HELD_BACK_SHARE:
                where = "a canary" if canary else "training"
                return f"the GPU was throttled ({reason.replace('_', ' ')}) for {share:.0%} of {where}"
        return None


def unsteady(speeds: Sequence[float], void: float) -> str | None:
    """Return a sentence if these speeds differ too much to be a reference; None if they do not."""
    middle = median(speeds)
    furthest = max(speeds, key=lambda speed: abs(math.log(speed / middle)))
    if abs(math.log(furthest / middle)) <= max(WIDEST, void):
        return None
    return f"the machine's speed went from {middle:.4g} to {furthest:.4g} around the baseline"


def shared_with(others: Sequence[int]) -> str | None:
    """Return a sentence if other programs used the GPU too; None if none did."""
    return f"another program uses the GPU (process {', '.join(map(str, others))})" if others else None


def _span(limit: float) -> str:
    return f"{math.exp(-limit):.1%} to {math.exp(limit):.1%}"
