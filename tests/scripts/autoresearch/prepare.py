"""The frozen half of a script laid out as karpathy/autoresearch's: data from the cache, the time budget, the metric."""

import itertools
import math
import os

TIME_BUDGET = 0.3  # training time in seconds (there: 300)
VOCAB_SIZE = 27

CACHE_DIR = os.path.join(os.path.expanduser("~"), ".cache", "autoresearch")
DATA_DIR = os.path.join(CACHE_DIR, "data")


def load_tokens(split):
    with open(os.path.join(DATA_DIR, f"{split}.txt")) as file:
        return [max(0, ord(letter) - 96) if letter.isalpha() else 0 for letter in file.read().lower()]


def evaluate_bpb(predict, tokens):
    """Bits per byte of the next letter."""
    nats = -sum(math.log(predict(left)[right]) for left, right in itertools.pairwise(tokens))
    return nats / math.log(2) / (len(tokens) - 1)


if __name__ == "__main__":
    os.makedirs(DATA_DIR, exist_ok=True)
    text = "the agent edits the script and keeps what lowers the loss " * 40
    for split, part in (("train", text[:1800]), ("val", text[1800:])):
        with open(os.path.join(DATA_DIR, f"{split}.txt"), "w") as file:
            file.write(part)
