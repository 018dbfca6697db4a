"""What a run is doing at this moment, as other processes see it: `work.json`, which the process at work rewrites.

The journal has what must survive a kill; this file has what only matters while the process lives, such as whether a
trial is trained or scored, and where. It counts while its process has the run open. A folder can come from a stranger,
so what it says is checked and printable.
"""

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

from agent.errors import UnsafeFileError
from agent.execution.placement.queue_waits import read_waits
from agent.files import plain_file, read_json
from agent.report import trial_table
from agent.report.html.texts.terminal_log import terminal_lines
from agent.store.paths import RunPaths
from agent.store.stored_run import StoredRun
from agent.text import local_time, one_line, read_tail
from agent.trials.json_fields import check_types
from agent.trials.metric import Metric
from agent.trials.repeat import Repeat
from agent.trials.trial import Trial

_MOST_BYTES = 2**20
_TAIL_CHARACTERS, _TAIL_LINES = 4_000, 20  # of a log, among which the last line with text is
_LINE_CHARACTERS = 160
_MOST_IN_SHORT = 3
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
    """One line about what a run is doing, for a terminal or a page. Its texts are printable."""

    subject: str  # `trial 7`, `trial 7 again`, `slice 3`; empty: an idle worker
    phase: str  # `training`, `scoring`, `idle`, `codex proposes`; empty: it has just ended
    began: datetime | None = None  # None: unknown
    title: str = ""  # of the trial, while it is trained or waits
    log: Path | None = None  # of the script
    slot: int | None = None  # number of the worker; None: none is held
    place: str = ""  # device of the worker

    @property
    def what(self) -> str:
        """The line without time and place: `trial 7: training, MIX 0.25`."""
        begin = ": ".join(filter(None, (self.subject, self.phase)))
        return f"{begin}, {self.title}" if self.title else begin

    def seconds(self, now: datetime) -> float | None:
        """Return the time since it began, at least 0; None if that is unknown."""
        return None if self.began is None else max(0.0, (now - self.began).total_seconds())

    def last_log_line(self) -> str | None:
        """Return the last line of its log as a terminal shows it, cut to 160 characters; None if there is no log."""
        try:
            if self.log is None or not plain_file(self.log).exists():
                return None
            shown = terminal_lines(read_tail(self.log)[-_TAIL_CHARACTERS:], _TAIL_LINES)
        except (OSError, UnsafeFileError):
            return None
        texts = (one_line(line.text) for line in reversed(shown))
        return next((text[:_LINE_CHARACTERS] for text in texts if text), "no output")


def proposing_text(number: int, who: str) -> str:
    """Return who proposes a trial: `trial 8: codex proposes`."""
    return _proposing(number, who).what


def training_text(trial: Trial) -> str:
    return _training(trial).what


def scoring_text(what: Trial | Repeat) -> str:
    return _scoring(what).what


def repeat_text(repeat: Repeat, metric: Metric) -> str:
    return _repeat(repeat, metric).what


def slice_text(number: int, models: str) -> str:
    return WorkLine(f"slice {number}", models).what


def work_summary(lines: Sequence[WorkLine]) -> str:
    """Return the lines in short: `trial 7: training; trial 8: scoring`; idle workers and titles are left out."""
    known = [f"{line.subject}: {line.phase}" if line.phase else line.subject for line in lines if line.subject]
    more = f"; {len(known) - _MOST_IN_SHORT} more" if len(known) > _MOST_IN_SHORT else ""
    return "; ".join(known[:_MOST_IN_SHORT]) + more


def work_lines(stored: StoredRun, pid: int) -> list[WorkLine]:
    """Return what a run is doing, a line each: its workers in order, then what waits, proposals and slices.

    `pid`: of the process that works on it.
    """
    work = Work.read(stored.paths, pid)
    if work is None:  # of an earlier version, or it has not begun
        work = Work(pid)
    waits = _waits(stored)
    held = {item.worker: _line(item, work, stored, waits) for item in work.items if item.worker is not None}
    lines = [
        held.get(number) or WorkLine("", "idle", slot=number, place=device)
        for number, device in sorted(work.devices.items())
    ]
    running = {item.number for item in work.items if item.about == "trial"}
    for trial in stored.history.in_flight.values():
        if trial.number not in running:
            lines.append(_waiting_line(trial, stored, is_known=work.devices != {}))
    if (repeat := stored.history.repeating) is not None and all(item.about != "repeat" for item in work.items):
        log = stored.paths.trial(repeat.trial).repeat(repeat.seed).log
        lines.append(replace(_repeat(repeat, stored.metric), began=local_time(repeat.started_at), log=log))
    return lines + [_line(item, work, stored, waits) for item in work.items if item.worker is None]


def _proposing(number: int, who: str) -> WorkLine:
    return WorkLine(f"trial {number}", f"{who} proposes" if who else "proposing")


def _training(trial: Trial) -> WorkLine:
    return WorkLine(f"trial {trial.number}", "training", title=one_line(trial.proposal.title))


def _scoring(what: Trial | Repeat) -> WorkLine:
    return WorkLine(f"trial {what.trial} again" if isinstance(what, Repeat) else f"trial {what.number}", "scoring")


def _repeat(repeat: Repeat, metric: Metric) -> WorkLine:
    return WorkLine(f"trial {repeat.trial} again", trial_table.purpose(repeat, metric))


def _line(item: WorkItem, work: Work, stored: StoredRun, waits: Mapping[str, str]) -> WorkLine:
    """Return the line about an item; the journal, which may be a moment behind or ahead, has its title.

    Args:
        waits: why jobs wait for a cluster, by label.
    """
    history, log = stored.history, None
    trial, repeat = history.in_flight.get(item.number), history.repeating
    if item.about == "proposal":
        line = _proposing(item.number, one_line(item.detail))
    elif item.about == "slice":
        line = WorkLine(f"slice {item.number}", one_line(item.detail))
    elif item.about == "repeat" and repeat is not None and repeat.trial == item.number:
        line = _scoring(repeat) if item.phase == "scoring" else _repeat(repeat, stored.metric)
        log = stored.paths.trial(repeat.trial).repeat(repeat.seed).log
    elif item.about == "trial" and trial is not None:
        line = _scoring(trial) if item.phase == "scoring" else _training(trial)
        log = stored.paths.trial(trial.number).log
    else:  # it has just ended
        line = WorkLine(f"trial {item.number}", "")
    if item.about in ("trial", "repeat"):
        job = f"{stored.run_id}/{item.number:04d}/"
        why = next((why for label, why in waits.items() if label.startswith(job)), None)
        line = replace(line, phase=f"waits {why}") if why is not None else line
    device = "" if item.worker is None else work.devices.get(item.worker, "")
    return replace(line, began=local_time(item.since), log=log, slot=item.worker, place=device)


def _waits(stored: StoredRun) -> Mapping[str, str]:
    """Return why jobs of the run wait for a cluster, by label."""
    try:
        return read_waits(stored.paths.jobs)
    except UnsafeFileError:  # its folder is a link
        return {}


def _waiting_line(trial: Trial, stored: StoredRun, *, is_known: bool) -> WorkLine:
    """Return the line about a trial in flight that holds no worker; `is_known`: the process says what it does."""
    waits, log = trial.waits_for_approval, None
    phase = trial_table.WAITS if waits else "waits for a worker" if is_known else "running"
    if phase == "running":
        log = stored.paths.trial(trial.number).log
    return WorkLine(f"trial {trial.number}", phase, local_time(trial.started_at), one_line(trial.proposal.title), log)
