"""A (1+1) hill-climb around the best point: hard to beat when trials are few, the start is good and noise is low."""

import math

import numpy as np
from numpy.typing import NDArray

from agent.edits.edit import Params
from agent.search.pending import Pending
from agent.search.space import SearchSpace

MUTATED = 0.3  # share of the names that a step changes
STEP = 0.12  # standard deviation of a change, in the unit cube
STEP_LEVELS = 0.5  # the same between levels, at least: a third of the changes then reach the next one
N_DRAWS = 100  # for a step that leaves its point


class LocalSearcher:
    """Changes some names of the best point so far. Over derived coordinates its steps are structural moves."""

    def __init__(
        self, space: SearchSpace, start: Params, seed: int, *, mutated: float = MUTATED, step: float = STEP
    ) -> None:
        """`start`: a point of the space, the best until something better is told."""
        self._space = space
        self._best = start
        self._best_loss = math.inf
        self._rng = np.random.default_rng(seed)
        self._mutated = mutated
        self._stds = np.maximum(step, STEP_LEVELS * space.steps)
        self._pending: Pending[Params] = Pending()

    def ask(self, number: int) -> Params:
        return self._pending.ask(number, self._neighbour)

    def tell(self, number: int, params: Params, loss: float | None) -> None:
        self._pending.told(number)
        if loss is not None and loss < self._best_loss:
            self._best, self._best_loss = params, loss

    def release(self, number: int) -> None:
        self._pending.release(number)

    def _neighbour(self) -> Params:
        for _ in range(N_DRAWS):
            neighbour = self._space.decode(self._mutant(self._space.encode(self._best)))
            if neighbour != self._best:
                break
        return neighbour

    def _mutant(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        chosen = self._rng.random(len(self._space.parameters)) < self._mutated
        chosen[self._rng.integers(len(chosen))] |= not chosen.any()
        for is_chosen, parameter, axes in zip(chosen, self._space.parameters, self._space.axes, strict=True):
            if is_chosen and parameter.n_axes == 1:
                u[axes] = np.clip(u[axes] + self._stds[axes] * self._rng.standard_normal(), 0, 1)
            elif is_chosen:  # choices without an order: any of them
                u[axes] = self._rng.random(parameter.n_axes)
        return u
