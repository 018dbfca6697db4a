"""The number that decides: losses are minimised inside, and shown as the user named them."""

from dataclasses import dataclass
from typing import ClassVar, Literal


@dataclass(frozen=True)
class Metric:
    """A metric as task.toml declares it."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}  # for agent.task.spec, which reads it strictly

    name: str = "val_loss"
    goal: Literal["minimise", "maximise"] = "minimise"

    def to_loss(self, value: float) -> float:
        """Return a value of the metric as a loss to minimise."""
        return value if self.goal == "minimise" else -value

    def shown(self, loss: float) -> float:
        """Return a loss as a value of the metric."""
        return loss if self.goal == "minimise" else -loss
