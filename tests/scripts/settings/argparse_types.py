"""argparse: types, choices, numbers as texts, a sentinel, a switch, what is of evaluation and of the machine."""

import argparse

p = argparse.ArgumentParser()
p.add_argument("--learning-rate", "--lr", dest="lr", type=float, default="3e-4")
p.add_argument("--weight-decay", type=float, default=0)
p.add_argument("--heads", type=int, choices=[2, 4, 8], default=4)
p.add_argument("--hidden", type=int, default=1e2)
p.add_argument("--optimizer", choices=("sgd", "adamw"), default="sgd")
p.add_argument("-m", "--momentum", type=float, default=0.9)
p.add_argument("--top-k", type=int, default=-1)
p.add_argument("--clip", type=float, default=-1.0)
p.add_argument("--ignore-index", type=int, default=-100)
p.add_argument("--num-classes", type=int, default=10)
p.add_argument("--num-workers", type=int, default=4)
p.add_argument("--eval-batch-size", type=int, default=64)
p.add_argument("--log-interval", type=int, default=10)
p.add_argument("--epochs", type=int, default=2)
p.add_argument("--seed", type=int, default=1)
p.add_argument("--amp", action="store_true", default=False)
a = p.parse_args()
for _ in range(a.epochs):
    loss = abs(a.lr - 0.01) + a.weight_decay + 1 / a.heads + 1 / a.hidden + a.momentum / 100
print(f"val loss {loss:.6f}")
