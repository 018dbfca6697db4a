"""A dataclass for tyro, as single-file reinforcement learning has it: length, rollouts, what is computed later."""

from dataclasses import dataclass
from typing import Literal, Optional

import tyro


@dataclass
class Args:
    total_timesteps: int = 5000
    num_steps: int = 128
    num_minibatches: int = 4
    learning_rate: float = 3e-4
    gamma: float = 0.99
    gae_lambda: float = 0.95
    ent_coef: float = 0.01
    target_kl: Optional[float] = 1
    anneal: Literal["linear", "cosine"] = "linear"
    capture_video: bool = False
    batch_size: int = 0
    seed: int = 1


args = tyro.cli(Args)
args.batch_size = args.num_steps * 4
for _ in range(args.total_timesteps // args.batch_size):
    loss = args.learning_rate + args.gamma
print(f"val loss {loss:.6f}")
