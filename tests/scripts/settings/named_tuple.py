"""A NamedTuple, and attrs with validators."""

from typing import NamedTuple

import attrs


class Hyper(NamedTuple):
    lr: float = 0.05
    layers: int = 3


@attrs.define
class Settings:
    gain: float = attrs.field(default=1.0, validator=[attrs.validators.ge(0.5), attrs.validators.le(2)])
    norm: str = attrs.field(default="layer", validator=attrs.validators.in_(["layer", "batch"]))


hyper, config = Hyper(), Settings()
for _ in range(3):
    loss = abs(hyper.lr - 0.3) + 1 / hyper.layers + config.gain
print(f"val loss {loss:.6f} {config.norm}")
