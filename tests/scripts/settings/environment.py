"""Defaults of environment variables, with and without a cast, as constants and in calls."""

import os

LR = float(os.environ.get("LR", "0.1"))
width = int(os.getenv("WIDTH", 8))
SMOOTHING = float(os.environ.get("SMOOTHING") or 0.05)
RANK = int(os.environ.get("LOCAL_RANK", "0"))
SEED = int(os.environ.get("TRAIN_SEED", 3))


def main():
    epochs = int(os.environ.get("EPOCHS", "3"))
    decay = os.environ.get("DECAY", "1e-3")
    for _ in range(epochs):
        loss = (LR - 0.3) ** 2 + 1 / width + SMOOTHING + float(decay)
    print(f"val loss {loss:.6f}")


main()
