"""typer: bounds in Option, plain and annotated."""

from typing import Annotated

import typer


def main(
    lr: float = typer.Option(1, min=0.1, max=2),
    width: Annotated[int, typer.Option("--width", "-w", min=8)] = 32,
    epochs: int = 3,
) -> None:
    for _ in range(epochs):
        loss = abs(lr - 0.3) + 1 / width
    print(f"val loss {loss:.6f}")


typer.run(main)
