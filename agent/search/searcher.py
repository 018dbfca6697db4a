"""The contract of numeric search (ask, then tell or release), hints before it, and trials in flight."""

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from agent.edits.edit import Params

Point = TypeVar("Point")


class Searcher(Protocol):
    """Proposes points of a SearchSpace. What is asked is what runs is what is told, to the last digit.

    A searcher is a pure function of its seed and of the calls made so far: the same calls in the same order
    rebuild it after a kill. It never touches a global random generator.
    """

    def ask(self, number: int) -> Params:
        """Return the point for trial `number`: every name of the space, plain Python values.

        Asking again for a number that was neither told nor released gives the same point.
        """
        ...

    def tell(self, number: int, params: Params, loss: float | None) -> None:
        """Report trial `number`, which ran with `params`: these may differ from the point asked for.

        `loss` is minimised; None means that the trial was executed and failed.
        """
        ...

    def discard(self, number: int) -> None:
        """Say that the point of trial `number` is of no use and nothing is known of it: another one is asked next."""
        ...

    def release(self, number: int) -> None:
        """Say that trial `number` never ran: the point it was given is the next to be asked."""
        ...


class HintedSearcher:
    """`searcher`, but the first point asked for is `start`."""

    def __init__(self, searcher: Searcher, start: Params) -> None:
        self._searcher = searcher
        self._start = start
        self._holder: int | None = None  # the trial that has the start
        self._is_told = False

    def ask(self, number: int) -> Params:
        if not self._is_told and self._holder in (None, number):
            self._holder = number
            return self._start
        return self._searcher.ask(number)

    def tell(self, number: int, params: Params, loss: float | None) -> None:
        self._is_told |= number == self._holder
        self._searcher.tell(number, params, loss)  # which takes points that it has not asked for

    def discard(self, number: int) -> None:
        if number == self._holder and not self._is_told:
            self._is_told = True
        else:
            self._searcher.discard(number)

    def release(self, number: int) -> None:
        if number == self._holder and not self._is_told:
            self._holder = None
        else:
            self._searcher.release(number)


class Pending(Generic[Point]):
    """Points by trial number, from `ask` until they are told or released."""

    def __init__(self) -> None:
        self._points: dict[int, Point] = {}
        self._released: list[Point] = []

    def ask(self, number: int, draw: Callable[[], Point]) -> Point:
        """Return the point of `number`: the one it has, else the first released one, else a new one from `draw`."""
        if number not in self._points:
            self._points[number] = self._released.pop(0) if self._released else draw()
        return self._points[number]

    def told(self, number: int) -> Point | None:
        """Forget and return the point of `number`; None if it never asked."""
        return self._points.pop(number, None)

    def release(self, number: int) -> None:
        """Put the point of `number` back: it is handed out next."""
        self._released.append(self._points.pop(number))
