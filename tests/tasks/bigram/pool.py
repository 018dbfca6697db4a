"""Not frozen, seen by no job: makes further documents of the words that prepare.py's text repeats."""

import argparse
import random
from array import array
from pathlib import Path

N_DOCUMENTS, N_WORDS = 260, 120  # of about 540 tokens: 4 sequences of 33 tokens, 4 apart, fit into each

parser = argparse.ArgumentParser()
parser.add_argument("--out", type=Path, required=True)
parser.add_argument("--data", type=Path, required=True)
folders = parser.parse_args()

trained_on = array("H", (folders.data / "train" / "train.bin").read_bytes())
words, word = set(), []
for token in trained_on:
    word.append(token)
    if token == 0:
        words.add(tuple(word))
        word = []

chance = random.Random(8)
documents = [[t for w in chance.choices(sorted(words), k=N_WORDS) for t in w] for _ in range(N_DOCUMENTS)]
(folders.out / "documents.bin").write_bytes(array("H", [t for document in documents for t in document]).tobytes())
(folders.out / "lengths.bin").write_bytes(array("q", map(len, documents)).tobytes())
