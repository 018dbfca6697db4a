"""Several trials in flight, on the replayed paper: `python -m benchmarks.parallel --seeds 40 --processes 2`.

A simulated clock: a trial takes 300 s with a standard deviation of 5 %, a failure 32 s; the baseline runs first and
alone, and repeats take slots like trials. The product's KeepPolicy judges each trial when it ends, against the
incumbent of that moment. Widths are paired by seed; intervals are 95 % bootstrap intervals over seeds.

The first table compares widths W: hours until a recorded loss is at most the paper's level, the speed-up over
one trial at a time (ratio of the medians), device-hours until then (the time of all slots, and that of the
running trials until they end), and the best loss after the same device-hours. The second table counts false claims:
confirmed gains whose loss without noise is not lower.
"""

import argparse
import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.modes.searchers import build_searcher
from benchmarks.autoresearch import modes
from benchmarks.autoresearch.__main__ import PAPER_LEVEL
from benchmarks.autoresearch.experiment import DEFAULTS, SPACE
from benchmarks.autoresearch.ledger import Course
from benchmarks.keep_rule import KNOWN, UNKNOWN, Rule, confirmed, mean_and_error, repeated, share
from benchmarks.simulated_days import CodeEdits, Day, HillClimb, Search, Searched
from benchmarks.two_tier import Slots, TwoTier

JITTER = 0.05
MODES = "local+derived,local-gp+derived,cma-es+derived"
WIDTHS = "1,2,4,8,16,64"
EQUAL_HOURS = 24.0  # device-hours after which the best losses are compared
MOST_HOURS = 96.0  # device-hours after which a search that has not reached the level ends
N_RESAMPLES = 10_000

Sample = NDArray[np.float64]


@dataclass
class Overlapped(Course):
    """The course of a search with several trials in flight, on the clock; and the claims of the keep rule."""

    reached: float = math.inf  # hours until a recorded loss was at most the level
    reached_after: float = math.inf  # trials after the baseline that had ended then
    device_hours: float = math.inf  # spent then, running trials until their end included
    steps: list[float] = field(default_factory=list)  # change of the true loss in each claimed step


def search(mode: str, width: int, seed: int) -> Overlapped:
    """Run one search until it has spent EQUAL_HOURS of device time and reached the level, or spent MOST_HOURS."""
    space = SPACE if modes.DERIVED in mode else SPACE.plain()
    day = Day(Searched(build_searcher(modes.plain(mode), space, DEFAULTS, seed)), seed, seconds_left=math.inf)
    slots = Slots(width, JITTER, np.random.default_rng([seed, 5]))
    course, best = Overlapped(steps=day.steps), math.inf
    for job in TwoTier(day, UNKNOWN, slots).run():
        if job.repeat is None:
            best = min(best, math.inf if job.loss is None else job.loss)
            course.n_failed += job.loss is None
            course.curve.append((slots.now, best))
            if best <= PAPER_LEVEL and course.reached == math.inf:
                course.reached, course.reached_after = slots.now / 3600, course.n_trials
                course.device_hours = slots.device_seconds / 3600
        spent = width * slots.now / 3600
        if spent >= (EQUAL_HOURS if course.reached < math.inf else MOST_HOURS):
            break
    return course


def medians(sample: Sample) -> Sample:
    """Return the medians of resamples of the last axis; those of several rows draw the same seeds."""
    drawn = np.random.default_rng(0).integers(sample.shape[-1], size=(N_RESAMPLES, sample.shape[-1]))
    return np.asarray(np.median(sample[..., drawn], axis=-1))


def bounds(resampled: Sample) -> tuple[float, float]:
    """Return the 95 % interval of resampled values."""
    low, high = np.quantile(resampled, [0.025, 0.975], method="nearest")
    return float(low), float(high)


def ratio(one: Sequence[float], several: Sequence[float]) -> tuple[float, float, float]:
    """Return by how much the first median is larger than the second, with the ends of its interval, paired."""
    both = np.array([one, several])
    resampled = medians(both)
    return float(np.median(one) / np.median(several)), *bounds(resampled[0] / resampled[1])


def row(mode: str, width: int, courses: Sequence[Overlapped], alone: Sequence[Overlapped] | None) -> str:
    """Return a line of the first table; `alone`: the courses of the same seeds with one trial at a time."""
    hours = [course.reached for course in courses]
    speed_up = ""
    if alone is not None:
        times, low, high = ratio([course.reached for course in alone], hours)
        speed_up = f"{times:.1f} ({low:.1f} to {high:.1f})"
    low, high = bounds(medians(np.array(hours)))
    equal = np.array([course.at(EQUAL_HOURS / width) for course in courses])
    cells = [
        f"{np.median(hours):.2f} ({low:.2f} to {high:.2f})",
        speed_up,
        f"{np.median([course.reached_after for course in courses]):.0f}",
        f"{np.median([course.device_hours for course in courses]):.1f}",
        f"{equal.mean():.4f} ± {equal.std():.4f}",
        f"{sum(math.isinf(value) for value in hours)}",
    ]
    return f"| {mode} | {width} | {' | '.join(cells)} |"


