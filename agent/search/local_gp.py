"""Hill climbing in which a Gaussian process, fitted to the run's trials, picks each step from several candidates.

This is Bayesian optimisation near the best point: candidates change a few of its parameters, as in TuRBO (Eriksson et
al., 2019), and the one with the lowest lower confidence bound runs. As in GP-UCB (Srinivas et al., 2010), the bound's
distance from the mean grows with the logarithm of the number of trials: exploration counts for more as the search goes
on.

With trials in flight, the process takes its own mean for their losses, as in GP-BUCB (Desautels et al., 2014) and the
kriging believer (Ginsbourger et al., 2010): they lower its deviation near them, so that the next trial goes elsewhere.
A search then has fewer rounds in which to learn: its steps change more parameters at once, by small and large amounts,
half of them start from a mix of good points, and the mean counts for more. Measured in docs/benchmark.md.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from agent.edits.edit import Params
from agent.search.constraints.feasible import FeasiblePoints
from agent.search.gaussian_process import (
    REFIT_GROWTH,
    Evaluated,
    GaussianProcess,
    Hyperparameters,
    is_modelled,
    training_data,
)
from agent.search.local_search import Key, TriedPoints, first_untaken, key_of, mutant
from agent.search.searcher import PendingPoints
from agent.search.space import SearchSpace

N_DRAWS = 200  # attempts to draw candidates that have not been tried


@dataclass(frozen=True)
class StepSettings:
    """How steps are drawn and chosen; benchmarks/in_flight.py compares values."""

    mutated: float  # share of the parameters that a step changes; half of it from a mix
    stds: tuple[float, float]  # a candidate's standard deviation of a change is drawn between them, on a log scale
    mixed: float  # share of the candidates that start from a mix of the best point and another good one
    kappa_factor: float  # factor of kappa, the deviations between mean and bound
    n_candidates: int = 20


STEP = 0.12  # standard deviation of a change, in the unit cube; at least one level on axes with levels
ALONE = StepSettings(mutated=0.2, stds=(STEP, STEP), mixed=0.0, kappa_factor=1.0)
WITH_OTHERS = StepSettings(
    mutated=0.4, stds=(STEP / 3, STEP * 4 / 3), mixed=0.5, kappa_factor=0.5
)  # with trials in flight


class LocalGPSearcher:
    """Changes some parameters of the best point so far; a Gaussian process chooses among such changes."""

    def __init__(self, space: SearchSpace, start: Params, seed: int, with_others: StepSettings = WITH_OTHERS) -> None:
        """`start`: a point of the space, the best point until a better one is reported."""
        self._space = space
        self._feasible = FeasiblePoints(space)
        self._tried = TriedPoints(space, start)
        self._rng = np.random.default_rng(seed)
        self._evaluated: list[Evaluated] = []
        self._hyperparameters = Hyperparameters.prior(space.n_dims)
        self._n_fitted = 0
        self._with_others = with_others
        self._pending: PendingPoints[Params] = PendingPoints()
        self._discarded: set[Key] = set()  # points that were useless

    def ask(self, number: int) -> Params:
        return self._pending.ask(number, self._step)

    def tell(self, number: int, params: Params, loss: float | None) -> None:
        self._pending.take(number)
        self._evaluated.append((self._space.encode(params), loss))
        self._tried.add(params, loss)

    def discard(self, number: int) -> None:
        if (point := self._pending.take(number)) is not None:
            self._discarded.add(key_of(point))

    def release(self, number: int) -> None:
        self._pending.release(number)

    def predict(self, points: Sequence[Params]) -> list[float] | None:
        """Return the posterior mean at the points, with the length scales that the last step was chosen with."""
        if not is_modelled(self._evaluated):
            return None
        process = GaussianProcess(*training_data(self._evaluated, self._hyperparameters), self._hyperparameters)
        means, _ = process.predict(np.array([self._space.encode(params) for params in points]))
        return list(map(float, means))

    def learn(self, number: int, params: Params, loss: float | None) -> None:
        """Add the result of another point. If it is the best, the own point, made from an earlier best, is dropped."""
        if loss is None or loss >= self._tried.best_loss:
            self._pending.release_any(number)
        self.tell(number, params, loss)

    def _step(self) -> Params:
        is_screened = is_modelled(self._evaluated)
        candidates = list(self._candidates(self._settings.n_candidates if is_screened else 1))
        if len(candidates) < 2:
            return candidates[0]
        bounds = self._bounds(np.array([self._space.encode(params) for params in candidates]))
        return candidates[int(np.argmin(bounds))]

    @property
    def _settings(self) -> StepSettings:
        return self._with_others if self._pending.in_flight else ALONE

    def _candidates(self, n_wanted: int) -> Iterator[Params]:
        """Yield up to `n_wanted` steps from the best point, untried ones if any are found."""
        n_found = 0
        taken = self._tried.keys | self._discarded | {key_of(params) for params in self._pending.in_flight}
        for _ in range(N_DRAWS):
            params = self._space.decode(self._drawn(is_screened=n_wanted > 1))
            feasible = self._feasible.near(params)
            if feasible is not None and key_of(feasible) not in taken and feasible != self._tried.best:
                yield feasible
                n_found += 1
            if n_found == n_wanted:
                return
        if not n_found:
            params = self._feasible.nearest(params, taken | {key_of(self._tried.best)})
            yield first_untaken(self._space, taken, params)

    def _drawn(self, *, is_screened: bool) -> NDArray[np.float64]:
        """Return a change of the best point or of a mix, shape (n_dims,), in the unit cube."""
        settings, rng = self._settings, self._rng
        u, share, std = self._space.encode(self._tried.best), settings.mutated, STEP
        if is_screened and settings is not ALONE:
            shortest, longest = settings.stds
            std = shortest * (longest / shortest) ** rng.random()
            if rng.random() < settings.mixed:
                u, share = self._tried.mix(rng), settings.mutated / 2
        return mutant(self._space, u, rng, share, partial(self._moved, std))

    def _moved(self, std: float, u: NDArray[np.float64], axes: slice) -> NDArray[np.float64]:
        change = std * self._rng.standard_normal()
        return u + math.copysign(max(abs(change), float(self._space.steps[axes][0])), change)

    def _bounds(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the lower confidence bound of the target at `points`, shape (n,)."""
        means, stds = self._process().predict(points)
        kappa = math.sqrt(2 * math.log(len(self._evaluated)))  # 1.8 after 5 trials, 2.8 after 50, 3.4 after 300
        return np.asarray(means - self._settings.kappa_factor * kappa * stds)

    def _assumed_targets(self, process: GaussianProcess, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the targets that trials in flight at `points` are taken to have, shape (n,)."""
        return process.predict(points)[0]

    def _process(self) -> GaussianProcess:
        """Return the process given the results, and the trials in flight with assumed targets."""
        process, points = self._fitted_process(), self._points_in_flight()
        if not len(points):
            return process
        return process.given(points, self._assumed_targets(process, points))

    def _points_in_flight(self) -> NDArray[np.float64]:
        """Return the points in flight, shape (n, n_dims)."""
        in_flight = self._pending.in_flight
        return np.array([self._space.encode(params) for params in in_flight]).reshape(-1, self._space.n_dims)

    def _fitted_process(self) -> GaussianProcess:
        """Return the process given the trials nearest to the best; its hyperparameters are fitted only sometimes."""
        data = training_data(self._evaluated, self._hyperparameters)
        if len(self._evaluated) >= REFIT_GROWTH * self._n_fitted:
            self._hyperparameters = self._hyperparameters.fitted(*data)
            self._n_fitted = len(self._evaluated)
        return GaussianProcess(*data, self._hyperparameters)
