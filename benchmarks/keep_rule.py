"""Claims of keep rules compared with true losses, in simulated days: `python -m benchmarks.keep_rule --seeds 200`.

Two searches have known true losses: code edits, with effects like those of an agent in the published logs, and a hill
climb on the fitted surrogate of the autoresearch experiment. The two-tier rows use the product's own KeepPolicy.
Results are paired by seed; ± is the standard error of the mean over seeds. Losses are in 1e-4, except in
the first column.
"""

import argparse
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.trials.keeping.keep_rule import (
    FINAL_RUNS,
    GPU_SIGMA_SHARE,
    SLICE_LEAD,
    KeepRule,
)
from benchmarks.forged_tests import ATTACKS, attacked
from benchmarks.simulated_days import RUN_SECONDS, CodeEdits, Day, Ended, HillClimb, Script, Search, ended
from benchmarks.two_tier import two_tier

N_SLICES = 20  # as in the bundled pool
SLICE_ERROR = 0.5  # in sigma: error of the difference of two models on one slice, about that of the bundled pool
ERRORS = (0.25, 0.5, 1.0)
ANY, ANY_FINAL, REPEATED = "any decrease", "any decrease, final runs", "repeated, sigma known"

Rule = Callable[[Day[Any]], Ended]


def margin(day: Day[Script], n_sigmas: float, n_final: int = 0) -> Ended:
    """Keep trials that are lower by a margin; report the loss of the first run, or the mean of final runs.

    A margin of 0 keeps any decrease; with final runs, that is the product's `--keep any`.
    """
    base = day.search.first()
    bar = day.run(base)
    while day.seconds_left >= RUN_SECONDS * (1 + n_final):
        script = day.edited(base)
        if script is None:
            continue
        loss = day.run(script)
        if loss < bar - n_sigmas * CodeEdits.sigma:
            day.claim(script, base)
            base, bar = script, loss
    final = [day.run(base, extra=True) for _ in range(n_final)]
    return ended(day, base, sum(final) / n_final if final else bar)


def confirm_once(day: Day[Script]) -> Ended:
    """Run every gain once more; keep it if the mean of both runs is lower, and report that mean."""
    base = day.search.first()
    bar = day.run(base)
    while day.seconds_left >= RUN_SECONDS:
        script = day.edited(base)
        if script is None:
            continue
        loss = day.run(script)
        if loss < bar:
            loss = (loss + day.run(script, extra=True)) / 2
            if loss < bar:
                day.claim(script, base)
                base, bar = script, loss
    return ended(day, base, bar)


def repeated(rule: KeepRule, width: int = 1) -> Rule:
    """Return the rule of a task without a pool, with `width` trials in flight: the validation split decides."""
    return lambda day: two_tier(day, rule, width=width)


def confirmed(rule: KeepRule, error: float = SLICE_ERROR, width: int = 1) -> Rule:
    """Return the rule of a task with a pool: slices decide; their error is given in sigma."""
    with_slices = replace(rule, lead=SLICE_LEAD, n_slices=N_SLICES)
    return lambda day: two_tier(day, with_slices, error * CodeEdits.sigma, width)


