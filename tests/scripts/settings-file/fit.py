"""A polynomial fitted by gradient steps, set by a settings file and a dataclass; its model is a file of its own."""

import csv
import json
import random
from dataclasses import dataclass
from pathlib import Path

from model.polynomial import Polynomial

HERE = Path(__file__).parent


@dataclass
class Averaging:
    decay: float = 0.95
    start_at: int = 10


def main():
    with open(HERE / "config.json") as file:
        config = json.load(file)
    optim, trainer, averaging = config["optim"], config["trainer"], Averaging()
    with open(config["data"], newline="") as file:
        rows = [(float(row["x"]), float(row["y"])) for row in csv.DictReader(file)]
    train, val = rows[:90], rows[90:]
    random.seed(trainer["seed"])
    model = Polynomial(config["model"]["degree"], config["model"]["scale"] * random.uniform(0.9, 1.1))
    average, speed, step = list(model.weights), [0.0] * len(model.weights), 0
    for epoch in range(trainer["epochs"]):
        random.shuffle(train)
        for start in range(0, len(train), optim["batch_size"]):
            batch = train[start : start + optim["batch_size"]]
            gradient = model.gradient(batch)
            speed = [optim["momentum"] * s - optim["lr"] * g for s, g in zip(speed, gradient, strict=True)]
            model.weights = [w + s for w, s in zip(model.weights, speed, strict=True)]
            keep = averaging.decay if step >= averaging.start_at else 0.0
            average = [keep * a + (1 - keep) * w for a, w in zip(average, model.weights, strict=True)]
            step += 1
        print(f"epoch {epoch}: train_mse={model.loss(train):.5f}")
    model.weights = average
    print(f"---\nval_mse: {model.loss(val):.6f}\nn_steps: {step}")


if __name__ == "__main__":
    main()
