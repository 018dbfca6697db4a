"""CMA-ES by pycma, for mixed spaces and trials in flight.

What differs from a textbook run, and why:

- It starts from the script's own values, not from the middle of the box: someone has tuned them.
- Points are sampled one by one and told in any order; every `population` tells make a generation. So a model's
  answer, told in place of the point it was shown, is a member of the generation like any other.
- It is told where the trial really was: the snapped point, not the sample that was snapped.
- pycma sees ranks, not losses: only ranks matter, and a failed trial has no loss. Failures rank last, the farther
  from the best point so far the later, so that a generation that fails as a whole pulls back to what works.
- Axes with levels keep a minimal standard deviation, else a small space freezes on one level.
"""

import math
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.edits.edit import Params, Value
from agent.search.searcher import Pending
from agent.search.space import SearchSpace

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class CMAState:
    """The search distribution between two generations, for people, prompts and the journal."""

    mean: Mapping[str, Value]  # not snapped: 5.3 layers; on log axes the geometric mean
    sigma: float  # overall step size, in the unit cube
    std: Mapping[str, float]  # in the parameter's unit; log axes: a factor; choices: steps along their list
    covariance: tuple[tuple[float, ...], ...]  # in the unit cube; sigma is in it
    axes: tuple[str, ...]  # the name that each axis belongs to: choices without an order have an axis each
    generation: int

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return asdict(self)

    def correlation(self, first: str, second: str) -> float:
        """Return the correlation of two names, -1 to 1; of several axes, the strongest."""
        pairs = [(i, j) for i, a in enumerate(self.axes) for j, b in enumerate(self.axes) if (a, b) == (first, second)]
        scales = [math.sqrt(row[i]) for i, row in enumerate(self.covariance)]
        return max((self.covariance[i][j] / (scales[i] * scales[j]) for i, j in pairs), key=abs)


@dataclass(frozen=True)
class CMASettings:
    """What can be chosen; benchmarks/autoresearch/choices.py compares, docs/benchmark.md has the table."""

    sigma0: float = 1 / 6  # of the unit cube: three of it reach from the middle to an edge
    population: int | None = None  # None: 4 + 3 ln(n_dims)
    min_std: float = 0.25  # of the distance of two levels: the next one is then two deviations from its bin's edge


DEFAULTS = CMASettings()


class CMAESearcher:
    """Covariance matrix adaptation around the script's own values."""

    def __init__(self, space: SearchSpace, start: Params, seed: int, settings: CMASettings = DEFAULTS) -> None:
        """`start`: a point of the space."""
        self._space = space
        self._best = (math.inf, space.encode(start))  # where failures are measured from
        self._strategy = _strategy(space, self._best[1], seed, settings)
        self._pending: Pending[Params] = Pending()
        self._told: list[tuple[float, Vector]] = []  # of the current generation

    def ask(self, number: int) -> Params:
        return self._pending.ask(number, self._sample)

    def tell(self, number: int, params: Params, loss: float | None) -> None:
        value, point = math.inf if loss is None else loss, self._space.encode(params)
        self._best = min(self._best, (value, point), key=lambda result: result[0])
        if self._pending.told(number) is None:
            return  # the baseline: the search has started there, and it is no member of a generation
        self._told.append((value, point))
        if len(self._told) == self._strategy.popsize:
            self._next_generation()

    def discard(self, number: int) -> None:
        self._pending.told(number)

    def release(self, number: int) -> None:
        self._pending.release(number)

    def state(self) -> CMAState:
        """Return the distribution that the next point is drawn from."""
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
        return self._space.decode(self._strategy.ask(1)[0])

    def _next_generation(self) -> None:
        ranked = sorted(self._told, key=self._rank)
        self._strategy.tell([point for _, point in ranked], [float(rank) for rank in range(len(ranked))])
        self._told = []

    def _rank(self, result: tuple[float, Vector]) -> tuple[float, float]:
        loss, point = result
        return loss, 0.0 if math.isfinite(loss) else float(np.linalg.norm(point - self._best[1]))


def _strategy(space: SearchSpace, start: Vector, seed: int, settings: CMASettings) -> Any:
    """Return pycma's object, with a generator of its own: by default it seeds NumPy's global one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # cma 4.5.0 warns at import that it cannot plot
        import cma

    rng = np.random.default_rng(seed)
    min_std = (settings.min_std * space.steps).tolist()
    options = {
        "bounds": [0, 1],
        "CMA_mirrors": 0,  # small populations would inject points, which asking one by one cannot
        "minstd": min_std,
        "popsize": settings.population or 4 + math.floor(3 * math.log(space.n_dims)),
        "randn": lambda *shape: rng.standard_normal(shape),
        "seed": math.nan,  # do nothing
        "verbose": -10,  # nor read a signals file from the working folder
        "verb_log": 0,
    }
    if space.n_dims == 1:  # cma 4.5.0 raises when it limits the deviation of a single coordinate
        options |= {"minstd": 0, "maxstd_boundrange": math.inf, "mindx": min_std[0]}
    return cma.CMAEvolutionStrategy(start, settings.sigma0, options)
