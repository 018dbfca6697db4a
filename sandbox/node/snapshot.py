"""Files and folders as bytes, for nodes that do not share a file system with the run."""

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.errors import SandboxError

PIECE_BYTES = 2**25


@dataclass(frozen=True)
class Entry:
    """A file, folder or symbolic link below a source."""

    path: str  # relative to the source; empty: the source itself
    mode: int  # as in os.stat, with the kind
    size: int  # bytes of a file
    modified_ns: int
    link: str = ""  # what a symbolic link names


@dataclass(frozen=True)
class FileSnapshot:
    """The content of a file or folder, identified by its digest. `pieces` holds references to the bytes, in order."""

    digest: str  # of names, modes and bytes
    entries: tuple[Entry, ...]
    pieces: tuple[Any, ...]


def listed(source: Path) -> tuple[Entry, ...]:
    """Return the entries of a file or folder, each folder before its content.

    Raises:
        SandboxError: it cannot be read, or holds something that cannot be sent, such as a socket.
    """
    try:
        top = os.stat(source)
        found = [Entry("", top.st_mode, top.st_size, top.st_mtime_ns)]
        for folder, folders, files in os.walk(source, onerror=_fail) if stat.S_ISDIR(top.st_mode) else ():
            folders.sort()
            for name in sorted((*folders, *files)):
                path = os.path.join(folder, name)
                state = os.lstat(path)
                link = os.readlink(path) if stat.S_ISLNK(state.st_mode) else ""
                relative = os.path.relpath(path, source)
                found.append(Entry(relative, state.st_mode, state.st_size, state.st_mtime_ns, link))
    except OSError as error:
        raise SandboxError(f"cannot mount {source}: {error.strerror}; check the mounts of the task") from error
    for entry in found:
        if not (stat.S_ISREG(entry.mode) or stat.S_ISDIR(entry.mode) or stat.S_ISLNK(entry.mode)):
            raise SandboxError(
                f"cannot send {source / entry.path} to a node: it is not a file, folder or link; name its folder in "
                "shared of [cluster] if nodes see it"
            )
    return tuple(found)


def contents(source: Path, entries: Iterable[Entry], piece_bytes: int = PIECE_BYTES) -> Iterator[bytes]:
    """Yield the bytes of all files, one after another, in pieces of `piece_bytes`; the last may be smaller.

    Raises:
        SandboxError: a file cannot be read, or its size changes meanwhile.
    """
    held = bytearray()
    for entry in entries:
        if not stat.S_ISREG(entry.mode):
            continue
        path = source / entry.path if entry.path else source
        left = entry.size
        try:
            with path.open("rb") as file:
                while left and (data := file.read(min(left, piece_bytes - len(held)))):
                    held += data
                    left -= len(data)
                    if len(held) == piece_bytes:
                        yield bytes(held)
                        held.clear()
                changed = left > 0 or file.read(1) != b""
        except OSError as error:
            raise SandboxError(f"cannot read {path}: {error.strerror}; check the mounts of the task") from error
        if changed:
            raise SandboxError(f"{path} changed while it was sent to a node; run again once it is complete")
    if held:
        yield bytes(held)


def digest_of(entries: Iterable[Entry], pieces: Iterable[bytes]) -> str:
    """Return the SHA-256 of names, modes and bytes, in hexadecimal digits."""
    found = hashlib.sha256(repr([(each.path, each.mode, each.size, each.link) for each in entries]).encode())
    for piece in pieces:
        found.update(piece)
    return found.hexdigest()


def unpack(entries: Iterable[Entry], pieces: Iterable[bytes], place: Path) -> None:
    """Create the file or folder at `place`, which must not exist, from its content.

    Raises:
        OSError: it cannot be written.
        ValueError: there are fewer bytes than the entries say.
    """
    stream = _Stream(pieces)
    folders: list[tuple[Path, Entry]] = []
    for entry in entries:
        path = place / entry.path if entry.path else place
        if stat.S_ISDIR(entry.mode):
            path.mkdir()
            folders.append((path, entry))
        elif stat.S_ISLNK(entry.mode):
            path.symlink_to(entry.link)
        else:
            with path.open("xb") as file:
                for data in stream.read(entry.size):
                    file.write(data)
            _as_before(path, entry)
    for path, entry in reversed(folders):
        _as_before(path, entry)


class _Stream:
    """Bytes that come in pieces."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._held = memoryview(b"")

    def read(self, size: int) -> Iterator[memoryview]:
        while size:
            if not self._held:
                piece = next(self._pieces, None)
                if piece is None:
                    raise ValueError("a snapshot is incomplete")
                self._held = memoryview(piece)
            data, self._held = self._held[:size], self._held[size:]
            size -= len(data)
            yield data


def _as_before(path: Path, entry: Entry) -> None:
    path.chmod(stat.S_IMODE(entry.mode))
    with suppress(OSError):
        os.utime(path, ns=(entry.modified_ns, entry.modified_ns))


def _fail(error: OSError) -> None:
    raise error
