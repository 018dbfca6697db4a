"""(1+1) hill climbing around the best point: hard to beat if trials are few, the start is good and noise is low."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from agent.edits.edit import Params
from agent.search.searcher import PendingPoints
from agent.search.space import SearchSpace

MUTATED = 0.3  # share of the parameters that a step changes
STEP = 0.12  # standard deviation of a change, in the unit cube
STEP_LEVELS = 0.5  # its minimum in levels: then a third of the changes reach the next level
N_DRAWS = 100  # attempts to draw a step that changes the point

Moved = Callable[[NDArray[np.float64], slice], NDArray[np.float64]]


class LocalSearcher:
    """Changes some parameters of the best point so far. With derived coordinates its steps are structural moves."""

    def __init__(
        self, space: SearchSpace, start: Params, seed: int, *, mutated: float = MUTATED, step: float = STEP
    ) -> None:
        """`start`: a point of the space, the best point until a better one is reported."""
        self._space = space
        self._best = start
        self._best_loss = math.inf
        self._rng = np.random.default_rng(seed)
        self._mutated = mutated
        self._stds = np.maximum(step, STEP_LEVELS * space.steps)
        self._pending: PendingPoints[Params] = PendingPoints()

    def ask(self, number: int) -> Params:
        return self._pending.ask(number, self._neighbour)

    def tell(self, number: int, params: Params, loss: float | None) -> None:
        self._pending.take(number)
        if loss is not None and loss < self._best_loss:
            self._best, self._best_loss = params, loss

    def discard(self, number: int) -> None:
        self._pending.take(number)

    def release(self, number: int) -> None:
        self._pending.release(number)

    def _neighbour(self) -> Params:
        place = self._space.encode(self._best)
        for _ in range(N_DRAWS):
            neighbour = self._space.decode(mutant(self._space, place, self._rng, self._mutated, self._moved))
            if neighbour != self._best:
                break
        return neighbour

    def _moved(self, u: NDArray[np.float64], axes: slice) -> NDArray[np.float64]:
        return u + self._stds[axes] * self._rng.standard_normal()


def mutant(
    space: SearchSpace, u: NDArray[np.float64], rng: np.random.Generator, share: float, moved: Moved
) -> NDArray[np.float64]:
    """Return `u`, shape (n_dims,), with some of its parameters changed, at least one.

    Args:
        moved: takes a point and the axes of one parameter, and returns new coordinates, which are clipped to [0, 1].
    """
    u = u.copy()
    chosen = rng.random(len(space.parameters)) < share
    chosen[rng.integers(len(chosen))] |= not chosen.any()
    for is_chosen, parameter, axes in zip(chosen, space.parameters, space.axes, strict=True):
        if is_chosen and parameter.n_axes == 1:
            u[axes] = np.clip(moved(u[axes], axes), 0, 1)
        elif is_chosen:  # unordered choices: any of them
            u[axes] = rng.random(parameter.n_axes)
    return u
