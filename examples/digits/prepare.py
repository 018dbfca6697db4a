"""Makes pictures of digits: 5 x 7 glyphs, randomly shifted and thickened, with noise. A frozen file.

Writes train/{inputs.bin, labels.npy} for training, and {inputs.bin, labels.npy} in val/ and test/, whose inputs scoring
sandboxes see and whose labels stay on the host.
"""

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np

SIDE = 12
N_EXAMPLES = {"train": 6000, "val": 2000, "test": 2000}
GLYPHS = (
    "01110 10001 10011 10101 11001 10001 01110", "00100 01100 00100 00100 00100 00100 01110",
    "01110 10001 00001 00110 01000 10000 11111", "11110 00001 00001 01110 00001 00001 11110",
    "00010 00110 01010 10010 11111 00010 00010", "11111 10000 11110 00001 00001 10001 01110",
    "00110 01000 10000 11110 10001 10001 01110", "11111 00001 00010 00100 01000 01000 01000",
    "01110 10001 10001 01110 10001 10001 01110", "01110 10001 10001 01111 00001 00010 01100",
)  # fmt: skip


def examples(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return pictures, float32 (n, SIDE * SIDE), and the digits they show, int64 (n,)."""
    glyphs = np.array([[[int(dot) for dot in row] for row in glyph.split()] for glyph in GLYPHS], dtype=np.float32)
    labels = rng.integers(0, 10, size=n)
    pictures = rng.normal(0.0, 0.25, size=(n, SIDE, SIDE)).astype(np.float32)
    for picture, label in zip(pictures, labels, strict=True):
        top, left = rng.integers(0, SIDE - 7), rng.integers(0, SIDE - 5)
        picture[top : top + 7, left : left + 5] += glyphs[label] * rng.uniform(0.7, 1.3)
    return pictures.reshape(n, -1), labels


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--out", type=Path, required=True, help="the data folder to make")
out = parser.parse_args().out
rng = np.random.default_rng(20261122)
files = {}
for split, n in N_EXAMPLES.items():
    inputs, labels = examples(n, rng)
    (out / split).mkdir(parents=True, exist_ok=True)
    inputs.tofile(out / split / "inputs.bin")
    np.save(out / split / "labels.npy", labels)
    for name in ("inputs.bin", "labels.npy"):
        files[f"{split}/{name}"] = {"sha256": hashlib.sha256((out / split / name).read_bytes()).hexdigest()}
(out / "meta.json").write_text(json.dumps({"n_inputs": SIDE * SIDE, "n_outputs": 10, "files": files}) + "\n")
