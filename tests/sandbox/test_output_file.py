"""The output file, against what a job could leave at its place."""

import os
import stat
from pathlib import Path

import pytest

from sandbox.errors import SandboxError
from sandbox.output_file import OutputFile


def me() -> tuple[int, int]:
    return os.geteuid(), os.getegid()


def test_what_stood_there_before_is_gone(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("precious")
    path = tmp_path / "artifact"
    path.symlink_to(elsewhere)
    with OutputFile(path, *me()) as output:
        assert not path.is_symlink()
        assert output.take_back() == 0
    assert elsewhere.read_text() == "precious"


def test_a_name_that_was_exchanged_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of the host")
    secret.chmod(0o644)
    path = tmp_path / "artifact"
    with OutputFile(path, *me()) as output:
        path.unlink()
        path.symlink_to(secret)
        with pytest.raises(SandboxError, match="tampered"):
            output.take_back()
    assert stat.S_IMODE(secret.stat().st_mode) == 0o644


def test_a_second_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "artifact"
    with OutputFile(path, *me()) as output:
        os.link(path, tmp_path / "second")
        with pytest.raises(SandboxError, match="tampered"):
            output.take_back()


def test_mode_is_restored_also_if_nobody_takes_the_file_back(tmp_path: Path) -> None:
    path = tmp_path / "artifact"
    with OutputFile(path, *me()):
        path.chmod(0o4777)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="nowhere"):
        OutputFile(tmp_path / "nowhere" / "artifact", *me())
