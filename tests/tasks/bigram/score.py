"""Frozen: loads what train.py left behind and writes the loss of each next token."""

import math
import os
import sys
from array import array

sys.path.insert(0, "/task")
import train

length = int(os.environ["SCORE_LENGTH"])
model = train.load(os.environ["SCORE_ARTIFACT"])


def numbers(kind, path):
    with open(path, "rb") as file:
        return array(kind, file.read())


def loss(logits, target):
    return math.log(sum(map(math.exp, logits))) - logits[target]


tokens = numbers("H", os.environ["SCORE_TOKENS"])
result = array("f")
if sys.argv[1] == "claim":
    rows = [tokens[start : start + length + 1] for start in range(0, len(tokens), length + 1)]
    for row, logits in zip(rows, model([row[:-1] for row in rows]), strict=True):
        result.extend(map(loss, logits, row[1:]))
else:
    rows = [tokens[start : start + length] for start in range(0, len(tokens), length)]
    for logits, position in zip(model(rows), numbers("q", "/data/positions.bin"), strict=True):
        result.extend(logits[position])
with open(os.environ["SCORE_OUTPUT"], "wb") as file:
    result.tofile(file)
