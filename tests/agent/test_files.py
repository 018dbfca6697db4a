"""What a stranger's folder may hold in place of a file: it is refused by name, and nothing waits for it."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.errors import UnsafeFileError, UsageError
from agent.files import plain_file, plain_folder, read_bytes, read_json, refuse_unsafe, write_over


def link(path: Path) -> None:
    path.symlink_to("/etc/hostname")


def dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def sock(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # the name of a socket is short
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(here)


@pytest.mark.parametrize(
    ("make", "kind"), [(link, "a link"), (dangling, "a link"), (os.mkfifo, "a FIFO"), (sock, "a socket")]
)
def test_what_is_no_file_is_refused_by_name(tmp_path: Path, make: Callable[[Path], object], kind: str) -> None:
    path = tmp_path / "below" / "train.log"
    path.parent.mkdir()
    make(path)
    for refuses in (plain_file, plain_folder, lambda p: read_bytes(p, 10), lambda p: refuse_unsafe(p.parent.parent)):
        with pytest.raises(UnsafeFileError, match=f"below/train.log is {kind}, which no run creates there"):
            refuses(path)


def test_a_folder_is_no_file_and_a_file_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnsafeFileError, match="is a folder"):
        plain_file(tmp_path)
    with pytest.raises(UnsafeFileError, match="is a file"):
        plain_folder(tmp_path / "file")
    assert plain_file(tmp_path / "file" / "below") == tmp_path / "file" / "below"
    assert plain_folder(tmp_path / "missing") == tmp_path / "missing"


def test_a_file_is_read_up_to_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 10)
    assert read_bytes(path, 10) == b"x" * 10
    with pytest.raises(UnsafeFileError, match="is over"):
        read_bytes(path, 9)
    os.truncate(path, 2**40)  # it takes no room, and would fill the memory
    with pytest.raises(UnsafeFileError, match="is over"):
        read_bytes(path, 9)
    with pytest.raises(FileNotFoundError):
        read_bytes(tmp_path / "missing", 9)


def test_deep_json_is_a_value_error(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("[" * 100_000 + "]" * 100_000)
    with pytest.raises(ValueError, match="nested too deeply"):
        read_json(path, 10**6)


def test_folders_without_an_end_are_refused(tmp_path: Path) -> None:
    (tmp_path / "/".join("d" * 80)).mkdir(parents=True)
    with pytest.raises(UnsafeFileError, match="folders deep"):
        refuse_unsafe(tmp_path)
    refuse_unsafe(tmp_path / "missing")


def test_nothing_but_our_own_file_is_written_over(tmp_path: Path) -> None:
    path, mark = tmp_path / "page.html", b"by us"
    write_over(path, b"by us, 1", mark, force=False)
    write_over(path, b"by us, 2", mark, force=False)
    assert path.read_bytes() == b"by us, 2"
    assert path.stat().st_mode & 0o777 == 0o666 & ~current_umask()
    path.write_bytes(b"a thesis")
    with pytest.raises(UsageError, match="--force replaces it"):
        write_over(path, b"by us, 3", mark, force=False)
    assert path.read_bytes() == b"a thesis"
    write_over(path, b"by us, 4", mark, force=True)
    assert path.read_bytes() == b"by us, 4"
    assert os.listdir(tmp_path) == ["page.html"]


@pytest.mark.parametrize("make", [link, dangling, os.mkfifo])
def test_a_page_is_not_written_through_what_is_no_file(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "page.html")
    with pytest.raises(UsageError, match="exists already"):
        write_over(tmp_path / "page.html", b"by us", b"by us", force=False)


def test_writing_does_not_touch_the_umask_of_other_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def changed(_mask: int) -> int:
        raise AssertionError

    monkeypatch.setattr(os, "umask", changed)
    write_over(tmp_path / "page.html", b"by us", b"by us", force=False)
    assert (tmp_path / "page.html").read_bytes() == b"by us"


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
