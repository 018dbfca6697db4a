"""What `agent run` prints about a run as a whole: its budget, its expected end, how far it is, and what to do next."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.agent.report.test_terminal import printed_on_terminal
from tests.kill_anywhere.killed_runs import INSTANT, Zygote
from tests.made_runs import BASELINE, made_run, scored, searched

AGENT = [sys.executable, "-m", "agent"]
TIME = r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun)? ?\d\d:\d\d"


@pytest.fixture
def at(warm: Zygote, tmp_path: Path) -> Zygote:
    return warm.within(tmp_path)


def lines_of(at: Zygote, *argv: str) -> list[str]:
    assert at.agent(*argv) == 0, at.said
    return at.said.splitlines()


def started(at: Zygote, name: str, *options: str) -> list[str]:
    return lines_of(at, "run", "--task", str(INSTANT), "--mode", "random", "--name", name, *options)


def test_the_heading_has_the_budget_and_when_it_will_be_spent(at: Zygote) -> None:
    first = started(at, "r", "--trials", "2")
    assert first[0].startswith("run r: mode random, task instant")
    assert first[1] == "budget: 2 trials; its baseline will show when it ends"
    assert re.fullmatch(rf"trial 1 of 2, best 1.93, ends about {TIME}", first[4])
    later = started(at, "s", "--trials", "2", "--wall", "8h")
    assert re.fullmatch(
        rf"budget: 2 trials, 8.0 h of wall time; ends about {TIME} if its trials take as long as those of r", later[1]
    )
    assert re.fullmatch(rf"budget: 3 trials; ends about {TIME}", lines_of(at, "resume", "r", "--trials", "3")[1])


def test_a_run_without_a_budget_says_that_100_trials_are_the_default(at: Zygote) -> None:
    """It is stopped once it has said so."""
    folder = str(at.runs.root)
    argv = ["run", "--task", str(INSTANT), "--mode", "random", "--name", "r", "--runs", folder]
    variables = {"PATH": os.environ["PATH"], "HOME": str(at.folder), "AUTOCENTAUR_TRUST": "1", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen([*AGENT, *argv], stdout=subprocess.PIPE, text=True, env=variables) as run:
        assert run.stdout is not None
        run.stdout.readline()
        second = run.stdout.readline()
        run.terminate()
    assert second.startswith("budget: 100 trials (the default; --trials, --budget and --wall set others); ")


def test_the_last_line_names_the_best_trial_and_the_page(at: Zygote) -> None:
    lines = started(at, "r", "--trials", "3")
    best = next(line.split()[0] for line in lines if " provisional " in line)
    assert lines[-1] == f"next: agent show r/{best} · agent report · agent log --graph · agent best"


def test_on_a_terminal_the_last_line_says_how_far_the_run_is(tmp_path: Path) -> None:
    argv = ["run", "--task", str(INSTANT), "--mode", "random", "--trials", "3", "--runs", str(tmp_path / "runs")]
    variables = {"HOME": str(tmp_path), "AUTOCENTAUR_TRUST": "1", "LANG": "C.UTF-8"}
    shown = printed_on_terminal(argv, 80, **variables)
    assert re.search(rf"trial 3 of 3, best 0.59599 \(−69.1 %\), ends about {TIME}", shown)
    assert "all 3 trials are done" in shown
    plain = printed_on_terminal([*argv, "--name", "dumb"], 80, **variables, TERM="dumb")
    assert "\x1b" not in plain
    assert re.search(rf"trial 1 of 3, best 1.93, ends about {TIME}", plain)


def test_under_a_closed_umask_trials_run(at: Zygote) -> None:
    """Root runs jobs as another user, who must be able to read the files that the tool makes for them."""
    before = os.umask(0o077)
    try:
        program = [*AGENT, "run", "--task", str(INSTANT), "--mode", "random", "--trials", "2", "--name", "r"]
        variables = {"PATH": os.environ["PATH"], "HOME": str(at.folder), "AUTOCENTAUR_TRUST": "1"}
        done = subprocess.run(program, cwd=at.folder, env=variables, capture_output=True, text=True, check=False)
    finally:
        os.umask(before)
    assert done.returncode == 0, done.stderr
    assert "all 2 trials are done" in done.stdout


def test_a_long_check_shows_on_a_terminal_what_it_is_at(tmp_path: Path) -> None:
    results = [BASELINE, *((searched(n / 100), scored(3.5)) for n in range(1, 20))]
    stored = made_run(tmp_path / "runs", results, all_commits=True)
    argv = ["log", "--verify", "made", "--runs", str(stored.runs.root)]
    shown = printed_on_terminal(argv, 80)
    assert "checking commit 20 of 20" in shown
    assert "checking the files of trial 7 of 20" in shown
    assert "checking" not in printed_on_terminal(argv, 80, TERM="dumb")
