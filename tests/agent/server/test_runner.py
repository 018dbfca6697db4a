"""The process in the background: one at a time, it outlives the client, and its failures reach the client."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from agent.server.runner import MOST_FAILURES, MOST_LOG_BYTES, Runner, RunnerError
from agent.store.paths import RunsFolder
from agent.store.run_lock import holder, locked
from tests.agent.server.conftest import Place

Until = Callable[[Callable[[], bool]], None]


def runner(place: Place, *start: str) -> Runner:
    return Runner(place.client().paths, start or ["run", "--mode", "submitted", *place.options], place.environment)


def test_it_starts_the_run_and_then_resumes_it(place: Place, until: Until) -> None:
    paths = place.client().paths
    RunsFolder(place.runs).prepare()
    runner(place).ensure()
    until(lambda: "paused: nothing is submitted" in (paths.runner_log.read_text() if paths.runner_log.exists() else ""))
    place.quiet()
    (begun,) = [line for line in paths.journal.read_text().splitlines() if '"trial_started"' in line]
    again = runner(place, "run", "--no-such-option")  # not used: the run exists
    again.ensure()
    until(lambda: paths.runner_log.read_text().count("paused: nothing is submitted") == 2)
    assert begun in paths.journal.read_text()


def test_it_starts_none_while_another_process_is_at_work(place: Place) -> None:
    RunsFolder(place.runs).prepare()
    paths = place.client().paths
    with locked(paths):
        runner(place).ensure()
        assert not paths.runner_log.exists()


def test_a_package_of_our_name_in_the_clients_folder_is_not_run(
    place: Place, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    RunsFolder(place.runs).prepare()
    theirs = place.folder / "theirs" / "agent"
    theirs.mkdir(parents=True)
    for name in ("__init__.py", "__main__.py"):
        (theirs / name).write_text("print('theirs')\n")
    monkeypatch.chdir(theirs.parent)
    runner(place).ensure()
    log = place.client().paths.runner_log
    until(lambda: log.exists() and ("paused" in log.read_text() or "theirs" in log.read_text()))
    assert "theirs" not in log.read_text()


def test_after_failures_it_tells_the_end_of_the_log(place: Place, until: Until) -> None:
    RunsFolder(place.runs).prepare()
    failing = runner(place, "run", "--no-such-option")
    log = place.client().paths.runner_log
    with pytest.raises(RunnerError, match=r"the run cannot continue: `agent run` has no option --no-such-option"):  # noqa: PT012
        while True:
            failing.ensure()
            time.sleep(0.02)
    assert len(log.read_text().splitlines()) == MOST_FAILURES
    with pytest.raises(RunnerError, match="no submission is lost"):
        failing.ensure()  # and starts no third one
    assert len(log.read_text().splitlines()) == MOST_FAILURES
    runner(place).ensure()  # a new client may try again
    until(lambda: "paused" in log.read_text())


def test_a_large_log_is_begun_anew(place: Place, until: Until) -> None:
    log = place.client().paths.runner_log
    RunsFolder(place.runs).prepare()
    log.parent.mkdir()
    log.write_bytes(b"x" * (MOST_LOG_BYTES - 1) + b"\n")
    runner(place, "--version").ensure()
    until(lambda: log.stat().st_size < 100)


def test_it_outlives_the_client_and_a_signal_to_its_group(place: Place, until: Until) -> None:
    program = (
        "import sys, os, signal, pathlib\nfrom agent.server.runner import Runner\n"
        "from agent.store.paths import RunsFolder\n"
        "root = pathlib.Path(sys.argv[1])\nRunsFolder(root).prepare()\n"
        "Runner(RunsFolder(root).run('r'), sys.argv[2:], dict(os.environ)).ensure()\n"
        "os.killpg(0, signal.SIGKILL)"
    )
    arguments = ["run", "--mode", "submitted", *place.options]
    ended = subprocess.run(
        [sys.executable, "-c", program, str(place.runs), *arguments],
        env={**place.environment, "PYTHONPATH": os.getcwd()}, check=False, start_new_session=True,
    )  # fmt: skip
    assert ended.returncode == -signal.SIGKILL
    paths = place.client().paths
    until(lambda: paths.runner_log.exists() and "paused" in paths.runner_log.read_text())
    place.quiet()
    assert holder(paths) is None
    assert place.client().existing().history.incumbent is not None
