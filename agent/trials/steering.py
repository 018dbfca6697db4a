"""Records of what people and their coding agents send to a run: submissions, approvals, messages and higher caps."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from agent.errors import UsageError
from agent.text import one_line, plural

MOST_CHARACTERS, MOST_LINES = 500, 10
"""Limits of one message."""
N_IN_PROMPT = 5
"""The number of messages that a prompt shows: the latest ones."""


@dataclass(frozen=True)
class Submission:
    """Where a submitted change comes from."""

    id: str  # of its message in the inbox
    source: str = ""  # the file, patch or commit, as text to show
    base: int | None = None  # the trial whose script the client edited; None: unknown
    ignored: tuple[str, ...] = ()  # files that differ from the task's and were not taken
    is_client_trusted: bool = True  # the client runs as a user who can read the host's data or write to the run

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Submission":
        return cls(**{**data, "ignored": tuple(data.get("ignored", ()))})


PERSON, TIME_LIMIT = "person", "time limit"
"""Who decides about a proposal that needs approval."""


@dataclass(frozen=True)
class AgentUse:
    """A coding agent's part in a proposal."""

    name: str
    version: str
    session: str = ""  # its id of the session, as the agent reports it
    ending: str = ""  # how it ended, one line
    changed: tuple[str, ...] = ()  # other files that it changed, which were not taken

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "AgentUse":
        return cls(**{**data, "changed": tuple(data.get("changed", ()))})


@dataclass(frozen=True)
class Approval:
    """A decision about a proposal that waits for one."""

    is_approved: bool
    by: str  # PERSON or TIME_LIMIT
    reason: str = ""  # one line
    at: str = ""  # ISO 8601, UTC

    @property
    def is_veto(self) -> bool:
        """Whether it is a person's refusal."""
        return not self.is_approved and self.by == PERSON

    @property
    def why(self) -> str:
        """Why a proposal was refused, as one line."""
        if self.by != PERSON:
            return self.reason
        return f"a person refused it: {self.reason}" if self.reason else "a person refused it"


@dataclass(frozen=True)
class PersonMessage:
    """A person sent a message to the proposer (`agent say`)."""

    number: int  # of the next trial
    id: str  # of the message in the inbox
    text: str
    at: str

    def to_json(self) -> dict[str, Any]:
        return {"event": "message", "number": self.number, "id": self.id, "text": self.text, "at": self.at}


def message_text(text: str) -> str:
    """Return a message as it is recorded: a few printable lines.

    Raises:
        UsageError: nothing is left, or it is too long.
    """
    lines = [line for line in map(one_line, text.splitlines()) if line]
    shown = "\n".join(lines)
    if not lines:
        raise UsageError("the message is empty; write what the next proposal should take into account")
    if len(lines) > MOST_LINES or len(shown) > MOST_CHARACTERS:
        raise UsageError(
            f"the message has {plural(len(lines), 'line')} and {plural(len(shown), 'character')}, at most {MOST_LINES} "
            f"and {MOST_CHARACTERS} fit; shorten it, or write it into notes.md in the task's folder"
        )
    return shown


def in_prompt(messages: Sequence[PersonMessage]) -> Sequence[PersonMessage]:
    """Return those of a run's messages that a prompt shows."""
    return messages[-N_IN_PROMPT:]


@dataclass(frozen=True)
class SubmissionRefused:
    """A submission cannot run, so it became no trial."""

    number: int  # of the next trial
    id: str  # of the message in the inbox
    title: str
    status: str  # a value of agent.trials.trial.Status
    reason: str  # one line
    log: str  # the end of the output of its rehearsal; empty if none failed
    at: str

    def to_json(self) -> dict[str, Any]:
        return {"event": "submission_refused", **asdict(self)}


@dataclass(frozen=True)
class BudgetRaised:
    """The user raised caps of the run when resuming it."""

    number: int  # of the next trial
    caps: Mapping[str, float]  # the new values, by field of RunConfig
    at: str

    def to_json(self) -> dict[str, Any]:
        return {"event": "budget_raised", "number": self.number, "caps": dict(self.caps), "at": self.at}


RunEvent = BudgetRaised | PersonMessage | SubmissionRefused
"""An event of the run that changes no trial."""


def run_event_from_json(data: Mapping[str, Any]) -> RunEvent:
    """Return the event that `to_json` encoded. Raises KeyError, TypeError or ValueError if the data is invalid."""
    match data["event"]:
        case "message":
            return PersonMessage(data["number"], data["id"], data["text"], data["at"])
        case "submission_refused":
            return SubmissionRefused(**{name: value for name, value in data.items() if name != "event"})
        case "budget_raised":
            return BudgetRaised(data["number"], data["caps"], data["at"])
    raise ValueError(f"unknown event {data['event']!r}")


@dataclass
class RunEvents:
    """The events of a run that change no trial, in order."""

    all: list[RunEvent] = field(default_factory=list)

    @property
    def raises(self) -> list[BudgetRaised]:
        return [event for event in self.all if isinstance(event, BudgetRaised)]

    @property
    def messages(self) -> list[PersonMessage]:
        """The messages from people to the proposer."""
        return [event for event in self.all if isinstance(event, PersonMessage)]

    @property
    def refusals(self) -> list[SubmissionRefused]:
        return [event for event in self.all if isinstance(event, SubmissionRefused)]
