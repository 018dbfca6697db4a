"""What slices of unseen text say of a run's models, and whether a gain is confirmed by them.

A slice is opened after all trainings that it is about, and used once. On it the challenger is compared with the
champion and with the baseline, paired by token. docs/keep-rule.md has the measurements behind the rule.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from agent.trials.json_fields import changed_fields
from agent.trials.noise import Lead
from agent.trials.trial import Standing

BASELINE, CHAMPION, CHALLENGER, RESULT = "baseline", "champion", "challenger", "result"
"""Names of the models of a slice. Those of a result have its training seed behind them: result-100."""
STEP = 0.25  # standard errors that the bar rises by with each test that confirmed nothing, and falls with one that did
FLAG_ERRORS = 3.0  # standard errors beyond which two leads of the same artifacts differ by more than sampling
FLAG_SHARE = 0.1  # of the larger lead: two texts of one corpus are not the same mixture of documents

SAME_SHARE = 0.01
"""Of sigma: two honest runs lie nearer to each other in 6 of 1,000 cases (twice the density of N(0, 2) at 0)."""


class SlicePurpose(StrEnum):
    """What a slice was opened for."""

    CONFIRM = "confirm"
    FINAL = "final"  # to publish the result
    VERIFY = "verify"  # after the search, because the user asked: `agent best --verify`
    COMPARE = "compare"  # for the results of all runs of a comparison


@dataclass(frozen=True)
class Entrant:
    """A model as it was when a slice was opened."""

    trial: int
    seed: int
    artifact: str  # SHA-256 of what training left behind
    files: str  # SHA-256 of the exported tree


@dataclass(frozen=True)
class SliceScore:
    """What came of a slice. Losses are minimised, leads positive where the first model is better; metric units."""

    losses: Mapping[str, float]  # by model; empty if the slice was burned
    leads: Mapping[str, Lead]  # by "challenger-champion" and the like
    seconds: float  # wall, from the opening
    burned_by: str = ""  # the model without an answer: nothing was decided
    reason: str = ""  # why it has none
    gap: str = ""  # why the challenger's lead is not believed: it has another one on the standing split
    flags: tuple[str, ...] = ()  # what a person should look at, and decides nothing

    @property
    def is_burned(self) -> bool:
        """Whether the slice was used up for nothing."""
        return bool(self.burned_by)

    def lead(self, better: str, worse: str) -> Lead:
        """Return the lead of one model over another. Raises KeyError if they were not compared."""
        return self.leads[f"{better}-{worse}"]

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = {"losses": dict(self.losses), "seconds": self.seconds}
        data["leads"] = {pair: [lead.mean, lead.error] for pair, lead in self.leads.items()}
        return {**changed_fields(self), **data}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "SliceScore":
        leads = {pair: Lead(*numbers) for pair, numbers in data["leads"].items()}
        return cls(**{**data, "leads": leads, "flags": tuple(data.get("flags", ()))})


@dataclass(frozen=True)
class SliceUse:
    """A slice that a run has opened, and what came of it once it is known."""

    number: int  # in the pool
    purpose: SlicePurpose
    entrants: Mapping[str, Entrant]
    n_other_runs: int  # of this machine, that had opened it before
    opened_at: str  # ISO 8601, UTC
    score: SliceScore | None = None

    @property
    def trial(self) -> int:
        """The trial that it was opened for: the challenger's, or that of the result."""
        models = [name for name in self.entrants if name == CHALLENGER or name.startswith(RESULT)]
        return self.entrants[models[0] if models else self.against].trial

    @property
    def against(self) -> str:
        """The name of the champion's model: the baseline's, where that is the champion."""
        return CHAMPION if CHAMPION in self.entrants else BASELINE

    @property
    def tells(self) -> bool:
        """Whether it was scored and not burned."""
        return self.score is not None and not self.score.is_burned

    def lead(self, better: str, worse: str) -> Lead:
        """Return the lead of one model over another. Raises KeyError if it has told none."""
        if self.score is None:
            raise KeyError(f"slice {self.number} has not been scored")
        return self.score.lead(better, worse)

    def scored(self, score: SliceScore) -> "SliceUse":
        """Return this with its score."""
        return replace(self, score=score)


