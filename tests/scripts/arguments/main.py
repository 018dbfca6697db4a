#!/usr/bin/env python3
"""Logistic regression on points that it makes itself, set by command-line options; its checkpoint goes beside it."""

from __future__ import annotations

import argparse
import json
import math
import os
import random


def parse_args():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=5e-1, help="learning rate")
    parser.add_argument("--weight-decay", default=0.001, type=float)
    parser.add_argument("-b", "--batch_size", type=int, default=8)
    parser.add_argument("--max-steps", type=int, default=300)
    parser.add_argument("--optimizer", choices=["sgd", "sign"], default="sgd")
    parser.add_argument("--out-dir", default="checkpoints")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--seed", type=int, default=1337)
    return parser.parse_args()


def points(n, seed):
    draw = random.Random(seed)
    made = []
    for _ in range(n):
        x = [draw.gauss(0, 1), draw.gauss(0, 1), 1.0]
        made.append((x, float(1.5 * x[0] - x[1] + 0.3 + draw.gauss(0, 0.7) > 0)))
    return made


def chance(weights, x):
    return 1 / (1 + math.exp(-sum(w * v for w, v in zip(weights, x, strict=True))))


def main():
    args = parse_args()
    draw = random.Random(args.seed)
    train, val = points(200, 1), points(100, 2)
    weights = [draw.gauss(0, 1) for _ in range(3)]
    for step in range(args.max_steps):
        batch = draw.sample(train, args.batch_size)
        train_loss = -sum(math.log(max(1e-9, chance(weights, x) if y else 1 - chance(weights, x))) for x, y in batch)
        gradient = [sum((chance(weights, x) - y) * x[i] for x, y in batch) / len(batch) for i in range(3)]
        if args.optimizer == "sign":
            gradient = [math.copysign(0.1, g) for g in gradient]
        weights = [w - args.lr * (g + args.weight_decay * w) for w, g in zip(weights, gradient, strict=True)]
        if step % 100 == 0 or args.verbose:
            print(f"step {step}: train loss {train_loss:.4f}")
    val_acc = sum((chance(weights, x) > 0.5) == bool(y) for x, y in val) / len(val)
    val_loss = -sum(math.log(max(1e-9, chance(weights, x) if y else 1 - chance(weights, x))) for x, y in val) / len(val)
    os.makedirs(args.out_dir, exist_ok=True)
    with open(os.path.join(args.out_dir, "weights.json"), "w") as file:
        json.dump(weights, file)
    print(f"final: val acc {val_acc:.2%}, val loss {val_loss:.4f}")


if __name__ == "__main__":
    main()
