"""Numbers below `if __name__`, in main(), in default arguments and in a dict of a function."""


def train(lr, width=16, momentum=0.9, steps=5):
    config = {"weight_decay": 0.01, "name": "x"}
    for _ in range(steps):
        loss = abs(lr - 0.3) + 1 / width + momentum / 100 + config["weight_decay"]
    return loss


def evaluate(loss, batches=10):
    return loss * batches / 10


def main(scale):
    gain = 0.7
    best = 1e9
    loss = train(lr=0.1, width=32) * gain * scale
    print(f"val loss {min(best, evaluate(loss)):.6f}")


if __name__ == "__main__":
    SCALE = 2.0
    main(SCALE)
