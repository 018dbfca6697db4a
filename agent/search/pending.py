"""What every searcher keeps of points that it has handed out: who has which, and which came back unused."""

from collections.abc import Callable
from typing import Generic, TypeVar

Point = TypeVar("Point")


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
