"""Whole runs on a cluster, for the tests of each place: real processes in one folder, and a run that loses a node."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from agent import resources
from agent.store.journal import read_history
from agent.store.paths import RunsFolder
from agent.trials.history import History
from tests.commands import agent
from tests.contracts.sandbox_contract import wait_until

CANARY = "do-not-let-this-leave"


class LosableNodes(Protocol):
    """A cluster of the tests."""

    def busy(self) -> list[str]:
        """Return the nodes that have jobs."""
        ...

    def lose_node(self, node: str) -> None:
        """Kill all processes of a node, as when its power fails."""
        ...


class OnCluster:
    """Runs in one folder, of real processes."""

    def __init__(self, folder: Path, place: str, variables: Mapping[str, str]) -> None:
        """`place`: as in --on; `variables`: by which the cluster is found."""
        self.folder = folder
        self.place = place
        self.env = {
            "PATH": os.environ["PATH"],
            "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", ""),
            "HOME": os.environ["HOME"],
            "AUTOCENTAUR_TRUST": "1",
            "OPENAI_API_KEY": CANARY,
            **variables,
        }
        self.env = {name: value for name, value in self.env.items() if value}
        self._started: list[subprocess.Popen[str]] = []

    def close(self) -> None:
        """Kill what still runs, as after a failed check."""
        for process in self._started:
            process.kill()
            process.wait()

    def start(self, *argv: str) -> "subprocess.Popen[str]":
        """Start `agent ARGV` in a process of its own, whose output goes to a file."""
        with (self.folder / "said").open("a") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "agent", *argv],
                cwd=self.folder,
                env=self.env,
                stdout=output,
                stderr=output,
                text=True,
            )
        self._started.append(process)
        return process

    def completed(self, *argv: str) -> "subprocess.CompletedProcess[str]":
        return agent(*argv, cwd=self.folder, env=self.env)

    def history(self, run: str) -> History:
        return read_history(RunsFolder(self.folder / "runs").run(run).journal)

    def has_begun(self, run: str, n_finished: int) -> bool:
        """Whether so many trials have ended, and others are in flight."""
        journal = self.folder / "runs" / run / "journal.jsonl"
        if not journal.exists():
            return False
        history = self.history(run)
        return len(history.by_finish) >= n_finished and len(history.in_flight) > 1

    @property
    def said(self) -> str:
        return (self.folder / "said").read_text()

    def trials(self, run: str) -> Mapping[int, object]:
        return {
            trial.number: (trial.proposal.params, trial.outcome and (trial.outcome.status, trial.outcome.val_loss))
            for trial in self.history(run).trials
        }


def patient_bundled_task(folder: Path) -> Path:
    """Write the bundled task with limits that no load of this machine reaches: the nodes share its processors."""
    task = folder / "bundled"
    shutil.copytree(resources.folder("train_template"), task)
    toml = (task / "task.toml").read_text()
    for old, new in (("wall_seconds = 600", "wall_seconds = 36000"), ("[score]\n", "[score]\ncost_factor = 1000\n")):
        assert toml.count(old) == 1, old
        toml = toml.replace(old, new)
    (task / "task.toml").write_text(toml)
    return task


def as_at_home(on: OnCluster, cluster: LosableNodes, options: tuple[str, ...], *, patience: float = 600.0) -> None:
    """Check a run of eight trials, four at once, that is killed and loses a node against one on this machine.

    Args:
        patience: seconds to wait for a few of its trials.
    """
    common = ("--mode", "random", "--trials", "8", "--no-confirm", *options)
    running = on.start("run", *common, "--name", "far", "--on", on.place, "--workers", "4")
    wait_until(lambda: running.poll() is not None or on.has_begun("far", 2), patience)
    assert running.poll() is None, on.said
    os.kill(running.pid, signal.SIGKILL)
    running.wait()

    resumed = on.start("resume", "far")
    n_before = len(on.history("far").by_finish)
    wait_until(
        lambda: resumed.poll() is not None or (on.has_begun("far", n_before + 1) and bool(cluster.busy())), patience
    )
    assert resumed.poll() is None, on.said
    cluster.lose_node(cluster.busy()[0])
    assert resumed.wait() == 0, on.said

    at_home = on.completed("run", *common, "--name", "home")
    assert at_home.returncode == 0, at_home.stderr
    assert on.trials("far") == on.trials("home")
    assert len(on.trials("far")) == 8
    far = on.history("far")
    assert any(trial.lost for trial in far.trials), on.said
    assert not (on.folder / "runs/far/jobs").exists()
    assert CANARY not in "".join(
        path.read_text(errors="replace") for path in (on.folder / "runs/far").rglob("*") if path.is_file()
    )
    verified = on.completed("log", "far", "--verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
