"""The one truth of a run: an append-only file of events, written by one process at a time.

Each line is one JSON object with the key `event`. A line counts once its newline is on the disk. A torn last line
is what a kill leaves behind and is dropped; a torn line in the middle means that somebody else wrote, and is refused.
"""

import gc
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar, overload

from pydantic_core import from_json  # twice as quick as json, as exact, and loaded anyway

from agent.durable import sync_folder
from agent.errors import JournalError
from agent.machine import Void
from agent.repeat import Purpose, Repeat, Verdict
from agent.trial import Outcome, Proposal, Standing, Trial

_Line = TypeVar("_Line")

FORMAT = 1
"""Version of run.json, journal, trailers and folders together; see docs/format.md."""


@dataclass(frozen=True)
class TrialStarted:
    """A proposal is about to run. Written before anything else happens with it."""

    number: int
    parent: int | None
    proposal: Proposal
    at: str

    def to_json(self) -> dict[str, Any]:
        return {
            "event": "trial_started",
            "number": self.number,
            "parent": self.parent,
            "proposal": self.proposal.to_json(),
            "at": self.at,
        }


@dataclass(frozen=True)
class TrialFinished:
    """A trial has its outcome. Commit, tag and table are derived from this."""

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
    """A trial's script is about to run again, under another training seed."""

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
class RepeatFinished:
    """A repeat has its outcome and, if it was to confirm something, the verdict."""

    trial: int
    seed: int
    outcome: Outcome
    verdict: Verdict | None
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
    """An attempt at what is in flight does not count: the machine was another. The next one begins."""

    trial: int
    seed: int | None  # of the repeat in flight; None: it is the trial itself
    void: Void

    def to_json(self) -> dict[str, Any]:
        return {"event": "attempt_voided", "trial": self.trial, "seed": self.seed, "void": self.void.to_json()}


@dataclass(frozen=True)
class BudgetRaised:
    """The user has raised caps of the whole run while going on with it."""

    number: int  # of the next trial
    caps: Mapping[str, float]  # the new values, by field of RunConfig
    at: str

    def to_json(self) -> dict[str, Any]:
        return {"event": "budget_raised", "number": self.number, "caps": dict(self.caps), "at": self.at}


Event = TrialStarted | TrialFinished | RepeatStarted | RepeatFinished | AttemptVoided


def event_from_json(data: dict[str, Any]) -> Event | BudgetRaised:
    """Return the event that `to_json` wrote; KeyError, TypeError or ValueError if it did not."""
    match data["event"]:
        case "trial_started":
            proposal = Proposal.from_json(data["proposal"])
            return TrialStarted(data["number"], data["parent"], proposal, data["at"])
        case "trial_finished":
            return TrialFinished(data["number"], Outcome.from_json(data["outcome"]), data["at"])
        case "repeat_started":
            return RepeatStarted(data["trial"], data["seed"], Purpose(data["purpose"]), data["at"])
        case "repeat_finished":
            verdict = Verdict.from_json(data["verdict"]) if "verdict" in data else None
            return RepeatFinished(data["trial"], data["seed"], Outcome.from_json(data["outcome"]), verdict, data["at"])
        case "attempt_voided":
            return AttemptVoided(data["trial"], data["seed"], Void(**data["void"]))
        case "budget_raised":
            return BudgetRaised(data["number"], data["caps"], data["at"])
    raise ValueError(f"unknown event {data['event']!r}")


class Recordable(Protocol):
    """Something that can be a line of a journal."""

    def to_json(self) -> dict[str, Any]: ...


