"""A trial's script once more, under another training seed: a fresh reading of the same code."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

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

    standing: Standing  # confirmed, provisional (neither for nor against) or rolled_back
    lead: float | None  # of the incumbent over the champion, in sigmas; None: the repeat has no loss
    reason: str = ""  # where it was not the lead that decided

    def to_json(self) -> dict[str, Any]:
        said = {"reason": self.reason} if self.reason else {}
        return {"standing": self.standing.value, "lead": self.lead, **said}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Verdict":
        return cls(**{**data, "standing": Standing(data["standing"])})


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

    @property
    def val_loss(self) -> float | None:
        return self.outcome.val_loss if self.outcome else None

    def finished(self, outcome: Outcome, verdict: Verdict | None, at: str) -> "Repeat":
        """Return this repeat with its outcome."""
        return replace(self, outcome=outcome, verdict=verdict, finished_at=at)
