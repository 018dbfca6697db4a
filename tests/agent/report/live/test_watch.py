"""`agent watch` and `agent log -f`: they show what a run adds, end with it, and change nothing."""

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.execution.slots import Slot
from agent.report.live.recorder import WorkRecorder
from agent.store.paths import RunPaths, RunsFolder
from agent.store.run_lock import locked
from agent.store.stored_run import StoredRun
from agent.trials.events import TrialFinished, TrialStarted
from tests.conftest import SilentObserver
from tests.made_runs import BASELINE, BEGAN, made_run, scored, searched


def watching(paths: RunPaths, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "agent", *(words or ("watch", "made")), "--runs", str(paths.root.parent)]
    environment = {"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def until(process: subprocess.Popen[str], text: str) -> None:
    """Read what the process prints up to a line with `text`; it fails where the process ends before."""
    assert process.stdout is not None
    assert any(text in line for line in process.stdout)


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    return made_run(tmp_path / "runs", [BASELINE]).paths


@pytest.mark.parametrize("words", [("watch", "made"), ("log", "made", "-f"), ("log", "made", "-f", "--last", "1")])
def test_it_shows_what_is_added_and_ends_with_the_run(paths: RunPaths, words: tuple[str, ...]) -> None:
    with locked(paths):
        process = watching(paths, *words)
        until(process, "baseline")
        at = BEGAN.isoformat()
        events = [TrialStarted(1, 0, searched(0.25), at), TrialFinished(1, scored(2.5, kept=True), at)]
        with paths.journal.open("a") as journal:
            journal.writelines(json.dumps(event.to_json()) + "\n" for event in events)
        until(process, "MIX 0.25")
        assert process.poll() is None
    rest, complaints = process.communicate()
    code = 1 if words[0] == "watch" else 0  # it has no process any more, and budget left
    assert (process.returncode, complaints) == (code, "")
    assert "2 trials" in rest
    assert f"the run is interrupted; `agent resume made --runs {paths.root.parent}` continues it" in rest


def test_ctrl_c_leaves_the_run_as_it_was(paths: RunPaths) -> None:
    with locked(paths):
        before = {path: path.stat().st_mtime_ns for path in paths.root.rglob("*")}
        process = watching(paths)
        until(process, "baseline")
        process.send_signal(signal.SIGINT)
        _, complaints = process.communicate()
        assert (process.returncode, complaints) == (130, "")
        assert {path: path.stat().st_mtime_ns for path in paths.root.rglob("*")} == before


def test_a_log_that_follows_shows_only_what_fits(paths: RunPaths) -> None:
    with locked(paths):
        process = watching(paths, "log", "made", "-f", "--kept")
        until(process, "baseline")
        at = BEGAN.isoformat()
        lost = [TrialStarted(1, 0, searched(0.25), at), TrialFinished(1, scored(3.5), at)]
        events = [*lost, TrialStarted(2, 0, searched(0.5), at), TrialFinished(2, scored(2.5, kept=True), at)]
        with paths.journal.open("a") as journal:
            journal.writelines(json.dumps(event.to_json()) + "\n" for event in events)
        assert process.stdout is not None
        assert "MIX 0.5" in process.stdout.readline()
    rest, _ = process.communicate()
    assert process.returncode == 0
    assert "3 trials" in rest


def test_it_says_on_a_terminal_what_each_worker_does_and_what_was_interrupted(paths: RunPaths) -> None:
    at = datetime.now(UTC).isoformat()
    events = [TrialStarted(1, 0, searched(0.25), at, n_seen=1), TrialStarted(2, 0, searched(0.5), at, n_seen=1)]
    with paths.journal.open("a") as journal:
        journal.writelines(json.dumps(event.to_json()) + "\n" for event in events)
    for number in (1, 2):
        paths.trial(number).root.mkdir(parents=True)
        paths.trial(number).log.write_text(f"step 1\nloss of {number}: 3.5\n")
    trials = StoredRun.find(RunsFolder(paths.root.parent), "made").history.in_flight
    with locked(paths), terminal(["watch", "made", "--runs", str(paths.root.parent)], 78) as screen:
        recorder = WorkRecorder(SilentObserver(), paths, "codex")
        recorder.started(trials[1], Slot(0, ("0",)))
        recorder.started(trials[2], Slot(1, ("1",)))
        screen.until("trial 2: training, MIX 0.5")
        screen.until("loss of 2: 3.5")
        recorder.scoring(trials[2])
        screen.until("trial 2: scoring")
        recorder.proposing(3)
        screen.until("trial 3: codex proposes")
        assert "run made, mode random, running" in screen.shown
        assert re.search(r"  gpu 0   0:0\d:\d\d  trial 1: training, MIX 0.25\s", screen.shown)
        assert "interrupted" not in screen.shown
    shown = screen.rest()
    assert screen.process.returncode == 1
    assert "run made, mode random, interrupted" in shown
    assert "trials 1 and 2 were interrupted; `agent resume made --runs" in shown
    assert re.search(r"\s1 +interrupted ", shown)
    assert not re.search(r"running|scoring|proposes", shown.rpartition("run made, mode random, interrupted")[2])


@pytest.mark.parametrize("columns", [30, 60])
def test_a_narrow_terminal_cuts_what_is_in_flight(paths: RunPaths, columns: int) -> None:
    with locked(paths), terminal(["watch", "made", "--runs", str(paths.root.parent)], columns) as screen:
        recorder = WorkRecorder(SilentObserver(), paths, "a coding agent with a long name of many words")
        recorder.proposing(1)
        screen.until("trial 1:")
        screen.until("…")
    assert max(len(line) for line in screen.rest().splitlines()) <= columns


def test_a_run_that_is_done_ends_well(tmp_path: Path) -> None:
    paths = made_run(tmp_path / "runs", [BASELINE], options={"trials": 1}).paths
    process = watching(paths)
    output, complaints = process.communicate()
    assert (process.returncode, complaints) == (0, "")
    assert "interrupted" not in output


class Screen:
    """A command on a terminal, and all that it has printed, without styles."""

    def __init__(self, process: "subprocess.Popen[bytes]", fd: int) -> None:
        self.process = process
        self.shown = ""
        self._fd = fd

    def until(self, text: str) -> None:
        """Read until the text is there; it fails where the command ends before."""
        while text not in self.shown:
            assert self._more(), self.shown

    def rest(self) -> str:
        """Return all that it has printed at its end."""
        while self._more():
            pass
        self.process.wait()
        return self.shown

    def _more(self) -> bool:
        try:
            chunk = os.read(self._fd, 65536).decode(errors="replace")
        except OSError:  # EIO: nobody has the terminal open any more
            return False
        self.shown += re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", chunk).replace("\r", "\n")
        return bool(chunk)


@contextmanager
def terminal(argv: list[str], columns: int) -> Iterator[Screen]:
    """Run a command on a terminal of so many columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environment = {"PATH": os.environ["PATH"], "TERM": "xterm-256color"}
    command = [sys.executable, "-m", "agent", *argv]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    try:
        yield Screen(process, ours)
    except BaseException:
        process.kill()
        raise


def test_a_log_that_follows_is_no_single_document(paths: RunPaths) -> None:
    process = watching(paths, "log", "made", "-f", "--json")
    _, complaints = process.communicate()
    assert (process.returncode, complaints.startswith("error: --follow prints rows as they come")) == (2, True)
