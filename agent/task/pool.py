"""The pool of a task: text that no job has seen, cut into slices that are made once and opened one by one.

A slice is held-out text for one confirmation. Its sequences are shown in rounds: in round r the beginning of each, up
to its r-th end, and what decides is the loss of the token behind that end. The ends were drawn when the pool was
made, and lie on the host beside the text: whoever opens a slice again shows the same.

How a pool is made: agent.task.pool_making.
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
from agent.task.prepared import digest_of, whole
from agent.task.spec import POOL_KEYS
from agent.task.task import Task

Tokens = NDArray[np.uint16]
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Slice:
    """Sequences of unseen text, with the document that each is from and where each is asked about."""

    sequences: Tokens  # (N, T + 1)
    documents: Numbers  # (N,): number of its document in what the command wrote; no two slices share one
    ends: Numbers  # (N, R), ascending, in [0, T): position of the last token that round r shows

    @property
    def length(self) -> int:
        """T, the number of predictions of one sequence."""
        return int(self.sequences.shape[1]) - 1

    @property
    def n_rounds(self) -> int:
        return int(self.ends.shape[1])

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the slice as it lies in its file: text, documents and ends."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def question(self, r: int) -> tuple[Tokens, Numbers]:
        """Return what round `r` shows: prefixes padded with 0, shape (N, W), W as wide as the longest; their ends (N,).

        A prefix's last token stands at its end. Nothing of its target, nor of what follows, is in it.
        """
        ends = self.ends[:, r]
        width = int(ends.max()) + 1
        shown = np.arange(width) <= ends[:, None]
        return np.where(shown, self.sequences[:, :width], 0).astype(np.uint16), ends

    def targets(self, r: int) -> Numbers:
        """Return the token behind each end of round `r`, shape (N,)."""
        return self.sequences[np.arange(len(self.sequences)), self.ends[:, r] + 1].astype(np.int64)

    def to_bytes(self) -> bytes:
        """Return N, T and R, then the three arrays row by row, all little-endian."""
        shape = np.asarray([len(self.sequences), self.length, self.n_rounds], "<i8")
        parts = (shape, self.sequences.astype("<u2"), self.documents.astype("<i8"), self.ends.astype("<i8"))
        return b"".join(part.tobytes() for part in parts)

    @classmethod
    def from_bytes(cls, content: bytes) -> "Slice":
        """Return the slice that `to_bytes` wrote."""
        n, length, n_rounds = (int(x) for x in np.frombuffer(content, "<i8", 3))
        documents, ends = 24 + 2 * n * (length + 1), 24 + 2 * n * (length + 1) + 8 * n
        return cls(
            np.frombuffer(content[24:documents], "<u2").reshape(n, length + 1).astype(np.uint16),
            np.frombuffer(content[documents:ends], "<i8").astype(np.int64),
            np.frombuffer(content[ends:], "<i8").reshape(n, n_rounds).astype(np.int64),
        )


@dataclass(frozen=True)
class Pool:
    """A pool that was made: `slice-000.bin` and so on, and meta.json."""

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
        """Number of sequences of each slice."""
        return int(self.meta["sequences"])

    @cached_property
    def digest(self) -> str:
        """Hash of all slices, their ends included."""
        return digest_of(self.meta["slices"])

    def slice(self, number: int) -> Slice:
        """Read one slice from the disk. Raises TaskError if it is not the one that was made, IndexError beyond them."""
        if not 0 <= number < self.n_slices:
            raise IndexError(f"the pool has the slices 0 to {self.n_slices - 1}, and no {number}")
        return Slice.from_bytes(whole(self.folder, name_of(number), self.meta["slices"][number]))


def bands(length: int, n_rounds: int) -> Numbers:
    """Return the bounds of R bands of T positions, equal but for rounding, shape (R + 1,)."""
    return np.arange(n_rounds + 1) * length // n_rounds


def pool_key(task: Task) -> str:
    """Return the folder name under which the pool of `task` is cached."""
    data = task.data
    state = hashlib.sha256(json.dumps([data.prepare, data.pool, data.pool_rounds, data.slice_sequences]).encode())
    for name, content in sorted({**{name: task.files[name] for name in task.frozen}, **task.pool_files}.items()):
        state.update(f"\0{name}\0{len(content)}\0".encode() + content)
    return f"{task.name}-pool-{state.hexdigest()[:12]}"


def find_pool(task: Task, cache: Path) -> Pool | None:
    """Return the pool of `task` if it declares one that is there and whole, else None.

    Raises:
        TaskError: its files are not the ones that were written, or it was made for other data than there are now.
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
    """Let a task that was read from a commit have the pool that its folder declares now; return why it cannot.

    A commit holds nothing of a pool, so that no job sees any of it. Where the folder has the same profile, and prepares
    the same data, its pool is text like this task's.

    Returns:
        A sentence, and the task has no pool; empty if it has the folder's, which may be none.
    """
    if not task.score.row.takes_pool or not task.data.prepare:
        return ""
    try:
        own = Task.load(task.folder, task.profile)
    except TaskError as error:
        return f"what the task's folder says of a pool cannot be read ({error})"
    if not own.data.pool:
        return ""
    if (own.score, own.data.prepare, cache_key(own)) != (task.score, task.data.prepare, cache_key(task)):
        return f"the pool of {task.folder} is not used, for the task there prepares or scores other data"
    task.data = task.data.model_copy(update={name: getattr(own.data, name) for name in POOL_KEYS})
    task.pool_files = own.pool_files
    return ""


def name_of(number: int) -> str:
    """Return the name of the file of a slice."""
    return f"slice-{number:03}.bin"
