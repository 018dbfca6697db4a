"""Numeric features of a configuration, for the fitted models."""

import math

import numpy as np
from numpy.typing import NDArray

from agent.edits.edit import Params
from benchmarks.autoresearch.experiment import PATTERNS, SEQUENCE_TOKENS, VOCABULARY, n_weights, width

Vector = NDArray[np.float64]

N_SMOOTH = 18  # loss features that the Gaussian process uses
_SMOOTH_PATTERNS = ("SSSS", "LSSL", "SLSL", "LLLL")


def loss_features(params: Params) -> Vector:
    """Return the features for val_bpb, shape (22,): the first N_SMOOTH for the Gaussian process, all for the trees."""
    depth, pattern = int(params["DEPTH"]), str(params["WINDOW_PATTERN"])
    layers = [pattern[i % 4] for i in range(depth - 1)] + ["L"]  # the last layer always has full attention
    smooth = [
        depth,
        math.log2(width(params)),
        *(math.log2(float(params[n])) for n in ("HEAD_DIM", "DEVICE_BATCH_SIZE", "TOTAL_BATCH_SIZE")),
        *(math.log(float(params[n])) for n in ("EMBEDDING_LR", "UNEMBEDDING_LR", "MATRIX_LR", "SCALAR_LR")),
        *(float(params[n]) for n in ("WEIGHT_DECAY", "WARMUP_RATIO", "WARMDOWN_RATIO", "FINAL_LR_FRAC")),
        layers.count("L") / depth,
        *(pattern == name for name in _SMOOTH_PATTERNS),
    ]
    others = (name for name in PATTERNS if name not in _SMOOTH_PATTERNS)
    size = [math.log2(n_weights(params)), width(params) / float(params["HEAD_DIM"])]
    return np.array([*smooth, *size, *(pattern == name for name in others)], dtype=np.float64)


def memory_features(params: Params) -> Vector:
    """Return the terms of the peak memory, shape (8,): activations, logits, weights, stored gradients."""
    depth, d, tokens = int(params["DEPTH"]), width(params), int(params["DEVICE_BATCH_SIZE"]) * SEQUENCE_TOKENS
    accumulates = int(params["TOTAL_BATCH_SIZE"]) > tokens
    return np.array(
        [
            1.0,
            tokens * depth * d / 1e9,
            tokens * d / 1e9,
            tokens * VOCABULARY / 1e9,
            depth * d * d / 1e6,
            VOCABULARY * d * (2 + math.ceil(depth / 2)) / 1e6,
            tokens * depth / 1e6,
            tokens * d * accumulates / 1e9,
        ]
    )
