"""prepare.py: one split by document, whatever the files are called, and a data folder that is whole or absent."""

import io
import json
import os
import subprocess
import sys
import tarfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.train_template.conftest import TEMPLATE, module_at

WORDS = [a + b + c for a in ("ka", "lo", "mi", "ru") for b in ("ne", "ta", "vo") for c in ("", "s", "ri")]
SHARED = "This paragraph stands word for word in every one of the documents, as notices do."
SMALL = ["--vocab", "300", "--seq-len", "16", "--val-bytes", "6000", "--test-bytes", "4000"]


def documents(n: int = 60) -> list[str]:
    chance = np.random.default_rng(1)
    return [f"document {i}\n\n{SHARED}\n\n{' '.join(chance.choice(WORDS, 120))}\n" for i in range(n)]


def write(folder: Path, texts: list[str], name: str = "{}.txt") -> str:
    """Write one file a text and return the pattern that finds them."""
    folder.mkdir()
    for i, text in enumerate(texts):
        (folder / name.format(i)).write_text(text)
    return f"{folder}/*"


def prepare(out: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, TEMPLATE / "prepare.py", "--out", out, *SMALL, *arguments]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)


def part_texts(out: Path, part: str) -> list[str]:
    """Return the documents of a part, decoded."""
    tokens = [bytes.fromhex(token) for token in json.loads((out / "tokenizer.json").read_text())["tokens"]]
    ids = np.fromfile(out / part / f"{part}.bin", dtype="<u2")
    starts = [*np.flatnonzero(ids == len(tokens)), len(ids)]
    return [b"".join(tokens[i] for i in ids[a + 1 : b]).decode() for a, b in pairwise(starts)]


def test_every_document_is_in_exactly_one_part(tmp_path: Path) -> None:
    texts = documents()
    ran = prepare(tmp_path / "out", "--text", write(tmp_path / "texts", [*texts, texts[0]]))
    assert ran.returncode == 0, ran.stderr
    parts = {part: part_texts(tmp_path / "out", part) for part in ("train", "val", "test")}
    titles = [text.split("\n")[0] for part in parts.values() for text in part]
    assert sorted(titles) == sorted(text.split("\n")[0] for text in texts)
    assert set(parts["val"]) | set(parts["test"]) <= set(texts)
    assert sum(len(text) for text in parts["val"]) >= 6000
    assert sum(len(text) for text in parts["test"]) >= 4000
    assert not (tmp_path / "out/pool").exists()


def test_a_pool_is_a_further_part_that_training_never_sees(tmp_path: Path) -> None:
    texts = documents(120)
    ran = prepare(tmp_path / "out", "--text", write(tmp_path / "texts", texts), "--pool-bytes", "20000")
    assert ran.returncode == 0, ran.stderr
    parts = {part: part_texts(tmp_path / "out", part) for part in ("train", "val", "test", "pool")}
    titles = [text.split("\n")[0] for part in parts.values() for text in part]
    assert sorted(titles) == sorted(text.split("\n")[0] for text in texts)
    assert sum(len(text) for text in parts["pool"]) >= 20000
    assert not any(SHARED in text for text in parts["train"])
    assert sorted(path.name for path in (tmp_path / "out/train").iterdir()) == ["meta.json", "train.bin"]
    assert (tmp_path / "out/pool").stat().st_mode & 0o777 == 0o700
    assert json.loads((tmp_path / "out/meta.json").read_text())["files"]["pool"]["documents"] == len(parts["pool"])


def test_packages_give_their_documentation(tmp_path: Path) -> None:
    """Pages by path, every second of awscli's, no text of a program, and of Ansible's modules what documents them."""
    packages = module_at(TEMPLATE / "packages.py")
    blocks = ["module: a", "options:", "  b:\n    description:\n      - B\n    type: str\n", "  c:\n    default: C"]
    module = f"DOCUMENTATION = r'''\n{chr(10).join(blocks)}\n'''\nEXAMPLES = '''\n- a:\n'''\nRETURN = '''none'''\n"
    held = {
        "ansible-1.tar.gz": {"ansible-1/lib/ansible/modules/a.py": module, "ansible-1/docs/b.rst": "B"},
        "awscli-1.tar.gz": {f"awscli-1/awscli/examples/{i}.rst": str(i) for i in range(4)},
        "other-1.tar.gz": {"other-1/doc/long.md": "x" * 60_001, "other-1/README.md": "R", "other-1/doc/c.txt": "C"},
    }
    for name, files in held.items():
        with tarfile.open(tmp_path / name, "w:gz") as archive:
            for path, text in files.items():
                member = tarfile.TarInfo(path)
                member.size = len(text)
                archive.addfile(member, io.BytesIO(text.encode()))
    found = {name: list(packages.archived(tmp_path / name)) for name in held}
    assert found["ansible-1.tar.gz"] == ["B", "\n\n".join([*map(str.rstrip, blocks), "- a:"])]
    assert found["awscli-1.tar.gz"] == ["0", "2"]
    assert found["other-1.tar.gz"] == ["C"]


