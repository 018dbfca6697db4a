"""A searcher as somebody would add it, in one file: it goes round the unit cube in equal steps."""

import numpy as np

from agent.edits.edit import Params
from agent.modes.searchers import SearcherKind, SearchInputs
from agent.search.searcher import PendingPoints
from agent.search.space import SearchSpace


class SteppingSearcher:
    def __init__(self, space: SearchSpace, seed: int) -> None:
        self._space = space
        self._n_drawn = seed
        self._pending: PendingPoints[Params] = PendingPoints()

    def ask(self, number: int) -> Params:
        return self._pending.ask(number, self._draw)

    def tell(self, number: int, params: Params, loss: float | None) -> None:
        self._pending.take(number)

    def discard(self, number: int) -> None:
        self._pending.take(number)

    def release(self, number: int) -> None:
        self._pending.release(number)

    def _draw(self) -> Params:
        self._n_drawn += 1
        return self._space.decode(np.full(self._space.n_dims, (self._n_drawn * 0.29) % 1))


def build(inputs: SearchInputs) -> SteppingSearcher:
    return SteppingSearcher(inputs.space, inputs.seed)


ROW = SearcherKind("stepping", "goes round the unit cube in equal steps", build)
