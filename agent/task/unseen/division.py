"""The division of the validation split: examples that score every trial, and examples that only confirm gains.

For tasks scored by predictions. Half of the examples are the standing split: every trial is scored on them, so enough
losses reveal their labels. The others are divided into slices, which no job sees before a slice is opened. The
division is drawn at random, once for a set of examples, and stays on the host. All runs on these examples share it, so
that labels revealed by one run do not help on the slices of another.
"""

import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.errors import TaskError
from agent.task.corpus import Corpus
from agent.task.host_commands.prepared import DIVISION, digest_of_file, made_once, whole

FEWEST, ENOUGH = 250, 1000  # examples per slice: the minimum, and the minimum if that leaves `WANTED` slices
WANTED, MOST = 4, 20  # slices
STANDING = "standing.bin"
_HEADERS = (b"\x93NUMPY", b"PK\x03\x04", b"\x89HDF", b"\x1f\x8b", b"PAR1")  # npy, npz, HDF5, gzip, Parquet


@dataclass(frozen=True)
class Division:
    """A division on disk: `division.json`, and the inputs of the standing examples."""

    folder: Path
    inputs: Path  # file with all N examples, in rows of equal size

    @cached_property
    def _about(self) -> Mapping[str, Any]:
        about: dict[str, Any] = json.loads((self.folder / DIVISION).read_bytes())
        return about

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """Numbers of the examples, shape (N,): the standing ones first, then slice by slice."""
        return np.asarray(self._about["order"], np.int64)

    @property
    def n_slices(self) -> int:
        return int(self._about["slices"])

    @property
    def n_rows(self) -> int:
        """Number of examples in each slice."""
        return int(self._about["slice_rows"])

    @property
    def standing(self) -> NDArray[np.int64]:
        """Numbers of the examples that score every trial, in the order in which jobs see them."""
        return self.order[: len(self.order) - self.n_slices * self.n_rows]

    @property
    def standing_inputs(self) -> Path:
        """File with the inputs of the standing examples."""
        return self.folder / STANDING

    @cached_property
    def digest(self) -> str:
        """Hash of the division: the examples, their order, and the use of each."""
        return digest_of_file(self.folder / DIVISION)

    def slice(self, number: int) -> NDArray[np.int64]:
        """Return the numbers of a slice's examples, in the order in which jobs see them.

        Raises:
            IndexError: there is no such slice.
        """
        if not 0 <= number < self.n_slices:
            raise IndexError(f"the division has slices 0 to {self.n_slices - 1}, not {number}")
        first = len(self.standing) + number * self.n_rows
        return self.order[first : first + self.n_rows]

    def inputs_of(self, numbers: NDArray[np.int64]) -> bytes:
        """Return the concatenated inputs of some examples."""
        rows = np.memmap(self.inputs, np.uint8, "r").reshape(len(self.order), -1)
        return rows[numbers].tobytes()

    def check(self) -> None:
        """Raise TaskError if the files have changed since they were made."""
        try:
            is_whole = sorted(self.order.tolist()) == list(range(len(self.order))) and len(self.standing) > 0
            printed = self._about["standing"]
        except (ValueError, KeyError, TypeError):
            is_whole, printed = False, ""
        if not is_whole:
            raise TaskError(
                f"{self.folder / DIVISION} has changed since it was made; restore it from a backup: a new division "
                "could confirm gains on examples whose labels earlier runs have revealed"
            )
        whole(self.folder, STANDING, printed)


def sizes(n: int) -> tuple[int, int]:
    """Return (number of slices, examples per slice) for `n` examples; (0, 0) if they are too few.

    Half of the examples are the standing split. The others form at most 20 slices of at least 1,000 examples; if that
    gives fewer than four slices, of at least 250 examples. docs/tasks.md gives the reasons.
    """
    left = n - n // 2
    n_slices = min(MOST, max(left // ENOUGH, min(WANTED, left // FEWEST)))
    return (n_slices, left // n_slices) if n_slices >= 2 else (0, 0)


def fewest_examples() -> int:
    """Return how many examples a split needs to be divided: enough for one confirmation and the final runs."""
    return 4 * FEWEST - 1


def find_division(corpus: Corpus, n: int, cache: Path) -> Division | None:
    """Return the division of the `n` validation examples; None if this machine has not drawn one.

    Raises:
        TaskError: val/inputs.bin is not `n` rows of equal size, or the division's files have changed.
    """
    division = _place(corpus, n, cache)
    if not (division.folder / DIVISION).is_file():
        return None
    division.check()
    return division


def prepare_division(corpus: Corpus, n: int, cache: Path) -> Division:
    """Return the division, and draw it if there is none. Raises as `find_division` does."""
    division = _place(corpus, n, cache)
    what = "the division of the examples"
    return made_once(division.folder, what, lambda: find_division(corpus, n, cache), lambda: _make(division, n))


def _place(corpus: Corpus, n: int, cache: Path) -> Division:
    inputs, labels = (corpus.folder / "val" / name for name in ("inputs.bin", "labels.npy"))
    _check_rows(inputs, n)
    state = hashlib.sha256()
    for path in (inputs, labels):
        with path.open("rb") as file:
            state.update(hashlib.file_digest(file, "sha256").digest())
    return Division(cache / f"rows-{state.hexdigest()[:16]}", inputs)


def _make(division: Division, n: int) -> str:
    n_slices, n_rows = sizes(n)
    division.folder.mkdir(mode=0o700, exist_ok=True)
    order = np.random.default_rng(secrets.randbits(256)).permutation(n)
    about: dict[str, Any] = {"examples": n, "slices": n_slices, "slice_rows": n_rows, "order": order.tolist()}
    rows = np.memmap(division.inputs, np.uint8, "r").reshape(n, -1)
    standing = rows[order[: n - n_slices * n_rows]].tobytes()
    # Readable to all, in a private folder: a job of another user can mount it without a copy.
    _write(division.standing_inputs, standing, 0o644)
    about["standing"] = hashlib.sha256(standing).hexdigest()
    _write(division.folder / DIVISION, json.dumps(about).encode() + b"\n", 0o600)  # last: marks completeness
    return ""


def _write(path: Path, content: bytes, mode: int) -> None:
    """Write a file in one step, with permissions `mode` whatever the umask."""
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _check_rows(inputs: Path, n: int) -> None:
    """Raise TaskError unless a file can consist of `n` rows of equal size."""
    try:
        size = inputs.stat().st_size
        with inputs.open("rb") as file:
            begins = file.read(8)
    except OSError as fault:
        raise TaskError(f"{inputs} cannot be read: {fault.strerror}; [data] prepare must write it") from None
    header = begins.startswith(_HEADERS)
    if size and not size % n and not header:
        return
    why = "has a header" if header else f"has {size} bytes, which is not {n} rows of equal size"
    raise TaskError(
        f"{inputs} {why}: let [data] prepare write one row for each of the {n} labels, all of the same number of "
        "bytes, and nothing else; or give --no-confirm, and then no gain is confirmed"
    )
