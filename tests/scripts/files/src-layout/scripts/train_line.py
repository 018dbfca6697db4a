"""Needs `pip install -e .`, which puts src/ on the path."""

from fitting.models.line import loss_at

STEP_SIZE = 0.05


def main() -> None:
    x = 1.0
    for step in range(8):
        x -= STEP_SIZE
        loss = loss_at(x)
    print(f"validation loss: {loss:.6f}")


if __name__ == "__main__":
    main()
