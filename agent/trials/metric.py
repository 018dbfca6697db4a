"""The task's metric: minimised internally as a loss, displayed as the user declared it."""

from dataclasses import dataclass
from typing import ClassVar, Literal


@dataclass(frozen=True)
class Metric:
    """A metric as task.toml declares it."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}  # agent.task.spec refuses unknown keys

    name: str = "val_loss"
    goal: Literal["minimise", "maximise"] = "minimise"

    def to_loss(self, value: float) -> float:
        """Return a value of the metric as a loss to minimise."""
        return value if self.goal == "minimise" else -value

    def display(self, loss: float) -> float:
        """Return a loss as a value of the metric."""
        return loss if self.goal == "minimise" else -loss
