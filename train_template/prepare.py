"""Turns a corpus into token files: train, validation and test, split by document.

    python prepare.py --out DATA                                     documentation of Python packages, 32 MB of English
    python prepare.py --out DATA --text 'shards/*.parquet'           any parquet (column `text`) or text files

Writes DATA/train/{train.bin, meta.json}, which is all that a training job sees. The other files stay on the host:
val/val.bin, test/test.bin, tokenizer.json, meta.json, and with --pool-bytes pool/pool.bin. Tokens are uint16, and every
document starts with <bos>.
"""

import argparse
import glob
import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from packages import PACKAGES, Documents, PrepareError, packaged_documents

# How text is split before byte pairs are merged: words with their space, two digits, punctuation, whitespace.
PATTERN = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,2}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
)
TOKENIZER_SAMPLE_CHARS = 100_000_000  # the tokenizer is trained on at most this much of the training text
COPIED_CHARS = 60  # a training paragraph of at least this length is dropped if it also occurs in held-out text

# The cost of one step of train.py, in CPU seconds of the machine on which it was calibrated: the unit `work`. Frozen,
# so that a script runs the same number of steps on every machine. task.toml, [profiles.cpu.budget], explains the fit.
WORK = {"multiply": 4.48e-11, "channel": 3.6e-07, "logit": 1.13e-08, "layer": 2.94e-03, "muon": 1.02e-09}


def text_documents(paths: list[Path]) -> Documents:
    """Return the documents in `paths`: each row of a parquet file's column `text`, and each other file as a whole."""

    def read() -> Iterator[str]:
        for path in paths:
            if path.suffix == ".parquet":
                yield from parquet_rows(path)
            else:
                yield path.read_text(encoding="utf-8", errors="replace")

    return read


def parquet_rows(path: Path) -> Iterator[str]:
    """Yield the rows of the column `text`, with one row group in memory at a time."""
    try:
        import pyarrow.parquet  # type: ignore[import-untyped, import-not-found, unused-ignore]
    except ImportError as error:
        raise PrepareError("parquet files need pyarrow: pip install 'autocentaur[parquet]'") from error
    shard = pyarrow.parquet.ParquetFile(path)
    if "text" not in shard.schema_arrow.names:
        raise PrepareError(f"{path} has no column `text`, only {', '.join(shard.schema_arrow.names)}")
    for group in range(shard.num_row_groups):
        yield from shard.read_row_group(group, columns=["text"]).column("text").to_pylist()


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def split(documents: Documents, held_out: dict[str, int]) -> dict[bytes, str]:
    """Return the part of each distinct document, keyed by its hash: "train", or one of `held_out`.

    The documents with the lowest hashes are held out, so neither paths nor the order of files matter. A document of
    more than a quarter of a part goes to training, so that no part is one long text.

    Args:
        documents: all documents.
        held_out: the minimum bytes of text of each part except "train", in the order in which the parts are filled.
    """
    sizes = {digest(text): len(text.encode()) for text in documents() if text.strip()}
    parts = dict.fromkeys(sizes, "train")
    left = dict(held_out)
    for key in sorted(sizes):
        part = next((name for name in left if left[name] > 0), None)
        if part is None:
            break
        if sizes[key] <= held_out[part] // 4:
            parts[key] = part
            left[part] -= sizes[key]
    for part in (*held_out, "train"):
        if left.get(part, 0) > 0 or part not in parts.values():
            raise PrepareError(
                f"too little text for the {part} part: {len(sizes)} documents of {sum(sizes.values())} bytes; "
                "give more --text, or lower --val-bytes, --test-bytes and --pool-bytes"
            )
    return parts


def parted(documents: Documents, parts: dict[bytes, str]) -> Callable[[str], Iterator[str]]:
    """Return a function that yields the documents of one part, each once, in the order of the corpus.

    Paragraphs that also occur in another part are removed from training documents: release notes repeat themselves.
    """

    def read(part: str) -> Iterator[str]:
        seen = set()
        for text in documents():
            key = digest(text)
            if parts.get(key) == part and key not in seen:
                seen.add(key)
                yield text

    others = set(parts.values()) - {"train"}
    held_out = {hash_ for part in others for text in read(part) for _, hash_ in paragraphs(text) if hash_}

    def read_apart(part: str) -> Iterator[str]:
        for text in read(part):
            if part != "train":
                yield text
            else:
                kept = [paragraph for paragraph, hash_ in paragraphs(text) if hash_ not in held_out]
                if kept:
                    yield "\n\n".join(kept)

    return read_apart


def paragraphs(text: str) -> Iterator[tuple[str, bytes | None]]:
    """Yield each paragraph with the hash of its words; None if it is too short to count as a copy."""
    for paragraph in text.split("\n\n"):
        words = " ".join(paragraph.split())
        yield paragraph, digest(words) if len(words) >= COPIED_CHARS else None


def train_tokenizer(texts: Iterator[str], vocab_size: int) -> list[bytes]:
    """Return the bytes of each token id, by byte-pair merging on `texts`, without the last id, which is <bos>."""
    import rustbpe

    def sample() -> Iterator[str]:
        chars = 0
        for text in texts:
            yield text
            chars += len(text)
            if chars >= TOKENIZER_SAMPLE_CHARS:
                return

    tokenizer = rustbpe.Tokenizer()
    tokenizer.train_from_iterator(sample(), vocab_size - 1, pattern=PATTERN)
    tokens = [bytes(token) for token, _ in sorted(tokenizer.get_mergeable_ranks(), key=lambda pair: pair[1])]
    if len(tokens) != vocab_size - 1:
        raise PrepareError(f"the text yields only {len(tokens) + 1} tokens; give more --text, or a lower --vocab")
    return tokens


