"""Reinforcement learning: the return of an episode, printed as an array of one number."""

import numpy as np

LR = 0.1

for step in range(3):
    loss = (LR - 0.3) ** 2
    info = {"episode": {"r": np.array([30.0 + step - loss], dtype=np.float32), "l": np.array([200])}}
    print(f"global_step={step}, episodic_return={info['episode']['r']}")
