def loss_at(x: float) -> float:
    return abs(x - 0.3)
