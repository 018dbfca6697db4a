"""CMA-ES by pycma, for mixed spaces and trials in flight.

Differences from textbook CMA-ES, with reasons:

- It starts from the script's own values, not from the middle of the space, because they have been tuned.
- `ask` samples one point at a time, and `tell` accepts results in any order; every `population` tells complete a
  generation. So a point that a model chose in place of the sampled one counts as a member of the generation.
- `tell` receives the point that ran, snapped to levels, not the raw sample.
- pycma sees ranks, not losses: only ranks matter to it, and a failed trial has no loss. Failures rank last, ordered by
  their distance from the best point so far, so that a generation of failures moves the mean back towards that point.
- A point that breaks a constraint is moved or drawn again; see agent.search.constraints.feasible.
- Axes with levels keep a minimum standard deviation, else a small space freezes on one level.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.edits.edit import Params, Value
from agent.search.constraints.feasible import FeasiblePoints
from agent.search.gaussian_process import LossModel
from agent.search.searcher import PendingPoints
from agent.search.space import SearchSpace

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class CMAState:
    """The search distribution between two generations, for reports, prompts and the journal."""

    mean: Mapping[str, Value]  # not snapped, e.g. 5.3 layers; on log axes the geometric mean
    sigma: float  # overall step size, in the unit cube
    std: Mapping[str, float]  # in the parameter's unit; log axes: a factor; choices: steps along their list
    covariance: tuple[tuple[float, ...], ...]  # in the unit cube; includes the factor sigma^2
    axes: tuple[str, ...]  # the parameter of each axis; an unordered choice has one axis per value
    generation: int

    def to_json(self) -> dict[str, Any]:
        """Return the state as JSON data."""
        return asdict(self)

    def correlation(self, first: str, second: str) -> float:
        """Return the correlation of two parameters, -1 to 1; the strongest one if they have several axes."""
        pairs = [(i, j) for i, a in enumerate(self.axes) for j, b in enumerate(self.axes) if (a, b) == (first, second)]
        scales = [math.sqrt(row[i]) for i, row in enumerate(self.covariance)]
        return max((self.covariance[i][j] / (scales[i] * scales[j]) for i, j in pairs), key=abs)


@dataclass(frozen=True)
class CMASettings:
    """Settings of CMA-ES; benchmarks/autoresearch/choices.py compares values, docs/benchmark.md has the table."""

    sigma0: float = 1 / 6  # in the unit cube: three sigma reach from the middle to an edge
    population: int | None = None  # None: 4 + 3 ln(n_dims)
    min_std: float = 0.25  # in distances between levels: a bin's edge is then two deviations from its middle


DEFAULTS = CMASettings()


class CMAESearcher:
    """Covariance matrix adaptation around the script's own values."""

    def __init__(self, space: SearchSpace, start: Params, seed: int, settings: CMASettings = DEFAULTS) -> None:
        """`start`: a point of the space, the first mean."""
        self._space = space
        self._feasible = FeasiblePoints(space)
        self._best = (math.inf, space.encode(start))  # failures rank by their distance from it
        self._strategy = _strategy(space, self._best[1], seed, settings)
        self._pending: PendingPoints[Params] = PendingPoints()
        self._evaluated: list[tuple[float, Vector]] = []  # of the current generation
        self._losses = LossModel(space.n_dims)  # of all trials

    def ask(self, number: int) -> Params:
        return self._pending.ask(number, self._sample)

    def tell(self, number: int, params: Params, loss: float | None) -> None:
        value, point = math.inf if loss is None else loss, self._space.encode(params)
        self._best = min(self._best, (value, point), key=lambda result: result[0])
        self._losses.add(point, loss)
        if self._pending.take(number) is None:
            return  # the baseline: the search starts there, and it belongs to no generation
        self._evaluated.append((value, point))
        if len(self._evaluated) == self._strategy.popsize:
            self._next_generation()

    def discard(self, number: int) -> None:
        self._pending.take(number)

    def release(self, number: int) -> None:
        self._pending.release(number)

    def predict(self, points: Sequence[Params]) -> list[float] | None:
        """Return the posterior mean of a Gaussian process of all trials: CMA-ES itself has no model of the loss."""
        predicted = self._losses.predict(np.array([self._space.encode(params) for params in points]))
        return None if predicted is None else predicted[0].tolist()

    def learn(self, number: int, params: Params, loss: float | None) -> None:
        """Add the result of another point to the data of `predict` only; the distribution learns from own points alone.

        So the search is the same as without these trials, only delayed by them.
        """
        self._pending.release_any(number)
        self._losses.add(self._space.encode(params), loss)

    def state(self) -> CMAState:
        """Return the distribution of the next sample."""
        strategy, space = self._strategy, self._space
        mean = np.asarray(strategy.boundary_handler.repair(strategy.mean))
        scale = strategy.sigma * np.asarray(strategy.sigma_vec.scaling) * np.ones(space.n_dims)
        covariance = strategy.sm.covariance_matrix * np.outer(scale, scale)
        return CMAState(
            mean=space.place(mean),
            sigma=float(strategy.sigma),
            std=space.spread(np.sqrt(np.diag(covariance))),
            covariance=tuple(map(tuple, covariance.tolist())),
            axes=tuple(p.name for p in space.parameters for _ in range(p.n_axes)),
            generation=int(strategy.countiter),
        )

    def _sample(self) -> Params:
        return self._feasible.first(lambda: self._space.decode(self._strategy.ask(1)[0]))

    def _next_generation(self) -> None:
        ranked = sorted(self._evaluated, key=self._rank)
        self._strategy.tell([point for _, point in ranked], [float(rank) for rank in range(len(ranked))])
        self._evaluated = []

    def _rank(self, result: tuple[float, Vector]) -> tuple[float, float]:
        loss, point = result
        return loss, 0.0 if math.isfinite(loss) else float(np.linalg.norm(point - self._best[1]))


def _strategy(space: SearchSpace, start: Vector, seed: int, settings: CMASettings) -> Any:
    """Return pycma's strategy with its own random generator; by default pycma seeds NumPy's global one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # cma 4.5.0 warns at import that it cannot plot
        import cma

    rng = np.random.default_rng(seed)
    min_std = (settings.min_std * space.steps).tolist()
    options = {
        "bounds": [0, 1],
        "CMA_mirrors": 0,  # else small populations inject points, which sampling one at a time does not support
        "minstd": min_std,
        "popsize": settings.population or 4 + math.floor(3 * math.log(space.n_dims)),
        "randn": lambda *shape: rng.standard_normal(shape),
        "seed": math.nan,  # do not seed
        "verbose": -10,  # print nothing, and read no signals file from the working folder
        "verb_log": 0,
    }
    if space.n_dims == 1:  # cma 4.5.0 raises if it limits the deviation of a single coordinate
        options |= {"minstd": 0, "maxstd_boundrange": math.inf, "mindx": min_std[0]}
    return cma.CMAEvolutionStrategy(start, settings.sigma0, options)