KNOWN, UNKNOWN = KeepRule(sigma=CodeEdits.sigma), KeepRule(sigma_share=GPU_SIGMA_SHARE)
TOO_LARGE, TOO_SMALL = KeepRule(sigma=0.0005), KeepRule(sigma=0.6 * CodeEdits.sigma)
RULES: dict[str, Rule] = {
    ANY: lambda day: margin(day, 0.0),
    ANY_FINAL: lambda day: margin(day, 0.0, FINAL_RUNS),
    "min_delta 1 sigma": lambda day: margin(day, 1.0),
    "confirm once": confirm_once,
    "repeated, sigma assumed .0005": repeated(TOO_LARGE),
    "repeated, sigma assumed .00018": repeated(TOO_SMALL),
    "repeated, sigma unknown": repeated(UNKNOWN),
    REPEATED: repeated(KNOWN),
    "confirmed, sigma assumed .0005": confirmed(TOO_LARGE),
    "confirmed, sigma assumed .00018": confirmed(TOO_SMALL),
    "confirmed, sigma unknown": confirmed(UNKNOWN),
    "confirmed, sigma known": confirmed(KNOWN),
    "confirmed, sigma known, error .25 sigma": confirmed(KNOWN, 0.25),
    "confirmed, sigma known, error 1 sigma": confirmed(KNOWN, 1.0),
}


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and its standard error."""
    drawn: NDArray[np.float64] = np.asarray(values)
    return float(drawn.mean()), float(drawn.std(ddof=1) / math.sqrt(drawn.size))


def share(n: int, of: int) -> str:
    """Return a share in percent, with its standard error."""
    found = n / max(of, 1)
    return f"{100 * found:.1f} ± {100 * math.sqrt(found * (1 - found) / max(of, 1)):.1f}"


def row(name: str, days: Sequence[Ended], references: Sequence[Sequence[Ended]]) -> str:
    """Return a rule's line of the table, with differences from other rules paired by seed."""
    true, _ = mean_and_error([day.true for day in days])
    diffs = [
        mean_and_error([1e4 * (day.true - other.true) for day, other in zip(days, reference, strict=True)])
        for reference in references
    ]
    gap = mean_and_error([1e4 * (day.reported - day.true) for day in days])
    sigmas = mean_and_error([(day.reported - day.true) / day.sigma for day in days])
    claims, false = sum(day.n_claims for day in days), sum(day.n_false for day in days)
    extra = mean_and_error([100 * day.extra_share for day in days])
    slices = [sum(day.counts[count] for day in days) / len(days) for count in ("slices", "second slices")]
    cells = [
        f"{true:.5f}",
        *(f"{m:+.1f} ± {e:.1f}" for m, e in (*diffs, gap)),
        f"{sigmas[0]:+.2f} ± {sigmas[1]:.2f}",
        share(false, claims),
        f"{claims / len(days):.1f}",
        f"{slices[0]:.1f} ({slices[1]:.1f})" if slices[0] else "",
        f"{extra[0]:.1f} ± {extra[1]:.1f}",
    ]
    return f"| {name} | {' | '.join(cells)} |"


def show_days(title: str, search: Search[Script], n_seeds: int, standing_error: float = 0.0) -> None:
    """Print the table of all rules for one search, and how often honest scripts are flagged."""
    print(f"\n### {title}, {n_seeds} seeds\n")
    heads = (
        "rule", "true loss", "to any decrease", "the same with final runs", "to repeated", "reported − true",
        "in sigmas", "false claims %", "claims a day", "slices (second)", "extra runs %",
    )  # fmt: skip
    print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
    found = {name: [rule(Day(search, seed, standing_error)) for seed in range(n_seeds)] for name, rule in RULES.items()}
    for name, days in found.items():
        standing = found.get(name.replace("confirmed", "repeated"), found[REPEATED])
        print(row(name, days, [found[ANY], found[ANY_FINAL], standing]))
    print("\nHonest scripts that are flagged, % (rules with slices only):\n")
    print(
        "| rule | answers worse, of champions scored again | different lead, of slices | ignores its seed, of tests |"
    )
    print("|---|---|---|---|")
    for name, days in found.items():
        counts = sum((day.counts for day in days), Counter[str]())
        if counts["slices"]:
            cells = share(counts["dead flags"], counts["champions again"]), share(counts["gaps"], counts["slices"])
            n_tests = counts["slices"] + counts["objections"]
            print(f"| {name} | {' | '.join(cells)} | {share(counts['objections'], n_tests)} |")


def show_attacks(n_runs: int) -> None:
    """Print how often a challenger that is no better becomes champion if every test is forged."""
    print(f"\n### 20 slices, every test forged, {n_runs} runs each\n")
    print("| attack | error, sigma | fooled, % of runs | champion flagged, % of runs | tests | estimated sigma |")
    print("|---|---|---|---|---|---|")
    for attack in ATTACKS:
        for error in ERRORS:
            runs = [attacked(attack, error, seed) for seed in range(n_runs)]
            cells = [f"{error:g}", share(sum(run.is_fooled for run in runs), n_runs)]
            cells += [share(sum(run.is_flagged for run in runs), n_runs) if attack.dead else ""]
            cells += [f"{np.mean([run.n_tests for run in runs]):.1f}", f"{np.median([run.sigma for run in runs]):.2f}"]
            print(f"| {attack.name} | {' | '.join(cells)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument(
        "--climb-seeds", type=int, default=100, help="seeds of the hill climb, which takes longer; 0: none"
    )
    parser.add_argument("--attacks", type=int, default=0, metavar="N", help="runs of each attack; 0: none")
    options = parser.parse_args()
    if options.seeds:
        show_days("code edits", CodeEdits(), options.seeds)
        own = SLICE_ERROR * CodeEdits.sigma
        show_days("code edits, a standing split with an error of its own", CodeEdits(), options.seeds, own)
    if options.climb_seeds:
        show_days("hill climb on the surrogate", HillClimb(), options.climb_seeds)
    if options.attacks:
        show_attacks(options.attacks)


if __name__ == "__main__":
    main()
