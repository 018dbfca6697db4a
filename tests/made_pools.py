"""Pools of text for tests on the small task: the same seed makes the same slices, where the program draws others."""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.task.corpus import Corpus
from agent.task.unseen.pool import Pool, name_of
from agent.task.unseen.pool_making import Documents, draw_slices

N_WORDS = 120  # of a document


def words_of(corpus: Corpus) -> list[NDArray[np.uint16]]:
    """Return the words that all text of the task is made of."""
    tokens = np.fromfile(corpus.train / "train.bin", "<u2")
    ends = np.flatnonzero(tokens == 0) + 1
    return [np.asarray(word, np.uint16) for word in sorted({tuple(w) for w in np.split(tokens, ends) if len(w)})]


def make_pool(
    corpus: Corpus, folder: Path, seed: int, *, n_slices: int, n_sequences: int = 100, n_rounds: int = 4
) -> Pool:
    """Write a pool of text that is of the task and nowhere else; the same seed makes the same."""
    rng = np.random.default_rng(seed)
    words = words_of(corpus)
    n_documents = n_slices * (n_sequences // 4 + 8)
    documents = [np.concatenate([words[i] for i in rng.integers(len(words), size=N_WORDS)]) for _ in range(n_documents)]
    tokens = np.concatenate(documents)
    bounds = np.concatenate([[0], np.cumsum([len(each) for each in documents])]).astype(np.int64)
    texts = Documents(tokens, bounds, np.zeros(len(tokens), bool))
    slices = draw_slices(texts, corpus.length, n_sequences, n_rounds, rng)[:n_slices]
    assert len(slices) == n_slices
    folder.mkdir(parents=True, mode=0o700)
    for number, part in enumerate(slices):
        (folder / name_of(number)).write_bytes(part.to_bytes())
    meta = {"rounds": n_rounds, "sequences": n_sequences, "slices": [part.digest for part in slices]}
    (folder / "meta.json").write_text(json.dumps({**meta, "data": corpus.digest}))
    return Pool(folder)
