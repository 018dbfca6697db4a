"""Construction of a pool: the task's command writes documents, and the host draws slices from them.

No document is in two slices. At most `MOST` sequences are from one document, and their starts are at least `GAP`
sequences apart, because sequences of one document are similar. No sequence contains tokens marked as copied.
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
from agent.task.host_commands.host_code import run_step
from agent.task.host_commands.prepared import OPENED, made_once
from agent.task.task import Task
from agent.task.unseen.pool import Pool, Slice, bands, find_pool, name_of, pool_key
from agent.text import plural

MOST = 4  # sequences per document; with 20, the error of a slice is 14 to 27 % larger than with one
GAP = 4  # distance of their starts, in sequences


def prepare_pool(task: Task, cache: Path) -> Pool:
    """Return the pool of `task`; make it, and first the task's data, if it does not exist.

    Raises:
        MissingRequirementError: a command failed; the message has the last line that it printed.
        TaskError: the task declares no pool, or its command's output is too small for a slice, or malformed.
    """
    if not task.data.pool:
        raise TaskError(f"{task.folder}/task.toml has no [data] pool: there is no pool to make")
    corpus = find_corpus(task, cache) or prepare_corpus(task, cache)
    target = cache / pool_key(task)
    return made_once(target, "the pool", lambda: find_pool(task, cache), lambda: _make(task, corpus, target))


def _make(task: Task, corpus: Corpus, target: Path) -> str:
    """Run the command, draw slices from its output, and store them at `target`, readable only by the user."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as scratch:  # its mode is 0700
        written, made = Path(scratch, "documents"), Path(scratch, "pool")
        for folder in (written, made):
            folder.mkdir(mode=0o700)
        printed = run_step(task, "pool", {"out": written, "data": corpus.folder})
        texts = Documents.read(written, len(corpus.token_bytes), printed)
        generator = np.random.default_rng(secrets.randbits(256))
        n_rounds, n_sequences = task.data.pool_rounds, task.data.slice_sequences
        if n_rounds > corpus.length:
            raise TaskError(
                f"{task.folder}/task.toml: data.pool_rounds = {n_rounds} exceeds the {corpus.length} positions of "
                "a sequence; lower it"
            )
        slices = draw_slices(texts, corpus.length, n_sequences, n_rounds, generator)
        if not slices:
            of_each = [min(len(starts), MOST) for _, starts in _candidates(texts, corpus.length)]
            n, n_long = sum(of_each), len(of_each)
            raise TaskError(
                f"the pool of {task.name} is too small: {plural(n, 'sequence')} of {plural(n_long, 'document')} "
                f"({MOST} per document at most, {GAP} apart, without copied text), and a slice needs {n_sequences}; "
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
            "said": printed,
            "seconds": round(time.monotonic() - started, 1),
        }
        _write(made / "meta.json", json.dumps(about, indent=1).encode() + b"\n")
        known = _opened_before(slices, target.parent.glob(f"{task.name}-pool-*"))
        if known:
            _write(made / OPENED, "".join(json.dumps(line) + "\n" for line in known).encode())
        shutil.rmtree(target, ignore_errors=True)  # slices without meta.json are not a pool
        os.replace(made, target)
    return printed


def _opened_before(slices: Sequence[Slice], pools: Iterable[Path]) -> list[dict[str, int | str]]:
    """Return which runs have opened text of which of these slices in other pools, as lines of the file of openings.

    After a change to a frozen file or a setting, a task's next pool is made of the same documents: its slices are
    new, but their text may have been opened before.
    """
    runs: dict[bytes, set[str]] = {}  # by sequence
    for folder in pools:
        lines = (folder / OPENED).read_text(encoding="utf-8").splitlines() if (folder / OPENED).is_file() else []
        for line in lines:
            try:
                opened = json.loads(line)
                sequences = Pool(folder).slice(opened["slice"]).sequences
                for sequence in sequences:
                    runs.setdefault(sequence.tobytes(), set()).add(str(opened["run"]))
            except (ValueError, KeyError, TypeError, IndexError, OSError, TaskError):
                continue  # a torn line, or an incomplete pool: unknown
    return [
        {"slice": number, "run": run}
        for number, part in enumerate(slices)
        for run in sorted(set().union(*(runs.get(sequence.tobytes(), set()) for sequence in part.sequences)))
    ]


@dataclass(frozen=True)
class Documents:
    """The output of a pool's command: concatenated tokenised documents."""

    tokens: NDArray[np.uint16]  # (K,)
    bounds: NDArray[np.int64]  # (D + 1,): document d is tokens[bounds[d] : bounds[d + 1]]
    copied: NDArray[np.bool_]  # (K,): whether a token's text also occurs elsewhere
    made_from: Any = None  # the sources, as the command reports them

    @classmethod
    def read(cls, folder: Path, n_tokens: int, printed: str) -> "Documents":
        """Read documents.bin (uint16), lengths.bin (int64) and, if they exist, copied.bin (uint8) and meta.json.

        Raises:
            MissingRequirementError: one of the first two is missing.
            TaskError: the files contradict each other, or a token is not in the vocabulary of `n_tokens`.
        """
        paths = [folder / name for name in ("documents.bin", "lengths.bin", "copied.bin", "meta.json")]
        for path in paths[:2]:
            if not path.is_file():
                raise MissingRequirementError(
                    f"preparing the pool failed: its command wrote no {path.name} ({printed})"
                )
        tokens, lengths = np.fromfile(paths[0], "<u2").astype(np.uint16), np.fromfile(paths[1], "<i8").astype(np.int64)
        copied = np.fromfile(paths[2], np.uint8) != 0 if paths[2].is_file() else np.zeros(len(tokens), bool)
        if (lengths < 0).any() or lengths.sum() != len(tokens) or len(copied) != len(tokens):
            raise TaskError(
                f"the pool's command wrote {len(tokens)} tokens according to documents.bin, {lengths.sum()} according "
                f"to lengths.bin, {len(copied)} according to copied.bin; these must be equal"
            )
        if len(tokens) and int(tokens.max()) >= n_tokens:
            raise TaskError(f"the pool's command wrote token {tokens.max()}, but the vocabulary has {n_tokens} tokens")
        bounds = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        return cls(
            tokens, bounds, copied, json.loads(paths[3].read_text(encoding="utf-8")) if paths[3].is_file() else None
        )


def draw_slices(
    texts: Documents, length: int, n_sequences: int, n_rounds: int, generator: np.random.Generator
) -> list[Slice]:
    """Return as many complete slices as the documents provide, each of `n_sequences` in random order.

    Args:
        length: T; a sequence has T + 1 tokens.
        n_rounds: R, at most T: one end in each of R equal bands of positions, all positions of a band equally likely.
        generator: determines the slices, so it must be unpredictable.
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
        if len(rows) >= n_sequences:  # the rest of the last document is dropped, so that no slices share one
            order = generator.permutation(len(rows))[:n_sequences]
            ends = generator.integers(bounds[:-1], bounds[1:], size=(n_sequences, n_rounds))
            slices.append(Slice(np.stack(rows)[order], np.asarray(names, np.int64)[order], ends))
            rows, names = [], []
    return slices


def _candidates(texts: Documents, length: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yield the number of each distinct document that fits a sequence, and possible starts, `GAP` sequences apart."""
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
    """Write a file that only its owner can read."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
