"""Files that are sent to a node arrive as they were, once, and do not fill its disk."""

import errno
import fcntl
import os
import platform
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.errors import SandboxError
from sandbox.host_identity import boot_id
from sandbox.job import Job, Limits, Mount
from sandbox.node.job_folder import InnerSandbox, JobRequest
from sandbox.node.sent_job import SentJob, run_sent_job
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


def test_a_snapshot_from_before_a_reboot_is_sent_again(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "file").write_text("whole")
    snapshot = snapshot_of(tmp_path / "file")
    with SnapshotCache(tmp_path / "kept", "before").held(snapshot, lambda each: each.pieces) as place:
        place.write_text("")  # its bytes were not on the disk when the power failed
    after = SnapshotCache(tmp_path / "kept", "after")
    with after.held(snapshot, lambda each: each.pieces) as place:
        assert place.read_text() == "whole"
        after.sweep()
        assert place.read_text() == "whole"
    assert len(list((tmp_path / "kept").iterdir())) == 2


def test_nodes_with_a_common_folder_for_temporary_files_keep_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    own = {}
    for node in ("n1", "n2"):
        monkeypatch.setattr(platform, "node", lambda node=node: node)
        own[node] = SnapshotCache.of_node().new_folder()
    of_another_boot = own["n1"].with_name(own["n1"].name.replace(boot_id(), "0" * 32))
    own["n1"].rename(of_another_boot)  # as if it were another machine
    SnapshotCache.of_node().sweep()
    assert of_another_boot.exists()


def test_a_folder_that_is_not_ours_alone_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    SnapshotCache.of_node()
    (folder,) = tmp_path.iterdir()
    folder.chmod(0o777)
    with pytest.raises(SandboxError, match="is not a folder of this user alone; remove it"):
        SnapshotCache.of_node()
    folder.rmdir()
    folder.write_text("a file in its place")
    with pytest.raises(SandboxError, match="is not a folder of this user alone; remove it"):
        SnapshotCache.of_node()
    folder.unlink()
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SandboxError, match="is not a folder of this user alone; remove it"):
        SnapshotCache.of_node()


def test_a_snapshot_that_is_removed_while_its_lock_is_changed_is_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "file").write_text("whole")
    snapshot = snapshot_of(tmp_path / "file")
    kept = SnapshotCache(tmp_path / "kept")
    real, sweeps = fcntl.flock, [True]

    def flock(fd: int, kind: int) -> None:
        """Let another process sweep before the first shared lock on a snapshot that is here."""
        if kind == fcntl.LOCK_SH and sweeps and list((tmp_path / "kept").glob(f"{snapshot.digest[:8]}*[!kt]")):
            sweeps.pop()
            real(fd, fcntl.LOCK_UN)
            with monkeypatch.context() as patch:
                patch.setattr("sandbox.node.snapshot_cache._MOST_KEPT", 0)
                kept.sweep()
        real(fd, kind)

    monkeypatch.setattr("sandbox.node.snapshot_cache.fcntl.flock", flock)
    with kept.held(snapshot, lambda each: each.pieces) as place:
        assert place.read_text() == "whole"
    assert not sweeps
    assert {path.suffix for path in (tmp_path / "kept").iterdir()} == {"", ".lock"}  # a later sweep finds it


@pytest.mark.parametrize(
    ("error", "failed", "lost"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device; make room in ", None),
        (OSError("ObjectLostError: it is gone"), None, "its files did not reach the node: ObjectLostError: it is gone"),
    ],
)
def test_a_node_without_room_is_named_with_the_remedy_and_a_broken_way_to_it_is_no_fault_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, failed: str | None, lost: str | None
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "data").write_text("x")
    mounts = (Mount(tmp_path / "data", "/data"),)
    job = Job(("true",), "RUN/1/train", Limits(60.0, 1.0), tmp_path / "log", tmp_path / "artifact", mounts=mounts)
    request = JobRequest.of(job, InnerSandbox(), needs_gpu=False)

    def fetch(snapshot: FileSnapshot) -> Iterator[bytes]:
        raise error

    sent = SentJob("job", request, (snapshot_of(tmp_path / "data"),))
    found, pieces = run_sent_job(sent, "n1", fetch, lambda _progress: False)
    assert found.started is not None
    assert (found.started.node, pieces, found.result.lost) == ("n1", [], lost)
    assert found.result.failed is None if failed is None else failed in str(found.result.failed)
