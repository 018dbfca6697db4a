"""Writes the documents of the pool: text that no job sees, which the host cuts into slices (docs/tasks.md, "The pool").

    python pool.py --out DOCUMENTS --data DATA                                the part `pool` of the data
    python pool.py --out DOCUMENTS --data DATA --text 'shards/*.parquet'      any parquet (column `text`) or text files

DATA is a folder that prepare.py made; with --pool-bytes, it contains documents that are in no other part. Text from
elsewhere is encoded by DATA's tokenizer. A paragraph that also occurs in train, val or test, or in an earlier document,
is marked as copied. This file is not frozen: no job sees it.
"""

import argparse
import glob
import json
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from packages import Documents, PrepareError
from prepare import digest, paragraphs, text_documents


class Tokenizer:
    """The tokenizer that prepare.py trained."""

    def __init__(self, data: Path) -> None:
        import tiktoken

        known = json.loads((data / "tokenizer.json").read_text())
        self._tokens = [bytes.fromhex(token) for token in known["tokens"]]
        self.bos = len(self._tokens)
        ranks = {token: rank for rank, token in enumerate(self._tokens)}
        self.encode: Callable[[str], list[int]] = tiktoken.Encoding(
            "bpe", pat_str=known["pattern"], mergeable_ranks=ranks, special_tokens={"<bos>": self.bos}
        ).encode_ordinary
        self.lengths = np.array([*map(len, self._tokens), 0])  # bytes of each token

    def texts(self, path: Path) -> Iterator[str]:
        """Yield the documents of a file that prepare.py wrote."""
        ids = np.fromfile(path, "<u2")
        for first, end in pairwise([*np.flatnonzero(ids == self.bos), len(ids)]):
            yield b"".join(self._tokens[token] for token in ids[first + 1 : end]).decode("utf-8", errors="replace")


def copied(text: str, ids: np.ndarray[Any, Any], lengths: np.ndarray[Any, Any], seen: set[bytes]) -> Any:
    """Return for each token whether it overlaps a paragraph in `seen`; add the other paragraphs to `seen`."""
    ends = np.cumsum(lengths[ids])  # in bytes
    marks = np.zeros(len(ids), np.uint8)
    begin = 0
    for paragraph, hash_ in paragraphs(text):
        end = begin + len(paragraph.encode())
        if hash_ in seen:
            marks[np.searchsorted(ends, begin, "right") : np.searchsorted(ends, end) + 1] = 1
        elif hash_ is not None:
            seen.add(hash_)
        begin = end + 2  # the blank line between paragraphs
    return marks


def write_documents(out: Path, documents: Documents, tokenizer: Tokenizer, data: Path) -> str:
    """Write documents.bin, lengths.bin and copied.bin; return a summary in words."""
    seen = {
        hash_
        for part in ("train", "val", "test")
        for text in tokenizer.texts(data / part / f"{part}.bin")
        for _, hash_ in paragraphs(text)
        if hash_ is not None
    }
    lengths, known, n_bytes, n_copied = [], set(), 0, 0
    with (out / "documents.bin").open("wb") as tokens, (out / "copied.bin").open("wb") as marks:
        for text in documents():
            if not text.strip() or digest(text) in known:
                continue
            known.add(digest(text))
            ids = np.array([tokenizer.bos, *tokenizer.encode(text)], "<u2")
            is_copied = copied(text, ids, tokenizer.lengths, seen)
            tokens.write(ids.tobytes())
            marks.write(is_copied.tobytes())
            lengths.append(len(ids))
            n_bytes, n_copied = n_bytes + len(text.encode()), n_copied + int(is_copied.sum())
    (out / "lengths.bin").write_bytes(np.array(lengths, "<i8").tobytes())
    share = n_copied / max(sum(lengths), 1)
    return f"{len(lengths)} documents, {n_bytes / 1e6:.1f} MB, {sum(lengths)} tokens, {share:.1%} of them copied"


def make(request: argparse.Namespace) -> None:
    paths = sorted({Path(path) for pattern in request.text for path in glob.glob(pattern, recursive=True)})
    paths = [path for path in paths if path.is_file()]
    if request.text and not paths:
        raise PrepareError(f"no file matches {' '.join(request.text)}")
    if not (request.data / "tokenizer.json").is_file():
        raise PrepareError(f"{request.data} has no tokenizer.json; give a folder that prepare.py made")
    own = request.data / "pool" / "pool.bin"
    if not paths and not own.is_file():
        raise PrepareError(f"{request.data} has no part `pool`; prepare it with --pool-bytes, or give --text")
    request.out.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    tokenizer = Tokenizer(request.data)
    documents = text_documents(paths) if paths else partial(tokenizer.texts, own)
    held = write_documents(request.out, documents, tokenizer, request.data)
    made_from = [[path.name, path.stat().st_size] for path in paths or [own]]
    (request.out / "meta.json").write_text(json.dumps(made_from) + "\n")
    print(f"{held}; made in {time.monotonic() - started:.0f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the folder to write to")
    parser.add_argument("--data", type=Path, required=True, help="a folder that prepare.py made")
    parser.add_argument(
        "--text", nargs="*", default=[], metavar="GLOB", help="text or parquet files; default: DATA's own"
    )
    try:
        make(parser.parse_args())
    except PrepareError as error:
        sys.exit(f"pool.py: {error}")


if __name__ == "__main__":
    main()
