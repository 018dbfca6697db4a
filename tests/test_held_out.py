"""No held-out document lies in anything that a training sandbox sees, the Python installation included."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from platformdirs import user_cache_path

from agent.execution.training_job import export, training_job
from agent.resources import folder
from agent.store.paths import TrialPaths
from agent.task.corpus import Corpus, find_corpus
from agent.task.task import Task
from sandbox.job import Job, Limits, Sandbox

PROBE_BYTES = 48
PROBES_PER_DOCUMENT = 3
POOL_SAMPLE = 40  # one document of the pool in so many is looked for
N_GRAM = 30
MARKER = b"a line that stands nowhere else: 6b1f0c"

# Runs in the sandbox and prints every file that holds pieces, and the numbers of these, as `grep -F` would in ten times
# as many seconds: however a piece lies in a file, 8 of its first 15 bytes lie at a multiple of 8, so one place in 8 is
# looked up.
SEARCH = """
import os, stat
import numpy as np

with open("/task/probes.txt") as file:
    pieces = [bytes.fromhex(line) for line in file]  # so that the file does not hold them itself
assert min(map(len, pieces)) >= 15
known = {}
for piece in pieces:
    for begin in range(8):
        known.setdefault(piece[begin : begin + 8], []).append((piece, begin))
place = lambda words: ((words * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(44)).astype(np.int64)
may_be_known = np.zeros(1 << 20, bool)
may_be_known[place(np.frombuffer(b"".join(known), "<u8"))] = True

number = {piece: n for n, piece in enumerate(pieces)}

def held(content):
    found = set()
    words = np.frombuffer(content, "<u8", len(content) // 8)
    for start in range(0, len(words), 1 << 15):
        for word in np.flatnonzero(may_be_known[place(words[start : start + (1 << 15)])]).tolist():
            at = 8 * (start + word)
            for piece, begin in known.get(content[at : at + 8], ()):
                if content.startswith(piece, at - begin):
                    found.add(number[piece])
    return sorted(found)

for folder, folders, names in os.walk("/"):
    folders[:] = [name for name in folders if name not in ("proc", "dev")]
    for path in (os.path.join(folder, name) for name in names):
        try:
            if not stat.S_ISREG(os.lstat(path).st_mode):
                continue
            with open(path, "rb", buffering=0) as file:
                content = file.read()
        except OSError:
            continue
        if found := held(content):
            print(*found, path)
print("done")
"""


@pytest.fixture(scope="module")
def task() -> Task:
    return Task.load(folder("train_template"))


@pytest.fixture(scope="module")
def bundled(task: Task) -> Corpus:
    found = find_corpus(task, user_cache_path("autocentaur"))
    if found is None:
        pytest.skip("the bundled task's data are not prepared: run `agent prepare` (make setup does)")
    return found


def documents(corpus: Corpus, split: str) -> list[bytes]:
    """Return the texts of a split, decoded from its tokens."""
    spelled = [bytes.fromhex(token) for token in json.loads((corpus.folder / "tokenizer.json").read_text())["tokens"]]
    tokens = np.fromfile(corpus.folder / split / f"{split}.bin", dtype=np.uint16)
    starts = np.flatnonzero(tokens == len(spelled))
    return [b"".join(spelled[token] for token in part[1:]) for part in np.split(tokens, starts)[1:]]


def probes(text: bytes, elsewhere: bytes) -> list[bytes]:
    """Return pieces of lines of a document, from its beginning, middle and end, that no training document shares."""
    lines = [line.strip() for line in text.splitlines()]
    long = [line[:PROBE_BYTES] for line in lines if len(line) >= PROBE_BYTES]
    wanted = np.linspace(0, len(long) - 1, PROBES_PER_DOCUMENT).astype(int) if long else []
    from_there_on = (next((piece for piece in long[i:] if piece not in elsewhere), None) for i in wanted)
    return sorted({piece for piece in from_there_on if piece is not None})


def searched(
    sandbox: Sandbox, task: Task, corpus: Corpus, tmp_path: Path, pieces: list[bytes]
) -> dict[str, set[bytes]]:
    """Return which pieces a training job finds in which files, looking through all it can read."""
    paths = TrialPaths(tmp_path / "trial")
    beside = {
        "marker.txt": MARKER,
        "probes.txt": "".join(f"{piece.hex()}\n" for piece in pieces).encode(),
        "search.py": SEARCH.encode(),
    }
    export({**task.files, **beside}, paths.files)
    shape = training_job(
        task, corpus, paths, label="leak/0000/train", train_seed=0, baseline_cpu_seconds=None, passed_on={}
    )
    job = Job(
        argv=("python", "/task/search.py"),
        label=shape.label,
        limits=Limits(wall_seconds=3600, memory_gb=2.0),
        log=paths.log,
        mounts=shape.mounts,
        environment=shape.environment,
    )
    execution = sandbox.run(job)
    lines = paths.log.read_text().splitlines()
    assert execution.exit_code == 0, lines
    assert lines[-1] == "done"
    found: dict[str, set[bytes]] = {}
    for line in lines[:-1]:
        numbers, _, path = line.partition(" /")
        found[f"/{path}"] = {pieces[int(number)] for number in numbers.split()}
    return found


def tokens_of(corpus: Corpus, split: str) -> bytes:
    """Return fifty tokens of a split, as its file holds them."""
    return (corpus.folder / split / f"{split}.bin").read_bytes()[2000:2100]


@pytest.mark.slow
def test_no_held_out_text_or_tokens_lie_in_any_mount(
    task: Task, bundled: Corpus, sandbox: Sandbox, tmp_path: Path
) -> None:
    trained_on = b"\n".join(documents(bundled, "train"))
    held_out = [*documents(bundled, "val"), *documents(bundled, "test"), *documents(bundled, "pool")[::POOL_SAMPLE]]
    by_document = [probes(text, trained_on) for text in held_out]
    pieces = sorted({piece for probed in by_document for piece in probed})
    assert len(pieces) > 2 * len(held_out)
    secret = [tokens_of(bundled, split) for split in ("val", "test", "pool")]
    # The search does find what is there: a marker beside the script, a line of the interpreter's library, and tokens.
    known = [MARKER, b"Interface to the libbzip2 compression library.", tokens_of(bundled, "train")]
    found = searched(sandbox, task, bundled, tmp_path, pieces + secret + known)
    assert found["/task/marker.txt"] == {MARKER}
    assert any(name.endswith("/bz2.py") for name in found)
    assert [name for name, there in found.items() if known[-1] in there] == ["/data/train.bin"]
    assert [name for name, there in found.items() if there & set(secret)] == []
    # One line alone may be a sentence that document and file both took from elsewhere; two of three are the document.
    shared = {name for name, there in found.items() if any(len(there & set(probed)) > 1 for probed in by_document)}
    assert shared == set()


def windows(tokens: NDArray[np.uint16]) -> NDArray[np.uint64]:
    """Return a hash of every distinct run of N_GRAM tokens."""
    n = len(tokens) - N_GRAM + 1
    hashes = np.zeros(n, np.uint64)
    for i, factor in enumerate(np.random.default_rng(0).integers(1, 1 << 63, N_GRAM).astype(np.uint64)):
        hashes += tokens[i : i + n] * factor
    return np.unique(hashes)


@pytest.mark.slow
def test_held_out_documents_are_not_in_the_training_tokens(bundled: Corpus) -> None:
    train = windows(np.fromfile(bundled.train / "train.bin", dtype=np.uint16))
    for split in ("val", "test", "pool"):
        own = windows(np.fromfile(bundled.folder / split / f"{split}.bin", dtype=np.uint16))
        # Left are short lines and parts of paragraphs that differ elsewhere, mostly of Ansible's modules: 1.9 % of val,
        # 1.4 % of test, 1.0 % of pool, 2026-11-29.
        assert np.isin(own, train, assume_unique=True).mean() < 0.02, split
