"""The data of a task: prepared once, kept in a cache, checked by hash before it is used."""

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.errors import MissingRequirementError, TaskError
from agent.task.task import Task


@dataclass(frozen=True)
class Corpus:
    """A prepared corpus: `train/` for the training sandbox, `val/` and `test/` for scoring, meta.json for the host."""

    folder: Path

    @property
    def train(self) -> Path:
        """The only folder that a training sandbox sees."""
        return self.folder / "train"

    @cached_property
    def meta(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads((self.folder / "meta.json").read_text())
        return data

    @property
    def length(self) -> int:
        """T, the number of predictions of one sequence."""
        return int(self.meta["seq_len"])

    @cached_property
    def token_bytes(self) -> NDArray[np.int64]:
        """Number of bytes that each token stands for, shape (V,); 0 for special tokens."""
        return np.asarray(self.meta["token_bytes"], dtype=np.int64)

    @cached_property
    def digest(self) -> str:
        """Hash of all that training and scoring read: every file's own hash, and how the host reads them."""
        read = {name: about["sha256"] for name, about in self.meta["files"].items()}
        known = {key: self.meta[key] for key in ("seq_len", "token_bytes", "n_outputs") if key in self.meta}
        return hashlib.sha256(json.dumps([read, known], sort_keys=True).encode()).hexdigest()[:16]

    def sequences(self, split: str) -> NDArray[np.uint16]:
        """Return the sequences of `val` or `test`, shape (N, T + 1): they do not overlap."""
        tokens = np.fromfile(self.folder / split / f"{split}.bin", dtype=np.uint16)
        n = len(tokens) // (self.length + 1)
        return tokens[: n * (self.length + 1)].reshape(n, self.length + 1)


def cache_key(task: Task) -> str:
    """Return the folder name under which the data of `task` is cached."""
    state = hashlib.sha256(json.dumps(task.data.prepare).encode())
    for name in task.frozen:
        state.update(task.files[name])
    return f"{task.name}-{state.hexdigest()[:12]}"


def find_corpus(task: Task, cache: Path) -> Corpus | None:
    """Return the prepared data of `task` if it is there and whole, else None.

    Raises:
        TaskError: it is there, but its files are not the ones that were written.
    """
    corpus = Corpus(cache / cache_key(task))
    if not (corpus.folder / "meta.json").is_file():
        return None
    for name, about in corpus.meta["files"].items():
        path = corpus.folder / (name if "/" in name else f"{name}/{name}.bin")  # "val", or "val/labels.npy"
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != about["sha256"]:
            raise TaskError(f"{path} has changed since it was prepared; remove {corpus.folder} and run again")
    return corpus


def prepare_corpus(task: Task, cache: Path) -> Corpus:
    """Return the prepared data of `task`, running its prepare command on the host if it is not there.

    Raises:
        MissingRequirementError: the command failed; the message has its last line.
    """
    from filelock import FileLock

    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / f"{cache_key(task)}.lock"):
        found = find_corpus(task, cache)
        if found is not None:
            return found
        target = cache / cache_key(task)
        argv = [part.replace("{out}", str(target)) for part in task.data.prepare]
        argv[0] = sys.executable if argv[0] == "python" else argv[0]
        try:
            done = subprocess.run(
                argv, cwd=task.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
            )
        except OSError as error:
            raise MissingRequirementError(f"cannot run {argv[0]} to prepare the data: {error.strerror}") from error
        found = find_corpus(task, cache) if done.returncode == 0 else None
        if found is None:
            shutil.rmtree(target, ignore_errors=True)
            last = (done.stdout.strip().splitlines() or ["it printed nothing"])[-1]
            raise MissingRequirementError(f"preparing the data failed: {last}")
        return found
