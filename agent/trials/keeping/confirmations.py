"""Tests on slices of unseen text: their records, and the rule by which they confirm a gain.

A slice is opened only after all models that it tests have been trained, and is used once. On it the challenger is
compared with the champion and with the baseline, paired by token. docs/keep-rule.md has the measurements behind the
rule.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from agent.trials.json_fields import changed_fields
from agent.trials.keeping.noise import Lead
from agent.trials.trial import KeepState

BASELINE, CHAMPION, CHALLENGER, RESULT = "baseline", "champion", "challenger", "result"
"""Names of the models on a slice. The training seed is appended to RESULT: result-100."""
STEP = 0.25  # standard errors; the bar rises by this after a test that confirms nothing, and falls after one that does
FLAG_ERRORS = 3.0  # standard errors; beyond, two leads of the same artifacts differ by more than sampling explains
FLAG_SHARE = 0.1  # of the larger lead; tolerated, as two texts of one corpus are different mixtures of documents

SAME_SHARE = 0.01
"""Of sigma: two honest runs are closer to each other in 6 of 1,000 cases (0.02 times the density of N(0, 2) at 0)."""


class SlicePurpose(StrEnum):
    """Why a slice was opened."""

    CONFIRM = "confirm"
    FINAL = "final"  # to publish the result
    VERIFY = "verify"  # after the search, because the user asked: `agent best --verify`
    COMPARE = "compare"  # for the results of all runs of a comparison


@dataclass(frozen=True)
class Entrant:
    """The state of a model when a slice was opened."""

    trial: int
    seed: int
    artifact: str  # SHA-256 of the saved model
    files: str  # SHA-256 of the exported tree


@dataclass(frozen=True)
class SliceScore:
    """The result of a slice, in metric units. Losses are minimised; a lead is positive if the first model is better."""

    losses: Mapping[str, float]  # by model; empty if the slice was burned
    leads: Mapping[str, Lead]  # by "challenger-champion" and the like
    seconds: float  # wall time from the opening
    burned_by: str = ""  # the model that gave no answer, so that nothing was decided
    reason: str = ""  # why it gave none
    gap: str = ""  # why the challenger's lead is not trusted: its lead on the standing split differs
    flags: tuple[str, ...] = ()  # remarks for a person to look at; they decide nothing

    @property
    def is_burned(self) -> bool:
        """Whether the slice was used without a result."""
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
    """A slice that a run has opened, with its result once there is one."""

    number: int  # in the pool
    purpose: SlicePurpose
    entrants: Mapping[str, Entrant]
    n_other_runs: int  # other runs on this machine that had opened it before
    opened_at: str  # ISO 8601, UTC
    score: SliceScore | None = None

    @property
    def trial(self) -> int:
        """The trial of the challenger or of the result, for which the slice was opened."""
        models = [name for name in self.entrants if name == CHALLENGER or name.startswith(RESULT)]
        return self.entrants[models[0] if models else self.against].trial

    @property
    def against(self) -> str:
        """The name of the champion's model; BASELINE if the baseline is the champion."""
        return CHAMPION if CHAMPION in self.entrants else BASELINE

    @property
    def has_result(self) -> bool:
        """Whether it was scored and not burned."""
        return self.score is not None and not self.score.is_burned

    def lead(self, better: str, worse: str) -> Lead:
        """Return the lead of one model over another. Raises KeyError if there is none."""
        if self.score is None:
            raise KeyError(f"slice {self.number} has not been scored")
        return self.score.lead(better, worse)

    def scored(self, score: SliceScore) -> "SliceUse":
        """Return this slice with its result."""
        return replace(self, score=score)


@dataclass(frozen=True)
class Decision:
    """The verdict of slices on a challenger."""

    standing: KeepState
    lead: Lead  # over the champion
    n_errors: float  # the lead in standard errors of seeds and sampling together
    bar: float  # standard errors that the lead had to exceed
    reason: str = ""


@dataclass(frozen=True)
class _Tested:
    """A challenger on one slice."""

    over_champion: Lead
    over_baseline: Lead
    seed: int
    champion_seed: int


