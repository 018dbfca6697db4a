"""How a pool is made: the task's command writes documents, and the host draws slices from them.

No document is in two slices, at most `MOST` sequences are of one document, and those begin at least `GAP` sequences
apart, for sequences of one document are alike. Tokens that the command marks as copied are in no sequence.
"""

import hashlib
import json
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.errors import MissingRequirementError, TaskError
from agent.task.corpus import Corpus, find_corpus, prepare_corpus
from agent.task.host_code import run_step
from agent.task.pool import Pool, Slice, bands, find_pool, name_of, pool_key
from agent.task.prepared import OPENED, made_once
from agent.task.task import Task
from agent.text import counted

MOST = 4  # sequences of one document; with 20, the error of a slice is 14 to 27 % larger than with one
GAP = 4  # sequences between the beginnings of two of one document


def prepare_pool(task: Task, cache: Path) -> Pool:
    """Return the pool of `task`, and make it if it is not there, after its data.

    Raises:
        MissingRequirementError: a command failed; the message has its last line.
        TaskError: the task declares no pool, or what its command wrote is too little for a slice, or broken.
    """
    if not task.data.pool:
        raise TaskError(f"{task.folder}/task.toml has no [data] pool: there is no pool to make")
    corpus = find_corpus(task, cache) or prepare_corpus(task, cache)
    target = cache / pool_key(task)
    return made_once(target, "the pool", lambda: find_pool(task, cache), lambda: _make(task, corpus, target))


