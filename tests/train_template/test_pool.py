"""pool.py: documents with the tokenizer of the data, and a mark on every paragraph that stands elsewhere too."""

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from agent.task.task import Task
from agent.task.unseen.pool import find_pool
from agent.task.unseen.pool_making import prepare_pool
from tests.train_template.conftest import TEMPLATE
from tests.train_template.test_prepare import SHARED, SMALL, WORDS, documents, part_texts, prepare, write

COPIED_LATER = "The second of the documents of the pool says this first, and two of the others say it again."
SHORT = "A short line stays."


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that prepare.py made."""
    folder = tmp_path_factory.mktemp("prepared")
    ran = prepare(folder / "data", "--text", write(folder / "texts", documents()))
    assert ran.returncode == 0, ran.stderr
    return folder / "data"


def pool_texts() -> list[str]:
    chance = np.random.default_rng(2)
    own = [" ".join(chance.choice(WORDS, 40)) for _ in range(6)]
    held_out = documents()[3].split("\n\n")[2].strip()
    return [
        f"{own[0]}\n\n{SHARED}\n\n{own[1]} ünïcödé",
        f"{SHORT}\n\n{COPIED_LATER}\n\n{own[2]}",
        f"{COPIED_LATER.replace(' ', '  ')}\n\n{SHORT}\n\n{own[3]}\n\n{COPIED_LATER}",  # blanks do not matter
        f"{held_out}\n\n{own[4]}",
        f"{own[5]}\n\n{COPIED_LATER}\n\n{own[5]}",  # its own paragraph again
        f"{SHORT}\n\n{COPIED_LATER}\n\n{own[2]}",  # the second once more
    ]


def make(data: Path, out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, TEMPLATE / "pool.py", "--out", out, "--data", data, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_tokens_give_the_documents_back_and_marks_are_on_what_stands_elsewhere(data: Path, tmp_path: Path) -> None:
    texts = pool_texts()
    ran = make(data, tmp_path / "out", "--text", write(tmp_path / "texts", texts))
    assert ran.returncode == 0, ran.stderr
    tokens = [bytes.fromhex(token) for token in json.loads((data / "tokenizer.json").read_text())["tokens"]] + [b""]
    ids = np.fromfile(tmp_path / "out/documents.bin", "<u2")
    marks = np.fromfile(tmp_path / "out/copied.bin", np.uint8)
    lengths = np.fromfile(tmp_path / "out/lengths.bin", "<i8")
    assert lengths.sum() == len(ids) == len(marks)
    assert len(lengths) == 5  # the last document is the second
    for text, (first, end) in zip(texts, pairwise(np.concatenate([[0], np.cumsum(lengths)])), strict=False):
        pieces = [tokens[i] for i in ids[first:end]]
        assert ids[first] == len(tokens) - 1  # <bos>
        assert b"".join(pieces).decode() == text
        for paragraph in text.split("\n\n"):
            words = " ".join(paragraph.split())
            is_copy = words == SHARED or (words == COPIED_LATER and text is not texts[1])
            is_copy |= words == documents()[3].split("\n\n")[2].strip()
            starts = np.cumsum([0, *map(len, pieces)])
            at = text.encode().index(paragraph.encode())
            touched = (starts[:-1] < at + len(paragraph.encode())) & (starts[1:] > at)
            if is_copy:
                assert marks[first:end][touched].all(), words
            elif text is not texts[4]:
                assert not marks[first:end][touched][1:-1].any(), words  # but where a token reaches into a copy
        if text is texts[4]:  # of its own paragraph, one copy is used
            assert 0 < marks[first:end].mean() < 1
    assert "5 documents" in ran.stdout.splitlines()[-1]


def test_a_pool_of_other_text_is_made_and_found(data: Path, tmp_path: Path) -> None:
    """`agent prepare --pool` on the bundled task with text of one's own, from end to end."""
    folder, chance = tmp_path / "task", np.random.default_rng(5)
    folder.mkdir()
    for name in ("packages.py", "prepare.py", "pool.py", "score.py", "train.py"):
        (folder / name).write_bytes((TEMPLATE / name).read_bytes())
    texts = [f"{SHARED}\n\n{' '.join(chance.choice(WORDS, 300))}" for _ in range(30)]
    own = [*SMALL, "--text", write(tmp_path / "texts", documents())]
    text = (TEMPLATE / "task.toml").read_text()
    bundled = '"--seq-len", "128", "--vocab", "2048", "--pool-bytes", "24000000"]'
    text = text.replace(bundled, ", ".join(map(json.dumps, own)) + "]", 1)
    text = text.replace('"{data}"]', f'"{{data}}", "--text", "{write(tmp_path / "more", texts)}"]')
    text = text.replace("slice_sequences = 535\npool_rounds = 28", "slice_sequences = 40")
    (folder / "task.toml").write_text(text)
    task = Task.load(folder)
    pool = prepare_pool(task, tmp_path / "cache")
    assert pool.n_slices >= 2
    assert pool.slice(0).sequences.shape == (40, 17)
    assert pool.slice(0).ends.shape == (40, 16)
    assert find_pool(task, tmp_path / "cache") is not None
    assert pool.meta["made_from"][0] == ["0.txt", len(texts[0].encode())]


