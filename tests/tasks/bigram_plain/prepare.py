"""Frozen: makes a small text of repeating words, cut into train, val and test."""

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np

LENGTH = 32
N_TOKENS = 27

parser = argparse.ArgumentParser()
parser.add_argument("--out", type=Path, required=True)
out = parser.parse_args().out

rng = np.random.default_rng(7)
words = [rng.integers(1, N_TOKENS, size=n) for n in rng.integers(2, 7, size=40)]
splits = {"train": 4000, "val": 600, "test": 400}
files = {}
for split, n_words in splits.items():
    chosen = rng.choice(len(words), size=n_words)
    tokens = np.concatenate([np.append(words[i], 0) for i in chosen]).astype(np.uint16)
    (out / split).mkdir(parents=True, exist_ok=True)
    path = out / split / f"{split}.bin"
    tokens.tofile(path)
    files[split] = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
seen = {"seq_len": LENGTH, "vocab_size": N_TOKENS}
(out / "train" / "meta.json").write_text(json.dumps(seen))
(out / "meta.json").write_text(json.dumps({**seen, "token_bytes": [1] * N_TOKENS, "files": files}))
