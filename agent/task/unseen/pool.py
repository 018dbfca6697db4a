"""The pool of a task: text that no job has seen, cut once into slices that are opened one by one.

A slice is held-out text for one confirmation. Models see its sequences in rounds: in round r each sequence up to its
r-th end, and the loss of the token after that end counts. The ends are drawn when the pool is made, and are stored on
the host with the text, so that every opening of a slice asks the same.

agent.task.unseen.pool_making makes a pool.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.errors import TaskError
from agent.task.corpus import cache_key, find_corpus
from agent.task.host_commands.prepared import digest_of, whole
from agent.task.spec import POOL_KEYS
from agent.task.task import Task

Tokens = NDArray[np.uint16]
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Slice:
    """Sequences of unseen text, each with its document and the positions where models are asked."""

    sequences: Tokens  # (N, T + 1)
    documents: Numbers  # (N,): the document's number in the command's output; no two slices share a document
    ends: Numbers  # (N, R), ascending, in [0, T): position of the last token that models see in round r

    @property
    def length(self) -> int:
        """T, the number of predictions of one sequence."""
        return int(self.sequences.shape[1]) - 1

    @property
    def n_rounds(self) -> int:
        return int(self.ends.shape[1])

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the slice's file: text, documents and ends."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def question(self, r: int) -> tuple[Tokens, Numbers]:
        """Return the question of round `r`: prefixes padded with 0 to the longest, shape (N, W), and their ends, (N,).

        The last token of a prefix is the one at its end. It contains neither its target nor anything after it.
        """
        ends = self.ends[:, r]
        width = int(ends.max()) + 1
        shown = np.arange(width) <= ends[:, None]
        return np.where(shown, self.sequences[:, :width], 0).astype(np.uint16), ends

    def targets(self, r: int) -> Numbers:
        """Return the token after each end of round `r`, shape (N,)."""
        return self.sequences[np.arange(len(self.sequences)), self.ends[:, r] + 1].astype(np.int64)

    def to_bytes(self) -> bytes:
        """Return the slice as bytes: N, T and R, then the three arrays row by row, all little-endian."""
        shape = np.asarray([len(self.sequences), self.length, self.n_rounds], "<i8")
        parts = (shape, self.sequences.astype("<u2"), self.documents.astype("<i8"), self.ends.astype("<i8"))
        return b"".join(part.tobytes() for part in parts)

    @classmethod
    def from_bytes(cls, content: bytes) -> "Slice":
        """Return the slice that `to_bytes` encoded."""
        n, length, n_rounds = (int(x) for x in np.frombuffer(content, "<i8", 3))
        documents, ends = 24 + 2 * n * (length + 1), 24 + 2 * n * (length + 1) + 8 * n
        return cls(
            np.frombuffer(content[24:documents], "<u2").reshape(n, length + 1).astype(np.uint16),
            np.frombuffer(content[documents:ends], "<i8").astype(np.int64),
            np.frombuffer(content[ends:], "<i8").reshape(n, n_rounds).astype(np.int64),
        )


@dataclass(frozen=True)
class Pool:
    """A pool on disk: `slice-000.bin` and so on, and meta.json."""

    folder: Path

    @cached_property
    def meta(self) -> dict[str, Any]:
        path = self.folder / "meta.json"
        try:
            data: dict[str, Any] = json.loads(path.read_bytes())
        except ValueError as error:
            raise TaskError(f"{path} has changed since it was made; remove {self.folder} and run again") from error
        return data

    @property
    def n_slices(self) -> int:
        return len(self.meta["slices"])

    @property
    def n_rounds(self) -> int:
        return int(self.meta["rounds"])

    @property
    def n_sequences(self) -> int:
        """Number of sequences in each slice."""
        return int(self.meta["sequences"])

    @cached_property
    def digest(self) -> str:
        """Hash of all slices, including their ends."""
        return digest_of(self.meta["slices"])

    def slice(self, number: int) -> Slice:
        """Read one slice. Raises TaskError if it has changed since it was made, IndexError if it does not exist."""
        if not 0 <= number < self.n_slices:
            raise IndexError(f"the pool has slices 0 to {self.n_slices - 1}, not {number}")
        return Slice.from_bytes(whole(self.folder, name_of(number), self.meta["slices"][number]))


def bands(length: int, n_rounds: int) -> Numbers:
    """Return the bounds that divide T positions into R bands, equal up to rounding, shape (R + 1,)."""
    return np.arange(n_rounds + 1) * length // n_rounds


def pool_key(task: Task) -> str:
    """Return the name of the cache folder with the pool of `task`."""
    data = task.data
    state = hashlib.sha256(json.dumps([data.prepare, data.pool, data.pool_rounds, data.slice_sequences]).encode())
    for name, content in sorted({**{name: task.files[name] for name in task.frozen}, **task.pool_files}.items()):
        state.update(f"\0{name}\0{len(content)}\0".encode() + content)
    return f"{task.name}-pool-{state.hexdigest()[:12]}"


def find_pool(task: Task, cache: Path) -> Pool | None:
    """Return the pool of `task` if it declares one that is complete, else None.

    Raises:
        TaskError: its files have changed since they were written, or it was made for other data than the current.
    """
    pool = Pool(cache / pool_key(task))
    if not task.data.pool or not (pool.folder / "meta.json").is_file():
        return None
    for number in range(pool.n_slices):
        whole(pool.folder, name_of(number), pool.meta["slices"][number])
    corpus = find_corpus(task, cache)
    if corpus is not None and corpus.digest != pool.meta["data"]:
        raise TaskError(
            f"{pool.folder} was made for other data (digest {pool.meta['data']}, now {corpus.digest}); "
            f"remove it and run `agent prepare --pool` again"
        )
    return pool


def pool_of_folder(task: Task) -> str:
    """Give a task that was read from a commit the pool that its folder declares now; return why that is impossible.

    A commit contains nothing of a pool, so that no job sees any of it. If the folder's task has the same profile and
    prepares the same data, its pool is suitable text.

    Returns:
        Empty if the task now has the folder's pool, which may be none; else a sentence, and the task has no pool.
    """
    if not task.score.row.takes_pool or not task.data.prepare:
        return ""
    try:
        own = Task.load(task.folder, task.profile)
    except TaskError as error:
        return f"the task's folder, which may declare a pool, cannot be read ({error})"
    if not own.data.pool:
        return ""
    if (own.score, own.data.prepare, cache_key(own)) != (task.score, task.data.prepare, cache_key(task)):
        return f"the pool of {task.folder} is not used, because the task there prepares or scores other data"
    task.data = task.data.model_copy(update={name: getattr(own.data, name) for name in POOL_KEYS})
    task.pool_files = own.pool_files
    return ""


def name_of(number: int) -> str:
    """Return the file name of a slice."""
    return f"slice-{number:03}.bin"
