"""The events of a run, one per line of the journal."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from agent.trials.keeping.confirmations import Entrant, SlicePurpose, SliceScore
from agent.trials.machine_speed import LostAttempt, VoidedAttempt
from agent.trials.repeat import Purpose, RepeatVerdict
from agent.trials.steering import Approval, RunEvent, run_event_from_json
from agent.trials.trial import Outcome, Proposal


@dataclass(frozen=True)
class TrialStarted:
    """A proposal is about to run, or waits for a slot. Written before the proposal is applied anywhere."""

    number: int
    parent: int | None
    proposal: Proposal
    at: str
    n_seen: int | None = None  # trials that had finished when it was proposed; None: all before it
    needs_approval: bool = False  # it may not run before a person approves it

    def to_json(self) -> dict[str, Any]:
        return {
            "event": "trial_started",
            "number": self.number,
            "parent": self.parent,
            **({} if self.n_seen is None else {"n_seen": self.n_seen}),
            **({"needs_approval": True} if self.needs_approval else {}),
            "proposal": self.proposal.to_json(),
            "at": self.at,
        }


@dataclass(frozen=True)
class TrialFinished:
    """A trial has its outcome, from which commit, tag and table are derived."""

    number: int
    outcome: Outcome
    at: str

    def to_json(self) -> dict[str, Any]:
        return {
            "event": "trial_finished",
            "number": self.number,
            "outcome": self.outcome.to_json(),
            "at": self.at,
        }


@dataclass(frozen=True)
class RepeatStarted:
    """A trial's script is about to run again under another training seed."""

    trial: int
    seed: int
    purpose: Purpose
    at: str

    def to_json(self) -> dict[str, Any]:
        return {
            "event": "repeat_started",
            "trial": self.trial,
            "seed": self.seed,
            "purpose": self.purpose.value,
            "at": self.at,
        }


@dataclass(frozen=True)
class RepeatTrained:
    """A repeat has been trained and waits for a slice to be opened; after a resume it is not trained again."""

    trial: int
    seed: int
    outcome: Outcome
    at: str

    def to_json(self) -> dict[str, Any]:
        return {
            "event": "repeat_trained",
            "trial": self.trial,
            "seed": self.seed,
            "outcome": self.outcome.to_json(),
            "at": self.at,
        }


@dataclass(frozen=True)
class SliceOpened:
    """A slice of the pool is about to be opened, with its purpose. Written before any job sees the slice."""

    number: int
    purpose: SlicePurpose
    entrants: Mapping[str, Entrant]  # by name
    n_other_runs: int  # other runs on this machine that had opened it before
    at: str

    def to_json(self) -> dict[str, Any]:
        return {
            "event": "slice_opened",
            "number": self.number,
            "purpose": self.purpose.value,
            "entrants": {name: asdict(entrant) for name, entrant in self.entrants.items()},
            "n_other_runs": self.n_other_runs,
            "at": self.at,
        }


@dataclass(frozen=True)
class SliceScored:
    """A slice has been scored or burned. No job sees it again."""

    number: int
    score: SliceScore
    at: str

    def to_json(self) -> dict[str, Any]:
        return {"event": "slice_scored", "number": self.number, "score": self.score.to_json(), "at": self.at}


@dataclass(frozen=True)
class RepeatFinished:
    """A repeat has its outcome and, if it was a confirmation, the verdict."""

    trial: int
    seed: int
    outcome: Outcome
    verdict: RepeatVerdict | None
    at: str

    def to_json(self) -> dict[str, Any]:
        return {
            "event": "repeat_finished",
            "trial": self.trial,
            "seed": self.seed,
            "outcome": self.outcome.to_json(),
            **({"verdict": self.verdict.to_json()} if self.verdict is not None else {}),
            "at": self.at,
        }


@dataclass(frozen=True)
class AttemptVoided:
    """An attempt at a trial or repeat in flight is void because the machine's speed changed; another one follows."""

    trial: int
    seed: int | None  # of the repeat in flight; None: the trial itself is in flight
    void: VoidedAttempt

    def to_json(self) -> dict[str, Any]:
        return {"event": "attempt_voided", "trial": self.trial, "seed": self.seed, "void": self.void.to_json()}


@dataclass(frozen=True)
class AttemptLost:
    """Nobody knows how an attempt at a trial or repeat in flight ended; another one follows."""

    trial: int
    seed: int | None  # of the repeat in flight; None: the trial itself is in flight
    lost: LostAttempt

    def to_json(self) -> dict[str, Any]:
        return {"event": "attempt_lost", "trial": self.trial, "seed": self.seed, "lost": self.lost.to_json()}


@dataclass(frozen=True)
class TrialApproval:
    """A person, or a time limit, decided about a trial that waits for approval."""

    number: int
    approval: Approval

    def to_json(self) -> dict[str, Any]:
        return {"event": "trial_approval", "number": self.number, "approval": asdict(self.approval)}


Event = (
    TrialStarted
    | TrialFinished
    | RepeatStarted
    | RepeatTrained
    | RepeatFinished
    | SliceOpened
    | SliceScored
    | AttemptVoided
    | AttemptLost
    | TrialApproval
)
"""What happened to a trial, a repeat or a slice."""


def event_from_json(data: dict[str, Any]) -> Event | RunEvent:  # noqa: PLR0911 (one return a kind of event)
    """Return the event that `to_json` encoded. Raises KeyError, TypeError or ValueError if the data is invalid."""
    match data["event"]:
        case "trial_started":
            proposal = Proposal.from_json(data["proposal"])
            needs_approval = data.get("needs_approval", False)
            return TrialStarted(
                data["number"], data["parent"], proposal, data["at"], data.get("n_seen"), needs_approval
            )
        case "trial_finished":
            return TrialFinished(data["number"], Outcome.from_json(data["outcome"]), data["at"])
        case "repeat_started":
            return RepeatStarted(data["trial"], data["seed"], Purpose(data["purpose"]), data["at"])
        case "repeat_finished":
            verdict = RepeatVerdict.from_json(data["verdict"]) if "verdict" in data else None
            return RepeatFinished(data["trial"], data["seed"], Outcome.from_json(data["outcome"]), verdict, data["at"])
        case "repeat_trained":
            return RepeatTrained(data["trial"], data["seed"], Outcome.from_json(data["outcome"]), data["at"])
        case "slice_opened":
            entrants = {name: Entrant(**entrant) for name, entrant in data["entrants"].items()}
            purpose = SlicePurpose(data["purpose"])
            return SliceOpened(data["number"], purpose, entrants, data["n_other_runs"], data["at"])
        case "slice_scored":
            return SliceScored(data["number"], SliceScore.from_json(data["score"]), data["at"])
        case "attempt_voided":
            return AttemptVoided(data["trial"], data["seed"], VoidedAttempt(**data["void"]))
        case "attempt_lost":
            return AttemptLost(data["trial"], data["seed"], LostAttempt(**data["lost"]))
        case "trial_approval":
            return TrialApproval(data["number"], Approval(**data["approval"]))
    return run_event_from_json(data)


class Recordable(Protocol):
    """A record that can be a line of a journal."""

    def to_json(self) -> dict[str, Any]: ...
