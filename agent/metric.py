"""The number that decides: losses are minimised inside, and shown as the user named them."""

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Metric(BaseModel):
    """A metric as task.toml declares it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = "val_loss"
    goal: Literal["minimise", "maximise"] = "minimise"

    def to_loss(self, value: float) -> float:
        """Return a value of the metric as a loss to minimise."""
        return value if self.goal == "minimise" else -value

    def shown(self, loss: float) -> float:
        """Return a loss as a value of the metric."""
        return loss if self.goal == "minimise" else -loss
