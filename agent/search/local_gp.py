"""Hill climbing in which a Gaussian process, fitted to the run's trials, picks each step from several candidates.

This is Bayesian optimisation near the best point: candidates change a few of its parameters, as in TuRBO (Eriksson et
al., 2019), and the one with the lowest lower confidence bound runs. As in GP-UCB (Srinivas et al., 2010), the bound's
distance from the mean grows with the logarithm of the number of trials: exploration counts for more as the search goes
on. The process sees gaps to the best loss relative to their median, so that neither the unit of the loss nor a few
very bad trials determine its scale. Measured in docs/benchmark.md.
"""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from agent.edits.edit import Params
from agent.search.gaussian_process import GaussianProcess, Hyperparameters
from agent.search.local_search import mutant
from agent.search.searcher import PendingPoints
from agent.search.space import SearchSpace

MUTATED = 0.2  # share of the parameters that a step changes
STEP = 0.12  # standard deviation of a change, in the unit cube; at least one level on axes with levels
N_CANDIDATES = 20
N_TOLD = 5  # trials before the process is used
N_NEAREST = 150  # the process is fitted to this many trials, the nearest to the best
REFIT_GROWTH = 1.1  # growth factor of the number of trials after which length scales and noise are fitted again
N_DRAWS = 200  # attempts to draw candidates that have not been tried


class LocalGPSearcher:
    """Changes some parameters of the best point so far; a Gaussian process chooses among such changes."""

    def __init__(self, space: SearchSpace, start: Params, seed: int) -> None:
        """`start`: a point of the space, the best point until a better one is reported."""
        self._space = space
        self._best = start
        self._best_loss = math.inf
        self._rng = np.random.default_rng(seed)
        self._told: list[tuple[NDArray[np.float64], float | None]] = []  # point in the unit cube, loss
        self._known: set[tuple[object, ...]] = set()
        self._hyperparameters = Hyperparameters.prior(space.n_dims)
        self._n_fitted = 0
        self._pending: PendingPoints[Params] = PendingPoints()

    def ask(self, number: int) -> Params:
        return self._pending.ask(number, self._step)

    def tell(self, number: int, params: Params, loss: float | None) -> None:
        self._pending.take(number)
        self._told.append((self._space.encode(params), loss))
        self._known.add(tuple(params.values()))
        if loss is not None and loss < self._best_loss:
            self._best, self._best_loss = params, loss

    def discard(self, number: int) -> None:
        self._pending.take(number)

    def release(self, number: int) -> None:
        self._pending.release(number)

    def _step(self) -> Params:
        is_screened = len(self._told) >= N_TOLD and self._best_loss < math.inf
        candidates = list(self._candidates(N_CANDIDATES if is_screened else 1))
        if len(candidates) < 2:
            return candidates[0]
        means, stds = self._process().predict(np.array([self._space.encode(params) for params in candidates]))
        kappa = math.sqrt(2 * math.log(len(self._told)))  # 1.8 after 5 trials, 2.8 after 50, 3.4 after 300
        return candidates[int(np.argmin(means - kappa * stds))]

    def _candidates(self, n_wanted: int) -> Iterator[Params]:
        """Yield up to `n_wanted` steps from the best point, untried ones if any are found."""
        n_found, u = 0, self._space.encode(self._best)
        for _ in range(N_DRAWS):
            params = self._space.decode(mutant(self._space, u, self._rng, MUTATED, self._moved))
            if tuple(params.values()) not in self._known and params != self._best:
                yield params
                n_found += 1
            if n_found == n_wanted:
                return
        if not n_found:
            yield params

    def _moved(self, u: NDArray[np.float64], axes: slice) -> NDArray[np.float64]:
        change = STEP * self._rng.standard_normal()
        return u + math.copysign(max(abs(change), float(self._space.steps[axes][0])), change)

    def _process(self) -> GaussianProcess:
        """Return the process given the trials nearest to the best; its hyperparameters are fitted only sometimes."""
        points = np.array([u for u, _ in self._told])
        targets = self._targets()
        if len(points) > N_NEAREST:
            off = (points - self._space.encode(self._best)) / self._hyperparameters.lengths
            nearest = np.argsort((off**2).sum(axis=1), kind="stable")[:N_NEAREST]
            points, targets = points[nearest], targets[nearest]
        targets = (targets - targets.mean()) / (targets.std() or 1.0)
        if len(self._told) >= REFIT_GROWTH * self._n_fitted:
            self._hyperparameters = self._hyperparameters.fitted(points, targets)
            self._n_fitted = len(self._told)
        return GaussianProcess(points, targets, self._hyperparameters)

    def _targets(self) -> NDArray[np.float64]:
        """Return ln(1 + gap / median gap) for each trial, with gaps to the best loss; failures count as the worst."""
        losses = np.array([np.nan if loss is None else loss for _, loss in self._told])
        gaps = np.where(np.isnan(losses), np.nanmax(losses), losses) - self._best_loss
        return np.asarray(np.log1p(gaps / (float(np.median(gaps)) or 1.0)))
