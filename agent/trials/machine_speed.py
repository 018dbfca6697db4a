"""How fast the machine was around one execution, and attempts that do not count because the speed had changed.

Only where the budget is seconds: there a slow machine learns less, and would pass for a bad idea.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Machine:
    """What was measured of the machine around one execution that counts."""

    # Of the canary, in its own unit a second: before and after; around the baseline more.
    speeds: tuple[float, ...] = ()
    ratio: float | None = None  # to the reference, the mean of before and after; None: this is the reference
    raw_loss: float | None = None  # as scored, where an earlier version corrected `val_loss` for the ratio
    seconds: float = 0.0  # that the canaries took, by the clock
    # What held the GPU back in training: share of the time, by reason.
    gpu: Mapping[str, float] = field(default_factory=dict)
    canary_gpu: Mapping[str, float] = field(default_factory=dict)  # the same in the canaries
    sm_mhz: int | None = None  # clock of the GPU's processors in training, median
    others: tuple[int, ...] = ()  # other programs on the GPU, by their process numbers

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data; what is empty or unknown is left out."""
        return {name: value for name, value in asdict(self).items() if value not in (None, (), {}, 0.0)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Machine":
        fields = dict(data)
        for name in ("speeds", "others"):
            fields[name] = tuple(fields.get(name, ()))
        return cls(**fields)


@dataclass(frozen=True)
class Void:
    """An attempt at an execution that does not count. Its loss is discarded unread: it must bias nothing."""

    reason: str  # what was measured, one line
    trained: bool  # False: it was seen before anything was trained
    seconds: float  # wall, canaries included; charged to the budget by the clock, and to no other
    at: str  # ISO 8601, UTC

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
