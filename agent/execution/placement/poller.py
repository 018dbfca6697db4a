"""One thread that asks a cluster about all jobs of a run."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agent.execution.placement.job_queue import JobQueue, QueueState, QueueUnreachableError

_LONGEST_SECONDS = 60.0  # between two questions to a cluster that does not answer


@dataclass(frozen=True)
class Snapshot:
    """What the cluster said about all jobs."""

    asked_at: float  # monotonic, before the question: jobs submitted later may be missing
    states: Mapping[str, QueueState]  # by name


class Poller:
    """Asks the cluster every `seconds` while somebody waits, and rarely while it does not answer."""

    def __init__(self, queue: JobQueue, say: Callable[[str], None], seconds: float) -> None:
        self._queue = queue
        self._say = say
        self._seconds = seconds
        self._latest: Snapshot | None = None
        self._n_waiting = 0
        self._thread: threading.Thread | None = None
        self._changed = threading.Condition()
        self._is_closed = False

    def __enter__(self) -> "Poller":
        """Wait for something: the cluster is asked until the end of the `with` block."""
        with self._changed:
            self._n_waiting += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._ask, name="poller", daemon=True)
                self._thread.start()
            self._changed.notify_all()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._n_waiting -= 1

    def snapshot(self, since: float) -> Snapshot | None:
        """Return the latest answer to a question asked after `since` (monotonic); None: there is none yet."""
        latest = self._latest
        return latest if latest is not None and latest.asked_at > since else None

    def close(self) -> None:
        """End the thread. Safe to call twice."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _ask(self) -> None:
        pause = self._seconds
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_closed or self._n_waiting > 0)
                if self._is_closed:
                    return
            asked_at = time.monotonic()
            try:
                self._latest = Snapshot(asked_at, self._queue.states())
            except QueueUnreachableError as error:
                if pause == self._seconds:
                    self._say(f"the cluster does not answer ({error}); waiting: jobs go on meanwhile")
                pause = min(2 * pause, _LONGEST_SECONDS)
            else:
                if pause != self._seconds:
                    self._say("the cluster answers again")
                pause = self._seconds
            with self._changed:
                self._changed.wait_for(lambda: self._is_closed, timeout=pause)