class Journal:
    """Appends events to a file and makes each durable before it returns."""

    def __init__(self, path: Path, go_on_with: str = "agent resume") -> None:
        """Open the file at its end, without what a kill has left of a last line.

        `go_on_with` is the command that continues where the file ends.
        """
        self.path = path
        self._go_on_with = go_on_with
        self.dropped_bytes = _cut_torn_tail(path)
        # Unbuffered: nothing that failed to reach the disk may linger in memory and come out later.
        self._file = path.open("ab", buffering=0)

    def append(self, event: Recordable) -> None:
        """Write one event and wait until it is on the disk.

        Raises:
            JournalError: the disk is full or failing; what was written of the line is taken back.
        """
        line = json.dumps(event.to_json(), allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        data = memoryview(line.encode() + b"\n")
        end = self.path.stat().st_size
        try:
            while data:
                data = data[self._file.write(data) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            self._file.truncate(end)  # shrinking works on a full disk
            raise JournalError(
                f"cannot write to {self.path}: {error.strerror}; make room and continue with `{self._go_on_with}`"
            ) from error

    def close(self) -> None:
        self._file.close()


def read_events(path: Path) -> Iterator[Event | BudgetRaised]:
    """Yield the events of a journal in order. A torn last line is left out.

    Raises:
        JournalError: a line other than the last cannot be read; the message has its number.
    """
    return read_lines(path, event_from_json)


def read_lines(path: Path, decoded: Callable[[dict[str, Any]], _Line]) -> Iterator[_Line]:
    """Yield what `decoded` makes of each line of such a file, in order. A torn last line is left out.

    Raises:
        JournalError: a line other than the last cannot be read; the message has its number.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise JournalError(f"{path} is missing: this folder is not a run, or the run never started") from error
    lines = content.split(b"\n")
    complete, torn = lines[:-1], lines[-1]
    for number, line in enumerate(complete, start=1):
        try:
            data = from_json(line)
        except ValueError as error:
            if number == len(complete) and not torn:
                return
            raise _unreadable(path, number, error) from error
        try:
            yield decoded(data)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _unreadable(path, number, error) from error


def _unreadable(path: Path, number: int, error: Exception) -> JournalError:
    return JournalError(
        f"{path}, line {number}: not an event ({error}); "
        "restore the file from a backup, or look at it with `agent log --verify`"
    )


def _cut_torn_tail(path: Path) -> int:
    """Cut what a kill left of the last line; return the number of bytes dropped."""
    if not path.exists():
        path.touch()
        sync_folder(path.parent)
        return 0
    n_torn = torn_bytes(path)
    if n_torn:
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size - n_torn)
            os.fsync(file.fileno())
    return n_torn


def torn_bytes(path: Path) -> int:
    """Return how many bytes a kill left of the last line."""
    data = path.read_bytes()
    end = data.rfind(b"\n") + 1
    if end == len(data) and end > 0:
        start = data.rfind(b"\n", 0, end - 1) + 1
        try:
            json.loads(data[start:end])
        except ValueError:
            end = start
    return len(data) - end


@dataclass
class History:
    """A run's events, folded: what has been executed, what is in flight, and where the search stands."""

    trials: list[Trial]
    pending: Trial | None = None
    incumbent: Trial | None = None  # parent of the next trial
    champion: Trial | None = None  # the last incumbent that a fresh run confirmed; the baseline at first
    repeats: list[Repeat] = field(default_factory=list)
    repeating: Repeat | None = None  # in flight
    results: list[Trial | Repeat] = field(default_factory=list)  # both, in the order in which they finished
    raises: list[BudgetRaised] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path, before: int | None = None) -> "History":
        """Return the history of a journal, or of what lies before the start of trial `before`.

        Raises:
            JournalError: it cannot be read, or contradicts itself.
        """
        history = cls([])
        collecting = gc.isenabled()
        gc.disable()  # thousands of records and not one cycle: the collector would take a fifth of the time
        try:
            for event in read_events(path):
                if isinstance(event, TrialStarted) and event.number == before:
                    break
                if isinstance(event, BudgetRaised):
                    history.raises.append(event)
                else:
                    history.add(event)
        finally:
            gc.freeze()  # nor does it find any later
            if collecting:
                gc.enable()
        return history

    @property
    def timeline(self) -> list[Trial | Repeat]:
        """All that was begun, in order: trials as they stand by now, repeats, and last what is in flight."""
        done = [self.trials[result.number] if isinstance(result, Trial) else result for result in self.results]
        return [*done, *(running for running in (self.pending, self.repeating) if running is not None)]

    @property
    def _is_busy(self) -> bool:
        """Whether something is in flight that has to end first: no SLOPE, which nobody but earlier versions ends."""
        return self.pending is not None or (self.repeating is not None and self.repeating.purpose is not Purpose.SLOPE)

    @overload
    def add(self, event: TrialStarted | TrialFinished) -> Trial: ...
    @overload
    def add(self, event: RepeatStarted | RepeatFinished) -> Repeat: ...
    @overload
    def add(self, event: AttemptVoided) -> Trial | Repeat: ...
    def add(self, event: Event) -> Trial | Repeat:
        """Take in the next event and return the trial or the repeat that it is about.

        Raises:
            JournalError: the event does not follow from the ones before.
        """
        match event:
            case TrialStarted():
                if self._is_busy or event.number != len(self.trials):
                    raise JournalError(f"trial {event.number} started out of order: the journal has been edited")
                self.repeating = None
                self.pending = Trial(event.number, event.parent, event.proposal, event.at)
                return self.pending
            case TrialFinished():
                return self._finish_trial(event)
            case RepeatStarted():
                if self._is_busy or event.trial >= len(self.trials):
                    raise JournalError(f"a repeat of trial {event.trial} out of order: the journal has been edited")
                self.repeating = Repeat(event.trial, event.seed, event.purpose, event.at)
                return self.repeating
            case RepeatFinished():
                return self._finish_repeat(event)
            case AttemptVoided():
                return self._void(event)

    def _void(self, event: AttemptVoided) -> Trial | Repeat:
        trial, repeat = self.pending, self.repeating
        if trial is not None and (event.trial, event.seed) == (trial.number, None):
            self.pending = replace(trial, voids=(*trial.voids, event.void))
            return self.pending
        if repeat is not None and (event.trial, event.seed) == (repeat.trial, repeat.seed):
            self.repeating = replace(repeat, voids=(*repeat.voids, event.void))
            return self.repeating
        raise JournalError(f"an attempt at trial {event.trial} void that was not begun: the journal has been edited")

    def _finish_trial(self, event: TrialFinished) -> Trial:
        if self.pending is None or event.number != self.pending.number:
            raise JournalError(f"trial {event.number} finished without having started: the journal has been edited")
        trial = self.pending.finished(event.outcome, event.at)
        self.pending = None
        self.trials.append(trial)
        self.results.append(trial)
        if trial.kept:
            self.incumbent = trial
            self.champion = self.champion or trial
        return trial

    def _finish_repeat(self, event: RepeatFinished) -> Repeat:
        running = self.repeating
        if running is None or (event.trial, event.seed) != (running.trial, running.seed):
            raise JournalError(f"a repeat of trial {event.trial} that was not started: the journal has been edited")
        repeat = running.finished(event.outcome, event.verdict, event.at)
        self.repeating = None
        self.repeats.append(repeat)
        self.results.append(repeat)
        if repeat.verdict is not None:
            self._move(event.trial, repeat.verdict.standing)
        return repeat

    def _move(self, number: int, standing: Standing) -> None:
        """Move champion or incumbent as a verdict says, and mark the trials that it is about."""
        if standing is Standing.CONFIRMED:
            for on_the_way in self._way_to(number):
                self.trials[on_the_way] = replace(self.trials[on_the_way], decided=standing)
            self.champion = self.trials[number]
        elif standing is Standing.ROLLED_BACK:
            for trial in self.trials:
                if trial.standing is Standing.PROVISIONAL:
                    self.trials[trial.number] = replace(trial, decided=standing)
            if self.incumbent is not None and self.incumbent.number == number:
                self.incumbent = self.champion
        if self.incumbent is not None:
            self.incumbent = self.trials[self.incumbent.number]

    def _way_to(self, number: int) -> Iterator[int]:
        """Yield a trial and the provisional ones that it was built on."""
        at: int | None = number
        while at is not None and self.trials[at].standing is not Standing.CONFIRMED:
            yield at
            at = self.trials[at].parent