def show_widths(names: Sequence[str], widths: Sequence[int], seeds: range, run: Callable[..., Iterable[Any]]) -> None:
    """Print the first table, and the claims of the keep rule in these searches."""
    tasks = list(product(names, widths, seeds))
    found = dict(zip(tasks, run(search, *zip(*tasks, strict=True)), strict=True))
    print(f"\n### hours to {PAPER_LEVEL}, {len(seeds)} seeds\n")
    heads = (
        "mode", "W", "hours, median", "speed-up", "trials", "device-hours",
        f"best after {EQUAL_HOURS:g} device-hours", "not reached",
    )  # fmt: skip
    print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
    for name, width in product(names, widths):
        courses, alone = ([found[name, w, seed] for seed in seeds] for w in (width, widths[0]))
        print(row(name, width, courses, None if width == widths[0] else alone))
    print("\nRepeated gains in these searches:\n\n| mode | W | false % | gains a search |\n|---|---|---|---|")
    for name, width in product(names, widths):
        steps = [change for seed in seeds for change in found[name, width, seed].steps]
        false = share(sum(change >= 0 for change in steps), len(steps))
        print(f"| {name} | {width} | {false} | {len(steps) / len(seeds):.1f} |")


SEARCHES: dict[str, Callable[[], Search[Any]]] = {"code edits": CodeEdits, "hill climb": HillClimb}
RULES: dict[str, Callable[[int], Rule]] = {
    "repeated, sigma known": lambda width: repeated(KNOWN, width),
    "repeated, sigma unknown": lambda width: repeated(UNKNOWN, width),
    "confirmed, sigma known": lambda width: confirmed(KNOWN, width=width),
    "confirmed, sigma unknown": lambda width: confirmed(UNKNOWN, width=width),
}


def claims(search_name: str, rule: str, width: int, n_devices: int, seeds: range) -> str:
    """Return a line of the second table: `width` trials in flight, for 24 h of device time on each of `n_devices`."""
    simulated = SEARCHES[search_name]()
    days = [Day(simulated, seed) for seed in seeds]
    for day in days:
        day.seconds_left *= n_devices
    done = [RULES[rule](width)(day) for day in days]
    n_claims, n_false = sum(day.n_claims for day in done), sum(day.n_false for day in done)
    true, error = mean_and_error([day.true for day in done])
    cells = [share(n_false, n_claims), f"{n_claims / len(done):.1f}", f"{true:.5f} ± {error:.5f}"]
    return f"| {search_name} | {rule} | {width} | {24 * n_devices} | {' | '.join(cells)} |"


def show_claims(n_seeds: int, n_climbs: int, run: Callable[..., Iterable[str]]) -> None:
    """Print the second table."""
    print(f"\n### false claims, {n_seeds} seeds of code edits, {n_climbs} of the hill climb\n")
    heads = ("search", "rule", "W", "device-hours", "false claims %", "claims", "true loss")
    print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
    sizes = ((1, 1), (8, 1), (8, 8))
    tasks = [
        (name, rule, *size, range(n_seeds if name == "code edits" else n_climbs))
        for name, rule, size in product(SEARCHES, RULES, sizes)
    ]
    for line in run(claims, *zip(*tasks, strict=True)):
        print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modes", default=MODES, help="separated by commas")
    parser.add_argument("--widths", default=WIDTHS, help="trials in flight, separated by commas; the first: reference")
    parser.add_argument("--seeds", type=int, default=40, help="number of seeds of the first table; 0: leave it out")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--claim-seeds", type=int, default=200, help="of the second table; 0: leave it out")
    parser.add_argument("--climb-seeds", type=int, default=80, help="of its hill climb, which takes longer")
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    names, widths = options.modes.split(","), [int(width) for width in options.widths.split(",")]
    if unknown := [name for name in names if modes.plain(name) not in modes.NUMERIC or modes.FEASIBLE in name]:
        parser.error(f"--modes {unknown[0]}: it should be one of {', '.join(modes.NUMERIC)}, or with {modes.DERIVED}")
    with ProcessPoolExecutor(options.processes) as pool:
        if options.seeds:
            seeds = range(options.first_seed, options.first_seed + options.seeds)
            show_widths(names, widths, seeds, pool.map)
        if options.claim_seeds:
            show_claims(options.claim_seeds, options.climb_seeds, pool.map)


if __name__ == "__main__":
    main()
