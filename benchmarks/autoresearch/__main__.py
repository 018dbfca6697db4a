"""The paper's comparison on the surrogate: `python -m benchmarks.autoresearch --modes cma-es,peer:cma-es --seeds 20`.

Prints, for each variant of the surrogate, a table like the paper's, then paired differences to the first mode with
95 % intervals. Modes of ours may end in +derived (the task's derived coordinates) and +memory (the learned model).
"""

import argparse
import math
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from benchmarks.autoresearch import modes
from benchmarks.autoresearch.ledger import Ledger
from benchmarks.autoresearch.surrogate import Surrogate, Variant

HOURS = (1, 2, 4, 8, 16, 24)
PAPER_LEVEL = 0.9763  # the paper's best hybrid after 24 h
DEFAULT_MODES = (
    "cma-es,peer:cma-es,local,cma-es+derived,cma-es+derived+memory,local+derived,local+derived+memory,random"
)

Rows = dict[str, list[Ledger]]


def run(names: Sequence[str], variant: Variant, n_seeds: int, hours: float) -> Rows:
    """Return the ledgers of all seeds by mode; print a row of the table for each."""
    surrogate = Surrogate(variant)
    rows: Rows = {}
    print(f"\n### variant {variant}, {n_seeds} seeds, {hours:g} h")
    print(f"| mode | best | trials | OOM % | {' | '.join(f'{h} h' for h in HOURS)} | h to {PAPER_LEVEL} | s |")
    print("|---" * (len(HOURS) + 6) + "|")
    for name in names:
        started = time.perf_counter()
        ledgers = [Ledger(surrogate, seed, hours * 3600) for seed in range(n_seeds)]
        for ledger in ledgers:
            modes.search(name, ledger.seed, ledger)
        rows[name] = ledgers
        print(_line(name, ledgers, hours, time.perf_counter() - started), flush=True)
    return rows


def _line(name: str, ledgers: list[Ledger], hours: float, seconds: float) -> str:
    best = np.array([ledger.best for ledger in ledgers])
    trials = np.mean([ledger.n_trials for ledger in ledgers])
    failed = 100 * np.mean([ledger.n_failed / ledger.n_trials for ledger in ledgers])
    curve = " | ".join(f"{np.mean([each.at(h) for each in ledgers]):.4f}" if h <= hours else "" for h in HOURS)
    # Reached on average: the hour at which the mean curve passes the level.
    means = np.array([[each.at(h) for h in np.arange(0.1, hours + 0.05, 0.1)] for each in ledgers]).mean(axis=0)
    reached = f"{(np.argmax(means <= PAPER_LEVEL) + 1) / 10:.1f}" if (means <= PAPER_LEVEL).any() else "never"
    return (
        f"| {name} | {best.mean():.4f} ± {best.std():.4f} | {trials:.0f} | {failed:.1f} | {curve} | {reached} "
        f"| {seconds:.0f} |"
    )


def differences(rows: Rows) -> None:
    """Print each mode minus the first, paired by seed."""
    (first, reference), *others = rows.items()
    print(f"\n| minus {first} | mean | 95 % interval |\n|---|---|---|")
    for name, ledgers in others:
        paired = np.array([a.best - b.best for a, b in zip(ledgers, reference, strict=True)])
        half = interval(paired)
        print(f"| {name} | {paired.mean():+.4f} | {paired.mean() - half:+.4f} to {paired.mean() + half:+.4f} |")


def interval(sample: NDArray[np.float64]) -> float:
    """Return half of the 95 % interval of the mean, by Student's t (Cornish-Fisher expansion of its quantile)."""
    z, nu = 1.959964, len(sample) - 1
    t = z + (z**3 + z) / (4 * nu) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * nu**2)
    return t * float(sample.std(ddof=1)) / math.sqrt(len(sample))


def plot(rows: Rows, path: Path, title: str) -> None:
    """Draw best val_bpb against hours, mean over seeds."""
    import matplotlib as mpl  # type: ignore[import-not-found]

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5))
    for name, ledgers in rows.items():
        hours = np.arange(0.25, ledgers[0].budget_seconds / 3600 + 0.01, 0.25)
        axes.plot(hours, np.mean([[ledger.at(h) for h in hours] for ledger in ledgers], axis=0), label=name)
    axes.axhline(PAPER_LEVEL, color="grey", linestyle=":", label="the paper's best after 24 h")
    axes.set(xscale="log", xlabel="hours of training charged", ylabel="best val_bpb, mean over seeds", title=title)
    axes.legend()
    figure.savefig(path, dpi=150, bbox_inches="tight")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modes", default=DEFAULT_MODES, help="separated by commas; the first is the reference")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--variants", default="gp,avg", help=f"of {', '.join(get_args(Variant))}")
    parser.add_argument("--plot", type=Path, help="folder for one PNG a variant; needs matplotlib")
    arguments = parser.parse_args()
    names, variants = arguments.modes.split(","), arguments.variants.split(",")
    try:
        for name in names:
            modes.check(name)
    except ValueError as fault:
        parser.error(str(fault))
    if unknown := set(variants) - set(get_args(Variant)):
        parser.error(f"there is no variant {unknown.pop()}")
    warnings.filterwarnings("ignore", module="optuna")
    for variant in variants:
        rows = run(names, variant, arguments.seeds, arguments.hours)
        if len(names) > 1 and arguments.seeds > 1:
            differences(rows)
        if arguments.plot:
            plot(rows, arguments.plot / f"autoresearch-{variant}.png", f"surrogate {variant}, {arguments.seeds} seeds")


if __name__ == "__main__":
    main()
