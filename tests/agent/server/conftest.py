"""A run of mode `submitted` on a task of milliseconds, as its clients see it; its runner is a real process."""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from agent.execution.host import Host
from agent.server.client_run import ClientRun
from agent.server.runner import Runner
from agent.store.paths import RunsFolder
from agent.store.run_lock import holder
from agent.task.task import Task
from agent.trials.budget import Budget
from tests import commands
from tests.kill_anywhere.killed_runs import INSTANT

MINUTES = 5.0  # how long a test waits for other processes, on any machine


def until_true(is_true: Callable[[], bool]) -> None:
    """Wait until something is true; fail if it never is."""
    end = time.monotonic() + 60 * MINUTES
    while not is_true():
        assert time.monotonic() < end, f"not true after {MINUTES:g} minutes"
        time.sleep(0.02)


@dataclass(frozen=True)
class Place:
    """A folder of runs, the environment of all processes in it, and the run `r`."""

    folder: Path
    environment: dict[str, str]
    n_trials: int = 100

    @property
    def options(self) -> list[str]:
        """The options of `agent mcp` and `agent run` for the run."""
        return ["--name", "r", "--task", str(INSTANT), "--runs", str(self.runs), "--trials", str(self.n_trials)]

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    def client(self, **changes: Any) -> ClientRun:
        """Return the run as a new client sees it."""
        runs = RunsFolder(self.runs)
        host = Host(self.environment, self.folder / "cache", lambda _line: None)
        runner = Runner(runs.run("r"), ["run", "--mode", "submitted", *self.options], self.environment)
        values = {"task": Task.load(INSTANT), "budget_at_start": Budget(trials=self.n_trials), **changes}
        return ClientRun(runs, "r", host=host, runner=runner, **values)

    def agent(self, *argv: str) -> CompletedProcess[str]:
        """Run a command on the folder of runs."""
        return commands.agent(*argv, cwd=self.folder, env=self.environment)

    def script(self, width: float) -> str:
        """Return the script with another width: the best is 0.7."""
        return (INSTANT / "train.py").read_text().replace("WIDTH = 2.0", f"WIDTH = {width}")

    def quiet(self) -> None:
        """Wait until no runner is at work."""
        paths = RunsFolder(self.runs).run("r")
        until_true(lambda: holder(paths) is None)


def place_in(folder: Path, n_trials: int = 100) -> Place:
    own = {"HOME": str(folder), "AUTOCENTAUR_CACHE": str(folder / "cache"), "AUTOCENTAUR_TRUST": "1"}
    return Place(folder, {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **own}, n_trials)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = place_in(tmp_path)
    yield made
    made.quiet()


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A run with a baseline, a trial that was kept, and one that was not; nothing is at work on it."""
    made = place_in(tmp_path_factory.mktemp("begun"))
    client = made.client()
    client.begin()
    for title, script in (("narrower", made.script(0.83)), ("wider", made.script(3.0))):
        receipt = client.submit(client.record("a test"), title, script=script)
        assert receipt.submission is not None
        while not client.wait(receipt.submission).is_final:
            pass
    made.quiet()
    yield made
    made.quiet()


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], None]:
    """Return a function that waits until something is true."""
    return until_true
