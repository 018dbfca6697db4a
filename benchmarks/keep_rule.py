"""What a keep rule claims and what is true, on simulated days of search: `python -m benchmarks.keep_rule --seeds 200`.

Two searches whose true losses are known: code edits, with effects like those of an agent in the published logs, and a
hill climb on the fitted surrogate of the autoresearch experiment. The two-tier rows are the product's own Keeper.
Paired by seed; +- is the standard error of the mean over seeds. Losses in 1e-4 beside the first column.
"""

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from agent.edits.edit import Params
from agent.trials.keep_rule import Keeper, KeepRule, Wanted, closing_runs
from agent.trials.repeat import Purpose
from benchmarks.autoresearch.experiment import DEFAULTS, LIMIT_GB, SPACE
from benchmarks.autoresearch.surrogate import NOISE, Surrogate

DAY_SECONDS = 24 * 3600.0
RUN_SECONDS = 300.0
CRASH_SECONDS = 32.0
FINAL_RUNS = 3

Script = TypeVar("Script")


class Search(Protocol[Script]):
    """Writes scripts whose true loss is known."""

    def first(self) -> Script: ...
    def edited(self, base: Script, rng: np.random.Generator) -> Script | None:
        """Return a change of `base`; None if it crashes."""
        ...

    def loss(self, script: Script) -> float: ...
    def noise(self, script: Script) -> float:
        """Return the standard deviation of one run."""
        ...


@dataclass(frozen=True)
class CodeEdits:
    """Effects that add up, drawn like those of a 27B model's 856 edits in the published logs; see docs/keep-rule.md."""

    sigma: float = 0.0003
    crash: float = 0.12
    null: float = 0.30
    better: float = 0.03

    def first(self) -> float:
        return 0.9914

    def edited(self, base: float, rng: np.random.Generator) -> float | None:
        kind = rng.random()
        size = rng.standard_normal()  # drawn always, so that all rules meet the same numbers
        if kind < self.crash:
            return None
        if kind < self.crash + self.null:
            return base
        if kind < self.crash + self.null + self.better:
            return base - min(0.008, 0.0006 * math.exp(1.2 * size))
        return base + 0.0035 * math.exp(1.3 * size)

    def loss(self, script: float) -> float:
        return script

    def noise(self, script: float) -> float:
        return self.sigma


class HillClimb:
    """Small moves in some of the 14 names from the base's values, judged by the surrogate."""

    def __init__(self) -> None:
        self._surrogate = Surrogate("gp")
        self._space = SPACE.plain()
        self._known: dict[tuple[object, ...], float] = {}

    def first(self) -> Params:
        return DEFAULTS

    def edited(self, base: Params, rng: np.random.Generator) -> Params | None:
        u = self._space.encode(base)
        for _ in range(100):
            moved = np.where(rng.random(u.size) < 0.15, rng.normal(0, 0.12, u.size), 0.0)
            params = self._space.decode(np.clip(u + moved, 0.0, 1.0))
            if params != base:
                break
        return params if self._surrogate.memory_gb(params) <= LIMIT_GB else None

    def loss(self, script: Params) -> float:
        key = tuple(script.values())
        if key not in self._known:
            self._known[key] = self._surrogate.mean(script)
        return self._known[key]

    def noise(self, script: Params) -> float:
        return next(sigma for upto, sigma in NOISE if self.loss(script) < upto)


@dataclass
class Day(Generic[Script]):
    """One search of a day: what it costs, and what comes of it."""

    search: Search[Script]
    seed: int
    seconds_left: float = DAY_SECONDS
    n_runs: int = 0
    n_extra: int = 0
    steps: list[float] = field(default_factory=list)  # true change of the loss in each step that was claimed

    def __post_init__(self) -> None:
        self._edits = np.random.default_rng((self.seed, 0))
        self._noise = np.random.default_rng((self.seed, 1))

    def edited(self, base: Script) -> Script | None:
        """Return the next script to run; None if it crashed, which is charged."""
        script = self.search.edited(base, self._edits)
        if script is None:
            self.seconds_left -= CRASH_SECONDS
            self.n_runs += 1
        return script

    def run(self, script: Script, *, extra: bool = False) -> float:
        """Return one noisy reading."""
        self.seconds_left -= RUN_SECONDS
        self.n_runs += 1
        self.n_extra += extra
        return self.search.loss(script) + self.search.noise(script) * float(self._noise.standard_normal())

    def claim(self, new: Script, old: Script) -> None:
        self.steps.append(self.search.loss(new) - self.search.loss(old))


@dataclass(frozen=True)
class Ended:
    """What a day came to."""

    true: float  # loss of the script that is reported
    reported: float
    n_claims: int
    n_false: int  # claimed steps that are no better
    extra_share: float
    sigma: float  # of a run of the reported script


def ended(day: Day[Script], result: Script, reported: float) -> Ended:
    search = day.search
    n_false = sum(change >= 0 for change in day.steps)
    extra = day.n_extra / (day.n_runs - day.n_extra)
    return Ended(search.loss(result), reported, len(day.steps), n_false, extra, search.noise(result))


