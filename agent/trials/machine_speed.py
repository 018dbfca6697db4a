"""The machine's speed around one execution, and attempts that are void because the speed changed.

Only measured if the budget is seconds: then a slow machine trains less, and a good idea would look bad.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Machine:
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
    def from_json(cls, data: Mapping[str, Any]) -> "Machine":
        fields = dict(data)
        for name in ("speeds", "others"):
            fields[name] = tuple(fields.get(name, ()))
        return cls(**fields)


@dataclass(frozen=True)
class Void:
    """A void attempt at an execution. Its loss is discarded unread, so that it cannot bias a decision."""

    reason: str  # the measurement, one line
    trained: bool  # False: the attempt ended before training
    seconds: float  # wall time, including canaries; charged to the wall time budget only
    at: str  # ISO 8601, UTC

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
