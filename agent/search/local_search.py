"""(1+1) hill climbing around the best point: hard to beat if trials are few, the start is good and noise is low.

With trials in flight, no step proposes a point that has been tried or is in flight, as long as there is another one.
"""

import bisect
import math
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from agent.edits.edit import Params, Value
from agent.search.constraints.feasible import FeasiblePoints
from agent.search.searcher import PendingPoints
from agent.search.space import SearchSpace

MUTATED = 0.3  # share of the parameters that a step changes
STEP = 0.12  # standard deviation of a change, in the unit cube
STEP_LEVELS = 0.5  # its minimum in levels: then a third of the changes reach the next level
N_DRAWS = 100  # attempts to draw a step that changes the point
N_GOOD = 4  # best points that a mix takes values from

Moved = Callable[[NDArray[np.float64], slice], NDArray[np.float64]]
Key = tuple[Value, ...]


class LocalSearcher:
    """Changes some parameters of the best point so far. With derived coordinates its steps are structural moves."""

    def __init__(
        self, space: SearchSpace, start: Params, seed: int, *, mutated: float = MUTATED, step: float = STEP
    ) -> None:
        """`start`: a point of the space, the best point until a better one is reported."""
        self._space = space
        self._feasible = FeasiblePoints(space)
        self._tried = TriedPoints(space, start)
        self._rng = np.random.default_rng(seed)
        self._mutated = mutated
        self._stds = np.maximum(step, STEP_LEVELS * space.steps)
        self._pending: PendingPoints[Params] = PendingPoints()

    def ask(self, number: int) -> Params:
        return self._pending.ask(number, self._neighbour)

    def tell(self, number: int, params: Params, loss: float | None) -> None:
        self._pending.take(number)
        self._tried.add(params, loss)

    def discard(self, number: int) -> None:
        self._pending.take(number)

    def release(self, number: int) -> None:
        self._pending.release(number)

    def _neighbour(self) -> Params:
        best, place, in_flight = self._tried.best, self._space.encode(self._tried.best), self._pending.in_flight
        taken = self._tried.keys | {key_of(params) for params in in_flight} if in_flight else set()
        for _ in range(N_DRAWS):
            neighbour = self._space.decode(mutant(self._space, place, self._rng, self._mutated, self._moved))
            feasible = self._feasible.near(neighbour)
            if feasible is not None and feasible != best and key_of(feasible) not in taken:
                return feasible
        neighbour = self._feasible.nearest(neighbour, self._tried.keys | taken | {key_of(best)})
        return first_untaken(self._space, taken, neighbour) if in_flight else neighbour

    def _moved(self, u: NDArray[np.float64], axes: slice) -> NDArray[np.float64]:
        return u + self._stds[axes] * self._rng.standard_normal()


class TriedPoints:
    """The points that have a result: which is the best, which are good, and which need not be tried again."""

    def __init__(self, space: SearchSpace, start: Params) -> None:
        """`start`: the best point until a better one is reported."""
        self._space = space
        self.best = start
        self.best_loss = math.inf
        self.keys: set[Key] = set()
        self._good: list[tuple[float, int, Params]] = []  # loss, order; at most N_GOOD, the lowest first

    def add(self, params: Params, loss: float | None) -> None:
        """Take a result; `loss` None: a failure."""
        self.keys.add(key_of(params))
        if loss is None:
            return
        if loss < self.best_loss:
            self.best, self.best_loss = params, loss
        bisect.insort(self._good, (loss, len(self.keys), params), key=lambda entry: entry[:2])
        del self._good[N_GOOD:]

    def mix(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Return the best point, shape (n_dims,), with about half of its parameters as in one of the good points.

        This is the uniform crossover of Syswerda (1989).
        """
        u = self._space.encode(self.best)
        if not self._good:
            return u
        other = self._space.encode(self._good[rng.integers(len(self._good))][2])
        for is_other, axes in zip(rng.random(len(self._space.axes)) < 0.5, self._space.axes, strict=True):
            if is_other:
                u[axes] = other[axes]
        return u


def key_of(params: Params) -> Key:
    """Return the values of a point, which identify it within its space."""
    return tuple(params.values())


def first_untaken(space: SearchSpace, taken: set[Key], otherwise: Params) -> Params:
    """Return the first point of a space of levels that is not taken; `otherwise` if there is none."""
    points: Iterable[Params] = space.all_points()
    return next((params for params in points if key_of(params) not in taken), otherwise)


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
