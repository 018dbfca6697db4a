"""A trial's script once more, under another training seed: a fresh reading of the same code."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from agent.trials.confirmations import SliceUse
from agent.trials.json_fields import changed_fields
from agent.trials.machine_speed import Void
from agent.trials.trial import Outcome, Standing


class Purpose(StrEnum):
    """Why a script is run again."""

    BASELINE = "baseline"  # to learn the noise
    CHAMPION = "champion"  # to have something to compare a confirmation under the same seed with
    CONFIRM = "confirm"  # to see whether the incumbent's lead was more than luck
    FINAL = "final"  # to publish the result, under a seed that decided nothing
    SLOPE = "slope"  # of an earlier version: with 80 % of the budget, to correct losses; no reading of the script


@dataclass(frozen=True)
class Verdict:
    """What a confirmation decided."""

    standing: Standing  # confirmed, repeated, provisional (neither for nor against) or rolled_back
    lead: float | None  # of the incumbent over the champion, in sigmas; None: there is nothing to compare
    reason: str = ""  # where it was not the lead that decided
    n_errors: float | None = None  # on slices: the lead in standard errors
    bar: float | None = None  # on slices: how many it had to exceed

    def to_json(self) -> dict[str, Any]:
        return {**changed_fields(self), "standing": self.standing.value}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Verdict":
        """Return the verdict that `to_json` wrote. What earlier versions called confirmed is repeated: no slice was."""
        standing = Standing(data["standing"])
        if standing is Standing.CONFIRMED and "n_errors" not in data:
            standing = Standing.REPEATED
        return cls(**{**data, "standing": standing})


@dataclass(frozen=True)
class Repeat:
    """One more execution of a trial's script, with its outcome once it has one. It costs budget; it is no trial."""

    trial: int
    seed: int  # what the harness gives the script as TRAIN_SEED
    purpose: Purpose
    started_at: str  # ISO 8601, UTC
    outcome: Outcome | None = None
    verdict: Verdict | None = None  # of a confirmation
    finished_at: str | None = None
    voids: tuple[Void, ...] = ()  # attempts at it that do not count
    trained: Outcome | None = None  # while it is in flight: it has ended and was scored, and waits for a slice
    slices: tuple[SliceUse, ...] = ()  # that were opened for it, in that order
    earlier: tuple[SliceUse, ...] = ()  # that were opened before, to confirm the same trial under other seeds

    @property
    def val_loss(self) -> float | None:
        return self.outcome.val_loss if self.outcome else None

    @property
    def tested_on(self) -> list[SliceUse]:
        """The slices that a verdict on the trial goes by: its own and earlier ones, those that tell something."""
        return [use for use in (*self.earlier, *self.slices) if use.tells]

    def finished(self, outcome: Outcome, verdict: Verdict | None, at: str) -> "Repeat":
        """Return this repeat with its outcome."""
        return replace(self, outcome=outcome, verdict=verdict, finished_at=at, trained=None)
