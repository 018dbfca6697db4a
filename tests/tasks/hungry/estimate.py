"""Tells what train.py will take, four times too much."""

import os

import train

assert os.environ["TRAIN_ESTIMATE"] == "memory"
print(f"memory_gb: {4 * (4 + 24 * train.PIECES) / 1024}")
