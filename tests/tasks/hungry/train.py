"""A loss that falls with the memory it takes: up to 8 pieces of 24 MiB fit."""

PIECES = 4
SHIFT = 0.5


def loss():
    return 1 / PIECES + SHIFT**2


if __name__ == "__main__":
    memory = [b"x" * (24 * 2**20) for _ in range(PIECES)]
    print(f"---\nloss: {loss():.12f}")
