"""The clock of an endpoint's calls, and the watch over one connection, which is cut when it is silent or late."""

import math
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


@dataclass(frozen=True)
class Pace:
    """How fast the text of a reply must arrive. A slower reply is cut, since it would not be complete in time."""

    n_characters: int = 600
    first_seconds: float = 450.0  # for the first `n_characters`, from the start of the request
    next_seconds: float = 300.0  # for each further `n_characters`


USEFUL_PACE = Pace()


class ConnectionWatch:
    """The connection of one request: cut if nothing or too little arrives, at the deadline, or by another thread."""

    def __init__(self, timing: Timing, silence_seconds: float, until: float, pace: Pace | None = None) -> None:
        """Begin to count the time.

        Args:
            timing: the clock.
            silence_seconds: the longest time in which nothing arrives.
            until: the deadline, in seconds of the clock.
            pace: of the text, as `note_text` counts it; None: any.
        """
        self.cut: str | None = None  # why
        self.is_open = False
        self._timing = timing
        self._silence_seconds = silence_seconds
        self._until = until
        self._pace = pace
        self._began = self._last = self._text_began = timing.monotonic()
        self._text_seconds = math.inf if pace is None else pace.first_seconds  # for the next characters
        self._n_characters = 0  # of the text before `_text_began`
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

    def received(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the pieces of the body, and note when each has arrived. Raises EndpointFault once it is cut."""
        for piece in pieces:
            self._last = self._timing.monotonic()
            self._cut_if_late(self._last)
            if self.cut is not None:
                raise EndpointFault(self.cut)
            yield piece
        if self.cut is not None:  # without a length, the end of a connection is the end of a body
            raise EndpointFault(self.cut)

    def note_text(self, n_characters: int) -> None:
        """Note how many characters of text the pieces of the body contain so far."""
        if self._pace is not None and n_characters >= self._n_characters + self._pace.n_characters:
            self._n_characters = n_characters
            self._text_began, self._text_seconds = self._last, self._pace.next_seconds

    def abort(self, why: str) -> None:
        """Cut the connection now; `received` raises an EndpointFault with the first reason that was given."""
        with self._lock:
            self.cut = self.cut or why
            self._shut()

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

    def _due(self) -> tuple[float, str]:
        """Return when the connection is cut if nothing more arrives, in seconds of the clock, and why."""
        n_characters = self._pace.n_characters if self._pace is not None else 0
        return min(
            (self._until, f"the reply was not complete after {round(self._until - self._began, 1):g} s"),
            (self._last + self._silence_seconds, f"nothing arrived for {self._silence_seconds:g} s"),
            (
                self._text_began + self._text_seconds,
                f"fewer than {n_characters} characters of the reply arrived in {self._text_seconds:g} s",
            ),
        )

    def _wait(self) -> None:
        """Set the timer to the next moment at which the connection may have to be cut."""
        cancel = self._timing.call_later(self._due()[0] - self._timing.monotonic(), self._look)
        with self._lock:
            self._cancel = cancel
            is_over = self._is_over
        if is_over:
            cancel()

    def _look(self) -> None:
        if not self._is_over and not self._cut_if_late(self._timing.monotonic()):
            self._wait()

    def _cut_if_late(self, now: float) -> bool:
        due, why = self._due()
        if now >= due:
            self.abort(why)
        return now >= due

    def _shut(self) -> None:
        if self._socket is not None:
            with suppress(OSError):  # not the method of a TLS socket, which another thread is reading from
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
