def target(x: float) -> float:
    return (x - 0.3) ** 2
