"""Default arguments of a function that fire turns into a command."""

import fire


def run(lr: float = 1, depth=4, keep_prob=0.8, total_epochs=3, verbose=1):
    for _ in range(total_epochs):
        loss = abs(lr - 0.3) + 1 / depth + keep_prob
    print(f"val loss {loss:.6f}")


if __name__ == "__main__":
    fire.Fire(run)
