"""Counts pairs of tokens; predicts with smoothed, mixed frequencies."""

import json
import math
import os
import random
import sys
import time
from array import array
from itertools import pairwise

SMOOTHING = 20.0  # added to every count
MIX = 0.5  # share of the pair frequencies; the rest is the single-token frequencies
STRIDE = 3  # use every n-th pair
CHUNK = 256  # pairs counted per step and unit of budget
ORDER = "forward"  # from which end of the text


def load(path):
    """Return a function from rows of B x T token ids to B x T x V logits, all of them lists."""
    with open(path) as file:
        table = json.load(file)
    logits = [[math.log(share) for share in row] for row in table]
    return lambda rows: [[logits[token] for token in row] for row in rows]


def main():
    data = os.environ["TRAIN_DATA"]
    with open(f"{data}/meta.json") as file:
        n_tokens = json.load(file)["vocab_size"]
    with open(f"{data}/train.bin", "rb") as file:
        tokens = array("H", file.read())
    rng = random.Random(int(os.environ["TRAIN_SEED"]))
    started = time.time()
    counts = [[0] * n_tokens for _ in range(n_tokens)]
    steps = int(float(os.environ["TRAIN_BUDGET"]))
    pairs = list(pairwise(tokens))[::STRIDE]
    pairs = pairs[::-1] if ORDER == "backward" else pairs
    for step in range(steps):
        begin = rng.randrange(max(1, len(pairs) - CHUNK))
        for token, following in pairs[begin : begin + CHUNK]:
            counts[token][following] += 1
        n_counted = sum(map(sum, counts))
        print(f"step {step + 1:05d} progress {(step + 1) / steps:.3f} loss {n_counted:.4f}", flush=True)
    single = [(sum(column) + 1) / (n_counted + n_tokens) for column in zip(*counts, strict=True)]
    table = [
        [
            MIX * (count + SMOOTHING / n_tokens) / (sum(row) + SMOOTHING) + (1 - MIX) * share
            for count, share in zip(row, single, strict=True)
        ]
        for row in counts
    ]
    if not all(math.isfinite(share) for row in table for share in row):
        sys.exit("FAIL: diverged: the table is not finite")
    with open(os.environ["TRAIN_OUTPUT"], "w") as file:
        json.dump(table, file)
    print(f"---\ntraining_seconds: {time.time() - started:.3f}\nnum_steps: {steps}")


if __name__ == "__main__":
    main()
