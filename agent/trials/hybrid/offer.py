"""The record of one turn of a model in a hybrid mode: the points that it offered, and which point ran."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent.edits.edit import Params
from agent.text import one_line


@dataclass(frozen=True)
class Offer:
    """The points that a model offered for one trial, with the host's prediction for each.

    A prediction is the posterior mean of a Gaussian process of ln(1 + gap to the best loss / median gap), standardised
    to mean 0 and variance 1 over the trials that it is fitted to; lower is better. Share and predictions follow from
    the finished trials, and random draws from seed and number, so the same journal gives the same offer.
    """

    share: float  # of the trials, on which the model was asked at that time
    points: tuple[Params, ...] = ()  # that can run, in the model's order, without the host's own point
    predictions: tuple[float, ...] = ()  # one for each point; empty if there were too few trials to fit
    host_prediction: float | None = None  # of the host's own point
    taken: int | None = None  # index of the point that ran; None: the host's own point ran
    is_screened: bool = True  # the taken point passed the screen; False: it ran whatever its prediction
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
        """The turn in words, with the share of the model and the host's prediction for each point."""
        text = f"{self.description}; its share of the trials was {self.share:.0%}"
        if self.host_prediction is None:
            return text
        predictions = ", ".join(f"{each:.2f}" for each in self.predictions)
        searcher = f"{self.host_prediction:.2f}"
        return f"{text}; predicted for its points {predictions}, for the searcher's {searcher} (lower is better)"

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Offer":
        """Return the offer of a journal. Raises TypeError for invalid data."""
        lists = {name: tuple(data[name]) for name in ("points", "predictions") if name in data}
        return cls(**{**data, **lists})