def test_the_pool_of_the_data_is_the_part_that_was_held_out_for_it(tmp_path: Path) -> None:
    texts = documents(120)
    ran = prepare(tmp_path / "data", "--text", write(tmp_path / "texts", texts), "--pool-bytes", "20000")
    assert ran.returncode == 0, ran.stderr
    made = make(tmp_path / "data", tmp_path / "out")
    assert made.returncode == 0, made.stderr
    held_out = part_texts(tmp_path / "data", "pool")
    assert set(held_out) < set(texts)
    ids = np.fromfile(tmp_path / "out/documents.bin", "<u2")
    assert ids.tobytes() == (tmp_path / "data/pool/pool.bin").read_bytes()
    lengths = np.fromfile(tmp_path / "out/lengths.bin", "<i8")
    assert len(lengths) == len(held_out)
    marks = np.fromfile(tmp_path / "out/copied.bin", np.uint8)
    assert 0 < marks.mean() < 0.5  # SHARED, which stands in val, too
    assert json.loads((tmp_path / "out/meta.json").read_text())[0][0] == "pool.bin"


def test_data_without_a_pool_of_their_own_say_so(data: Path, tmp_path: Path) -> None:
    ran = make(data, tmp_path / "out")
    assert ran.returncode == 1
    assert "no part `pool`" in ran.stderr
    assert "--pool-bytes" in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [(["--text", "/nowhere/*.txt"], "no file matches /nowhere/*.txt"), ([], "no tokenizer.json")],
)
def test_what_is_missing_is_one_line(tmp_path: Path, arguments: list[str], expected: str) -> None:
    ran = make(tmp_path, tmp_path / "out", *arguments)
    assert ran.returncode == 1
    assert expected in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


def test_the_pool_is_of_the_profile_with_the_measured_sigma_and_in_no_frozen_file() -> None:
    task = Task.load(TEMPLATE)
    assert set(task.pool_files) == {"pool.py"}
    assert (task.data.slice_sequences, task.data.pool_rounds) == (535, 28)
    assert "packages.py" in task.frozen  # what the data are made of is part of the task
    seen_by_jobs = task.files["task.toml"].decode()
    assert not any(key in seen_by_jobs for key in ("pool =", "pool_files", "pool_rounds", "slice_sequences"))
    assert not Task.load(TEMPLATE, "gpu").data.pool


@pytest.mark.long
def test_the_bundled_pool_holds_20_slices(tmp_path: Path) -> None:
    """Downloads 70 MB: a minute or several."""
    task = Task.load(TEMPLATE)
    pool = prepare_pool(task, tmp_path / "cache")
    assert pool.n_slices >= 20
    assert pool.meta["documents"] >= 4500
    names: set[int] = set()
    for number in range(pool.n_slices):
        part = pool.slice(number)
        own = set(part.documents.tolist())
        assert not own & names
        names |= own
        assert part.sequences.shape == (535, 129)
