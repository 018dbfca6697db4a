"""pydantic: bounds in Field, in Annotated and by type; an enum; Literal numbers."""

from enum import Enum
from typing import Annotated, Literal

from pydantic import BaseModel, Field, PositiveInt


class Act(Enum):
    RELU = "relu"
    GELU = "gelu"


class Config(BaseModel):
    lr: float = Field(0.1, gt=0, le=0.5)
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    depth: int = Field(default=2, ge=1, le=4)
    width: PositiveInt = 48
    groups: Literal[1, 2, 4] = 2
    act: Act = Act.RELU
    max_steps: int = 5


config = Config()
for _ in range(config.max_steps):
    loss = abs(config.lr - 0.3) + config.momentum + 1 / config.depth + 1 / config.width + 1 / config.groups
print(f"val loss {loss:.6f} {config.act.value}")
