"""Simulated days of search with known true losses, on which benchmarks.keep_rule runs keep rules.

Three searches: code edits, with effects like those of an agent in the published logs, and two on the fitted surrogate
of the autoresearch experiment: a hill climb from the incumbent, and a searcher of the product.
"""

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import numpy as np

from agent.edits.edit import Params
from agent.search.searcher import Searcher
from benchmarks.autoresearch.experiment import DEFAULTS, LIMIT_GB, SPACE
from benchmarks.autoresearch.surrogate import NOISE, Surrogate, Variant

DAY_SECONDS = 24 * 3600.0
RUN_SECONDS = 300.0
CRASH_SECONDS = 32.0

Script = TypeVar("Script")


class Search(Protocol[Script]):
    """Generates scripts with known true losses."""

    def first(self) -> Script: ...
    def edited(self, base: Script, rng: np.random.Generator) -> Script | None:
        """Return a change of `base`; None if it crashes."""
        ...

    def learn(self, number: int, loss: float | None) -> None:
        """Take the result of the script of the `number`-th call of `edited`; 0 is the first script, None a crash."""
        ...

    def loss(self, script: Script) -> float: ...
    def noise(self, script: Script) -> float:
        """Return the standard deviation of one run."""
        ...


@dataclass(frozen=True)
class CodeEdits:
    """Additive effects, drawn like those of a 27B model's 856 edits in the published logs; see docs/keep-rule.md."""

    sigma: float = 0.0003
    crash: float = 0.12
    null: float = 0.30
    better: float = 0.03

    def first(self) -> float:
        return 0.9914

    def edited(self, base: float, rng: np.random.Generator) -> float | None:
        kind = rng.random()
        size = rng.standard_normal()  # always drawn, so that all rules get the same numbers
        if kind < self.crash:
            return None
        if kind < self.crash + self.null:
            return base
        if kind < self.crash + self.null + self.better:
            return base - min(0.008, 0.0006 * math.exp(1.2 * size))
        return base + 0.0035 * math.exp(1.3 * size)

    def learn(self, number: int, loss: float | None) -> None:
        """The effects are fixed."""

    def loss(self, script: float) -> float:
        return script

    def noise(self, script: float) -> float:
        return self.sigma


class HillClimb:
    """Small moves in some of the 14 names from the base's values, scored by the surrogate."""

    def __init__(self, variant: Variant = "gp") -> None:
        self._surrogate = Surrogate(variant)
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
        return params if self.fits(params) else None

    def learn(self, number: int, loss: float | None) -> None:
        """The size of a move is fixed."""

    def fits(self, params: Params) -> bool:
        """Return whether a configuration fits in memory."""
        return self._surrogate.memory_gb(params) <= LIMIT_GB

    def loss(self, script: Params) -> float:
        key = tuple(script.values())
        if key not in self._known:
            self._known[key] = self._surrogate.mean(script)
        return self._known[key]

    def noise(self, script: Params) -> float:
        return next(sigma for upto, sigma in NOISE if self.loss(script) < upto)


class Searched(HillClimb):
    """The points of a searcher, scored by the surrogate. It sees every loss, whatever the keep rule decides."""

    def __init__(self, searcher: Searcher, variant: Variant = "gp") -> None:
        super().__init__(variant)
        self._searcher = searcher
        self._points: dict[int, Params] = {0: DEFAULTS}

    def edited(self, base: Params, rng: np.random.Generator) -> Params | None:
        number = len(self._points)
        self._points[number] = self._searcher.ask(number)
        return self._points[number] if self.fits(self._points[number]) else None

    def learn(self, number: int, loss: float | None) -> None:
        self._searcher.tell(number, self._points[number], loss)


@dataclass
class Day(Generic[Script]):
    """One day of search: its cost and its result."""

    search: Search[Script]
    seed: int
    standing_error: float = 0.0  # of the difference of two scripts on the validation split, in the loss's unit
    seconds_left: float = DAY_SECONDS
    n_runs: int = 0
    n_extra: int = 0
    steps: list[float] = field(default_factory=list)  # true change of the loss in each claimed step

    def __post_init__(self) -> None:
        self._edits = np.random.default_rng((self.seed, 0))
        self._noise = np.random.default_rng((self.seed, 1))
        self.slices = np.random.default_rng((self.seed, 2))
        self._standing = np.random.default_rng((self.seed, 3))
        self._offsets: dict[float, float] = {}

    def edited(self, base: Script) -> Script | None:
        """Return the next script to run; None if it crashed, which is charged too."""
        script = self.search.edited(base, self._edits)
        if script is None:
            self.seconds_left -= CRASH_SECONDS
            self.n_runs += 1
        return script

    def run(self, script: Script, *, extra: bool = False) -> float:
        """Return one noisy loss on the validation split."""
        self.seconds_left -= RUN_SECONDS
        self.n_runs += 1
        self.n_extra += extra
        loss = self.search.loss(script) + self.search.noise(script) * float(self._noise.standard_normal())
        return loss + self.offset(script)

    def offset(self, script: Script) -> float:
        """Return how much higher a script's loss is on the validation split than over all text.

        It is the same for all runs of a script, and for scripts of the same true loss.
        """
        loss = self.search.loss(script)
        if self.standing_error and loss not in self._offsets:
            self._offsets[loss] = self.standing_error / math.sqrt(2) * float(self._standing.standard_normal())
        return self._offsets.get(loss, 0.0)

    def claim(self, new: Script, old: Script) -> None:
        self.steps.append(self.search.loss(new) - self.search.loss(old))


@dataclass(frozen=True)
class Ended:
    """The result of a day."""

    true: float  # true loss of the reported script
    reported: float
    n_claims: int
    n_false: int  # claimed steps without a true gain
    extra_share: float
    sigma: float  # of a run of the reported script
    counts: Counter[str]  # outcomes of slices


def ended(day: Day[Script], result: Script, reported: float, counts: Counter[str] | None = None) -> Ended:
    search = day.search
    n_false = sum(change >= 0 for change in day.steps)
    extra = day.n_extra / (day.n_runs - day.n_extra)
    return Ended(
        search.loss(result), reported, len(day.steps), n_false, extra, search.noise(result), counts or Counter()
    )
