"""Points that meet the constraints of a space: how every searcher gets them.

A point that breaks a constraint is moved to the nearest feasible one if that is at most NEAR away, as a value is
rounded to its levels: 801 of 12 heads becomes 804. Drawing again instead would let through the points with few heads,
which divide most widths, and local search would never change a width. A point that is farther off is drawn again, so
that inequalities collect no points at their edge (resampling, as usual for CMA-ES: Hansen, The CMA Evolution Strategy:
A Tutorial, 2016, B.5). After MAX_DRAWS draws the last one is moved, however far. Optuna's samplers learn only from
points that they drew themselves, so their points are drawn again first. All of it depends only on the space and the
draws, so a resumed run repeats it.
"""

import math
from collections.abc import Callable, Collection, Iterator
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray

from agent.edits.edit import Params, Value
from agent.search.parameters import Float, Int, Parameter
from agent.search.space import SearchSpace

MAX_DRAWS = 50  # of a searcher, after which the last one is moved
NEAR = 0.05  # distance in the unit cube
N_SAMPLED = 10_000  # points in which feasible ones are looked for
N_EXAMPLES = 100  # feasible points that are remembered
MOST_ENUMERATED = 200_000  # points of a grid that are all looked at if no sampled one is feasible
N_LEVELS = 128  # values of one parameter that are tried, those around the present one


class FeasiblePoints:
    """The points of a space that meet its constraints."""

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        used = {name for constraint in space.constraints for name in constraint.names}
        self._involved = [parameter for parameter in space.parameters if parameter.name in used]

    def first(self, draw: Callable[[], Params]) -> Params:
        """Return the first draw that is feasible or near a feasible point; the last of MAX_DRAWS, moved, if none is."""
        for _ in range(MAX_DRAWS):
            params = draw()
            if (near := self.near(params)) is not None:
                return near
        return self.nearest(params)

    def near(self, params: Params) -> Params | None:
        """Return `params` if they are feasible, else the nearest feasible point if it is at most NEAR away."""
        if self._space.meets_constraints(params):
            return params
        return next((point for far, point in self._repaired(params) if far <= NEAR), None)

    def nearest(self, params: Params, taken: Collection[tuple[Value, ...]] = ()) -> Params:
        """Return `params` if they are feasible, else a feasible point near them.

        Args:
            params: a point of the ranges.
            taken: values of points that should not be returned; one may be, if no other is found.

        Raises:
            ValueError: as `examples` does.
        """
        if self._space.meets_constraints(params):
            return params
        first = None
        for _, point in self._repaired(params):
            first = first or point
            if tuple(point.values()) not in taken:
                return point
        return first or {**params, **self.examples[0]}  # a derived coordinate may be outside its range

    @cached_property
    def examples(self) -> list[Params]:
        """Feasible values of the parameters that the constraints name: some that are found at random, or all.

        Raises:
            ValueError: none was found; the message says what to do.
        """
        rng = np.random.default_rng(0)
        found: list[Params] = []
        for _ in range(N_SAMPLED):
            point: Params = {p.name: p.decode(*rng.random(p.n_axes).tolist()) for p in self._involved}
            if self._space.meets_constraints(point):
                found.append(point)
            if len(found) == N_EXAMPLES:
                break
        found = found or list(self._enumerated())
        if not found:
            names = ", ".join(parameter.name for parameter in self._involved)
            raise ValueError(
                f"space.constraints: none of {N_SAMPLED} random points meets them, so a search would find no other; "
                f"narrow the ranges of {names}, or let the script compute one of them from the others"
            )
        return found

    def _enumerated(self) -> Iterator[Params]:
        """Yield all feasible values of the parameters that the constraints name; none if they are too many."""
        if any(isinstance(p, Float) for p in self._involved):
            return
        levels = [range(p.low, p.high + 1) if isinstance(p, Int) else p.choices for p in self._involved]  # type: ignore[union-attr]
        if math.prod(map(len, levels)) > MOST_ENUMERATED:
            return
        for values in product(*levels):
            point: Params = dict(zip((p.name for p in self._involved), values, strict=True))
            if self._space.meets_constraints(point):
                yield point

    def _repaired(self, params: Params) -> Iterator[tuple[float, Params]]:
        """Yield points of the space near `params`, each with its distance, the nearest first.

        They differ from `params` in one parameter, or have all values of an example.
        """
        place = self._coordinates(params)
        changes: list[Params] = [
            {parameter.name: value}
            for parameter in self._involved
            for value in _levels_near(parameter, params[parameter.name])
        ]
        moved = np.array([self._coordinates({**params, **change}) for change in changes])
        points, at = [*changes, *self.examples], np.vstack([moved, self._example_places])
        distances = np.sqrt(((at - place) ** 2).sum(axis=1))
        for index in np.argsort(distances, kind="stable").tolist():
            point = {**params, **points[index]}
            if self._space.meets_constraints(point) and not self._space.validate(point):
                yield float(distances[index]), point

    @cached_property
    def _example_places(self) -> NDArray[np.float64]:
        return np.array([self._coordinates(example) for example in self.examples])

    def _coordinates(self, params: Params) -> list[float]:
        """Return the coordinates of the parameters that the constraints name, each in [0, 1]."""
        return [u for parameter in self._involved for u in parameter.encode(params[parameter.name])]


def _levels_near(parameter: Parameter, value: Value) -> list[Value]:
    """Return up to N_LEVELS values of a parameter around `value`, without it."""
    if isinstance(parameter, Float):
        found = [parameter.decode(u) for u in np.linspace(0, 1, N_LEVELS).tolist()]
        return [other for other in found if other != value]
    if isinstance(parameter, Int):
        first = min(max(int(value) - N_LEVELS // 2, parameter.low), max(parameter.high - N_LEVELS, parameter.low))
        return [other for other in range(first, min(first + N_LEVELS, parameter.high) + 1) if other != value]
    return [other for other in parameter.choices if other != value]
