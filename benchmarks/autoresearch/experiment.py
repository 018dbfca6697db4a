"""The paper's search space: 14 constants of one script, their ranges and defaults, and the charge of a trial."""

import math
from typing import Any

from agent.edits.edit import Params, Value
from agent.search.space import SearchSpace

SEQUENCE_TOKENS = 2048
VOCABULARY = 8192
LIMIT_GB = 75.3  # largest peak of a trial that succeeded: 75.7
SUCCESS_SECONDS = 300.2  # charged; means over the published trials
FAILURE_SECONDS = 32.0

DEFAULTS: Params = {
    "DEPTH": 8,
    "ASPECT_RATIO": 64,
    "HEAD_DIM": 128,
    "DEVICE_BATCH_SIZE": 128,
    "TOTAL_BATCH_SIZE": 524288,
    "EMBEDDING_LR": 0.6,
    "UNEMBEDDING_LR": 0.004,
    "MATRIX_LR": 0.04,
    "SCALAR_LR": 0.5,
    "WEIGHT_DECAY": 0.2,
    "WARMUP_RATIO": 0.0,
    "WARMDOWN_RATIO": 0.5,
    "FINAL_LR_FRAC": 0.0,
    "WINDOW_PATTERN": "SSSL",
}
PATTERNS = ("SSSL", "SSLL", "SLSL", "LLLL", "SSSS", "LSSL")  # in the paper's order
TABLES: dict[str, dict[str, Any]] = {
    "DEPTH": {"type": "int", "low": 4, "high": 24},
    "ASPECT_RATIO": {"type": "int", "low": 32, "high": 128},
    "HEAD_DIM": {"type": "power_of_two", "low": 64, "high": 256},
    "DEVICE_BATCH_SIZE": {"type": "power_of_two", "low": 32, "high": 256},
    "TOTAL_BATCH_SIZE": {"type": "power_of_two", "low": 65536, "high": 2097152},
    "EMBEDDING_LR": {"type": "float", "low": 0.01, "high": 2.0, "log": True},
    "UNEMBEDDING_LR": {"type": "float", "low": 0.0005, "high": 0.05, "log": True},
    "MATRIX_LR": {"type": "float", "low": 0.005, "high": 0.2, "log": True},
    "SCALAR_LR": {"type": "float", "low": 0.05, "high": 2.0, "log": True},
    "WEIGHT_DECAY": {"type": "float", "low": 0.0, "high": 0.5},
    "WARMUP_RATIO": {"type": "float", "low": 0.0, "high": 0.3},
    "WARMDOWN_RATIO": {"type": "float", "low": 0.1, "high": 0.8},
    "FINAL_LR_FRAC": {"type": "float", "low": 0.0, "high": 0.2},
    "WINDOW_PATTERN": {"type": "categorical", "choices": list(PATTERNS)},
}
# Known from the script, not from the trials: width is depth x aspect, and a step takes whole device batches.
DERIVED: dict[str, dict[str, Any]] = {
    "width": {"replaces": "ASPECT_RATIO", "product": "DEPTH * ASPECT_RATIO"},
    "accumulation": {
        "replaces": "TOTAL_BATCH_SIZE",
        "product": f"TOTAL_BATCH_SIZE / (DEVICE_BATCH_SIZE * {SEQUENCE_TOKENS})",
        "low": 1,
        "high": 16,
    },
}
# Activations of the layers, logits, and matrices with their optimizer states.
MEMORY: dict[str, Any] = {
    "limit_gb": LIMIT_GB,
    "define": {"width": "ceil(DEPTH * ASPECT_RATIO / HEAD_DIM) * HEAD_DIM"},
    "terms": ["DEVICE_BATCH_SIZE * DEPTH * width", "DEVICE_BATCH_SIZE", "DEPTH * width * width"],
}
SPACE = SearchSpace.from_tables(TABLES, DERIVED)
SCRIPT = "".join(f"{name} = {value!r}\n" for name, value in DEFAULTS.items())


def as_run(params: Params) -> dict[str, Value]:
    """Return a configuration as the paper's harness ran it: a step has at least one device batch."""
    smallest = int(params["DEVICE_BATCH_SIZE"]) * SEQUENCE_TOKENS
    return {**params, "TOTAL_BATCH_SIZE": max(int(params["TOTAL_BATCH_SIZE"]), smallest)}


def width(params: Params) -> int:
    """Return the model's width: depth x aspect ratio, rounded up to whole heads."""
    head = int(params["HEAD_DIM"])
    return math.ceil(int(params["DEPTH"]) * int(params["ASPECT_RATIO"]) / head) * head


def n_weights(params: Params) -> int:
    """Return the number of weights: matrices of the layers, embeddings, output head, value embeddings."""
    depth, d = int(params["DEPTH"]), width(params)
    return 12 * depth * d * d + (2 + math.ceil(depth / 2)) * VOCABULARY * d