class SliceTests:
    """The tests of a run on slices, a fold of its journal."""

    def __init__(self, gain: float) -> None:
        """`gain`: standard errors that a lead has to exceed in the first test."""
        self._gain = gain
        self._n_unconfirmed = 0
        self._tested: dict[int, list[_Tested]] = {}  # by trial, since the last change of champion
        self._settled: set[int] = set()
        self._burned: set[int] = set()  # trials whose last slice was burned
        self._champion_had: dict[int, Lead] = {}  # by seed: lead over the baseline when confirmed
        self.n_opened = 0

    @property
    def bar(self) -> float:
        """Standard errors that a lead has to exceed now."""
        return self._gain + STEP * self._n_unconfirmed

    def n_tests(self, trial: int) -> int:
        """Return the number of slices on which a trial has been compared with the current champion."""
        return len(self._tested.get(trial, ()))

    def is_settled(self, trial: int) -> bool:
        """Whether a trial has been tested and will not be tested again."""
        return trial in self._settled

    def champion_had(self, seed: int) -> Lead | None:
        """Return the lead over the baseline that the champion's model under `seed` had when it was confirmed.

        None if the champion is the baseline, or if that model was not in the test.
        """
        return self._champion_had.get(seed)

    def take(self, trial: int, use: SliceUse) -> None:
        """Record a scored slice that was opened to confirm `trial`.

        A burned slice confirms nothing and raises the bar at once. Otherwise a script that sees that its lead is too
        small could burn the slice, and would have as many attempts as there are slices.
        """
        self.n_opened += 1
        if not use.has_result:
            self._burned.add(trial)
            self._n_unconfirmed += 1
            return
        self._burned.discard(trial)
        over_champion, over_baseline = use.lead(CHALLENGER, use.against), use.lead(CHALLENGER, BASELINE)
        seeds = use.entrants[CHALLENGER].seed, use.entrants[use.against].seed
        self._tested.setdefault(trial, []).append(_Tested(over_champion, over_baseline, *seeds))

    def decide(self, trial: int, sigma: float) -> Decision:
        """Return the verdict of the slices so far on a trial; it must have been compared on at least one.

        With n slices, m models of the champion, leads d over it and b over the baseline, and h the champion's own
        lead over the baseline when it was confirmed, it is confirmed if

            mean(d)     > bar · √(sigma² (1/n + 1/m) + error(d)²)   and
            mean(b) - h > bar · √(sigma² (1/n + 1/m') + error(b)² + error(h)²)

        The second condition ensures that a champion that answers worse when it is scored again helps no challenger.
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
                    f"its lead over the baseline is {abs(n_more):.1f} standard errors {word} than the champion's was "
                    f"at its confirmation; it must be at least {self.bar:g} higher"
                )
        if n_errors > self.bar and not reason:
            standing = KeepState.CONFIRMED
        else:
            standing = KeepState.PROVISIONAL if lead.mean > 0 else KeepState.ROLLED_BACK
        return Decision(standing, lead, n_errors, self.bar, reason)

    def settle(self, trial: int, standing: KeepState) -> None:
        """Record a verdict. If it leaves a trial provisional after one slice, a second slice is needed."""
        if standing is KeepState.CONFIRMED:
            self._n_unconfirmed = max(0, self._n_unconfirmed - 1)
            self._champion_had = {test.seed: test.over_baseline for test in self._tested[trial]}
            self._tested.clear()
            self._settled.clear()
        elif standing is KeepState.ROLLED_BACK or trial in self._burned or self.n_tests(trial) != 1:
            self._n_unconfirmed += trial not in self._burned  # burned slices have been counted already
            self._settled.add(trial)


def _in_errors(lead: Lead, sigma: float, n: int, m: int) -> float:
    """Return a lead of n models over m in units of its standard error, from training seeds and from sampling text."""
    return lead.mean / math.hypot(sigma * math.sqrt(1 / n + 1 / m), lead.error)


def dead_flag(had: Lead, has: Lead) -> str | None:
    """Return a flag if the champion's lead over the baseline has fallen since its confirmation.

    Both leads compare the same two artifacts, so that only sampling, not training seeds, makes them differ.
    """
    if had.mean - has.mean <= FLAG_ERRORS * math.hypot(had.error, has.error):
        return None
    return (
        f"the champion's lead over the baseline was {had.mean:.4g} ± {had.error:.2g} at its confirmation, and is "
        f"{has.mean:.4g} ± {has.error:.2g} here: it may answer worse when it is scored again"
    )


def noise_flag(lead: Lead, sigma: float) -> str | None:
    """Return a flag if two seeds of the baseline differ more on a slice than sigma, from the standing split, allows.

    Then the unseen text differs in kind from the standing split, and the rule confirms too many null gains.
    """
    if abs(lead.mean) <= FLAG_ERRORS * math.hypot(sigma * math.sqrt(2), lead.error):
        return None
    return (
        f"two training seeds of the baseline differ by {abs(lead.mean):.4g} ± {lead.error:.2g} on unseen text, but "
        f"sigma is {sigma:.2g}: the pool may be a different kind of text, and then too many gains are confirmed"
    )


def gap_flag(on_slice: Lead, standing: float, n_slice: int, n_standing: int) -> str | None:
    """Return a flag if a model's lead over the baseline differs between a slice and the standing split.

    Both leads compare the same two artifacts. The standard error on the standing split is estimated from the slice's,
    scaled to its number of sequences, and is never below the slice's.

    Args:
        on_slice: lead over the baseline on the slice.
        standing: lead over the baseline on the standing split.
        n_slice: number of sequences in the slice.
        n_standing: number of sequences in the standing split.
    """
    error = math.hypot(on_slice.error, on_slice.error * max(1.0, math.sqrt(n_slice / n_standing)))
    allowed = FLAG_ERRORS * error + FLAG_SHARE * max(abs(on_slice.mean), abs(standing))
    gap = on_slice.mean - standing
    if abs(gap) <= allowed:
        return None
    both = f"it leads the baseline by {on_slice.mean:.4g} on unseen text and by {standing:.4g} on the standing split"
    why = "training on leaked slices" if gap > 0 else "a leaked standing split"
    return f"{both}; chance does not explain the difference, {why} would"


def seeds_flag(losses: Mapping[int, float], sigma: float) -> str | None:
    """Return a flag if a script's losses under several training seeds differ by far less than sigma, or not at all.

    `sigma` is 0 if it has not been measured: then only losses that are equal to the last digit are flagged.
    """
    spread = max(losses.values()) - min(losses.values())
    if len(losses) < 2 or spread > SAME_SHARE * sigma:
        return None
    seeds = " and ".join(map(str, losses))
    differ = f"differ by only {spread:.2g}, and sigma is {sigma:.2g}" if spread else "are the same"
    return f"its losses under training seeds {seeds} {differ}: it ignores its seed"
