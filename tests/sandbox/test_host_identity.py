"""Folders that carry the name of the process that made them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.host_identity import folders_of_dead_processes, own_folder

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
