"""Whether the machine is the one that the baseline ran on: pure decisions over the speeds that a canary measured.

A script may be as fast or slow as it likes, and deserves the steps that it makes. So only a canary, the same small job
before and after every training, tells what the machine did to it. Two answers: as before; another machine, so that the
attempt is void. docs/keep-rule.md has the measurements behind the threshold, which is one of |ln(speed / reference)|.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median, stdev

from agent.trials.machine_speed import Machine

NOISE_FACTOR = 4.0  # speeds are told apart from here on, in standard deviations of the canary
WIDEST = 0.3  # of ln speed: noise may excuse no more than that, so that half the speed is always seen
HELD_BACK_SHARE = 0.1  # of the time by which a GPU must be held back more than in the baseline's run
_BY_THE_MACHINE = ("hw_slowdown", "hw_thermal", "power_brake", "sw_thermal")
# A script that computes more may meet the power cap by its own doing; a canary is always the same.
_IN_A_CANARY = (*_BY_THE_MACHINE, "clocks_set", "power_cap", "sync_boost")


@dataclass(frozen=True)
class Reference:
    """The machine as it was while the baseline ran."""

    speed: float
    noise: float  # standard deviation of one canary's ln speed
    gpu: Mapping[str, float]  # what held the GPU back in the baseline's training
    canary_gpu: Mapping[str, float]

    @classmethod
    def of(cls, baseline: Machine) -> "Reference":
        """Return the reference that was taken around the baseline."""
        logs = [math.log(speed) for speed in baseline.speeds]
        noise = stdev(logs) if len(logs) > 1 else 0.0
        return cls(median(baseline.speeds), noise, baseline.gpu, baseline.canary_gpu)

    def threshold(self, void: float) -> float:
        """Return the threshold that is asked for, or the least that this machine's noise lets be told."""
        return max(void, min(NOISE_FACTOR * self.noise, WIDEST))

    def off(self, speed: float, void: float) -> str | None:
        """Return in words how far off a machine of that speed is, if it is too far; None if an attempt may count."""
        limit = self.threshold(void)
        if abs(math.log(speed / self.speed)) <= limit:
            return None
        return f"the machine runs at {speed / self.speed:.1%} of its speed at the baseline (allowed: {_span(limit)})"

    def ratio(self, speeds: Sequence[float]) -> float:
        """Return the mean speed over the reference, the mean of logarithms."""
        return math.exp(sum(math.log(speed / self.speed) for speed in speeds) / len(speeds))

    def held_back(self, gpu: Mapping[str, float], *, canary: bool) -> str | None:
        """Return in words what held the GPU back that did not at the baseline; None if nothing did."""
        before, reasons = (self.canary_gpu, _IN_A_CANARY) if canary else (self.gpu, _BY_THE_MACHINE)
        for reason in reasons:
            share = gpu.get(reason, 0.0)
            if share > before.get(reason, 0.0) + HELD_BACK_SHARE:
                where = "a canary" if canary else "training"
                return f"the GPU was held back ({reason.replace('_', ' ')}) for {share:.0%} of {where}"
        return None


def unsteady(speeds: Sequence[float], void: float) -> str | None:
    """Return in words that no reference can be taken from these speeds; None if one can."""
    middle = median(speeds)
    furthest = max(speeds, key=lambda speed: abs(math.log(speed / middle)))
    if abs(math.log(furthest / middle)) <= max(WIDEST, void):
        return None
    return f"the machine's speed went from {middle:.4g} to {furthest:.4g} around the baseline"


def shared_with(others: Sequence[int]) -> str | None:
    """Return in words that other programs had the GPU too; None if none had."""
    return f"another program is on the GPU (process {', '.join(map(str, others))})" if others else None


def _span(limit: float) -> str:
    return f"{math.exp(-limit):.1%} to {math.exp(limit):.1%}"
