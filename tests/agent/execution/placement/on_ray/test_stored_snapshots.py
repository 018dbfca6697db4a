"""A file or folder is read and stored once, however many jobs need it, and again once it has changed."""

import threading
from pathlib import Path

from agent.execution.placement.on_ray.stored_snapshots import StoredSnapshots


def test_a_source_is_stored_once_until_it_changes(tmp_path: Path) -> None:
    stored: list[bytes] = []

    def put(piece: bytes) -> int:
        stored.append(piece)
        return len(stored) - 1

    snapshots = StoredSnapshots(put)
    source = tmp_path / "data"
    source.write_bytes(b"first")
    found = []
    threads = [threading.Thread(target=lambda: found.append(snapshots.of(source))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (stored, {each.digest for each in found}) == ([b"first"], {found[0].digest})
    assert [stored[piece] for piece in found[0].pieces] == [b"first"]
    source.write_bytes(b"second")
    again = snapshots.of(source)
    assert (stored, again.digest != found[0].digest) == ([b"first", b"second"], True)


def test_snapshots_that_were_not_used_lately_are_let_go(tmp_path: Path) -> None:
    stored: list[bytes] = []
    snapshots = StoredSnapshots(stored.append, most=2)
    for name in "abc":
        (tmp_path / name).write_text(name)
    for name in "abacab":
        snapshots.of(tmp_path / name)
    assert stored == [b"a", b"b", b"c", b"b"]
