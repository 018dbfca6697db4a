"""Frozen: loads what train.py left behind and writes the loss of each next token."""

import os
import sys

import numpy as np

sys.path.insert(0, "/task")
import train

length = int(os.environ["SCORE_LENGTH"])
model = train.load(os.environ["SCORE_ARTIFACT"])


def log_probabilities(tokens):
    logits = np.asarray(model(tokens), dtype=np.float64)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


tokens = np.fromfile(os.environ["SCORE_TOKENS"], dtype=np.uint16).astype(np.int64)
if sys.argv[1] == "claim":
    tokens = tokens.reshape(-1, length + 1)
    found = log_probabilities(tokens[:, :-1])
    result = -np.take_along_axis(found, tokens[:, 1:, None], axis=-1)[..., 0]
else:
    tokens = tokens.reshape(-1, length)
    positions = np.fromfile("/data/positions.bin", dtype=np.int64)
    result = np.asarray(model(tokens))[np.arange(len(tokens)), positions]
result.astype(np.float32).tofile(os.environ["SCORE_OUTPUT"])
