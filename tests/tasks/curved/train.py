"""A curve that follows from four values, printed as a training would print it. Its end is the loss.

It falls to FLOOR, late with a BEND above 1, and not at all in the share WARMUP of the budget. A step of the second half
takes PAUSE seconds.
"""

import math
import os
import time

FLOOR = 0.5
BEND = 1.0
WARMUP = 0.0
PAUSE = 0.0

N_STEPS = int(os.environ["TRAIN_BUDGET"])
NOISE = 0.001 * int(os.environ["TRAIN_SEED"])


def loss(progress):
    learned = max(0.0, progress - WARMUP) ** BEND
    return FLOOR + 3.0 * math.exp(-4.0 * learned) + NOISE


if __name__ == "__main__":
    for step in range(N_STEPS + 1):
        print(f"step {step} progress {step / N_STEPS:.3f} loss {loss(step / N_STEPS):.6f}", flush=True)
        time.sleep(PAUSE if 2 * step > N_STEPS else 0.0)
    print(f"---\nloss: {loss(1.0):.12f}")
