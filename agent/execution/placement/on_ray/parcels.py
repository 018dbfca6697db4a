"""What was put into Ray's object store: each file or folder once, however many jobs need it."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sandbox.node.parcel import Entry, Parcel, contents, digest_of, listed

_MOST = 32


class Parcels:
    """The parcels of sources that were used last. Objects leave the store once no job and no parcel needs them."""

    def __init__(self, put: Callable[[bytes], Any], most: int = _MOST) -> None:
        """`put` stores bytes, and returns what stands for them."""
        self._put = put
        self._most = most
        self._held: OrderedDict[tuple[Path, tuple[Entry, ...]], Parcel] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, source: Path) -> Parcel:
        """Return the parcel of a file or folder, made again if it has changed. Raises SandboxError."""
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
                self._held[key] = Parcel(digest, entries, tuple(pieces))
                while len(self._held) > self._most:
                    self._held.popitem(last=False)
            self._held.move_to_end(key)
            return self._held[key]
