"""One thread that asks a cluster about all jobs of a run."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agent.execution.placement.job_queue import JobQueue, QueueState

_LONGEST_SECONDS = 60.0  # between two questions to a cluster that does not answer
_open: set["Poller"] = set()  # of this process: a comparison has one for each run, which share the rate of questions


def pause_seconds(each: float, n_open: int, n_failed: int) -> float:
    """Return the pause before the next question to the cluster.

    Args:
        each: of a poller that is alone and gets answers, in seconds.
        n_open: pollers of this process.
        n_failed: questions in a row without an answer.
    """
    if not n_failed:
        return each * max(1, n_open)
    return min(each * 2.0 ** min(n_failed, 32), _LONGEST_SECONDS)


@dataclass(frozen=True)
class Snapshot:
    """What the cluster said about all jobs."""

    asked_at: float  # monotonic, before the question: jobs submitted later may be missing
    states: Mapping[str, QueueState]  # by name


class Poller:
    """Queries the cluster every `seconds` while a job is waited for, and rarely while it does not answer.

    All pollers of a process together ask as often as one alone.
    """

    def __init__(self, queue: JobQueue, say: Callable[[str], None], seconds: float) -> None:
        self._queue = queue
        self._say = say
        self._seconds = seconds
        self._latest: Snapshot | None = None
        self._n_waiting = 0
        self._thread: threading.Thread | None = None
        self._changed = threading.Condition()
        self._is_closed = False
        self._hurries = False

    def __enter__(self) -> "Poller":
        """Wait for something: the cluster is asked until the end of the `with` block."""
        with self._changed:
            self._n_waiting += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._ask, name="poller", daemon=True)
                self._thread.start()
                _open.add(self)
            self._changed.notify_all()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._n_waiting -= 1

    def snapshot(self, since: float) -> Snapshot | None:
        """Return the latest answer to a question asked after `since` (monotonic); None: there is none yet."""
        latest = self._latest
        return latest if latest is not None and latest.asked_at > since else None

    def hurry(self) -> None:
        """Query now, without the rest of the pause: the run is about to end."""
        with self._changed:
            self._hurries = True
            self._changed.notify_all()

    def close(self) -> None:
        """End the thread. Safe to call twice."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
        _open.discard(self)

    def _ask(self) -> None:
        n_failed = 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_closed or self._n_waiting > 0)
                if self._is_closed:
                    return
                self._hurries = False
            asked_at = time.monotonic()
            try:
                self._latest = Snapshot(asked_at, self._queue.states())
            except Exception as error:  # noqa: BLE001  without this thread, the run would wait in silence
                if not n_failed:
                    self._say(f"the cluster does not answer ({error}); waiting: jobs go on meanwhile")
                n_failed += 1
            else:
                if n_failed:
                    self._say("the cluster answers again")
                n_failed = 0
            pause = pause_seconds(self._seconds, len(_open), n_failed)
            with self._changed:
                self._changed.wait_for(lambda: self._is_closed or self._hurries, timeout=pause)
