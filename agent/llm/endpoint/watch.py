"""The clock of an endpoint's calls, and the watch over one connection, which is cut when it is silent or late."""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from agent.llm.endpoint.faults import EndpointFault


def _call_later(seconds: float, call: Callable[[], None]) -> Callable[[], None]:
    timer = threading.Timer(max(0.0, seconds), call)
    timer.daemon = True
    timer.start()
    return timer.cancel


@dataclass(frozen=True)
class Timing:
    """The clock of an endpoint's calls. Tests pass a simulated one."""

    monotonic: Callable[[], float] = time.monotonic  # seconds
    wall: Callable[[], float] = time.time  # seconds since the epoch
    sleep: Callable[[float], None] = time.sleep
    call_later: Callable[[float, Callable[[], None]], Callable[[], None]] = _call_later
    """Calls a function in so many seconds, in another thread; returns a function that cancels it."""


SYSTEM_TIMING = Timing()


class ConnectionWatch:
    """The connection of one request, which a timer cuts if nothing arrives for too long, or at the deadline."""

    def __init__(self, timing: Timing, silence_seconds: float, until: float) -> None:
        self.cut: str | None = None  # why
        self.is_open = False
        self._timing = timing
        self._silence_seconds = silence_seconds
        self._until = until
        self._began = self._last = timing.monotonic()
        self._socket: socket.socket | None = None
        self._is_over = False
        self._cancel: Callable[[], None] = lambda: None
        self._lock = threading.Lock()

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Note the socket; the HTTP library calls this with each of its steps."""
        read: Callable[[str], Any] | None = getattr(info.get("return_value"), "get_extra_info", None)
        if read is not None:
            with self._lock:
                self.is_open = True
                self._socket = read("socket")
                if self.cut is not None:
                    self._shut()

    def heard(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the pieces of the body, and note when each has arrived. Raises EndpointFault once it is cut."""
        for piece in pieces:
            self._last = self._timing.monotonic()
            if self.cut is None and self._last >= self._until:
                self._end()
            if self.cut is not None:
                raise EndpointFault(self.cut)
            yield piece
        if self.cut is not None:  # without a length, the end of a connection is the end of a body
            raise EndpointFault(self.cut)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Keep the timer set meanwhile."""
        self._wait()
        try:
            yield
        finally:
            with self._lock:
                self._is_over = True
                cancel = self._cancel
            cancel()

    def _wait(self) -> None:
        """Set the timer to the next moment at which the connection may have to be cut."""
        due = min(self._until, self._last + self._silence_seconds)
        cancel = self._timing.call_later(due - self._timing.monotonic(), self._look)
        with self._lock:
            self._cancel = cancel
            is_over = self._is_over
        if is_over:
            cancel()

    def _look(self) -> None:
        now = self._timing.monotonic()
        if self._is_over:
            return
        if now < min(self._until, self._last + self._silence_seconds):
            self._wait()
        else:
            self._end()

    def _end(self) -> None:
        now = self._timing.monotonic()
        with self._lock:
            late = f"its reply was not complete after {now - self._began:.0f} s"
            self.cut = late if now >= self._until else f"nothing arrived for {self._silence_seconds:g} s"
            self._shut()

    def _shut(self) -> None:
        if self._socket is not None:
            with suppress(OSError):  # not the method of a TLS socket, which another thread is reading from
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
