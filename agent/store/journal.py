"""The journal of a run, its single source of truth: an append-only file of events, written by one process at a time.

Each line is one JSON object with the key `event`. A line counts once its newline is on disk. A kill can leave a torn
last line, which is dropped; a torn line elsewhere means that something else wrote to the file, and is refused.
"""

import gc
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic_core import from_json  # twice as fast as json, as exact, and loaded anyway

from agent.errors import JournalError
from agent.files import read_bytes
from agent.store.atomic_file import sync_folder
from agent.trials.events import Event, Recordable, TrialStarted, event_from_json
from agent.trials.history import History
from agent.trials.json_fields import check_types
from agent.trials.steering import RunEvent

_Line = TypeVar("_Line")
_MOST_BYTES = 2**30  # thousands of whole scripts

FORMAT = 1
"""Version of run.json, journal, trailers and folders together; see docs/format.md."""


class Journal:
    """Appends events to a file; each one is on disk before `append` returns."""

    def __init__(self, path: Path, resume_command: str = "agent resume") -> None:
        """Open the file at its end, after removing a torn last line.

        `resume_command` is the command, for messages, that continues the run.
        """
        self.path = path
        self._resume_command = resume_command
        self.dropped_bytes = _cut_torn_tail(path)
        # Unbuffered, so that data of a failed write cannot stay in memory and be written later.
        self._file = path.open("ab", buffering=0)

    def append(self, event: Recordable) -> None:
        """Write one event and wait until it is on disk.

        Raises:
            JournalError: the disk is full or failing; a partly written line is removed.
        """
        line = json.dumps(event.to_json(), allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        data = memoryview(line.encode() + b"\n")
        end = self.path.stat().st_size
        try:
            while data:
                data = data[self._file.write(data) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            self._file.truncate(end)  # works on a full disk, too
            raise JournalError(
                f"cannot write to {self.path}: {error.strerror}; make room and continue with `{self._resume_command}`"
            ) from error

    def close(self) -> None:
        self._file.close()


def read_events(path: Path) -> Iterator[Event | RunEvent]:
    """Yield the events of a journal in order, without a torn last line.

    Raises:
        JournalError: a line other than the last cannot be read; the message has its number.
    """
    return read_lines(path, event_from_json)


def read_history(path: Path, before: int | None = None) -> History:
    """Return the history of a journal, up to the start of trial `before` if it is given.

    Raises:
        JournalError: the journal cannot be read, or contradicts itself.
    """
    history = History([])
    collecting = gc.isenabled()
    gc.disable()  # thousands of records without a cycle: the collector would take a fifth of the time
    try:
        for event in read_events(path):
            if isinstance(event, TrialStarted) and event.number == before:
                break
            if isinstance(event, RunEvent):
                history.run_events.all.append(event)
            else:
                history.add(event)
    finally:
        gc.freeze()  # nor does it have to scan them later
        if collecting:
            gc.enable()
    return history


def read_lines(path: Path, decoded: Callable[[dict[str, Any]], _Line]) -> Iterator[_Line]:
    """Yield the result of `decoded` for each line of a file such as a journal, in order, without a torn last line.

    Raises:
        JournalError: a line other than the last cannot be read; the message has its number.
    """
    try:
        content = read_bytes(path, _MOST_BYTES)
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
            made = decoded(data)
            check_types(made)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise _unreadable(path, number, error) from error
        yield made


def _unreadable(path: Path, number: int, error: Exception) -> JournalError:
    return JournalError(
        f"{path}, line {number}: not an event ({error}); "
        "restore the file from a backup, or inspect it with `agent log --verify`"
    )


def _cut_torn_tail(path: Path) -> int:
    """Cut a torn last line off; return the number of bytes removed."""
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
    """Return the length of a torn last line in bytes; 0 if the last line is complete."""
    data = read_bytes(path, _MOST_BYTES)
    end = data.rfind(b"\n") + 1
    if end == len(data) and end > 0:
        start = data.rfind(b"\n", 0, end - 1) + 1
        try:
            json.loads(data[start:end])
        except ValueError:
            end = start
    return len(data) - end
