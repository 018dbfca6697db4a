"""`agent watch` and `agent log -f`: they show what a run adds, end with it, and change nothing."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agent.store.paths import RunPaths
from agent.store.run_lock import locked
from agent.trials.events import TrialFinished, TrialStarted
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
    assert (process.returncode, complaints) == (0, "")
    assert "2 trials" in rest


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


def test_a_log_that_follows_is_no_single_document(paths: RunPaths) -> None:
    process = watching(paths, "log", "made", "-f", "--json")
    _, complaints = process.communicate()
    assert (process.returncode, complaints.startswith("error: --follow prints rows as they come")) == (2, True)