def test_training_text_holds_no_paragraph_of_the_held_out_documents(tmp_path: Path) -> None:
    prepare(tmp_path / "out", "--text", write(tmp_path / "texts", documents()))
    assert all(SHARED in text for text in part_texts(tmp_path / "out", "val"))
    assert not any(SHARED in text for text in part_texts(tmp_path / "out", "train"))


def test_same_documents_under_other_names_give_the_same_split_and_vocabulary(tmp_path: Path) -> None:
    texts = documents()
    for name, order in (("a", texts), ("b", texts[::-1])):
        prepare(tmp_path / name, "--text", write(tmp_path / f"texts-{name}", order, name + "{:03}.md"))
    for part in ("train", "val", "test"):
        assert sorted(part_texts(tmp_path / "a", part)) == sorted(part_texts(tmp_path / "b", part))
    assert (tmp_path / "a/tokenizer.json").read_bytes() == (tmp_path / "b/tokenizer.json").read_bytes()


def test_training_folder_holds_only_what_training_needs(tmp_path: Path) -> None:
    prepare(tmp_path / "out", "--text", write(tmp_path / "texts", documents()))
    train = tmp_path / "out" / "train"
    assert sorted(path.name for path in train.iterdir()) == ["meta.json", "train.bin"]
    assert set(json.loads((train / "meta.json").read_text())) == {"seq_len", "vocab_size", "work"}
    host = json.loads((tmp_path / "out" / "meta.json").read_text())
    assert len(host["token_bytes"]) == host["vocab_size"] == 300
    assert host["token_bytes"][-1] == 0  # <bos>
    val = np.fromfile(tmp_path / "out/val/val.bin", dtype="<u2")
    assert np.array(host["token_bytes"])[val].sum() == host["files"]["val"]["bytes"]


def test_second_call_does_nothing_and_another_request_is_refused(tmp_path: Path) -> None:
    pattern = write(tmp_path / "texts", documents())
    prepare(tmp_path / "out", "--text", pattern)
    before = (tmp_path / "out" / "meta.json").stat().st_mtime_ns
    assert "already contains this data" in prepare(tmp_path / "out", "--text", pattern).stdout
    other = prepare(tmp_path / "out", "--text", pattern, "--seq-len", "32")
    assert other.returncode == 1
    assert "contains something else" in other.stderr
    assert (tmp_path / "out" / "meta.json").stat().st_mtime_ns == before


@pytest.mark.parametrize("texts", [["too short"], documents(9)], ids=["one-short-text", "no-room-for-test"])
def test_too_little_text_is_one_line_and_leaves_nothing_behind(tmp_path: Path, texts: list[str]) -> None:
    (tmp_path / "run").mkdir()
    ran = prepare(tmp_path / "run" / "out", "--text", write(tmp_path / "texts", texts))
    assert ran.returncode == 1
    assert ran.stderr.startswith("prepare.py: too little text")
    assert len(ran.stderr.splitlines()) == 1
    assert list((tmp_path / "run").iterdir()) == []


def test_index_that_cannot_be_reached_is_one_line_with_the_remedy(tmp_path: Path) -> None:
    unreachable = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0", "PIP_CONFIG_FILE": os.devnull}
    ran = prepare(tmp_path / "out", **unreachable, PIP_NO_INDEX="", PIP_EXTRA_INDEX_URL="", PIP_FIND_LINKS="")
    assert ran.returncode == 1
    assert len(ran.stderr.splitlines()) == 1
    assert "--text" in ran.stderr
    assert not (tmp_path / "out").exists()


def test_parquet_rows_are_documents(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="parquet needs pyarrow: pip install 'autocentaur[parquet]'")
    parquet = pytest.importorskip("pyarrow.parquet")
    texts = documents()
    parquet.write_table(pyarrow.table({"text": texts}), tmp_path / "shard.parquet", row_group_size=7)
    ran = prepare(tmp_path / "out", "--text", str(tmp_path / "*.parquet"))
    assert ran.returncode == 0, ran.stderr
    assert set(part_texts(tmp_path / "out", "val")) < set(texts)
