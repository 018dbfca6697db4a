"""work.json: what a run is doing, written by the process at work and read by others."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.edits.assignments import Assignments
from agent.execution.placement.queue_waits import QueueWaits
from agent.execution.slots import Slot
from agent.modes.proposer import Context
from agent.report.live.recorder import WorkRecorder
from agent.report.live.work import Work, WorkItem, work_lines, work_summary
from agent.run.loop import run_trials
from agent.run.open_run import Run
from agent.store.paths import RunPaths
from agent.store.stored_run import StoredRun
from agent.trials.events import TrialStarted
from agent.trials.keeping.confirmations import SlicePurpose, SliceUse
from agent.trials.keeping.keep_rule import KeepRule
from agent.trials.machine_speed import VoidedAttempt
from agent.trials.repeat import Purpose, Repeat
from agent.trials.trial import Origin, Proposal, Trial
from tests.conftest import SilentObserver
from tests.made_runs import BASELINE, BEGAN, made_run, searched

NOW = BEGAN + timedelta(minutes=5)


class Reader(SilentObserver):
    """Reads the file at each event, as another process would."""

    def __init__(self, paths: RunPaths) -> None:
        super().__init__()
        self.seen: list[tuple[str, list[str]]] = []
        self._paths = paths

    def _read(self, event: str) -> None:
        work = Work.read(self._paths, os.getpid())
        assert work is not None
        self.seen.append((event, [f"{item.about} {item.number}: {item.phase}" for item in work.items]))

    def proposing(self, number: int) -> None:
        self._read("proposing")

    def started(self, trial: Trial, slot: Slot) -> None:
        self._read("started")

    def scoring(self, what: Trial | Repeat) -> None:
        self._read("scoring")

    def finished(self, trial: Trial, previous: Trial | None) -> None:
        self._read("finished")

    def repeating(self, repeat: Repeat, slot: Slot) -> None:
        self._read("repeating")

    def repeated(self, repeat: Repeat, trial: Trial) -> None:
        self._read("repeated")


class Better:
    def propose(self, _context: Context) -> Proposal:
        return Proposal(Origin.SEARCHER, "better", Assignments({"MIX": 0.9, "SMOOTHING": 1.0, "STRIDE": 1}))


def test_the_file_of_a_real_run_says_at_each_event_what_it_does(open_run: Callable[..., Run]) -> None:
    run = open_run(Better(), trials=2, rule=KeepRule(sigma=0.001))
    reader = Reader(run.paths)
    run.observer = WorkRecorder(reader, run.paths)
    run_trials(run)
    assert reader.seen[:6] == [
        ("started", ["trial 0: training"]),
        ("scoring", ["trial 0: scoring"]),
        ("finished", []),
        ("proposing", ["proposal 1: proposing"]),
        ("started", ["trial 1: training"]),
        ("scoring", ["trial 1: scoring"]),
    ]
    assert ("repeating", ["repeat 1: training"]) in reader.seen
    assert ("scoring", ["repeat 1: scoring"]) in reader.seen
    assert reader.seen[-1] == ("repeated", [])


@pytest.fixture
def stored(tmp_path: Path) -> StoredRun:
    """A run with trial 1 and trial 2 in flight."""
    found = made_run(tmp_path / "runs", [BASELINE])
    at = BEGAN.isoformat()
    events = [TrialStarted(1, 0, searched(0.25), at, n_seen=1), TrialStarted(2, 0, searched(0.5), at, n_seen=1)]
    with found.paths.journal.open("a") as journal:
        journal.writelines(json.dumps(event.to_json()) + "\n" for event in events)
    return found.again()


def recorded(stored: StoredRun) -> WorkRecorder:
    return WorkRecorder(SilentObserver(), stored.paths, "codex", now=(NOW - timedelta(seconds=65)).isoformat)


def lines(stored: StoredRun) -> list[tuple[str, str, float | None]]:
    return [(line.place, line.what, line.seconds(NOW)) for line in work_lines(stored, os.getpid())]


def test_there_is_a_line_for_each_worker_and_for_what_waits_and_is_proposed(stored: StoredRun) -> None:
    recorder, trials = recorded(stored), stored.history.in_flight
    recorder.started(trials[1], Slot(1, ("1",)))
    recorder.started(stored.trial(0), Slot(0, ("0",)))
    recorder.finished(stored.trial(0), None)
    recorder.scoring(trials[1])
    recorder.proposing(3)
    assert lines(stored) == [
        ("gpu 0", "idle", None),
        ("gpu 1", "trial 1: scoring", 65.0),
        ("", "trial 2: waits for a worker, MIX 0.5", 300.0),
        ("", "trial 3: codex proposes", 65.0),
    ]


def test_in_short_there_are_phases_without_titles(stored: StoredRun) -> None:
    recorder, trials = recorded(stored), stored.history.in_flight
    recorder.started(trials[1], Slot(1, ("1",)))
    recorder.started(trials[2], Slot(0, ("0",)))
    recorder.scoring(trials[1])
    recorder.proposing(3)
    short = "trial 2: training; trial 1: scoring; trial 3: codex proposes"
    assert work_summary(work_lines(stored, os.getpid())) == short
    recorder.slice_opened(SliceUse(4, SlicePurpose.CONFIRM, {}, 0, BEGAN.isoformat()))
    assert work_summary(work_lines(stored, os.getpid())) == f"{short}; 1 more"


@pytest.mark.parametrize(
    ("log", "line"),
    [
        (None, None),
        ("", "no output"),
        ("step 1\n\n  \n", "step 1"),
        ("\r 10%|# |\r 20%|## |", "20%|## |"),
        ("\x1b[31mred\x1b[0m loss\n", "red loss"),
        ("first\nsecond\x1b[1A\x1b[2Kthird\n", "second"),
        ("bell \x07 and \u202e\n", "bell \\x07 and \\u202e"),
        ("x" * 50_000, "x" * 160),
    ],
)
def test_the_last_line_of_a_log_is_as_a_terminal_shows_it(stored: StoredRun, log: str | None, line: str) -> None:
    recorded(stored).started(stored.history.in_flight[1], Slot(0))
    if log is not None:
        stored.paths.trial(1).root.mkdir(parents=True)
        stored.paths.trial(1).log.write_text(log)
    assert work_lines(stored, os.getpid())[0].last_log_line() == line


def test_after_a_void_attempt_it_is_trained_again(stored: StoredRun) -> None:
    recorder, trials = recorded(stored), stored.history.in_flight
    recorder.started(trials[1], Slot(0))
    recorder.scoring(trials[1])
    recorder.voided(VoidedAttempt("slow", trained=True, seconds=1.0, at=BEGAN.isoformat()), 1)
    assert ("cpu", "trial 1: training, MIX 0.25", 65.0) in lines(stored)


def test_a_trial_whose_job_waits_for_a_cluster_says_why(stored: StoredRun) -> None:
    recorder = recorded(stored)
    recorder.started(stored.history.in_flight[1], Slot(0, cluster="slurm"))
    recorder.started(stored.history.in_flight[2], Slot(1, cluster="slurm"))
    stored.paths.jobs.mkdir()
    waits = QueueWaits(stored.paths.jobs, lambda _line: None)
    waits.begin(f"{stored.run_id}/0001/train", "in the cluster's queue: no node is free (Resources)")
    shown = "trial 1: waits in the cluster's queue: no node is free (Resources), MIX 0.25"
    assert lines(stored) == [("slurm", shown, 65.0), ("slurm", "trial 2: training, MIX 0.5", 65.0)]
    waits.end(f"{stored.run_id}/0001/train")
    assert lines(stored)[0] == ("slurm", "trial 1: training, MIX 0.25", 65.0)


@pytest.mark.parametrize("kind", ["damaged", "a list", "a link", "a linked folder"])
def test_a_file_of_waiting_jobs_from_a_stranger_is_no_trouble(stored: StoredRun, tmp_path: Path, kind: str) -> None:
    recorded(stored).started(stored.history.in_flight[1], Slot(0))
    other = tmp_path / "other"
    other.mkdir()
    (other / "waiting.json").write_text(json.dumps({f"{stored.run_id}/0001/train": "for ever"}))
    jobs = stored.paths.root / "jobs"
    if kind == "a linked folder":
        jobs.symlink_to(other)
    else:
        jobs.mkdir()
        if kind == "a link":
            (jobs / "waiting.json").symlink_to(other / "waiting.json")
        else:
            (jobs / "waiting.json").write_text({"damaged": "{", "a list": "[1]"}[kind])
    assert lines(stored)[0] == ("cpu", "trial 1: training, MIX 0.25", 65.0)


def test_a_repeat_that_has_just_ended_is_named(stored: StoredRun) -> None:
    recorder = recorded(stored)
    recorder.repeating(Repeat(0, 1, Purpose.BASELINE, BEGAN.isoformat()), Slot(0))
    assert lines(stored)[0] == ("cpu", "trial 0", 65.0)


@pytest.mark.parametrize(
    "text",
    [
        None, "", "{", "[]", "null", '{"pid": 1}', '{"pid": PID, "items": 3, "devices": {}}',
        '{"pid": PID, "items": [{"about": "trial"}], "devices": {}}',
        '{"pid": PID, "items": [], "devices": {"x": 1}}',
        '{"pid": PID, "items": [{"about": "trial", "number": "1", "phase": "training", "since": "", "worker": 0}], '
        '"devices": {}}',
        '{"pid": PID, "items": [{"about": "tiral", "number": 1, "phase": "training", "since": ""}], "devices": {}}',
    ],
)  # fmt: skip
def test_without_a_sound_file_of_that_process_what_is_in_flight_runs(stored: StoredRun, text: str | None) -> None:
    if text is not None:
        stored.paths.work.write_text(text.replace("PID", str(os.getpid())))
    assert lines(stored) == [
        ("", "trial 1: running, MIX 0.25", 300.0),
        ("", "trial 2: running, MIX 0.5", 300.0),
    ]


def test_the_file_of_another_process_does_not_count(stored: StoredRun) -> None:
    recorded(stored).started(stored.history.in_flight[1], Slot(0))
    assert Work.read(stored.paths, os.getpid()) is not None
    assert Work.read(stored.paths, os.getpid() + 1) is None


def test_a_link_in_its_place_is_not_read(stored: StoredRun, tmp_path: Path) -> None:
    target = tmp_path / "other.json"
    target.write_text(json.dumps({"pid": os.getpid(), "items": [], "devices": {"0": "gpu 0"}}))
    stored.paths.root.joinpath("work.json").symlink_to(target)
    assert Work.read(stored.paths, os.getpid()) is None


def test_what_the_file_says_cannot_steer_a_terminal(stored: StoredRun) -> None:
    item = {"about": "proposal", "number": 3, "phase": "proposing", "since": "never", "detail": "a\x1b[2J\nb"}
    text = json.dumps({"pid": os.getpid(), "items": [item], "devices": {"0": "\x1b[31mgpu"}})
    stored.paths.work.write_text(text)
    shown = lines(stored)
    assert shown[0] == ("[31mgpu", "idle", None)
    assert shown[-1] == ("", "trial 3: a [2J b proposes", None)


@pytest.mark.parametrize("kind", ["folder", "link"])
def test_what_lies_in_its_place_is_left_alone_and_stops_no_run(stored: StoredRun, tmp_path: Path, kind: str) -> None:
    temporary, mine = stored.paths.root / "work.json.tmp", tmp_path / "mine"
    mine.write_text("mine")
    if kind == "folder":
        temporary.mkdir()
    else:
        temporary.symlink_to(mine)
    Work(os.getpid(), (WorkItem("trial", 1, "training", datetime.now(UTC).isoformat()),)).write(stored.paths)
    assert not stored.paths.work.exists()
    assert mine.read_text() == "mine"
