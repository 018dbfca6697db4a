"""Works for as long as it may, and is the better the more steps it came to."""

import math
import os
import time

RATE = 1.0
STEP = 2_000  # additions


def main():
    seconds = float(os.environ["TRAIN_BUDGET"])
    began, n_steps = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        total = 0
        for number in range(STEP):
            total += number & 7
        n_steps += 1
    loss = 3.0 - 0.1 * math.log(n_steps / seconds) + 0.01 * (RATE - 1.2) ** 2
    print(f"---\nloss: {loss:.9f}\nsteps: {n_steps}")


if __name__ == "__main__":
    main()
