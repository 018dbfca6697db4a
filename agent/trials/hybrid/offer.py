"""The record of one turn of a model in a hybrid mode: the points that it offered, and which point ran."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent.edits.edit import Params
from agent.text import one_line


@dataclass(frozen=True)
class Offer:
    """The points that a model offered for one trial, as the host's own model rated them.

    Share and rating follow from the trials that had finished, and what chance decides follows from seed and number. So
    the same journal gives the same turn; the record is for readers.
    """

    share: float  # of the trials, on which the model was asked at that time
    points: tuple[Params, ...] = ()  # that can run, in the model's order, without the host's own point
    merits: tuple[float, ...] = ()  # of the points, lower is better; empty if the host had no model yet
    host_merit: float | None = None  # of the host's own point
    taken: int | None = None  # index of the point that ran; None: the host's own point ran
    is_screened: bool = True  # the taken point passed the screen; False: it ran whatever its merit
    fault: str = ""  # why the last reply had no point that can run, one line

    @property
    def description(self) -> str:
        """The turn in words, such as "offered 4, none passed the screen"."""
        if self.fault:
            return f"offered no point that can run: {one_line(self.fault)}"
        if not self.points:
            return "offered only the searcher's own point"
        offered = f"offered {len(self.points)}"
        if self.taken is None:
            return f"{offered}, none passed the screen"
        return f"{offered}, number {self.taken + 1} {'passed the screen' if self.is_screened else 'ran unscreened'}"

    @property
    def in_full(self) -> str:
        """The turn in words, with the share of the model and what the host's own model expected of the points."""
        text = f"{self.description}; its share of the trials was {self.share:.0%}"
        if self.host_merit is None:
            return text
        merits = ", ".join(f"{merit:.2f}" for merit in self.merits)
        return f"{text}; expected of its points {merits}, of the searcher's {self.host_merit:.2f} (lower is better)"

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Offer":
        """Return the offer of a journal. Raises TypeError for invalid data."""
        lists = {name: tuple(data[name]) for name in ("points", "merits") if name in data}
        return cls(**{**data, **lists})
