"""The data of a task: prepared once, cached, and verified by hash before use."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.files import let_jobs_read
from agent.task.host_commands.host_code import run_step
from agent.task.host_commands.prepared import made_once, whole
from agent.task.task import Task


@dataclass(frozen=True)
class Corpus:
    """A prepared corpus: `train/` for training sandboxes, `val/` and `test/` for scoring, meta.json for the host."""

    folder: Path

    @property
    def train(self) -> Path:
        """The only folder that a training sandbox sees."""
        return self.folder / "train"

    @cached_property
    def meta(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads((self.folder / "meta.json").read_text(encoding="utf-8"))
        return data

    @property
    def length(self) -> int:
        """T, the number of predictions of one sequence."""
        return int(self.meta["seq_len"])

    @cached_property
    def token_bytes(self) -> NDArray[np.int64]:
        """Number of bytes of each token, shape (V,); 0 for special tokens."""
        return np.asarray(self.meta["token_bytes"], dtype=np.int64)

    @cached_property
    def digest(self) -> str:
        """Hash of everything that training and scoring read: the hash of each file, and how the host reads them."""
        read = {name: about["sha256"] for name, about in self.meta["files"].items()}
        known = {key: self.meta[key] for key in ("seq_len", "token_bytes", "n_outputs") if key in self.meta}
        return hashlib.sha256(json.dumps([read, known], sort_keys=True).encode()).hexdigest()[:16]

    def sequences(self, split: str) -> NDArray[np.uint16]:
        """Return the sequences of `val` or `test`, shape (N, T + 1); they do not overlap."""
        tokens = np.fromfile(self.folder / split / f"{split}.bin", dtype=np.uint16)
        n = len(tokens) // (self.length + 1)
        return tokens[: n * (self.length + 1)].reshape(n, self.length + 1)


def cache_key(task: Task) -> str:
    """Return the name of the cache folder with the data of `task`."""
    state = hashlib.sha256(json.dumps(task.data.prepare).encode())
    for name in task.frozen:
        state.update(task.files[name])
    return f"{task.name}-{state.hexdigest()[:12]}"


def find_corpus(task: Task, cache: Path) -> Corpus | None:
    """Return the prepared data of `task` if it is complete, else None.

    Raises:
        TaskError: its files have changed since they were written.
    """
    corpus = Corpus(cache / cache_key(task))
    if not (corpus.folder / "meta.json").is_file():
        return None
    for name, about in corpus.meta["files"].items():
        within = name if "/" in name else f"{name}/{name}.bin"  # "val", or "val/labels.npy"
        whole(corpus.folder, within, about["sha256"])
    return corpus


def prepare_corpus(task: Task, cache: Path) -> Corpus:
    """Return the prepared data of `task`, after running its prepare command on the host if needed.

    Raises:
        MissingRequirementError: the command failed; the message has the last line that it printed.
    """
    target = cache / cache_key(task)

    def make() -> str:
        last = run_step(task, "prepare", {"out": target})
        let_jobs_read(target / "train")
        return last

    return made_once(target, "the data", lambda: find_corpus(task, cache), make)