@dataclass(frozen=True)
class Decision:
    """What slices say of a challenger."""

    standing: Standing
    lead: Lead  # over the champion
    n_errors: float  # the lead in standard errors, seeds and sampling together
    bar: float  # standard errors that it had to exceed
    reason: str = ""


@dataclass(frozen=True)
class _Tested:
    """A challenger on one slice."""

    over_champion: Lead
    over_baseline: Lead
    seed: int
    champion_seed: int


class SliceTests:
    """The tests of a run on slices, as a fold of its journal."""

    def __init__(self, gain: float) -> None:
        """`gain`: standard errors that a lead has to exceed in the first test."""
        self._gain = gain
        self._n_unconfirmed = 0
        self._tested: dict[int, list[_Tested]] = {}  # by trial, since the champion last moved
        self._settled: set[int] = set()
        self._burned: set[int] = set()  # trials whose last slice was burned
        self._champion_had: dict[int, Lead] = {}  # over the baseline, when it was confirmed, by seed; no baseline's
        self.n_opened = 0

    @property
    def bar(self) -> float:
        """Standard errors that a lead has to exceed now."""
        return self._gain + STEP * self._n_unconfirmed

    def n_tests(self, trial: int) -> int:
        """Return on how many slices a trial has been compared with the present champion."""
        return len(self._tested.get(trial, ()))

    def is_settled(self, trial: int) -> bool:
        """Whether a trial has been put to the test, and will not be again."""
        return trial in self._settled

    def champion_had(self, seed: int) -> Lead | None:
        """Return the lead over the baseline of the champion's model under `seed` when it was confirmed; None: it is
        the baseline, or that model was not in the test."""
        return self._champion_had.get(seed)

    def take(self, trial: int, use: SliceUse) -> None:
        """Take in a scored slice that was opened to confirm `trial`.

        A burned one confirmed nothing, and raises the bar at once. Whoever burned it may have seen by then that the
        lead was too small, and would otherwise have as many tries as there are slices.
        """
        self.n_opened += 1
        if not use.tells:
            self._burned.add(trial)
            self._n_unconfirmed += 1
            return
        self._burned.discard(trial)
        over_champion, over_baseline = use.lead(CHALLENGER, use.against), use.lead(CHALLENGER, BASELINE)
        seeds = use.entrants[CHALLENGER].seed, use.entrants[use.against].seed
        self._tested.setdefault(trial, []).append(_Tested(over_champion, over_baseline, *seeds))

    def decide(self, trial: int, sigma: float) -> Decision:
        """Return what the slices so far say of a trial that has been compared on one at least.

        With n slices, m models of the champion, leads d over it and b over the baseline, and h the champion's own
        lead over the baseline when it was confirmed, it is confirmed if

            mean(d)     > bar · √(sigma² (1/n + 1/m) + error(d)²)   and
            mean(b) - h > bar · √(sigma² (1/n + 1/m') + error(b)² + error(h)²)

        so that a champion that answers worse when it is scored again gains its heirs nothing.
        """
        tested = self._tested[trial]
        n, n_champion = len(tested), len({test.champion_seed for test in tested})
        lead = Lead.pooled([test.over_champion for test in tested])
        n_errors = _in_errors(lead, sigma, n, n_champion)
        reason = ""
        if n_errors > self.bar and self._champion_had:
            more = Lead.pooled([test.over_baseline for test in tested]).less(
                Lead.pooled(list(self._champion_had.values()))
            )
            n_more = _in_errors(more, sigma, n, len(self._champion_had))
            if n_more <= self.bar:
                word = "less" if n_more < 0 else "more"
                reason = (
                    f"it leads the baseline by {abs(n_more):.1f} standard errors {word} than the champion did when "
                    f"that was confirmed, and {self.bar:g} more are needed"
                )
        if n_errors > self.bar and not reason:
            standing = Standing.CONFIRMED
        else:
            standing = Standing.PROVISIONAL if lead.mean > 0 else Standing.ROLLED_BACK
        return Decision(standing, lead, n_errors, self.bar, reason)

    def settle(self, trial: int, standing: Standing) -> None:
        """Take note of a verdict. One that leaves a trial provisional after one slice asks for a second."""
        if standing is Standing.CONFIRMED:
            self._n_unconfirmed = max(0, self._n_unconfirmed - 1)
            self._champion_had = {test.seed: test.over_baseline for test in self._tested[trial]}
            self._tested.clear()
            self._settled.clear()
        elif standing is Standing.ROLLED_BACK or trial in self._burned or self.n_tests(trial) != 1:
            self._n_unconfirmed += trial not in self._burned  # whose burned slices are counted one by one
            self._settled.add(trial)


