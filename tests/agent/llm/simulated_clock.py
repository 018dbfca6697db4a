"""A clock that moves only when something sleeps, so that an endpoint may be late for hours in no time."""

import heapq
import itertools
import threading
from collections.abc import Callable

from agent.llm.endpoint.watch import Timing

NOON = 1_796_040_000.0  # seconds since the epoch: 2026-11-30 12:00 UTC


class SimulatedClock:
    """Time for a model's calls. A server moves it on as well, from its own threads."""

    def __init__(self) -> None:
        self.now = 0.0  # seconds
        self.slept: list[float] = []  # what the client waited between its attempts
        self.was_read = threading.Event()  # by the client, which does so for each piece of a body
        self._calls: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._lock = threading.RLock()

    @property
    def timing(self) -> Timing:
        return Timing(self._read, lambda: NOON + self.now, self._sleep, self._call_later)

    @property
    def is_watched(self) -> bool:
        """Whether a call is still to be made: a client that has cut its connection awaits none."""
        with self._lock:
            return bool(self._calls)

    def advance(self, seconds: float) -> None:
        """Move the time on, and make the calls that are due on the way."""
        with self._lock:
            until = self.now + seconds
            while self._calls and self._calls[0][0] <= until:
                at, _, call = heapq.heappop(self._calls)
                self.now = max(self.now, at)
                call()
            self.now = max(self.now, until)

    def _read(self) -> float:
        self.was_read.set()
        return self.now

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds)

    def _call_later(self, seconds: float, call: Callable[[], None]) -> Callable[[], None]:
        with self._lock:
            entry = (self.now + max(0.0, seconds), next(self._numbers), call)
            heapq.heappush(self._calls, entry)

        def cancel() -> None:
            with self._lock:
                if entry in self._calls:
                    self._calls.remove(entry)
                    heapq.heapify(self._calls)

        return cancel
