"""The documents that a client of a run gets, as JSON from commands and as typed results from the MCP server."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Brief:
    """What to improve, where to start, and the rules."""

    run: str
    goal: str
    script: str  # name of the only file that may be changed
    source: str  # the incumbent's script: start from it
    incumbent: int | None  # its trial; None: the baseline has not finished
    incumbent_value: float | None  # its metric
    rules: tuple[str, ...]
    fixed_files: Mapping[str, str]  # files beside the script that no trial changes, by name
    space: Mapping[str, Mapping[str, Any]] | None  # names whose values can be submitted; None: submit scripts
    limits: str  # of one trial
    budget_left: str  # of the run
    notes: str  # what people know and want
    messages: tuple[str, ...]  # from people, newest last


@dataclass(frozen=True)
class Receipt:
    """What came of a call of `submit`."""

    state: Literal["queued", "refused"]
    submission: str | None  # to wait for; None: refused, at the cost of no trial
    reason: str = ""  # why it was refused
    ignored: tuple[str, ...] = ()  # files of a commit that differ from the task's and were not taken


@dataclass(frozen=True)
class Verdict:
    """What came of a submission so far."""

    submission: str
    state: Literal["queued", "running", "confirming", "finished", "refused"]  # the last two are final
    verdict: str | None  # failed, reverted, provisional, confirmed, repeated, rolled_back or refused; None: none yet
    is_final: bool
    trial: int | None = None
    title: str = ""  # data
    status: str | None = None
    value: float | None = None  # of the metric
    incumbent: int | None = None
    incumbent_value: float | None = None
    reason: str = ""  # data
    log: str = ""  # data: the end of the script's output, if it failed
    seconds: float | None = None  # wall time of the trial
    client_trusted: bool = True  # the client could read the host's data, so the verdict relies on it
    budget_left: str = ""
    messages: tuple[str, ...] = ()  # from people, newest last

    def reaches(self, required: str) -> bool:
        """Return whether the verdict is at least `kept` or `confirmed`. A gain repeated without a pool counts."""
        confirmed = ("confirmed", "repeated")
        return self.verdict in (confirmed if required == "confirmed" else (*confirmed, "provisional"))


@dataclass(frozen=True)
class BudgetLeft:
    """What is left of a run's budget."""

    run: str
    left: str
    trials: int | None  # that may still start; None: no limit
    train_seconds: float | None
    wall_seconds: float | None
    model_tokens: float | None


@dataclass(frozen=True)
class Notes:
    """What people know and want: the notes of the task, and messages to this run."""

    run: str
    notes: str  # the task's notes.md
    messages: tuple[Mapping[str, Any], ...]  # number of the next trial, text and time of each
