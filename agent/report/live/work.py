"""What a run is doing at this moment, as other processes see it: `work.json`, which the process at work rewrites.

The journal has what must survive a kill; this file has what only matters while the process lives, such as whether a
trial is trained or scored, and where. It counts while its process has the run open. A folder can come from a stranger,
so what it says is checked and printable.
"""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from agent.errors import UnsafeFileError
from agent.files import plain_file, read_json
from agent.report import trial_table
from agent.store.paths import RunPaths
from agent.store.stored_run import StoredRun
from agent.text import local_time, one_line
from agent.trials.json_fields import check_types
from agent.trials.metric import Metric
from agent.trials.repeat import Repeat
from agent.trials.trial import Trial

_MOST_BYTES = 2**20
Phase = Literal["proposing", "training", "scoring", "comparing"]


@dataclass(frozen=True)
class WorkItem:
    """One thing that a run is doing."""

    about: Literal["proposal", "trial", "repeat", "slice"]
    number: int  # of the trial, or of the slice
    phase: Phase
    since: str  # ISO 8601, UTC: when it began, or got its worker
    worker: int | None = None  # number of the slot that it holds
    detail: str = ""  # who proposes; the models on a slice


@dataclass(frozen=True)
class Work:
    """All that a run is doing, and the devices of the workers that have had a trial."""

    pid: int | None = None  # of the process at work; None: unknown
    items: tuple[WorkItem, ...] = ()
    devices: Mapping[int, str] = field(default_factory=dict)  # by number of the worker: "gpu 0", "cpu 0-3", "cpu"

    def write(self, paths: RunPaths) -> None:
        """Replace the file of a run. A full disk, or a folder in its place, stops no run: the file stays as it was."""
        with suppress(OSError, UnsafeFileError):
            temporary = plain_file(paths.work.with_name(f"{paths.work.name}.tmp"))
            temporary.write_text(json.dumps(asdict(self)), encoding="utf-8")
            os.replace(temporary, paths.work)  # never torn, and not durable: after a crash nobody needs it

    @classmethod
    def read(cls, paths: RunPaths, pid: int) -> "Work | None":
        """Return what the process `pid` has written; None if it has written nothing, or the file is damaged."""
        try:
            data = read_json(paths.work, _MOST_BYTES)
            items = tuple(WorkItem(**item) for item in data["items"])
            for item in items:
                check_types(item)
            devices = {int(number): one_line(str(device)) for number, device in data["devices"].items()}
            return cls(pid, items, devices) if data["pid"] == pid else None
        except (OSError, UnsafeFileError, ValueError, TypeError, KeyError, AttributeError):
            return None


@dataclass(frozen=True)
class WorkLine:
    """One line about what a run is doing, for a terminal or a page."""

    place: str  # device of the worker; empty: none is held
    what: str  # one printable line
    seconds: float | None  # since it began; None: unknown
    log: Path | None = None  # of the script


def proposing_text(number: int, who: str) -> str:
    """Return who proposes a trial: `trial 8: codex proposes`."""
    return f"trial {number}: {who} proposes" if who else f"trial {number}: proposing"


def training_text(trial: Trial) -> str:
    return f"trial {trial.number}: training, {one_line(trial.proposal.title)}"


def scoring_text(what: Trial | Repeat) -> str:
    return f"trial {what.trial} again: scoring" if isinstance(what, Repeat) else f"trial {what.number}: scoring"


def repeat_text(repeat: Repeat, metric: Metric) -> str:
    return f"trial {repeat.trial} again: {trial_table.purpose(repeat, metric)}"


def slice_text(number: int, models: str) -> str:
    return f"slice {number}: {models}"


def work_lines(stored: StoredRun, pid: int, now: datetime) -> list[WorkLine]:
    """Return what a run is doing, a line each: its workers in order, then what waits, proposals and slices.

    Args:
        pid: of the process that works on it.
        now: with a time zone.
    """
    work = Work.read(stored.paths, pid)
    if work is None:  # of an earlier version, or it has not begun
        work = Work(pid)
    held = {item.worker: _line(item, work, stored, now) for item in work.items if item.worker is not None}
    lines = [held.get(number) or WorkLine(device, "idle", None) for number, device in sorted(work.devices.items())]
    running = {item.number for item in work.items if item.about == "trial"}
    for trial in stored.history.in_flight.values():
        if trial.number not in running:
            lines.append(_waiting_line(trial, stored, now, is_known=work.devices != {}))
    if (repeat := stored.history.repeating) is not None and all(item.about != "repeat" for item in work.items):
        log = stored.paths.trial(repeat.trial).repeat(repeat.seed).log
        lines.append(WorkLine("", repeat_text(repeat, stored.metric), _seconds(repeat.started_at, now), log))
    return lines + [_line(item, work, stored, now) for item in work.items if item.worker is None]


def _line(item: WorkItem, work: Work, stored: StoredRun, now: datetime) -> WorkLine:
    """Return the line about an item; the journal, which may be a moment behind or ahead, has its title."""
    device = "" if item.worker is None else work.devices.get(item.worker, "")
    history, log = stored.history, None
    trial, repeat = history.in_flight.get(item.number), history.repeating
    if item.about == "proposal":
        what = proposing_text(item.number, one_line(item.detail))
    elif item.about == "slice":
        what = slice_text(item.number, one_line(item.detail))
    elif item.about == "repeat" and repeat is not None and repeat.trial == item.number:
        what = scoring_text(repeat) if item.phase == "scoring" else repeat_text(repeat, stored.metric)
        log = stored.paths.trial(repeat.trial).repeat(repeat.seed).log
    elif item.about == "trial" and trial is not None:
        what = scoring_text(trial) if item.phase == "scoring" else training_text(trial)
        log = stored.paths.trial(trial.number).log
    else:  # it has just ended
        what = f"trial {item.number}"
    return WorkLine(device, what, _seconds(item.since, now), log)


def _waiting_line(trial: Trial, stored: StoredRun, now: datetime, *, is_known: bool) -> WorkLine:
    """Return the line about a trial in flight that holds no worker; `is_known`: the process says what it does."""
    title = one_line(trial.proposal.title)
    if trial.waits_for_approval:
        return WorkLine("", f"trial {trial.number} {trial_table.WAITS}: {title}", _seconds(trial.started_at, now))
    if is_known:
        return WorkLine("", f"trial {trial.number} waits for a worker: {title}", _seconds(trial.started_at, now))
    log = stored.paths.trial(trial.number).log
    return WorkLine("", f"trial {trial.number}: running, {title}", _seconds(trial.started_at, now), log)


def _seconds(since: str, now: datetime) -> float | None:
    """Return the time since a recorded moment in seconds, at least 0; None if it is no time."""
    began = local_time(since)
    return None if began is None else max(0.0, (now - began).total_seconds())
