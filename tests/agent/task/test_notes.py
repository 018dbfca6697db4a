"""notes.md: read as it is now, refused with a remedy, and no part of the task."""

import os
import re
import shutil
from pathlib import Path

import pytest

from agent.errors import UsageError
from agent.task.notes import MOST_BYTES, TaskNotes, read_notes
from agent.task.task import Task

BIGRAM = Path(__file__).parents[2] / "tasks" / "bigram_plain"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(BIGRAM, tmp_path / "task", ignore=shutil.ignore_patterns("__pycache__")))


def test_notes_are_no_file_of_the_task(folder: Path) -> None:
    before = Task.load(folder)
    assert read_notes(before) == TaskNotes("")
    assert read_notes(before).hash is None
    (folder / "notes.md").write_text("é" * (MOST_BYTES // 2))
    after = Task.load(folder)
    assert (after.digest, after.files) == (before.digest, before.files)
    assert read_notes(after) == TaskNotes("é" * (MOST_BYTES // 2))
    assert read_notes(after).hash is not None


def test_a_frozen_file_of_that_name_stays_one(folder: Path) -> None:
    (folder / "notes.md").write_text("which jobs see")
    text = (folder / "task.toml").read_text()
    text = re.sub(r"(?m)^frozen = \[.*?\]", 'frozen = ["./notes.md"]', text)
    (folder / "task.toml").write_text(text)
    assert read_notes(Task.load(folder)) == TaskNotes("")


def _link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (_link, "should be a plain file of at most 20 kB; shorten or replace it"),
        (Path.mkdir, "should be a plain file"),
        (os.mkfifo, "should be a plain file"),
        (lambda path: path.write_text("x" * (MOST_BYTES + 1)), "of at most 20 kB"),
        (lambda path: path.write_bytes(b"caf\xe9"), r"is not UTF-8 text \(byte 3\); save it as UTF-8"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_remedy(folder: Path, make: object, why: str) -> None:
    task = Task.load(folder)
    make(folder / "notes.md")  # type: ignore[operator]
    with pytest.raises(UsageError, match=why) as raised:
        read_notes(task)
    assert "\n" not in str(raised.value)
