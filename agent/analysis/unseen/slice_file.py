"""The slices that were opened after the search, with their models and scores: one JSON file, always written completely.

It holds the same events as a run's journal. A slice's opening is on the disk before any job sees the slice.
"""

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from agent.errors import JournalError
from agent.execution.executor import Unseen
from agent.execution.host import Host
from agent.execution.slices.source import SliceSource
from agent.files import read_json
from agent.run.one_slice import Searched, opener_of
from agent.run.resume import open_executor, refuse_another_pool
from agent.store.atomic_file import write_durably
from agent.store.journal import FORMAT
from agent.store.paths import RunPaths
from agent.store.run_config import MOST_BYTES
from agent.store.stored_run import StoredRun
from agent.trials.events import SliceOpened, SliceScored, event_from_json
from agent.trials.history import History
from agent.trials.keeping.confirmations import SliceUse


@dataclass
class SliceFile:
    """The record of slices in one such file. See agent.run.one_slice.Record."""

    path: Path
    paths: RunPaths  # of the run or the comparison whose folder holds the file
    runs: Sequence[Searched]  # the runs whose models are scored
    asks: str  # name of the purpose in the labels of jobs: "verify"
    _events: list[SliceOpened | SliceScored] = field(default_factory=list)
    _history: History = field(default_factory=lambda: History([]))

    def __post_init__(self) -> None:
        """Read the file, if it exists. Raises JournalError if it cannot be read."""
        for event in read_events(self.path):
            self._events.append(event)
            self._history.add(event)

    @property
    def opener(self) -> str:
        return f"{self.path.resolve()} {self.runs[0].history.trials[0].started_at}"

    @property
    def about(self) -> Collection[str]:
        return [opener_of(run) for run in self.runs]

    @property
    def taken(self) -> Collection[int]:
        return [
            use.number for history in (self._history, *(run.history for run in self.runs)) for use in history.slices
        ]

    @property
    def slices(self) -> Sequence[SliceUse]:
        """The opened slices, in the order in which they were opened."""
        return self._history.slices

    @property
    def opened(self) -> SliceUse | None:
        return self._history.opened

    def record(self, event: SliceOpened | SliceScored) -> SliceUse:
        """Write the file with one more event. Raises JournalError if the disk is full."""
        events = [*self._events, event]
        document = {"format": FORMAT, "events": [each.to_json() for each in events]}
        try:
            write_durably(self.path, json.dumps(document, indent=1) + "\n")
        except OSError as error:
            raise JournalError(f"cannot write to {self.path}: {error.strerror}; make room and try again") from error
        self._events = events
        return self._history.add(event)

    def folder(self, number: int) -> Path:
        return self.paths.slice(number)

    def label(self, number: int) -> str:
        return f"{self.paths.run_id}/{self.asks}-{number:03d}"


def read_events(path: Path) -> Iterator[SliceOpened | SliceScored]:
    """Yield the events of such a file; none if it does not exist, or holds a result on the test split.

    Raises:
        JournalError: it cannot be read.
    """
    try:
        document = read_json(path, MOST_BYTES)
        if document.get("format", FORMAT) != FORMAT:
            raise JournalError(f"{path} has format {document['format']}, but this version reads format {FORMAT}")
        events = [event_from_json(data) for data in document.get("events", ())]
    except FileNotFoundError:
        return
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise JournalError(
            f"{path} cannot be read: {error}; restore it from a backup: it records which slices have been opened"
        ) from error
    for event in events:
        if not isinstance(event, SliceOpened | SliceScored):
            raise JournalError(f"{path} cannot be read: it holds a {type(event).__name__}; restore it from a backup")
        yield event


def has_slices(stored: StoredRun) -> bool:
    """Return whether a run confirms its gains on slices."""
    return stored.config.pool is not None and stored.keeper.on_slices


@contextmanager
def slices_for(stored: StoredRun, host: Host) -> Iterator[SliceSource]:
    """Yield the slices on which a run confirms its gains, with the run's kind of sandbox.

    Raises:
        UsageError: task, pool or image differ from those of the run.
        MissingRequirementError, SandboxError: the machine lacks something.
    """
    with open_executor(stored, host, Unseen.SLICES, trains=False) as executor:
        slices = executor.slices
        refuse_another_pool(stored.config, slices.digest if slices is not None else None)
        assert slices is not None, "the run has a pool"
        yield slices
