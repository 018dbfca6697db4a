"""A hint: values that a search tries first, because someone knows that they are better than the script's own."""

from agent.edits.edit import Params
from agent.search.searcher import Searcher


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
