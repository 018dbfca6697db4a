from .constants import CENTRE


def target(x: float) -> float:
    return (x - CENTRE) ** 2
