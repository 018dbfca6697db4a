"""Threads that wait for jobs and models, and the one thread that decides.

Work is a generator that runs in the deciding thread. It yields functions that block, such as the execution of a script;
each is called in a thread of its own, and its result is sent back. So all code between two yields may read and write
the records of a run, without locks.
"""

import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from agent.execution.slots import Slot, StoppedError, in_slot

POLL_SECONDS = 0.5  # between two checks for a stop, a signal or a message of another process
Result = TypeVar("Result")
Blocking = Callable[[], Any]
"""A function that may wait for long. It must not touch the records of a run."""
Steps = Generator[Blocking, Any, Result]
"""Work in the deciding thread, which yields what must not block that thread, and receives its results."""


def finished(steps: Steps[Result]) -> Result:
    """Run work to its end in this thread, and return its result."""
    try:
        blocking = next(steps)
        while True:
            blocking = steps.send(blocking())
    except StopIteration as end:
        result: Result = end.value
        return result


class Workers:
    """Runs work in slots. The thread that calls `wait` is the one that decides."""

    def __init__(self) -> None:
        self.stop = threading.Event()  # stops all jobs
        self._messages: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._blocked: set[Future[Any]] = set()  # results of the blocking functions that are being called

    def begin(
        self, steps: Steps[Any], slot: Slot, ended: Callable[[], None], failed: Callable[[BaseException], None]
    ) -> None:
        """Run work in a slot. `ended` or `failed` is called in the deciding thread, once, perhaps before this returns.

        Args:
            failed: gets what the work, or a function that it yielded, raised.
        """

        def resume(advance: Callable[[], Blocking]) -> None:
            try:
                blocking = advance()
            except StopIteration:
                ended()
            except BaseException as fault:  # noqa: BLE001 (raised by the caller)
                failed(fault)
            else:
                result = in_thread(lambda: in_slot(slot, self.stop, blocking))
                self._blocked.add(result)
                result.add_done_callback(lambda result: self._messages.put(lambda: come_back(result)))

        def come_back(result: "Future[Any]") -> None:
            self._blocked.discard(result)
            if self.stop.is_set():
                steps.close()
            elif (fault := result.exception()) is not None:
                resume(lambda: steps.throw(fault))
            else:
                resume(lambda: steps.send(result.result()))

        resume(lambda: next(steps))

    def decide(self, function: Callable[[], Result]) -> Result:
        """Call a function in the deciding thread, from another one, and return its result.

        Raises:
            StoppedError: all jobs have been stopped.
        """
        answer: Future[Result] = Future()

        def call() -> None:
            if self.stop.is_set():
                answer.set_exception(StoppedError())
                return
            try:
                answer.set_result(function())
            except BaseException as fault:  # noqa: BLE001 (raised in the calling thread)
                answer.set_exception(fault)

        self._messages.put(call)
        while not answer.done() and not self.stop.is_set():
            wait_for([answer], timeout=POLL_SECONDS)
        if not answer.done():
            raise StoppedError
        return answer.result()

    def post(self, function: Callable[[], None]) -> None:
        """Call a function in the deciding thread, from another one, without waiting for it."""
        self._messages.put(lambda: None if self.stop.is_set() else function())

    def wait(self, at_most: float | None = None) -> None:
        """Wait until a thread needs the deciding thread, and serve it; or `at_most` so many seconds.

        The wait is in short pieces: a signal that the kernel delivers to another thread does not end it, and Python
        handles signals in the main thread only.
        """
        while True:
            try:
                message = self._messages.get(timeout=POLL_SECONDS)
            except Empty:
                if at_most is not None and (at_most := at_most - POLL_SECONDS) <= 0:
                    return
                continue
            break
        message()

    def close(self) -> None:
        """Stop all jobs, and wait until they have ended. Work is not continued."""
        self.stop.set()
        wait_for(self._blocked)


def in_thread(function: Callable[[], Result]) -> "Future[Result]":
    """Call a function in a thread of its own.

    It is a daemon thread, since a program that ends does not wait for a model's reply.
    """
    result: Future[Result] = Future()

    def call() -> None:
        try:
            result.set_result(function())
        except BaseException as fault:  # noqa: BLE001 (raised when the result is read)
            result.set_exception(fault)

    threading.Thread(target=call, name="worker", daemon=True).start()
    return result
