"""The host's measurements of the machine around one execution, its slot, and attempts that are void or lost.

Where the budget is seconds, a slow machine trains less, and a good idea would look bad. Where the script counts its
budget, the host cannot count steps, but it can count CPU seconds: a trial is over budget if it used more than a
multiple of what the baseline used for the same budget. docs/security.md has the measurements behind the multiple.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from agent.trials.json_fields import changed_fields, from_fields


@dataclass(frozen=True)
class MachineSpeed:
    """Measurements of the machine around one execution that counts."""

    # Speeds of the canary, in its own unit per second: before and after; more of them around the baseline.
    speeds: tuple[float, ...] = ()
    ratio: float | None = None  # mean of before and after, relative to the reference; None: this is the reference
    raw_loss: float | None = None  # as scored, if an earlier version corrected `val_loss` for the ratio
    seconds: float = 0.0  # wall time of the canaries
    # Throttling of the GPU during training: share of the time, by reason.
    gpu: Mapping[str, float] = field(default_factory=dict)
    canary_gpu: Mapping[str, float] = field(default_factory=dict)  # the same during the canaries
    sm_mhz: int | None = None  # median clock of the GPU's multiprocessors during training
    others: tuple[int, ...] = ()  # process ids of other programs on the GPU

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON data, without those that are empty or unknown."""
        return {name: value for name, value in asdict(self).items() if value not in (None, (), {}, 0.0)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "MachineSpeed":
        fields = dict(data)
        for name in ("speeds", "others"):
            fields[name] = tuple(fields.get(name, ()))
        return cls(**fields)


@dataclass(frozen=True)
class VoidedAttempt:
    """A void attempt at an execution. Its loss is discarded unread, so that it cannot bias a decision."""

    reason: str  # the measurement, one line
    trained: bool  # False: the attempt ended before training
    seconds: float  # wall time, including canaries; charged to the wall time budget only
    at: str  # ISO 8601, UTC
    cpu_ratio: float | None = None  # of a ComputeUse over its budget; charged if the next attempt is, too

    def to_json(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class ComputeUse:
    """CPU seconds of one training and what they are compared with."""

    speeds: tuple[float, ...] = ()  # of the CPU probe before and after, in its own unit per CPU second
    startup_seconds: float | None = None  # of a baseline: CPU seconds of its script that trains one step
    ratio: float | None = None  # to the baseline's training, at equal machine speed; None: of a baseline, or not known
    allowed: float | None = None  # the ratio above which a training is over budget

    @property
    def is_over(self) -> bool:
        """Whether the training used more than its budget pays for."""
        return self.ratio is not None and self.allowed is not None and self.ratio > self.allowed

    @property
    def description(self) -> str:
        """The ratio in words; empty if there is none."""
        if self.ratio is None:
            return ""
        limit = f" (allowed: {self.allowed:g})" if self.allowed is not None else ""
        return f"used {self.ratio:.2f} times the CPU seconds that its budget pays for{limit}"

    @property
    def mean_speed(self) -> float:
        """Mean of the speeds, which must not be empty."""
        return sum(self.speeds) / len(self.speeds)

    def beside(self, baseline: "ComputeUse", cpu_seconds: float, baseline_cpu_seconds: float) -> float | None:
        """Return how many times the baseline's CPU seconds of training this training used, at equal machine speed.

        Start-up is the baseline's own for every script: what a script moves there counts as training.

        Args:
            cpu_seconds: of this training job, start-up included.
            baseline_cpu_seconds: likewise of the baseline's.

        Returns:
            None if the baseline's start-up is not known.
        """
        if baseline.startup_seconds is None:
            return None
        at_its_speed = cpu_seconds * self.mean_speed / baseline.mean_speed
        return (at_its_speed - baseline.startup_seconds) / (baseline_cpu_seconds - baseline.startup_seconds)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data; fields at their default are left out."""
        return changed_fields(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "ComputeUse":
        """Return what `to_json` wrote; TypeError or ValueError if it did not."""
        return from_fields(cls, {**data, "speeds": tuple(data.get("speeds", ()))})


@dataclass(frozen=True)
class SlotUse:
    """The use of a slot by the attempts of one trial or repeat."""

    slot: int = 0  # its number, from 0
    device: str = ""  # what the slot runs on, such as "gpu 1" or "cpu 0-3"; empty: not restricted
    seconds: float = 0.0  # wall time that the slot was held: void and lost attempts, training, scoring
    queued_seconds: float = 0.0  # wall time between the proposal and the slot
    # Wall time of the whole run from its previous result to this one; None: `total_seconds`, in a run with one slot.
    elapsed_seconds: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON data, without those at their default."""
        return changed_fields(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "SlotUse":
        """Return the record that `to_json` encoded. Raises TypeError for invalid data."""
        return from_fields(cls, data)


@dataclass(frozen=True)
class LostAttempt:
    """An attempt whose end nobody knows, for example because the machine that ran it was lost. Another one follows."""

    attempt: int  # its number, from 1, among the attempts of this trial or repeat that were lost
    reason: str  # one line
    seconds: float  # wall time; it counts as device time, and not as training budget
    at: str  # ISO 8601, UTC

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON data."""
        return asdict(self)
