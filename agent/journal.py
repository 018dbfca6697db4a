"""The one truth of a run: an append-only file of events, written by one process at a time.

Each line is one JSON object with the key `event`. A line counts once its newline is on the disk. A torn last line
is what a kill leaves behind and is dropped; a torn line in the middle means that somebody else wrote, and is refused.
"""

import gc
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic_core import from_json  # twice as quick as json, as exact, and loaded anyway

from agent.durable import sync_folder
from agent.errors import JournalError
from agent.trial import Outcome, Proposal, Trial

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


Event = TrialStarted | TrialFinished


def event_from_json(data: dict[str, Any]) -> Event:
    """Return the event that `to_json` wrote; KeyError, TypeError or ValueError if it did not."""
    match data["event"]:
        case "trial_started":
            proposal = Proposal.from_json(data["proposal"])
            return TrialStarted(data["number"], data["parent"], proposal, data["at"])
        case "trial_finished":
            return TrialFinished(data["number"], Outcome.from_json(data["outcome"]), data["at"])
    raise ValueError(f"unknown event {data['event']!r}")


class Journal:
    """Appends events to a file and makes each durable before it returns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.dropped_bytes = _cut_torn_tail(path)
        # Unbuffered: nothing that failed to reach the disk may linger in memory and come out later.
        self._file = path.open("ab", buffering=0)

    def append(self, event: Event) -> None:
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
                f"cannot write to {self.path}: {error.strerror}; make room and continue with `agent resume`"
            ) from error

    def close(self) -> None:
        self._file.close()


def read_events(path: Path) -> Iterator[Event]:
    """Yield the events of a journal in order. A torn last line is left out.

    Raises:
        JournalError: a line other than the last cannot be read; the message has its number.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise JournalError(f"{path} is missing: this folder is not a run, or the run never started") from error
    lines = data.split(b"\n")
    complete, torn = lines[:-1], lines[-1]
    for number, line in enumerate(complete, start=1):
        try:
            yield event_from_json(from_json(line))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if number == len(complete) and not torn:
                return
            raise JournalError(
                f"{path}, line {number}: not an event ({error}); "
                "restore the file from a backup, or look at it with `agent log --verify`"
            ) from error


def _cut_torn_tail(path: Path) -> int:
    """Cut what a kill left of the last line; return the number of bytes dropped."""
    if not path.exists():
        path.touch()
        sync_folder(path.parent)
        return 0
    data = path.read_bytes()
    end = data.rfind(b"\n") + 1
    if end == len(data) and end > 0:
        start = data.rfind(b"\n", 0, end - 1) + 1
        try:
            json.loads(data[start:end])
        except ValueError:
            end = start
    if end < len(data):
        with path.open("r+b") as file:
            file.truncate(end)
            os.fsync(file.fileno())
    return len(data) - end


@dataclass
class History:
    """A run's events, folded: the trials so far, the one in flight, and the incumbent."""

    trials: list[Trial]
    pending: Trial | None = None
    incumbent: Trial | None = None

    @classmethod
    def read(cls, path: Path) -> "History":
        """Return the history of a journal. Raises JournalError if it cannot be read or contradicts itself."""
        history = cls([])
        collecting = gc.isenabled()
        gc.disable()  # thousands of records and not one cycle: the collector would take a fifth of the time
        try:
            for event in read_events(path):
                history.add(event)
        finally:
            gc.freeze()  # nor does it find any later
            if collecting:
                gc.enable()
        return history

    def add(self, event: Event) -> Trial:
        """Take in the next event and return the trial it is about.

        Raises:
            JournalError: the event does not follow from the ones before.
        """
        if isinstance(event, TrialStarted):
            if self.pending is not None or event.number != len(self.trials):
                raise JournalError(f"trial {event.number} started out of order: the journal has been edited")
            self.pending = Trial(event.number, event.parent, event.proposal, event.at)
            return self.pending
        if self.pending is None or event.number != self.pending.number:
            raise JournalError(f"trial {event.number} finished without having started: the journal has been edited")
        trial = self.pending.finished(event.outcome, event.at)
        self.pending = None
        self.trials.append(trial)
        if trial.kept:
            self.incumbent = trial
        return trial
