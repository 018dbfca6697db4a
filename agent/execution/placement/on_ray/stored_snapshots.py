"""Snapshots in Ray's object store: each file or folder is put there once, however many jobs need it."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sandbox.node.snapshot import Entry, FileSnapshot, contents, digest_of, listed

_MOST = 32


class StoredSnapshots:
    """The most recently used snapshots. Ray removes an object once no job and no snapshot refers to it."""

    def __init__(self, put: Callable[[bytes], Any], most: int = _MOST) -> None:
        """`put` stores bytes and returns a reference to them; `most`: snapshots that are kept."""
        self._put = put
        self._most = most
        self._held: OrderedDict[tuple[Path, tuple[Entry, ...]], FileSnapshot] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, source: Path) -> FileSnapshot:
        """Return the snapshot of a file or folder, made again if it has changed. Raises SandboxError."""
        source = source.absolute()
        entries = listed(source)
        with self._lock:  # two jobs at once need the same data: it is read once
            key = (source, entries)
            if key not in self._held:
                pieces: list[Any] = []

                def stored() -> "Any":
                    for piece in contents(source, entries):
                        pieces.append(self._put(piece))
                        yield piece

                digest = digest_of(entries, stored())
                self._held[key] = FileSnapshot(digest, entries, tuple(pieces))
                while len(self._held) > self._most:
                    self._held.popitem(last=False)
            self._held.move_to_end(key)
            return self._held[key]