def _in_errors(lead: Lead, sigma: float, n: int, m: int) -> float:
    """Return a lead of n models over m in standard errors: of training seeds, and of sampling the text."""
    return lead.mean / math.hypot(sigma * math.sqrt(1 / n + 1 / m), lead.error)


def dead_flag(had: Lead, has: Lead) -> str | None:
    """Return a flag if the champion's lead over the baseline has fallen; both are of the same two artifacts.

    So no training seed is in the difference, and sampling alone explains what is less than a few of its errors.
    """
    if had.mean - has.mean <= FLAG_ERRORS * math.hypot(had.error, has.error):
        return None
    return (
        f"the champion's lead over the baseline was {had.mean:.4g} ± {had.error:.2g} when it was confirmed, and is "
        f"{has.mean:.4g} ± {has.error:.2g} here: it may answer worse when it is scored again"
    )


def noise_flag(lead: Lead, sigma: float) -> str | None:
    """Return a flag if two seeds of the baseline differ by more on a slice than sigma, of the standing split, says.

    Then the unseen text is of another kind than the standing split, and more null gains are confirmed than the rule
    allows.
    """
    if abs(lead.mean) <= FLAG_ERRORS * math.hypot(sigma * math.sqrt(2), lead.error):
        return None
    return (
        f"two training seeds of the baseline differ by {abs(lead.mean):.4g} ± {lead.error:.2g} on unseen text, where "
        f"sigma is {sigma:.2g}: the pool may be of another kind of text, and then too much is confirmed"
    )


def gap_flag(on_slice: Lead, standing: float, n_slice: int, n_standing: int) -> str | None:
    """Return a flag if a model leads the baseline by another amount on a slice than on the standing split.

    Both leads are of the same two artifacts. The standing split's own error is taken as that of a slice of as many
    sequences, and never as smaller than the slice's.

    Args:
        on_slice: lead over the baseline on the slice.
        standing: the same on the standing split.
        n_slice: sequences of the slice.
        n_standing: sequences of the standing split.
    """
    error = math.hypot(on_slice.error, on_slice.error * max(1.0, math.sqrt(n_slice / n_standing)))
    allowed = FLAG_ERRORS * error + FLAG_SHARE * max(abs(on_slice.mean), abs(standing))
    gap = on_slice.mean - standing
    if abs(gap) <= allowed:
        return None
    told = f"it leads the baseline by {on_slice.mean:.4g} on unseen text and by {standing:.4g} on the standing split"
    why = "training on leaked slices" if gap > 0 else "a leaked standing split"
    return f"{told}, which is more than chance: {why} looks like that"


def seeds_flag(losses: Mapping[int, float], sigma: float) -> str | None:
    """Return a flag if a script's losses, by training seed, differ by far less than the measured noise, or not at all.

    `sigma` is 0 where nothing is measured: then only the same loss to the last digit is flagged.
    """
    spread = max(losses.values()) - min(losses.values())
    if len(losses) < 2 or spread > SAME_SHARE * sigma:
        return None
    seeds = " and ".join(map(str, losses))
    differ = f"differ by {spread:.2g}, and sigma is {sigma:.2g}" if spread else "are the same"
    return f"its losses under training seeds {seeds} {differ}: it takes no notice of its seed"
