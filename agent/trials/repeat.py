"""Repeats: further runs of a trial's script under other training seeds, and what their verdicts move."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from agent.trials.json_fields import changed_fields
from agent.trials.keeping.confirmations import SliceUse
from agent.trials.machine_speed import LostAttempt, VoidedAttempt
from agent.trials.trial import KeepState, Outcome


class Purpose(StrEnum):
    """Why a script is run again."""

    BASELINE = "baseline"  # to measure the noise
    CHAMPION = "champion"  # to compare with a confirmation under the same seed
    CONFIRM = "confirm"  # to test whether the incumbent's lead was more than luck
    FINAL = "final"  # to publish the result, under a held-out seed
    SLOPE = "slope"  # of an earlier version: 80 % of the budget, to correct losses; its loss does not count


@dataclass(frozen=True)
class RepeatVerdict:
    """The decision of a confirmation."""

    standing: KeepState  # confirmed, repeated, provisional (undecided) or rolled_back
    lead: float | None  # of the incumbent over the champion, in sigmas; None: nothing could be compared
    reason: str = ""  # if something other than the lead decided
    n_errors: float | None = None  # on slices: the lead in standard errors
    bar: float | None = None  # on slices: the standard errors that the lead had to exceed

    def to_json(self) -> dict[str, Any]:
        return {**changed_fields(self), "standing": self.standing.value}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "RepeatVerdict":
        """Return the verdict that `to_json` encoded. Earlier versions, without slices, wrote confirmed for repeated."""
        standing = KeepState(data["standing"])
        if standing is KeepState.CONFIRMED and "n_errors" not in data:
            standing = KeepState.REPEATED
        return cls(**{**data, "standing": standing})


def over_budget_verdict(outcome: Outcome) -> RepeatVerdict | None:
    """Return the verdict on a trial whose repeat used more than its budget pays for; None if it did not."""
    if not outcome.is_over_budget or outcome.compute is None:
        return None
    return RepeatVerdict(KeepState.ROLLED_BACK, None, f"over budget: {outcome.compute.description}")


@dataclass(frozen=True)
class Position:
    """The current incumbent and champion, as trial numbers. History and keep rule update it with the same methods."""

    incumbent: int | None = None  # parent of the next trial
    champion: int | None = None  # the last confirmed incumbent; the baseline at first

    def kept(self, trial: int) -> "Position":
        """Return the position after a trial was kept: it is the incumbent, and the first one also the champion."""
        return Position(trial, trial if self.champion is None else self.champion)

    def judged(self, trial: int, standing: KeepState) -> "Position":
        """Return the position after a confirmation has decided about a trial."""
        if standing.holds:
            return Position(self.incumbent, trial)
        if standing is KeepState.ROLLED_BACK and self.incumbent == trial:
            return Position(self.champion, self.champion)
        return self


@dataclass(frozen=True)
class Repeat:
    """One more execution of a trial's script, with its outcome once it has one. It costs budget but is not a trial."""

    trial: int
    seed: int  # the script's TRAIN_SEED
    purpose: Purpose
    started_at: str  # ISO 8601, UTC
    outcome: Outcome | None = None
    verdict: RepeatVerdict | None = None  # of a confirmation
    finished_at: str | None = None
    voids: tuple[VoidedAttempt, ...] = ()  # void attempts
    lost: tuple[LostAttempt, ...] = ()  # attempts whose end is unknown
    trained: Outcome | None = None  # while in flight: trained and scored, waiting for a slice
    slices: tuple[SliceUse, ...] = ()  # opened for this repeat, in order
    earlier: tuple[SliceUse, ...] = ()  # opened before, to confirm the same trial under other seeds

    @property
    def val_loss(self) -> float | None:
        """The loss that counts; None without one, and if it was over its budget."""
        return self.outcome.counted_loss if self.outcome else None

    @property
    def tested_on(self) -> list[SliceUse]:
        """The slices that decide a verdict on the trial: earlier ones and its own, without burned ones."""
        return [use for use in (*self.earlier, *self.slices) if use.has_result]

    def finished(self, outcome: Outcome, verdict: RepeatVerdict | None, at: str) -> "Repeat":
        """Return this repeat with its outcome."""
        return replace(self, outcome=outcome, verdict=verdict, finished_at=at, trained=None)
