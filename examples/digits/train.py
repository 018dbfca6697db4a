"""A perceptron with one hidden layer, trained by gradient descent. The constants and all code below may be edited."""

import os
import sys

import numpy as np

HIDDEN = 32  # units of the hidden layer
LEARNING_RATE = 0.05  # of plain gradient descent
BATCH_SIZE = 64  # examples per step
WEIGHT_DECAY = 0.0  # times the learning rate
N_INPUTS, N_OUTPUTS = 144, 10


def forward(weights, inputs):
    """Return the hidden units, (B, HIDDEN), and the logits, (B, N_OUTPUTS)."""
    hidden = np.maximum(inputs @ weights["w1"] + weights["b1"], 0)
    return hidden, hidden @ weights["w2"] + weights["b2"]


def load(path):
    """Return a function from inputs, (B, N_INPUTS), to logits, (B, N_OUTPUTS)."""
    with np.load(path, allow_pickle=False) as saved:
        weights = dict(saved)
    return lambda inputs: forward(weights, inputs)[1]


def main():
    data, n_steps = os.environ["TRAIN_DATA"], int(float(os.environ["TRAIN_BUDGET"]))
    rng = np.random.default_rng(int(os.environ["TRAIN_SEED"]))
    inputs = np.fromfile(f"{data}/inputs.bin", dtype=np.float32).reshape(-1, N_INPUTS)
    labels = np.load(f"{data}/labels.npy")
    weights = {
        "w1": rng.normal(0, (2 / N_INPUTS) ** 0.5, (N_INPUTS, HIDDEN)),
        "b1": np.zeros(HIDDEN),
        "w2": rng.normal(0, (1 / HIDDEN) ** 0.5, (HIDDEN, N_OUTPUTS)),
        "b2": np.zeros(N_OUTPUTS),
    }
    for step in range(n_steps):
        chosen = rng.integers(len(labels), size=BATCH_SIZE)
        x, y = inputs[chosen], labels[chosen]
        hidden, logits = forward(weights, x)
        shares = np.exp(logits - logits.max(1, keepdims=True))
        shares /= shares.sum(1, keepdims=True)
        loss = -np.log(shares[np.arange(BATCH_SIZE), y]).mean()
        if not np.isfinite(loss):
            sys.exit(f"FAIL: diverged: loss is {loss} at step {step}")
        shares[np.arange(BATCH_SIZE), y] -= 1
        back = (shares @ weights["w2"].T) * (hidden > 0)
        slopes = {"w1": x.T @ back, "b1": back.sum(0), "w2": hidden.T @ shares, "b2": shares.sum(0)}
        for name, slope in slopes.items():
            weights[name] -= LEARNING_RATE * (slope / BATCH_SIZE + WEIGHT_DECAY * weights[name])
        if step % 50 == 0 or step == n_steps - 1:
            print(f"step {step:05d} progress {(step + 1) / n_steps:.3f} loss {loss:.4f}", flush=True)
    with open(os.environ["TRAIN_OUTPUT"], "wb") as file:
        np.savez(file, **weights)
    print(f"---\nnum_steps: {n_steps}\ntrain_loss: {loss:.4f}")


if __name__ == "__main__":
    main()
