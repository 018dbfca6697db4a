"""Flags of absl."""

from absl import app, flags

FLAGS = flags.FLAGS
flags.DEFINE_float("lr", 0.1, "rate", lower_bound=0.01, upper_bound=0.2)
flags.DEFINE_integer("layers", 3, "depth")
flags.DEFINE_enum("act", "relu", ["relu", "gelu"], "activation")
flags.DEFINE_integer("num_epochs", 4, "length")


def main(_):
    for _ in range(FLAGS.num_epochs):
        loss = abs(FLAGS.lr - 0.3) + 1 / FLAGS.layers
    print(f"val loss {loss:.6f}")


app.run(main)
