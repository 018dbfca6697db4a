"""A hill-climb whose every step is the most promising of several, by a Gaussian process fitted to the run's trials.

Bayesian optimisation kept near the best point: candidates change a few names of it, as in TuRBO (Eriksson et al.,
2019), and the one with the lowest lower confidence bound runs. As in GP-UCB (Srinivas et al., 2010) the bound moves
away from the mean with the logarithm of the trials: what is not known counts for more, the longer the search lasts.
The process sees ratios of gaps to the best loss, so that neither the loss's unit nor a few very bad trials decide its
scale. Measured in docs/benchmark.md.
"""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from agent.edits.edit import Params
from agent.search.gaussian_process import GaussianProcess, Hyperparameters
from agent.search.local_search import mutant
from agent.search.searcher import Pending
from agent.search.space import SearchSpace

MUTATED = 0.2  # share of the names that a step changes
STEP = 0.12  # standard deviation of a change, in the unit cube; at least one level, where there are levels
N_CANDIDATES = 20
N_TOLD = 5  # before the process is asked
N_NEAREST = 150  # trials around the best that it is fitted to
REFIT_GROWTH = 1.1  # of the number of trials, until length scales and noise are fitted anew
N_DRAWS = 200  # for candidates that nobody has told yet


class LocalGPSearcher:
    """Changes some names of the best point so far, and lets a Gaussian process choose among such changes."""

    def __init__(self, space: SearchSpace, start: Params, seed: int) -> None:
        """`start`: a point of the space, the best until something better is told."""
        self._space = space
        self._best = start
        self._best_loss = math.inf
        self._rng = np.random.default_rng(seed)
        self._told: list[tuple[NDArray[np.float64], float | None]] = []  # place in the unit cube, loss
        self._known: set[tuple[object, ...]] = set()
        self._hyperparameters = Hyperparameters.prior(space.n_dims)
        self._n_fitted = 0
        self._pending: Pending[Params] = Pending()

    def ask(self, number: int) -> Params:
        return self._pending.ask(number, self._step)

    def tell(self, number: int, params: Params, loss: float | None) -> None:
        self._pending.told(number)
        self._told.append((self._space.encode(params), loss))
        self._known.add(tuple(params.values()))
        if loss is not None and loss < self._best_loss:
            self._best, self._best_loss = params, loss

    def discard(self, number: int) -> None:
        self._pending.told(number)

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
        """Yield steps from the best point, new ones as long as any are found."""
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
        """Return the process given the trials around the best; its hyperparameters are fitted now and then."""
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
        """Return ln(1 + gap / median gap) for each trial, gaps taken to the best loss; failures count as the worst."""
        losses = np.array([np.nan if loss is None else loss for _, loss in self._told])
        gaps = np.where(np.isnan(losses), np.nanmax(losses), losses) - self._best_loss
        return np.asarray(np.log1p(gaps / (float(np.median(gaps)) or 1.0)))