def _make(task: Task, corpus: Corpus, target: Path) -> str:
    """Run the command, draw slices from what it wrote, and put them at `target`, for the user alone to read."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as scratch:  # its mode is 0700
        written, made = Path(scratch, "documents"), Path(scratch, "pool")
        for folder in (written, made):
            folder.mkdir(mode=0o700)
        said = run_step(task, "pool", {"out": written, "data": corpus.folder})
        texts = Documents.read(written, len(corpus.token_bytes), said)
        generator = np.random.default_rng(secrets.randbits(256))
        n_rounds, n_sequences = task.data.pool_rounds, task.data.slice_sequences
        if n_rounds > corpus.length:
            raise TaskError(
                f"{task.folder}/task.toml: data.pool_rounds = {n_rounds}: a sequence has {corpus.length} ends"
            )
        slices = draw_slices(texts, corpus.length, n_sequences, n_rounds, generator)
        if not slices:
            of_each = [min(len(starts), MOST) for _, starts in _candidates(texts, corpus.length)]
            n, n_long = sum(of_each), len(of_each)
            raise TaskError(
                f"the pool of {task.name} is too small: {counted(n, 'sequence')} of {counted(n_long, 'document')} "
                f"({MOST} of one at most, {GAP} apart, nothing that was copied), and a slice takes {n_sequences}; "
                f"let {' '.join(task.data.pool[:2])} write more documents, or lower [data] slice_sequences in "
                f"{task.folder}/task.toml"
            )
        for number, part in enumerate(slices):
            _write(made / name_of(number), part.to_bytes())
        about = {
            "rounds": n_rounds,
            "sequences": n_sequences,
            "seq_len": corpus.length,
            "slices": [part.digest for part in slices],
            "documents": len({int(name) for part in slices for name in part.documents}),
            "data": corpus.digest,
            "made_from": texts.made_from,
            "said": said,
            "seconds": round(time.monotonic() - started, 1),
        }
        _write(made / "meta.json", json.dumps(about, indent=1).encode() + b"\n")
        known = _opened_before(slices, target.parent.glob(f"{task.name}-pool-*"))
        if known:
            _write(made / OPENED, "".join(json.dumps(line) + "\n" for line in known).encode())
        shutil.rmtree(target, ignore_errors=True)  # slices without their meta.json are no pool
        os.replace(made, target)
    return said


def _opened_before(slices: Sequence[Slice], pools: Iterable[Path]) -> list[dict[str, int | str]]:
    """Return which runs have opened text of which of these slices in other pools, as lines of the file of openings.

    Another pool of a task is made of the same documents once a frozen file or a setting has changed: its slices are
    drawn anew, and their text is not.
    """
    runs: dict[bytes, set[str]] = {}  # by sequence
    for folder in pools:
        lines = (folder / OPENED).read_text().splitlines() if (folder / OPENED).is_file() else []
        for line in lines:
            try:
                opened = json.loads(line)
                sequences = Pool(folder).slice(opened["slice"]).sequences
                for sequence in sequences:
                    runs.setdefault(sequence.tobytes(), set()).add(str(opened["run"]))
            except (ValueError, KeyError, TypeError, IndexError, OSError, TaskError):
                continue  # torn, or of a pool that is not whole: it cannot be told
    return [
        {"slice": number, "run": run}
        for number, part in enumerate(slices)
        for run in sorted(set().union(*(runs.get(sequence.tobytes(), set()) for sequence in part.sequences)))
    ]


@dataclass(frozen=True)
class Documents:
    """What the command of a pool wrote: tokenised documents one behind the other."""

    tokens: NDArray[np.uint16]  # (K,)
    bounds: NDArray[np.int64]  # (D + 1,): document d is tokens[bounds[d] : bounds[d + 1]]
    copied: NDArray[np.bool_]  # (K,): whether a token is of text that also stands elsewhere
    made_from: Any = None  # what the command says it made them from

    @classmethod
    def read(cls, folder: Path, n_tokens: int, said: str) -> "Documents":
        """Read documents.bin (uint16), lengths.bin (int64), and, if there, copied.bin (uint8) and meta.json.

        Raises:
            MissingRequirementError: one of the first two is missing.
            TaskError: they do not fit each other, or the vocabulary of `n_tokens`.
        """
        paths = [folder / name for name in ("documents.bin", "lengths.bin", "copied.bin", "meta.json")]
        for path in paths[:2]:
            if not path.is_file():
                raise MissingRequirementError(f"preparing the pool failed: its command wrote no {path.name} ({said})")
        tokens, lengths = np.fromfile(paths[0], "<u2").astype(np.uint16), np.fromfile(paths[1], "<i8").astype(np.int64)
        copied = np.fromfile(paths[2], np.uint8) != 0 if paths[2].is_file() else np.zeros(len(tokens), bool)
        if (lengths < 0).any() or lengths.sum() != len(tokens) or len(copied) != len(tokens):
            raise TaskError(
                f"the pool's command wrote {len(tokens)} tokens in documents.bin, {lengths.sum()} by lengths.bin, "
                f"{len(copied)} by copied.bin: these must be the same"
            )
        if len(tokens) and int(tokens.max()) >= n_tokens:
            raise TaskError(f"the pool's command wrote the token {tokens.max()}, and the vocabulary has {n_tokens}")
        bounds = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        return cls(tokens, bounds, copied, json.loads(paths[3].read_text()) if paths[3].is_file() else None)


def draw_slices(
    texts: Documents, length: int, n_sequences: int, n_rounds: int, generator: np.random.Generator
) -> list[Slice]:
    """Return as many whole slices as the documents give, each of `n_sequences` in random order.

    Args:
        length: T; a sequence has T + 1 tokens.
        n_rounds: R, at most T: one end in each of R equal bands of positions, all positions of a band equally likely.
        generator: whoever knows it knows the slices.
    """
    bounds = bands(length, n_rounds)
    found = list(_candidates(texts, length))
    slices: list[Slice] = []
    rows: list[NDArray[np.uint16]] = []
    names: list[int] = []
    for at in generator.permutation(len(found)):
        name, starts = found[at]
        for start in generator.permutation(starts)[:MOST]:
            rows.append(texts.tokens[start : start + length + 1])
            names.append(name)
        if len(rows) >= n_sequences:  # what is left over of the last document is dropped, never put into the next slice
            order = generator.permutation(len(rows))[:n_sequences]
            ends = generator.integers(bounds[:-1], bounds[1:], size=(n_sequences, n_rounds))
            slices.append(Slice(np.stack(rows)[order], np.asarray(names, np.int64)[order], ends))
            rows, names = [], []
    return slices


def _candidates(texts: Documents, length: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yield the number of each distinct document in which a sequence fits, and where one may begin, `GAP` apart."""
    n_copied = np.concatenate([[0], np.cumsum(texts.copied)])
    seen: set[bytes] = set()
    for number, (first, end) in enumerate(zip(texts.bounds[:-1], texts.bounds[1:], strict=True)):
        key = hashlib.sha256(texts.tokens[first:end].tobytes()).digest()
        if key in seen or end - first <= length:
            continue
        seen.add(key)
        begins = np.arange(first, end - length)
        free = begins[n_copied[begins + length + 1] == n_copied[begins]]
        starts, at = [], 0
        while at < len(free):
            starts.append(free[at])
            at = int(np.searchsorted(free, free[at] + GAP * (length + 1)))
        if starts:
            yield number, np.asarray(starts, np.int64)


def _write(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
