"""What `local-gp` does with trials in flight, against other ways: `python -m benchmarks.in_flight --seeds 40`.

Each row changes one thing. A clock as in benchmarks.parallel, without repeats; the best recorded loss after a number of
trials, failures included. Differences from the first row are paired by seed. OPENBLAS_NUM_THREADS=1 saves
time.
"""

import argparse
import math
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from agent.search.gaussian_process import GaussianProcess, training_data
from agent.search.local_gp import ALONE, WITH_OTHERS, LocalGPSearcher, StepSettings
from agent.search.searcher import Searcher
from agent.trials.keeping.keep_rule import KeepRule
from benchmarks.autoresearch.__main__ import interval
from benchmarks.autoresearch.experiment import DEFAULTS, SPACE
from benchmarks.autoresearch.surrogate import Variant
from benchmarks.parallel import JITTER
from benchmarks.simulated_days import Day, Searched
from benchmarks.two_tier import Slots, TwoTier

Array = NDArray[np.float64]


class Liar(LocalGPSearcher):
    """Takes one value for the targets of all trials in flight (constant liar; Ginsbourger et al., 2010)."""

    def _liars_value(self) -> float:
        return 0.0  # the mean of the targets, which are standardised

    def _assumed_targets(self, process: GaussianProcess, points: Array) -> Array:
        return np.full(len(points), self._liars_value())


class OptimisticLiar(Liar):
    """Takes the best target for it."""

    def _liars_value(self) -> float:
        return float(training_data(self._evaluated, self._hyperparameters)[1].min())


class Fantasy(LocalGPSearcher):
    """Takes a sample of each target, one trial at a time, in place of the mean (Snoek et al., 2012)."""

    def _assumed_targets(self, process: GaussianProcess, points: Array) -> Array:
        means, stds = process.predict(points)
        rng = np.random.default_rng(len(self._evaluated))
        return np.asarray(means + stds * rng.standard_normal(len(points)))


class Blind(LocalGPSearcher):
    """Chooses steps as if no trial were in flight."""

    def _bounds(self, points: Array) -> Array:
        means, stds = self._fitted_process().predict(points)
        return np.asarray(means - self._settings.kappa_factor * math.sqrt(2 * math.log(len(self._evaluated))) * stds)


class Penalised(Blind):
    """Multiplies the gain by the chance that a point is outside the balls around trials in flight (González, 2016)."""

    def _bounds(self, points: Array) -> Array:
        score = np.log(np.logaddexp(0.0, -super()._bounds(points)))
        process, in_flight = self._fitted_process(), self._points_in_flight()
        if not len(in_flight):
            return -score
        slope = _steepest(process, np.vstack([points, in_flight]))
        means, stds = process.predict(in_flight)
        lowest = OptimisticLiar._liars_value(self)  # type: ignore[arg-type]
        for point, mean, std in zip(in_flight, means, stds, strict=True):
            reach = slope * np.linalg.norm(points - point, axis=1) - (mean - lowest)
            inside = np.array([math.erfc(-value / (math.sqrt(2) * std)) / 2 for value in reach])
            score = score + np.log(inside + 1e-300)
        return -score


def _steepest(process: GaussianProcess, points: Array, width: float = 1e-3) -> float:
    """Return the largest slope of the mean at `points`, by differences."""
    ahead = [process.predict(points + width * axis)[0] for axis in np.eye(points.shape[1])]
    behind = [process.predict(points - width * axis)[0] for axis in np.eye(points.shape[1])]
    slopes = (np.array(ahead) - np.array(behind)) / (2 * width)
    return max(1e-6, float(np.sqrt((slopes**2).sum(axis=0)).max()))


def _gp(**changed: Any) -> Callable[[int], Searcher]:
    return lambda seed: LocalGPSearcher(SPACE, DEFAULTS, seed, replace(WITH_OTHERS, **changed))


def _kind(kind: type[LocalGPSearcher], settings: StepSettings = WITH_OTHERS) -> Callable[[int], Searcher]:
    return lambda seed: kind(SPACE, DEFAULTS, seed, settings)


CHOICES: dict[str, Callable[[int], Searcher]] = {
    "as it is": _gp(),
    "constant liar, the mean": _kind(Liar),
    "constant liar, the lowest": _kind(OptimisticLiar),
    "fantasies": _kind(Fantasy),
    "local penalisation": _kind(Penalised),
    "the process ignores trials in flight": _kind(Blind),
    "steps as without trials in flight": _kind(LocalGPSearcher, ALONE),
    "… and the process ignores trials in flight": _kind(Blind, ALONE),
    "no mixes": _gp(mixed=0.0),
    "a fifth of the names": _gp(mutated=ALONE.mutated),
    "one step size": _gp(stds=ALONE.stds),
    "one step size, two thirds of it": _gp(stds=(0.08, 0.08)),
    "full deviations": _gp(kappa_factor=1.0),
    "40 candidates": _gp(n_candidates=40),
}


def best_after(searcher: Searcher, seed: int, width: int, n_trials: int, variant: Variant) -> float:
    """Return the lowest recorded loss of the baseline and the first `n_trials` trials that end."""
    day = Day(Searched(searcher, variant), seed, seconds_left=math.inf)
    run = TwoTier(day, KeepRule(kind="any"), Slots(width, JITTER, np.random.default_rng([seed, 5])))
    losses = [job.loss for job, _ in zip(run.run(), range(n_trials + 1), strict=False)]
    return min(loss for loss in losses if loss is not None)


@dataclass(frozen=True)
class Row:
    """A row of the table."""

    variant: Variant
    width: int
    choice: str

    def best(self, n_trials: int, seeds: range) -> list[float]:
        """Return the best losses after `n_trials`."""
        build = CHOICES[self.choice]
        return [best_after(build(seed), seed, self.width, n_trials, self.variant) for seed in seeds]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=40, help="number of seeds")
    parser.add_argument("--first-seed", type=int, default=100)
    parser.add_argument("--widths", default="8", help="trials in flight, separated by commas")
    parser.add_argument("--trials", type=int, default=48)
    parser.add_argument("--variants", default="gp", help=f"of {', '.join(get_args(Variant))}")
    parser.add_argument("--rows", help="rows to run, separated by semicolons; by default all")
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    print(f"| variant | W | | best after {options.trials} | minus the first row | 95 % interval |")
    print("|---|---|---|---|---|---|")
    rows = [
        Row(variant, width, choice)
        for variant, width in product(options.variants.split(","), map(int, options.widths.split(",")))
        for choice in CHOICES
        if options.rows is None or choice in options.rows.split(";")
    ]
    first: dict[str, Array] = {}
    with ProcessPoolExecutor(options.processes) as pool:
        done = pool.map(partial(Row.best, n_trials=options.trials, seeds=seeds), rows)
        for row, found in zip(rows, done, strict=True):
            best = np.array(found)
            head = f"{row.variant} | {row.width}"
            off = best - first.setdefault(head, best)
            half = interval(off)
            print(
                f"| {head} | {row.choice} | {best.mean():.5f} ± {best.std():.4f} "
                f"| {off.mean():+.4f} | {off.mean() - half:+.4f} to {off.mean() + half:+.4f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
