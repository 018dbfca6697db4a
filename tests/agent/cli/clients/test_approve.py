"""`agent run --approve` in one process, and a person who decides from other ones."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from agent.errors import UsageError
from agent.run.steering.approvals import MOST_CHARACTERS, decide
from agent.store.inbox.inbox import Inbox
from agent.store.journal import read_history
from agent.store.paths import RunsFolder
from agent.store.stored_run import StoredRun
from tests.commands import agent
from tests.kill_anywhere.killed_runs import INSTANT

ENVIRONMENT = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "AUTOCENTAUR_TRUST": "1"}
RUN = ("run", "--task", str(INSTANT), "--mode", "random", "--name", "r")
Command = Callable[..., CompletedProcess[str]]


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return lambda *argv: agent(*argv, cwd=tmp_path, env=ENVIRONMENT)


class Runner:
    """A run in a process of its own."""

    def __init__(self, folder: Path, command: Sequence[str] = (*RUN, "--trials", "4", "--approve")) -> None:
        """`command`: of `agent`; it begins or resumes the run r."""
        self._runs = RunsFolder(folder / "runs")
        self.said = folder / "said"
        with self.said.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "agent", *command],
                stdout=output,
                stderr=output,
                cwd=folder,
                env={**ENVIRONMENT, "HOME": str(folder)},
            )

    def until_waiting(self, number: int) -> None:
        """Return once that trial waits for approval."""
        journal = self._runs.run("r").journal
        while True:
            assert self.process.poll() is None, self.said.read_text()
            in_flight = read_history(journal).in_flight if journal.exists() else {}
            is_waiting = number in in_flight and in_flight[number].waits_for_approval
            if is_waiting and f"trial {number} waits for approval" in self.said.read_text():  # journaled, then printed
                return
            time.sleep(0.05)


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    runner = Runner(tmp_path)
    yield runner
    runner.process.kill()
    runner.process.wait()


@pytest.mark.slow
def test_a_person_decides_about_each_proposal_from_another_terminal(command: Command, runner: Runner) -> None:
    runner.until_waiting(1)
    assert re.search(r"^    1 +waits for approval ", command("log", "r").stdout, re.MULTILINE)
    (listed,) = json.loads(command("log", "r", "--json", "--status", "waits_for_approval").stdout)["trials"]
    assert (listed["number"], listed["status"], listed["waits_for_approval"], listed["approval"]) == (
        1,
        None,
        True,
        None,
    )
    shown, changed = command("show", "r/1").stdout, command("diff", "r/1").stdout
    assert "nobody has decided yet: `agent approve r/1` or `agent refuse r/1`" in shown
    assert changed.startswith("diff --git a/train.py b/train.py\n--- a/train.py\n+++ b/train.py\n@@ ")
    assert changed in shown
    refused = command("refuse", "r/1", "--because", "too\x1b[2J wide")
    assert refused.stdout == f"trial 1 of r is refused; process {runner.process.pid} acts on it\n"

    runner.until_waiting(2)
    assert changed == "".join(
        line for line in command("diff", "r/1").stdout.splitlines(keepends=True) if not line.startswith("index ")
    )
    one = json.loads(command("show", "r/1", "--json").stdout)
    assert (one["status"], one["reason"], one["train_seconds"]) == ("refused", "a person refused it: too [2J wide", 0)
    assert (one["approval"]["is_approved"], one["approval"]["by"]) == (False, "person")
    document = json.loads(command("approve", "r/2", "--json").stdout)
    assert document == {"version": 1, "run": "r", "trial": 2, "is_approved": True, "open_by": runner.process.pid}

    runner.until_waiting(3)
    runner.process.send_signal(signal.SIGINT)
    assert runner.process.wait() == 130
    output = runner.said.read_text()
    assert [output.count(f"trial {number} waits for approval") for number in (0, 1, 2, 3)] == [0, 1, 1, 1]
    assert "  agent show r/3 · agent approve r/3 · agent refuse r/3\n" in output
    assert "trial 3 waits for approval; `agent resume r` runs it once approved" in command("log", "r").stdout
    approved = command("approve", "r/3")
    assert approved.stdout.endswith("no process works on the run: `agent resume r` continues it\n")
    again = command("refuse", "r/3")
    assert (again.returncode, again.stderr.count("\n")) == (2, 1)
    assert "trial 3 of r was approved already" in again.stderr

    resumed = command("resume", "r")
    assert (resumed.returncode, resumed.stderr) == (0, "")
    history = read_history(Path(runner.said.parent / "runs" / "r" / "journal.jsonl"))
    assert [trial.status for trial in history.trials] == ["ok", "refused", "ok", "ok"]
    assert command("log", "--verify", "r").returncode == 0
    assert "1 refused" in command("log", "r").stdout
    assert command("report", "r").returncode == 0
    for name, reason in [
        ("r/0", "trial 0 of r has finished"),
        ("r/1", "trial 1 of r was refused already"),
        ("r/3", "trial 3 of r was approved already"),
        ("r/9", "r has no trial 9; it has 0 to 3"),
        ("other/1", "there is no run 'other'"),
        ("r/x", "is not a trial"),
    ]:
        failed = command("approve", name)
        assert (failed.returncode, failed.stdout, failed.stderr.count("\n")) == (2, "", 1), name
        assert reason in failed.stderr


def test_a_run_that_is_left_alone_refuses_and_ends(command: Command) -> None:
    ended = command(*RUN, "--trials", "3", "--approve", "--approve-within", "0.1s", "--json")
    assert ended.returncode == 0
    trials = json.loads(ended.stdout)["trials"]
    assert [trial["status"] for trial in trials] == ["ok", "refused", "refused"]
    assert trials[2]["reason"] == "nobody approved it within 0 s"
    assert "trial 2 waits for approval" in ended.stderr


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--approve-within", "30m"], "--approve-within 30m: add --approve, or leave it out"),
        (["--approve", "--approve-within", "soon"], "'soon' is not a duration"),
        (["--approve", "--approve-within", "0"], "'0' is not a duration"),
    ],
)
def test_a_wrong_option_is_one_line(command: Command, options: list[str], reason: str) -> None:
    failed = command(*RUN, *options)
    assert (failed.returncode, failed.stderr.count("\n")) == (2, 1)
    assert reason in failed.stderr


def test_a_decision_that_cannot_be_taken_is_not_sent(command: Command, runner: Runner, tmp_path: Path) -> None:
    runner.until_waiting(1)
    failed = command("refuse", "r/1", "--because", "x" * (MOST_CHARACTERS + 1))
    assert (failed.returncode, "shorten it to at most 500" in failed.stderr) == (2, True)
    runs = RunsFolder(tmp_path / "runs")
    if os.geteuid() == 0:  # only root can give the run to another user
        os.chown(runs.run("r").journal, 4321, -1)
        with pytest.raises(UsageError, match="r belongs to user 4321"):
            decide(StoredRun.find(runs, "r"), 1, is_approved=True)
    assert not list(Inbox(runs.run("r").inbox).messages("approval"))


def test_a_run_without_approvals_has_nothing_to_approve(command: Command) -> None:
    assert command(*RUN, "--trials", "2").returncode == 0
    failed = command("approve", "r/1")
    assert (failed.returncode, failed.stderr.count("\n")) == (2, 1)
    assert "trial 1 of r has finished" in failed.stderr
