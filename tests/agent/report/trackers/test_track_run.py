"""Searches with a tracker beside them: it follows by itself, and its failures are no concern of the search."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from agent.errors import UsageError
from agent.report.trackers.updating import exclusive
from agent.store.journal import read_history
from agent.store.paths import RunPaths
from tests import commands

INSTANT = Path(__file__).parents[3] / "tasks" / "instant"
pytest.importorskip("tensorboardX", reason="pip install tensorboardX")
Agent = Callable[..., CompletedProcess[str]]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8"}


@pytest.fixture
def agent(environment: dict[str, str], tmp_path: Path) -> Agent:
    def run(*args: str, **extra: str) -> CompletedProcess[str]:
        return commands.agent(*args, cwd=tmp_path, env={**environment, **extra})

    return run


def search(agent: Agent, *args: str, **extra: str) -> CompletedProcess[str]:
    words = ("run", "--task", str(INSTANT), "--mode", "random", "--keep", "any", "--trials", "3", "--name", "r")
    return agent(*words, *args, **extra)


def steps(paths: RunPaths) -> list[int]:
    """Return the trials that the event files hold, in the order in which they were written."""
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for path in sorted((paths.root / "tensorboard").glob("events.*")):
        data = path.read_bytes()
        while data:  # TFRecord: length, its checksum, the event, its checksum
            size = int.from_bytes(data[:8], "little")
            event = Event.FromString(data[12 : 12 + size])
            found += [event.step for value in event.summary.value if value.tag == "kept"]
            data = data[16 + size :]
    return found


def wait_until_free(paths: RunPaths, kind: str) -> None:
    """Wait for the tracker's process to end: it holds a lock for as long as it lives."""
    for _ in range(6000):
        try:
            with exclusive(paths, kind):
                return
        except UsageError:
            time.sleep(0.1)
    raise AssertionError(f"the process that writes to {kind} does not end")


@pytest.mark.slow
def test_a_tracker_follows_a_run_and_its_resume(agent: Agent, tmp_path: Path) -> None:
    paths = RunPaths(tmp_path / "runs" / "r")
    done = search(agent, "--track", "tensorboard")
    assert done.returncode == 0, done.stderr
    assert "tensorboard" in done.stdout
    wait_until_free(paths, "tensorboard")
    assert steps(paths) == [0, 1, 2]
    assert agent("resume", "r", "--trials", "5").returncode == 0
    wait_until_free(paths, "tensorboard")
    assert steps(paths) == [0, 1, 2, 3, 4]
    done = agent("track", "r", "--to", "tensorboard")
    assert done.stdout == f"5 trials of r are in tensorboard: tensorboard --logdir {paths.root}/tensorboard\n"
    assert steps(paths) == [0, 1, 2, 3, 4]


def test_a_tracker_that_is_not_there_is_reported_before_anything_starts(agent: Agent, tmp_path: Path) -> None:
    done = search(agent, "--track", "comet")
    assert done.returncode == 2
    assert "there is no tracker 'comet'" in done.stderr
    done = agent("track", "--to", "comet")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert not (tmp_path / "runs" / "r").exists()


@pytest.mark.long
def test_a_server_that_is_gone_is_reported_once_and_the_run_is_whole(agent: Agent, tmp_path: Path) -> None:
    pytest.importorskip("mlflow", reason="pip install mlflow-skinny")
    gone = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    done = search(agent, "--track", "mlflow", **gone)
    assert done.returncode == 0, done.stderr
    assert "all 3 trials are done" in done.stdout
    assert done.stdout.count("mlflow is ") == 1  # still catching up, or not up to date: as quick as it was
    paths = RunPaths(tmp_path / "runs" / "r")
    wait_until_free(paths, "mlflow")
    assert "mlflow: " in (paths.root / "mlflow.log").read_text()
    store = {"MLFLOW_TRACKING_URI": (tmp_path / "mlruns").as_uri(), "MLFLOW_ALLOW_FILE_STORE": "true"}
    done = agent("track", "--to", "mlflow", **store)
    assert done.stdout.startswith("3 trials of r are in mlflow: MLflow at file://"), done.stderr


@pytest.mark.long
def test_after_a_kill_the_tracker_catches_up_and_ends(environment: dict[str, str], tmp_path: Path) -> None:
    words = ("run", "--task", str(INSTANT), "--mode", "random", "--keep", "any", "--trials", "5000", "--name", "r")
    command = [sys.executable, "-m", "agent", *words, "--track", "tensorboard"]
    paths = RunPaths(tmp_path / "runs" / "r")
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL)
    written = paths.root / "tensorboard"  # by the tracker's own process, which takes its time to start
    while not (any(written.glob("events.*")) and len(paths.results_tsv.read_text().splitlines()) > 4):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_until_free(paths, "tensorboard")
    n_finished = len(read_history(paths.journal).trials)
    assert steps(paths)[: n_finished - 1] == list(range(n_finished - 1))  # the last may not have its commit
