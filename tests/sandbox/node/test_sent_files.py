"""Files that are sent to a node arrive as they were, once, and do not fill its disk."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.errors import SandboxError
from sandbox.node.snapshot import FileSnapshot, contents, digest_of, listed, unpack
from sandbox.node.snapshot_cache import SnapshotCache


def snapshot_of(source: Path, piece_bytes: int = 7) -> FileSnapshot:
    entries = listed(source)
    pieces = tuple(contents(source, entries, piece_bytes))
    return FileSnapshot(digest_of(entries, pieces), entries, pieces)


def tree(folder: Path) -> dict[str, tuple[object, ...]]:
    """Return what a job could see of a folder."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted([folder, *folder.rglob("*")]):
        state = path.lstat()
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        modified = None if path.is_symlink() else state.st_mtime_ns
        found[str(path.relative_to(folder))] = (state.st_mode, content, modified)
    return found


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "with space" / "ünï-✓").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "with space" / "data").write_bytes(bytes(range(100)))
    (folder / "with space" / "ünï-✓" / "none").touch()
    (folder / "last").write_bytes(b"x" * 14)
    (folder / "last").chmod(0o444)
    (folder / "link").symlink_to("with space/data")
    (folder / "dangling").symlink_to("/nowhere")
    os.utime(folder / "last", ns=(1, 10**18 + 1))
    (folder / "empty").chmod(0o555)
    return folder


@pytest.mark.parametrize("piece_bytes", [1, 7, 2**20])
def test_a_folder_arrives_as_it_was(source: Path, tmp_path: Path, piece_bytes: int) -> None:
    snapshot = snapshot_of(source, piece_bytes)
    assert {len(piece) for piece in snapshot.pieces[:-1]} <= {piece_bytes}
    unpack(snapshot.entries, snapshot.pieces, tmp_path / "there")
    assert tree(tmp_path / "there") == tree(source)


def test_a_file_arrives_as_it_was(source: Path, tmp_path: Path) -> None:
    snapshot = snapshot_of(source / "last")
    unpack(snapshot.entries, snapshot.pieces, tmp_path / "there")
    assert (tmp_path / "there").read_bytes() == b"x" * 14
    assert (tmp_path / "there").stat().st_mode == (source / "last").stat().st_mode


def test_a_snapshot_is_known_by_names_modes_and_bytes(source: Path) -> None:
    digests = {snapshot_of(source).digest}
    assert snapshot_of(source, 1).digest in digests
    (source / "with space" / "data").write_bytes(bytes(100))
    digests.add(snapshot_of(source).digest)
    (source / "link").rename(source / "renamed")
    digests.add(snapshot_of(source).digest)
    (source / "last").chmod(0o555)
    digests.add(snapshot_of(source).digest)
    assert len(digests) == 4


def test_what_cannot_be_sent_is_refused_with_its_path(source: Path, tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match=r"cannot mount .*missing: No such file"):
        listed(tmp_path / "missing")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(source / "socket"))
        with pytest.raises(SandboxError, match=r"cannot send .*/socket to a node.*shared of \[cluster\]"):
            listed(source)


@pytest.mark.parametrize("content", [b"x" * 13, b"x" * 15])
def test_a_file_that_changes_meanwhile_is_an_error(source: Path, content: bytes) -> None:
    entries = listed(source / "last")
    (source / "last").chmod(0o644)
    (source / "last").write_bytes(content)
    with pytest.raises(SandboxError, match="changed while it was sent"):
        list(contents(source / "last", entries))


def test_a_snapshot_with_too_few_bytes_is_not_kept(source: Path, tmp_path: Path) -> None:
    snapshot = snapshot_of(source)
    kept = SnapshotCache(tmp_path / "kept")
    (tmp_path / "kept").mkdir()
    with pytest.raises(ValueError, match="incomplete"), kept.held(snapshot, lambda each: each.pieces[:-1]):
        pass
    with kept.held(snapshot, lambda each: each.pieces) as place:  # another try brings all of it
        assert tree(place) == tree(source)


def test_a_node_fetches_a_snapshot_once_and_keeps_those_that_are_used(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    kept = SnapshotCache(tmp_path / "kept")
    fetched: list[str] = []

    def fetch(snapshot: FileSnapshot) -> Iterator[bytes]:
        fetched.append(snapshot.digest)
        return iter(snapshot.pieces)

    def snapshot(number: int) -> FileSnapshot:
        (tmp_path / "file").write_text(f"{number}")
        return snapshot_of(tmp_path / "file")

    data = snapshot(0)
    with kept.held(data, fetch) as place:
        for number in range(1, 13):
            with kept.held(snapshot(number), fetch) as other:
                assert other.read_text() == f"{number}"
            kept.sweep()
            assert place.read_text() == "0"  # in use: it stays, although it is the oldest
    with kept.held(data, fetch):
        pass
    assert fetched.count(data.digest) == 1
    assert len(list((tmp_path / "kept").glob("*.lock"))) <= 9
    assert len([path for path in (tmp_path / "kept").iterdir() if path.suffix != ".lock"]) <= 9


def test_what_a_killed_job_left_on_a_node_is_removed(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    kept = SnapshotCache(tmp_path / "kept")
    own = kept.new_folder()
    program = "import sys; from pathlib import Path; from sandbox.node.snapshot_cache import SnapshotCache\n"
    program += "print(SnapshotCache(Path(sys.argv[1])).new_folder())"
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "kept"], capture_output=True, text=True, check=True
    )
    left = Path(done.stdout.strip())
    assert left.is_dir()
    kept.sweep()
    assert (left.exists(), own.is_dir()) == (False, True)
