"""Copies bytes between two sockets, both ways, until both sides have ended or a limit is reached."""

import selectors
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

_PIECE = 65_536
_POLL_SECONDS = 0.2  # within which a tunnel notices that it was stopped


@dataclass
class ByteBudget:
    """The bytes that all tunnels of a proposal may still carry, both ways together; used by several threads."""

    most_bytes: int
    _used: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def used(self) -> int:
        with self._lock:
            return self._used

    def spend(self, n_bytes: int) -> bool:
        """Count bytes; return False if they are more than were left."""
        with self._lock:
            self._used += n_bytes
            return self._used <= self.most_bytes


@dataclass
class _Direction:
    """One direction of a tunnel."""

    source: socket.socket
    target: socket.socket
    waiting: bytes = b""  # read, and not written yet
    is_at_end: bool = False  # the source will send no more
    end_is_forwarded: bool = False  # to the target
    n_bytes: int = 0


def carry(
    client: socket.socket,
    server: socket.socket,
    budget: ByteBudget,
    *,
    idle_seconds: float,
    is_stopped: Callable[[], bool],
) -> tuple[str | None, int]:
    """Copy bytes both ways until both sides have ended; closes neither socket.

    A side that ends its own half can still receive. Reads no more than the other side takes.

    Args:
        client, server: connected sockets.
        budget: of all tunnels.
        idle_seconds: the longest time in which no byte moves.
        is_stopped: whether to end now.

    Returns:
        Why it ended early, None if it did not; and the number of bytes that the server sent.
    """
    for end in (client, server):
        end.setblocking(False)
    outbound, inbound = _Direction(client, server), _Direction(server, client)
    last_moved = time.monotonic()
    with selectors.DefaultSelector() as selector:
        while not (outbound.end_is_forwarded and inbound.end_is_forwarded):
            if is_stopped():
                return "the proposal ended", inbound.n_bytes
            if time.monotonic() - last_moved > idle_seconds:
                return f"no byte moved for {idle_seconds:g} s", inbound.n_bytes
            _watch(selector, outbound, inbound)
            for key, events in selector.select(_POLL_SECONDS):
                reading, writing = (outbound, inbound) if key.fileobj is client else (inbound, outbound)
                try:
                    moved = _step(reading, writing, events)
                except BlockingIOError:
                    continue
                except OSError:
                    return None, inbound.n_bytes  # one side has reset the connection, as it may
                last_moved = time.monotonic()
                if not budget.spend(moved):
                    return f"the tunnels carried {budget.most_bytes} bytes, and may carry no more", inbound.n_bytes
    return None, inbound.n_bytes


def _watch(selector: selectors.BaseSelector, outbound: _Direction, inbound: _Direction) -> None:
    """Wait for what can move: read where nothing waits to be written, and write where something does."""
    for reading, writing in ((outbound, inbound), (inbound, outbound)):
        events = selectors.EVENT_READ if not reading.waiting and not reading.is_at_end else 0
        events |= selectors.EVENT_WRITE if writing.waiting else 0
        with suppress(KeyError):
            selector.unregister(reading.source)
        if events:
            selector.register(reading.source, events)


def _step(reading: _Direction, writing: _Direction, events: int) -> int:
    """Read or write one piece at a socket: the source of `reading`, the target of `writing`. Return the bytes read."""
    if events & selectors.EVENT_WRITE and writing.waiting:
        writing.waiting = writing.waiting[writing.target.send(writing.waiting) :]
        _forward_end(writing)
    if not events & selectors.EVENT_READ or reading.waiting or reading.is_at_end:
        return 0
    piece = reading.source.recv(_PIECE)
    reading.waiting, reading.is_at_end = piece, not piece
    reading.n_bytes += len(piece)
    _forward_end(reading)
    return len(piece)


def _forward_end(direction: _Direction) -> None:
    """Tell the target that no more will come, once it has all."""
    if direction.is_at_end and not direction.waiting and not direction.end_is_forwarded:
        direction.end_is_forwarded = True
        with suppress(OSError):
            direction.target.shutdown(socket.SHUT_WR)