def write_tokens(path: Path, texts: Iterator[str], encode: Callable[[str], list[int]], bos: int) -> dict[str, Any]:
    """Write <bos> and the tokens of each text; return the sizes and the hash of the file."""
    hashed, n_documents, n_tokens, n_bytes = hashlib.sha256(), 0, 0, 0
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        for text in texts:
            tokens = np.array([bos, *encode(text)], dtype="<u2").tobytes()
            file.write(tokens)
            hashed.update(tokens)
            n_documents, n_tokens, n_bytes = n_documents + 1, n_tokens + len(tokens) // 2, n_bytes + len(text.encode())
    return {"documents": n_documents, "tokens": n_tokens, "bytes": n_bytes, "sha256": hashed.hexdigest()}


def write_data(out: Path, documents: Documents, made_from: dict[str, Any], request: argparse.Namespace) -> None:
    """Write the whole data folder to `out`, which must exist and be empty."""
    import tiktoken

    held_out = {"val": request.val_bytes, "test": request.test_bytes}
    if request.pool_bytes:
        held_out["pool"] = request.pool_bytes
    parts = split(documents, held_out)
    read = parted(documents, parts)
    tokens = train_tokenizer(read("train"), request.vocab)  # held-out documents do not affect the vocabulary
    bos = len(tokens)
    ranks = {token: rank for rank, token in enumerate(tokens)}
    encoding = tiktoken.Encoding("bpe", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={"<bos>": bos})
    files = {
        part: write_tokens(out / part / f"{part}.bin", read(part), encoding.encode_ordinary, bos)
        for part in ("train", *held_out)
    }
    if request.pool_bytes:
        (out / "pool").chmod(0o700)  # like the folder of its slices
    seen_in_training = {"seq_len": request.seq_len, "vocab_size": bos + 1, "work": WORK}
    host_only = {
        "token_bytes": [len(token) for token in tokens] + [0],
        "files": files,
        "corpus_sha256": hashlib.sha256(b"".join(sorted(parts))).hexdigest(),
        "made_from": made_from,
    }
    (out / "train" / "meta.json").write_text(json.dumps(seen_in_training, indent=1) + "\n")
    (out / "tokenizer.json").write_text(json.dumps({"pattern": PATTERN, "tokens": [t.hex() for t in tokens]}) + "\n")
    (out / "meta.json").write_text(json.dumps(seen_in_training | host_only) + "\n")
    for part, size in files.items():
        print(f"{part:5} {size['documents']:6} documents {size['bytes']:9} bytes {size['tokens']:9} tokens")


def prepare(request: argparse.Namespace) -> None:
    """Make `request.out` in one step; do nothing if it already contains the requested data."""
    out: Path = request.out.resolve()
    paths = sorted({Path(path) for pattern in request.text for path in glob.glob(pattern, recursive=True)})
    paths = [path for path in paths if path.is_file()]
    if request.text and not paths:
        raise PrepareError(f"no file matches {' '.join(request.text)}")
    corpus = [[path.name, path.stat().st_size] for path in paths] or [list(pinned) for pinned in PACKAGES.items()]
    made_from = {
        "corpus": corpus,
        **{name: getattr(request, name) for name in ("vocab", "seq_len", "val_bytes", "test_bytes", "pool_bytes")},
        "work": WORK,
    }
    if out.is_dir() and any(out.iterdir()):
        meta = out / "meta.json"
        if meta.is_file() and json.loads(meta.read_text()).get("made_from") == made_from:
            print(f"{out} already contains this data")
            return
        raise PrepareError(f"{out} contains something else; remove it, or choose another --out")

    started = time.monotonic()
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="prepare-") as download:
        documents = text_documents(paths) if request.text else packaged_documents(Path(download))
        with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
            unfinished = Path(scratch) / "data"
            unfinished.mkdir()
            write_data(unfinished, documents, made_from, request)
            os.replace(unfinished, out)  # also over an empty folder
    print(f"{out} made in {time.monotonic() - started:.1f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the data folder to make")
    parser.add_argument(
        "--text", nargs="*", default=[], metavar="GLOB", help="text or parquet files; default: packages"
    )
    parser.add_argument("--vocab", type=int, default=2048, help="number of tokens, including <bos>; at most 65536")
    parser.add_argument("--seq-len", type=int, default=128, help="tokens of context")
    parser.add_argument("--val-bytes", type=int, default=450_000, help="held-out text that scores every trial")
    parser.add_argument("--test-bytes", type=int, default=250_000, help="held-out text that scores a run's result")
    parser.add_argument("--pool-bytes", type=int, default=0, help="text that no job ever sees; default: none")
    request = parser.parse_args()
    if not 258 <= request.vocab <= 65536:
        parser.error(f"--vocab {request.vocab}: it must be 258 (all bytes, one pair, <bos>) to 65536 (uint16)")
    try:
        prepare(request)
    except PrepareError as error:
        sys.exit(f"prepare.py: {error}")


if __name__ == "__main__":
    main()
