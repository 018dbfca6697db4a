"""The Searcher protocol (ask, then tell, release or discard), a fixed first point, and trials in flight."""

from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar, runtime_checkable

from agent.edits.edit import Params

Point = TypeVar("Point")


class Searcher(Protocol):
    """Proposes points of a SearchSpace. The proposed, executed and reported points are identical, to the last digit.

    A searcher is a pure function of its seed and of the calls made so far: the same calls in the same order
    rebuild it after a kill. It never uses a global random generator.
    """

    def ask(self, number: int) -> Params:
        """Return the point for trial `number`: a plain Python value for every name of the space.

        A second call with the same number returns the same point until it is released, discarded or scored.
        """
        ...

    def tell(self, number: int, params: Params, loss: float | None) -> None:
        """Report the result of trial `number`, which ran with `params`; these may differ from the point of `ask`.

        `loss` is minimised; None means that the trial ran and failed. A number without a point is that of an
        additional trial, such as the baseline: the searcher learns from it what it can.
        """
        ...

    def discard(self, number: int) -> None:
        """Drop the point of trial `number` without a result; the next `ask` returns a new one."""
        ...

    def release(self, number: int) -> None:
        """Take back the point of trial `number`, which never ran; the next `ask` returns it."""
        ...


@runtime_checkable
class HostSearcher(Searcher, Protocol):
    """A searcher that can predict the losses of other points, as the host of a hybrid mode must."""

    def predict(self, points: Sequence[Params]) -> Sequence[float] | None:
        """Return a prediction for each point, lower is better; None while there are too few trials to fit.

        It is the posterior mean of a Gaussian process, in standardised units (`LossModel`). The call changes nothing:
        the points proposed next are the same with and without it.
        """
        ...

    def learn(self, number: int, params: Params, loss: float | None) -> None:
        """Report a trial of another point, which ran in place of the searcher's own point for `number`.

        The next `ask` returns that point, unless the result has made it useless. `loss` is as in `tell`.
        """
        ...


class HintedSearcher:
    """A searcher whose first point is `start`; `searcher` proposes all others."""

    def __init__(self, searcher: Searcher, start: Params) -> None:
        self._searcher = searcher
        self._start = start
        self._holder: int | None = None  # the trial that was given `start`
        self._is_start_done = False

    def ask(self, number: int) -> Params:
        if not self._is_start_done and self._holder in (None, number):
            self._holder = number
            return self._start
        return self._searcher.ask(number)

    def tell(self, number: int, params: Params, loss: float | None) -> None:
        self._is_start_done |= number == self._holder
        self._searcher.tell(number, params, loss)  # searchers accept points that they did not propose

    def predict(self, points: Sequence[Params]) -> Sequence[float] | None:
        """Return the searcher's predictions; it must be a HostSearcher."""
        assert isinstance(self._searcher, HostSearcher)
        return self._searcher.predict(points)

    def learn(self, number: int, params: Params, loss: float | None) -> None:
        """Report a trial of another point to the searcher, which must be a HostSearcher."""
        assert isinstance(self._searcher, HostSearcher)
        if number == self._holder and not self._is_start_done:
            self._holder = None
        self._searcher.learn(number, params, loss)

    def discard(self, number: int) -> None:
        if number == self._holder and not self._is_start_done:
            self._is_start_done = True
        else:
            self._searcher.discard(number)

    def release(self, number: int) -> None:
        if number == self._holder and not self._is_start_done:
            self._holder = None
        else:
            self._searcher.release(number)


class PendingPoints(Generic[Point]):
    """Proposed points by trial number, from `ask` until the point has its loss or is released."""

    def __init__(self) -> None:
        self._points: dict[int, Point] = {}
        self._released: list[Point] = []

    def ask(self, number: int, draw: Callable[[], Point]) -> Point:
        """Return the point of trial `number`: its own, else the first released one, else a new one from `draw`."""
        if number not in self._points:
            self._points[number] = self._released.pop(0) if self._released else draw()
        return self._points[number]

    @property
    def in_flight(self) -> list[Point]:
        """The points of trials that were asked for and have no result yet, in the order in which they were proposed."""
        return list(self._points.values())

    def take(self, number: int) -> Point | None:
        """Remove and return the point of trial `number`; None if it has none."""
        return self._points.pop(number, None)

    def release(self, number: int) -> None:
        """Put back the point of trial `number`, which has one; `ask` returns it next."""
        self._released.append(self._points.pop(number))

    def release_any(self, number: int) -> None:
        """Put back the point of trial `number` if it has one."""
        if number in self._points:
            self.release(number)
