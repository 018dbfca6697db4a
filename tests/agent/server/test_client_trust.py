"""Whether a client is kept from the host's data: by its user id, and the folders' owners and permissions."""

import os
from pathlib import Path

import pytest

from agent.server.client_trust import is_trusted

OTHER = 65534


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Runs and cache that only their owner may enter, and a task that everybody may read."""
    made = [tmp_path / name for name in ("runs", "cache", "task")]
    for folder, mode in zip(made, (0o700, 0o700, 0o755), strict=True):
        folder.mkdir()
        folder.chmod(mode)
    return made


def test_another_user_is_kept_out_by_permissions(folders: list[Path]) -> None:
    assert not is_trusted(OTHER, folders)


def test_the_hosts_user_and_root_are_trusted(folders: list[Path]) -> None:
    assert is_trusted(os.getuid(), folders)
    assert is_trusted(0, folders)


@pytest.mark.parametrize(("which", "mode"), [(0, 0o701), (0, 0o704), (1, 0o705), (1, 0o702), (2, 0o757)])
def test_a_folder_that_others_may_enter_read_or_write(folders: list[Path], which: int, mode: int) -> None:
    folders[which].chmod(mode)
    assert is_trusted(OTHER, folders)


def test_a_folder_that_is_missing_protects_nothing(folders: list[Path]) -> None:
    folders[1].rmdir()
    assert is_trusted(OTHER, folders)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder to another user")
def test_a_folder_of_the_clients_own(folders: list[Path]) -> None:
    os.chown(folders[2], OTHER, -1)
    assert is_trusted(OTHER, folders)
