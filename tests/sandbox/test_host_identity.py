"""Folders that carry the name of the process that made them."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.host_identity import folders_of_dead_processes, is_alive_here, is_dead, own_folder, process_id

MAKE = """
import sys
from pathlib import Path
from sandbox.host_identity import own_folder
own_folder("x-", Path(sys.argv[1]))
"""


def test_only_folders_of_dead_processes_are_found(tmp_path: Path) -> None:
    own = own_folder("x-", tmp_path)
    assert own.stat().st_mode & 0o777 == 0o700
    (tmp_path / "y-another").mkdir()
    assert [*folders_of_dead_processes("x-", tmp_path)] == []
    subprocess.run([sys.executable, "-c", MAKE, str(tmp_path)], check=True)
    (dead,) = folders_of_dead_processes("x-", tmp_path)
    assert dead not in (own, tmp_path / "y-another")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_folders_of_other_users_are_left(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", MAKE, str(tmp_path)], check=True)
    (folder,) = folders_of_dead_processes("x-", tmp_path)
    os.chown(folder, 12345, 12345)
    assert [*folders_of_dead_processes("x-", tmp_path)] == []


def test_a_process_of_an_earlier_boot_is_dead_and_this_one_is_not() -> None:
    assert not is_dead(process_id())
    assert is_alive_here(process_id())
    before = f"{'0' * 32}-{process_id().partition('-')[2]}"
    assert is_dead(before)
    assert not is_alive_here(before)


@pytest.mark.parametrize(
    "change",
    [
        lambda _name: "",
        lambda _name: "somebody's work",
        lambda name: name.partition("-")[0],  # cut while it was being written
        lambda name: name.rpartition(".")[0],
        lambda name: f"{'0' * 31}-{name.partition('-')[2]}",
        lambda name: f"{'Z' * 32}-{name.partition('-')[2]}",
        lambda name: f"{name}.1",
        lambda name: f"{name.rpartition('.')[0]}.",
        lambda name: f"{name.rpartition('.')[0]}.²",
        lambda name: f"{name.rpartition('.')[0]}.{'9' * 5000}",
        lambda name: f"{name}\n",
    ],
)
def test_nothing_is_known_about_what_is_no_name_of_a_process(change: Callable[[str], str]) -> None:
    assert not is_dead(change(process_id()))
    assert not is_alive_here(change(process_id()))


def test_a_folder_whose_name_is_cut_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "x-notes.old").mkdir()
    (tmp_path / "x-0123.1.2.abc").mkdir()
    assert [*folders_of_dead_processes("x-", tmp_path)] == []
