"""Runs with several workers that were stopped somewhere and resumed, and what must hold in the end.

The order in which trials end is not the same in two runs, so that there is no unbroken run to compare with.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from agent.store.git_repo import TrialRepo
from agent.store.journal import read_history
from tests.kill_anywhere.killed_runs import INSTANT, Zygote

CPUS = 0.2  # of each job: what two processors have for 8 of them
SECONDS = 0.3  # of each job, so that several are in flight when a process is stopped


def sleeping_task(folder: Path) -> Path:
    """Make the task in tests/tasks/instant, with jobs that sleep, and limits with which several fit any machine."""
    task = folder / "instant"
    shutil.copytree(INSTANT, task)
    toml = task / "task.toml"
    toml.write_text(toml.read_text().replace("[limits]", f"[limits]\ncpus = {CPUS}"))
    script = task / "train.py"
    script.write_text(script.read_text().replace("    print(", f"    __import__('time').sleep({SECONDS})\n    print("))
    return task


def lines_of(journal: Path) -> list[bytes]:
    """Return the complete lines of a journal."""
    return journal.read_bytes().split(b"\n")[:-1] if journal.exists() else []


def numbers(lines: list[bytes], what: str) -> list[int]:
    """Return the numbers of the trials that started, or finished, in the order of these lines of a journal."""
    events: list[dict[str, Any]] = [json.loads(line) for line in lines]
    return [event["number"] for event in events if event["event"] == f"trial_{what}"]


def n_in_flight(lines: list[bytes]) -> int:
    """Return how many trials had started and not finished, by these lines of a journal."""
    return len(numbers(lines, "started")) - len(numbers(lines, "finished"))


def check_whole(agent: Zygote, run_id: str, n_trials: int) -> None:
    """Check a finished run: each trial has one start, one end, one commit and a script of its own; `log --verify`."""
    runs = agent.runs
    lines = lines_of(runs.run(run_id).journal)
    assert numbers(lines, "started") == list(range(n_trials))
    assert sorted(numbers(lines, "finished")) == list(range(n_trials))
    history, repo = read_history(runs.run(run_id).journal), TrialRepo(runs.repo)
    assert history.repeating is None
    ran = [trial.proposal.fingerprint for trial in history.trials[1:] if trial.proposal.refused is None]
    assert len(set(ran)) == len(ran)
    assert sorted(repo.tags(run_id)) == list(range(n_trials))
    assert history.incumbent is not None
    assert repo.branch(run_id) == repo.tag(run_id, history.incumbent.number)
    assert agent.agent("log", "--verify", run_id) == 0, agent.said
