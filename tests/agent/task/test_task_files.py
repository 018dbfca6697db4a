"""Entries of task.toml stand for files and folders inside of the task's folder, by one rule for init and run."""

import os
from pathlib import Path

import pytest

from agent.errors import TaskError, UsageError
from agent.files import RUNS_MARKER
from agent.task.init.find_script import find_script
from agent.task.task import Task
from agent.task.task_files import expanded, link_out

CONFIG = """[task]
name = "tiny"
frozen = [{frozen}]
[score]
kind = "printed"
[budget]
unit = "work"
amount = 1
counted_by = "script"
[limits]
wall_seconds = 60
memory_gb = 0.5
"""


def task(folder: Path, *frozen: str, files: tuple[str, ...] = ()) -> Task:
    for name in ("train.py", *files):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"NAME = {name!r}\n")
    (folder / "task.toml").write_text(CONFIG.format(frozen=", ".join(f'"{name}"' for name in frozen)))
    return Task.load(folder)


@pytest.mark.parametrize("entry", ["configs/", "configs", "./configs/"])
def test_a_folder_stands_for_all_files_below_it(tmp_path: Path, entry: str) -> None:
    found = task(tmp_path, entry, files=("configs/a.yaml", "configs/deep/b.yaml", "other.yaml"))
    assert found.frozen == ("configs/a.yaml", "configs/deep/b.yaml")
    assert set(found.files) == {"task.toml", "train.py", *found.frozen}
    assert found.frozen_entries == (entry,)


def test_a_commit_of_a_trial_has_the_same_files_as_the_folder(tmp_path: Path) -> None:
    found = task(tmp_path, "src/", files=("src/a.py", "src/b/c.py"))
    assert Task(tmp_path, found.files, as_is=True).frozen == found.frozen


def test_the_script_and_what_no_source_is_are_not_frozen_with_their_folder(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / RUNS_MARKER).touch()
    names = ("data.csv", "mine/log", "__pycache__/a.pyc", ".git/HEAD", ".venv/bin/x", "loose.pyc")
    assert task(tmp_path, ".", files=names).frozen == ("data.csv",)


def test_a_change_below_a_frozen_folder_is_another_task(tmp_path: Path) -> None:
    before = task(tmp_path, "src/", files=("src/a.py",)).digest
    (tmp_path / "src" / "b.py").touch()
    assert Task.load(tmp_path).digest != before


@pytest.mark.parametrize(("entry", "named"), [("missing/", "missing/"), ("gone.txt", "gone.txt")])
def test_an_entry_without_a_file_is_missing(tmp_path: Path, entry: str, named: str) -> None:
    with pytest.raises(TaskError, match=f"{named} is missing, but task.toml names it"):
        task(tmp_path, entry)


def test_an_entry_above_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.txt").touch()
    with pytest.raises(TaskError, match=r"\.\./x\.txt is outside the task's folder; copy it in"):
        task(tmp_path / "inner", "../x.txt")


@pytest.mark.parametrize("linked", ["data", "data/file.txt"])
def test_a_link_out_of_the_folder_is_refused_with_its_target(tmp_path: Path, linked: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file.txt").touch()
    (tmp_path / "own" / linked).parent.mkdir(parents=True)
    target = tmp_path / "elsewhere" / ("file.txt" if "/" in linked else "")
    (tmp_path / "own" / linked).symlink_to(target)
    with pytest.raises(TaskError, match=rf"{linked} is outside .* a link to {target}; copy it in, or open it"):
        task(tmp_path / "own", "data")


def test_a_link_within_the_folder_is_read(tmp_path: Path) -> None:
    (tmp_path / "v1").mkdir()
    (tmp_path / "v1" / "x.txt").write_text("1")
    (tmp_path / "latest.txt").symlink_to("v1/x.txt")
    assert task(tmp_path, "latest.txt").files["latest.txt"] == b"1"


def test_init_and_run_refuse_the_same_linked_script(tmp_path: Path) -> None:
    (tmp_path / "common.py").write_text("print('val loss', 1)\n")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "train.py").symlink_to("../common.py")
    (tmp_path / "own" / "task.toml").write_text(CONFIG.format(frozen=""))
    with pytest.raises(TaskError, match=r"train\.py is outside the task's folder: it is a link"):
        Task.load(tmp_path / "own")
    for named in (None, "train.py"):
        with pytest.raises(UsageError, match=r"train\.py is outside the folder: it is a link"):
            find_script(tmp_path / "own", named)


def test_a_device_is_no_file_of_a_task(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(TaskError, match="pipe is missing"):
        task(tmp_path, "pipe")


def test_link_out_follows_no_name_that_is_not_there(tmp_path: Path) -> None:
    assert link_out(tmp_path, "a/b") is None
    assert link_out(tmp_path, "../b") == tmp_path.resolve().parent / "b"


def test_a_folder_whose_name_only_begins_alike_is_another() -> None:
    assert expanded(["data"], ["data2/x", "data/x"], ()) == ("data/x",)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_byte_order_marks_are_read_as_python_reads_them(tmp_path: Path, newline: str) -> None:
    task(tmp_path)
    config = (
        newline.join((tmp_path / "task.toml").read_text().split("\n"))
        + '[space]\nLR = { type = "float", low = 0.0, high = 1.0 }\n'
    )
    (tmp_path / "task.toml").write_bytes(b"\xef\xbb\xbf" + config.encode())
    (tmp_path / "train.py").write_bytes(b"\xef\xbb\xbf" + f"LR = 0.5{newline}print(LR){newline}".encode())
    found = Task.load(tmp_path)
    assert found.defaults == {"LR": 0.5}
    assert found.files["train.py"] == (tmp_path / "train.py").read_bytes()  # the mark stays where it was
