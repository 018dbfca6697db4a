"""click: declared ranges and choices are the space."""

import click


@click.command()
@click.option("--lr", type=click.FloatRange(0.05, 0.5), default=0.1)
@click.option("--layers", type=click.IntRange(1, 6), default=6)
@click.option("--keep", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.5)
@click.option("--act", type=click.Choice(["relu", "gelu"]), default="relu")
@click.option("--steps", type=click.IntRange(1, 100), default=5)
def main(lr, layers, keep, act, steps):
    for _ in range(steps):
        loss = abs(lr - 0.3) + 1 / layers + keep
    print(f"val loss {loss:.6f} {act}")


main()
