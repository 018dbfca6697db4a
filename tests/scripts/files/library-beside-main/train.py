import math


def train_and_evaluate(rate: float, n_epochs: int) -> float:
    x = 1.0
    for epoch in range(n_epochs):
        x -= rate * x
        loss = math.fabs(x)
    return loss
