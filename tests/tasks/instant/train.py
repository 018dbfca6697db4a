"""A loss that follows from four values, without any training."""

import os

WIDTH = 2.0
SHIFT = 0.3
DEPTH = 4
ORDER = "forward"


def loss():
    return (WIDTH - 0.7) ** 2 + SHIFT**2 + 0.1 * abs(DEPTH - 3) + (0.05 if ORDER == "forward" else 0.0)


if __name__ == "__main__":
    os.environ.get("TRAIN_BUDGET")  # so that a rehearsal may run it
    print(f"---\nloss: {loss():.12f}")
