"""Counts pairs of tokens; predicts with smoothed, mixed frequencies."""

import json
import os
import sys
import time

import numpy as np

SMOOTHING = 20.0  # added to every count
MIX = 0.5  # share of the pair frequencies; the rest is the single-token frequencies
STRIDE = 3  # use every n-th pair
CHUNK = 256  # pairs counted per step and unit of budget
ORDER = "forward"  # from which end of the text


def load(path):
    """Return a function from token ids, shape (B, T), to logits, shape (B, T, V)."""
    with open(path, "rb") as file:
        table = np.load(file, allow_pickle=False)
    return lambda tokens: np.log(table)[tokens]


def main():
    data = os.environ["TRAIN_DATA"]
    with open(f"{data}/meta.json") as file:
        n_tokens = json.load(file)["vocab_size"]
    tokens = np.fromfile(f"{data}/train.bin", dtype=np.uint16)
    rng = np.random.default_rng(int(os.environ["TRAIN_SEED"]))
    started = time.time()
    counts = np.zeros((n_tokens, n_tokens))
    steps = int(float(os.environ["TRAIN_BUDGET"]))
    pairs = np.stack([tokens[:-1], tokens[1:]])[:, ::STRIDE]
    pairs = pairs[:, ::-1] if ORDER == "backward" else pairs
    for step in range(steps):
        begin = int(rng.integers(max(1, pairs.shape[1] - CHUNK)))
        np.add.at(counts, tuple(pairs[:, begin : begin + CHUNK]), 1)
        print(f"step {step + 1:05d} progress {(step + 1) / steps:.3f} loss {counts.sum():.4f}", flush=True)
    pair = (counts + SMOOTHING / n_tokens) / (counts.sum(1, keepdims=True) + SMOOTHING)
    single = (counts.sum(0) + 1) / (counts.sum() + n_tokens)
    table = MIX * pair + (1 - MIX) * single
    if not np.isfinite(table).all():
        sys.exit("FAIL: diverged: the table is not finite")
    with open(os.environ["TRAIN_OUTPUT"], "wb") as file:
        np.save(file, table)
    print(f"---\ntraining_seconds: {time.time() - started:.3f}\nnum_steps: {steps}")


if __name__ == "__main__":
    main()
