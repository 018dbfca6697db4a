"""Effect of CMA-ES's settings: `python -m benchmarks.autoresearch.choices --seeds 20`.

Each row changes one setting, on the plain 14 names of the surrogate; differences from the first row are paired by seed.
"""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from agent.modes.numeric import NumericProposer
from agent.search.cmaes import DEFAULTS as SETTINGS
from agent.search.cmaes import CMAESearcher, Vector
from benchmarks.autoresearch.__main__ import interval
from benchmarks.autoresearch.experiment import DEFAULTS, SPACE
from benchmarks.autoresearch.ledger import Ledger
from benchmarks.autoresearch.modes import follow
from benchmarks.autoresearch.surrogate import Surrogate, Variant

PLAIN = SPACE.plain()
MIDDLE = PLAIN.decode(np.full(PLAIN.n_dims, 0.5))


class FailuresAlike(CMAESearcher):
    """Ranks failures last, in order of occurrence, regardless of their position."""

    def _rank(self, result: tuple[float, Vector]) -> tuple[float, float]:
        return result[0], 0.0


def _with(**changed: float) -> Callable[[int], CMAESearcher]:
    settings = replace(SETTINGS, **changed)  # type: ignore[arg-type]  # mypy wants one type for all fields
    return lambda seed: CMAESearcher(PLAIN, DEFAULTS, seed, settings)


CHOICES: Mapping[str, Callable[[int], CMAESearcher]] = {
    "as it is": _with(),
    "step size 1/16": _with(sigma0=1 / 16),
    "step size 1/10": _with(sigma0=1 / 10),
    "step size 1/4": _with(sigma0=1 / 4),
    "population 8": _with(population=8),
    "population 16": _with(population=16),
    "population 24": _with(population=24),
    "no least deviation": _with(min_std=0.0),
    "least deviation 1/2 level": _with(min_std=0.5),
    "from the middle of the box": lambda seed: CMAESearcher(PLAIN, MIDDLE, seed),
    "failures all alike": lambda seed: FailuresAlike(PLAIN, DEFAULTS, seed),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20, help="number of seeds, from 100 on")
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--variants", default="gp,avg", help=f"of {', '.join(get_args(Variant))}")
    arguments = parser.parse_args()
    if arguments.seeds < 2:
        parser.error("--seeds: an interval needs 2")
    for variant in arguments.variants.split(","):
        if variant not in get_args(Variant):
            parser.error(f"there is no variant {variant}")
        _compare(Surrogate(variant), variant, arguments.seeds, arguments.hours)


def _compare(surrogate: Surrogate, variant: str, n_seeds: int, hours: float) -> None:
    print(f"\n### variant {variant}, {n_seeds} seeds, {hours:g} h")
    print("| | best | minus the default | 95 % interval | OOM % | 2 h | 8 h |\n|---|---|---|---|---|---|---|")
    reference: NDArray[np.float64] | None = None
    for name, searcher in CHOICES.items():
        ledgers = [Ledger(surrogate, seed, hours * 3600) for seed in range(100, 100 + n_seeds)]
        for ledger in ledgers:
            follow(NumericProposer(searcher(ledger.seed)), PLAIN, ledger)
        best = np.array([ledger.best for ledger in ledgers])
        reference = best if reference is None else reference
        off = best - reference
        low, high = (off.mean() + sign * interval(off) for sign in (-1, 1))
        failed = 100 * np.mean([ledger.n_failed / ledger.n_trials for ledger in ledgers])
        early = " | ".join(f"{np.mean([ledger.at(h) for ledger in ledgers]):.4f}" for h in (2, 8))
        print(
            f"| {name} | {best.mean():.4f} ± {best.std():.4f} | {off.mean():+.4f} | {low:+.4f} to {high:+.4f} "
            f"| {failed:.1f} | {early} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
