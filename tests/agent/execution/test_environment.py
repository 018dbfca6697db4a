"""What a result may depend on is found out on the real machine, and written where a replay finds it."""

import hashlib
import json
import platform
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from agent.execution.environment import NAMES, conditions_of, processor
from agent.task.corpus import Corpus
from agent.task.task import Task

TOML = '[task]\nname = "t"\n[budget]\namount = 1.0\n[limits]\nwall_seconds = 9\nmemory_gb = 1\n[environment]\n'


def task_with(environment: str) -> Task:
    return Task(Path("t"), {"task.toml": f"{TOML}{environment}".encode(), "train.py": b"X = 1\n"})


def test_data_interpreter_libraries_and_processor_are_recorded(bigram: Task, corpus: Corpus) -> None:
    found = conditions_of(bigram, corpus, "bubblewrap", ())
    assert set(found) <= set(NAMES)
    assert found["data"] == corpus.digest
    assert found["python"] == platform.python_version()
    assert found["numpy"] == version("numpy")
    assert found["processor"] == processor() != ""


def test_another_interpreter_is_asked_for_its_own_libraries(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    found = conditions_of(task_with(f'python = "{tmp_path}/bare/bin/python"'), None, "bubblewrap", ())
    assert found["python"] == platform.python_version()
    assert "numpy" not in found  # this program has it; that interpreter has not


def test_an_image_speaks_for_what_is_in_it() -> None:
    assert set(conditions_of(task_with('image = "some:image"'), None, "docker", ())) == {"processor"}


@pytest.mark.parametrize(
    "changed",
    [
        lambda folder: (folder / "val" / "val.bin").write_bytes(np.zeros(33, np.uint16).tobytes()),
        lambda folder: (folder / "train" / "train.bin").write_bytes(b"\1\2"),
    ],
)
def test_the_digest_of_data_follows_every_split(changed: Callable[[Path], int], tmp_path: Path) -> None:
    def prepared() -> Corpus:
        files = {
            split: {"sha256": hashlib.sha256((tmp_path / split / f"{split}.bin").read_bytes()).hexdigest()}
            for split in ("train", "val")
        }
        (tmp_path / "meta.json").write_text(json.dumps({"seq_len": 32, "token_bytes": [1, 1], "files": files}))
        return Corpus(tmp_path)

    for split in ("train", "val"):
        (tmp_path / split).mkdir()
        (tmp_path / split / f"{split}.bin").write_bytes(b"\0\0")
    before = prepared().digest
    assert prepared().digest == before
    changed(tmp_path)
    assert prepared().digest != before
