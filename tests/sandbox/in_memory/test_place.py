"""Where copies in memory lie, where they do not fit, and what the dead leave."""

import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from sandbox import host_identity
from sandbox.in_memory import place


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def shared(folder: Path) -> Path:
    folder.mkdir()
    return folder


def mounted_on(folder: Path) -> str:
    """Return the kind of file system that holds a folder."""
    command = ["stat", "--file-system", "--format=%T", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_a_place_in_memory_is_private_and_leaves_nothing(temporary: Path) -> None:
    made = place.make(1 << 20)
    try:
        if made.lacking:
            pytest.skip(made.lacking)
        assert mounted_on(made.folder) == "tmpfs"
        assert made.folder.stat().st_mode & 0o777 == 0o700
        (made.folder / "file").write_bytes(b"x")
    finally:
        made.remove()
        made.remove()
    assert not made.folder.exists()
    assert list(temporary.iterdir()) == []


def test_an_ordinary_user_gets_a_folder_of_the_shared_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "_mounted", lambda _: False)
    folder = shared(tmp_path / "shm")
    made = place.make(1 << 20, folder)
    assert (made.folder.parent, made.lacking) == (folder, "")


def test_where_nothing_fits_it_is_a_disk_and_the_reason_is_given(
    temporary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = place.make(1 << 60, shared(tmp_path / "shm"))
    assert made.folder.parent == temporary
    assert "of memory are free" in made.lacking
    monkeypatch.setattr(place, "_mounted", lambda _: False)
    assert "cannot be used" in place.make(1 << 20, tmp_path / "nowhere").lacking


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_a_shared_memory_that_runs_nothing_or_is_too_small_is_seen_before_anything_is_copied(tmp_path: Path) -> None:
    for option, expected in (("noexec", "noexec"), ("size=4m", "MiB, 64 are needed")):
        folder = shared(tmp_path / option)
        subprocess.run(["mount", "-t", "tmpfs", "-o", option, "test", str(folder)], check=True)
        try:
            assert expected in place.cannot_hold(folder, 64 << 20)
        finally:
            subprocess.run(["umount", str(folder)], check=True)


def test_what_the_dead_left_is_swept_and_what_the_living_hold_stays(temporary: Path, tmp_path: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    space = host_identity.process_id().partition(".")[0]
    memory = shared(tmp_path / "shm")
    gone = [parent / f"{place.NAME}{space}.{dead.pid}.1.abc" for parent in (temporary, memory)]
    kept = memory / f"{place.NAME}{host_identity.process_id()}.abc"
    for folder in (*gone, kept):
        (folder / "runtime").mkdir(parents=True)
    if os.geteuid() == 0:
        subprocess.run(["mount", "-t", "tmpfs", "test", str(gone[0])], check=True)
    place.sweep(memory)
    assert [folder.exists() for folder in (*gone, kept)] == [False, False, True]
