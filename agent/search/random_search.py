"""Random search. The seed and the trial number determine each point, so a resumed run repeats no point."""

from collections import Counter

import numpy as np

from agent.edits.edit import Params
from agent.search.constraints.feasible import FeasiblePoints
from agent.search.searcher import PendingPoints
from agent.search.space import SearchSpace


class RandomSearcher:
    """Uniform points of the unit cube; ignores results."""

    def __init__(self, space: SearchSpace, seed: int) -> None:
        self._space = space
        self._feasible = FeasiblePoints(space)
        self._seed = seed
        self._n_used: Counter[int] = Counter()  # discarded points by trial number; the next draw differs
        self._pending: PendingPoints[Params] = PendingPoints()

    def ask(self, number: int) -> Params:
        return self._pending.ask(number, lambda: self._draw(number))

    def tell(self, number: int, params: Params, loss: float | None) -> None:
        self.discard(number)

    def discard(self, number: int) -> None:
        self._pending.take(number)
        self._n_used[number] += 1

    def release(self, number: int) -> None:
        self._pending.release(number)

    def _draw(self, number: int) -> Params:
        rng = np.random.default_rng([self._seed, number, self._n_used[number]])
        return self._feasible.first(lambda: self._space.decode(rng.random(self._space.n_dims)))