def margin(day: Day[Script], n_sigmas: float, n_final: int = 0) -> Ended:
    """Keep what is lower by a margin; report the loss that it was kept for, or the mean of final runs.

    A margin of 0 is any decrease; with final runs, that is the product's `--keep any`.
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
    """Run every gain once more; keep it if the mean of both is lower, and report that."""
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


def two_tier(day: Day[Script], rule: KeepRule, n_final: int = FINAL_RUNS) -> Ended:
    """Let the product's Keeper decide; report fresh runs of its champion."""
    keeper = Keeper(rule)
    scripts: list[Script] = [day.search.first()]
    keeper.read(0, 0, day.run(scripts[0]))
    keeper.keep(0)

    def repeat(wanted: Wanted) -> None:
        keeper.read(wanted.trial, wanted.seed, day.run(scripts[wanted.trial], extra=True))
        if wanted.purpose is Purpose.CONFIRM:
            before = keeper.champion
            keeper.move(wanted.trial, keeper.verdict(wanted.trial, wanted.seed).standing)
            if keeper.champion != before:
                day.claim(scripts[wanted.trial], scripts[before or 0])

    while day.seconds_left >= RUN_SECONDS * (1 + closing_runs(rule, n_final)):
        wanted = keeper.wants()
        if wanted is not None:
            repeat(wanted)
            continue
        script = day.edited(scripts[keeper.incumbent or 0])
        if script is None:
            continue
        scripts.append(script)
        number, loss = len(scripts) - 1, day.run(script)
        lower = keeper.lowers(0, loss)
        keeper.read(number, 0, loss)
        if lower:
            keeper.keep(number)
    while (wanted := keeper.final(n_final)) is not None:
        repeat(wanted)
    champion = keeper.champion or 0
    return ended(day, scripts[champion], keeper.reading(champion).mean)


RULES: dict[str, Callable[[Day[Script]], Ended]] = {
    "any decrease": lambda day: margin(day, 0.0),
    "any decrease, final runs": lambda day: margin(day, 0.0, FINAL_RUNS),
    "min_delta 1 sigma": lambda day: margin(day, 1.0),
    "confirm once": confirm_once,
    "two-tier, sigma thought .0005": lambda day: two_tier(day, KeepRule(sigma=0.0005)),
    "two-tier, sigma unknown": lambda day: two_tier(day, KeepRule(sigma_share=5e-4)),
    "two-tier, sigma known": lambda day: two_tier(day, KeepRule(sigma=CodeEdits.sigma)),
}


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and its standard error."""
    drawn: NDArray[np.float64] = np.asarray(values)
    return float(drawn.mean()), float(drawn.std(ddof=1) / math.sqrt(drawn.size))


def row(name: str, days: Sequence[Ended], references: Sequence[Sequence[Ended]]) -> str:
    """Return one line of the table, compared with the days of other rules, seed by seed."""
    true, _ = mean_and_error([day.true for day in days])
    diffs = [
        mean_and_error([1e4 * (day.true - other.true) for day, other in zip(days, reference, strict=True)])
        for reference in references
    ]
    gap = mean_and_error([1e4 * (day.reported - day.true) for day in days])
    sigmas = mean_and_error([(day.reported - day.true) / day.sigma for day in days])
    claims, false = sum(day.n_claims for day in days), sum(day.n_false for day in days)
    share = false / max(claims, 1)
    error = math.sqrt(share * (1 - share) / max(claims, 1))
    extra = mean_and_error([100 * day.extra_share for day in days])
    cells = [
        f"{true:.5f}",
        *(f"{m:+.1f} ± {e:.1f}" for m, e in (*diffs, gap)),
        f"{sigmas[0]:+.2f} ± {sigmas[1]:.2f}",
        f"{100 * share:.1f} ± {100 * error:.1f}",
        f"{claims / len(days):.1f}",
        f"{extra[0]:.1f} ± {extra[1]:.1f}",
    ]
    return f"| {name} | {' | '.join(cells)} |"


def table(title: str, search: Search[Script], n_seeds: int) -> None:
    """Print what every rule comes to on one search."""
    print(f"\n### {title}, {n_seeds} seeds\n")
    heads = (
        "rule", "true loss", "to any decrease", "the same with final runs", "reported − true", "in sigmas",
        "false claims %", "claims a day", "extra runs %",
    )  # fmt: skip
    print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
    found = {name: [rule(Day(search, seed)) for seed in range(n_seeds)] for name, rule in RULES.items()}
    references = [found["any decrease"], found["any decrease, final runs"]]
    for name, days in found.items():
        print(row(name, days, references))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--climb-seeds", type=int, default=100, help="of the hill climb, which takes longer; 0: none")
    options = parser.parse_args()
    if options.seeds:
        table("code edits", CodeEdits(), options.seeds)
    if options.climb_seeds:
        table("hill climb on the surrogate", HillClimb(), options.climb_seeds)


if __name__ == "__main__":
    main()
