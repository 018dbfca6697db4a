"""A dataclass that options fill, and a constant that is the default of an option."""

import argparse
from dataclasses import dataclass

RATE = 0.1


@dataclass
class ModelConfig:
    n_layer: int = 4
    n_embd: int = 64
    dropout: float = 0.1


p = argparse.ArgumentParser()
p.add_argument("--n-layer", type=int, default=4)
p.add_argument("--n-embd", type=int, default=64)
p.add_argument("--lr", type=float, default=RATE)
a = p.parse_args()
cfg = ModelConfig(n_layer=a.n_layer, n_embd=a.n_embd)
for _ in range(3):
    loss = 1 / cfg.n_layer + 1 / cfg.n_embd + cfg.dropout + a.lr
print(f"val loss {loss:.6f}")
