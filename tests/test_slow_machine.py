"""A machine that is slow for a while: killed and resumed it tells the same story, and no trial of that time counts."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from agent.execution.speed.drift import WIDEST
from tests.kill_anywhere.killed_runs import INSTANT, ROOT, Death, Zygote
from tests.test_kill_anywhere import KilledRuns

N_KILLS = 8
CLOCKED = ROOT / "tests" / "tasks" / "clocked"
# How slow the machine is follows from the journal alone, so that a run that is killed meets the same machine again.
CANARY = """
with open("/run-so-far/journal.jsonl") as journal:
    n_events = len(journal.readlines())
print(f"speed: {50 if n_events in (3, 4, 5, 9) else 100}")
"""
MACHINE = """
[environment]
mounts = [{ source = "~/runs/r", target = "/run-so-far" }]

[machine]
canary = ["python", "-I", "-S", "canary.py"]
pause_seconds = 0.01
"""


def events(journal: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """The instant task, with a canary of its own."""
    folder = Path(shutil.copytree(INSTANT, tmp_path / "task"))
    text = (folder / "task.toml").read_text()
    before, _, behind = text.partition("[machine]\n")
    text = before.replace('script = "train.py"', 'script = "train.py"\nfrozen = ["canary.py"]')
    (folder / "task.toml").write_text(text + MACHINE + behind.partition("\n")[2])
    (folder / "canary.py").write_text(CANARY)
    return folder


@pytest.mark.slow
def test_a_run_killed_while_the_machine_is_slow_ends_as_the_unbroken_one(warm: Zygote, task: Path) -> None:
    chance = random.Random("slow")
    runs = KilledRuns(warm, "random", 7, chance, ["--task", str(task)])
    recorded = [(event["event"], event.get("trial", event.get("number"))) for event in runs.unbroken["journal"]]
    assert recorded[2:7] == [("trial_started", 1), *[("attempt_voided", 1)] * 3, ("trial_finished", 1)]
    while runs.n_kills < N_KILLS:
        place = chance.choice(
            ["before fsync runs/r/journal.jsonl", "after fsync runs/r/journal.jsonl", "start sandbox"]
        )
        runs.die(Death(place, nth=chance.randrange(1, 9), whole_group=chance.random() < 0.5))
    runs.end()


@pytest.mark.long
def test_no_trial_counts_while_hogs_halve_the_machine(tmp_path: Path) -> None:
    """Busy processes at equal weight on every processor, from the second trial until an attempt is void."""
    journal = tmp_path / "runs" / "r" / "journal.jsonl"
    command = [sys.executable, "-m", "agent", "run", "--task", str(CLOCKED), "--mode", "random", "--trials", "5"]
    with (tmp_path / "said").open("w") as printed:
        run = subprocess.Popen([*command, "--name", "r"], cwd=tmp_path, stdout=printed, stderr=subprocess.STDOUT)
    hogs: list[subprocess.Popen[bytes]] = []
    hogged = range(0)
    try:
        while run.poll() is None:
            recorded = events(journal)
            if not hogs and any(event["event"] == "trial_finished" and event["number"] == 1 for event in recorded):
                n_hogs = 3 * len(os.sched_getaffinity(0))
                hogs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(n_hogs)]
                hogged = range(len(recorded), sys.maxsize)
            elif hogged.stop == sys.maxsize and any(
                event["event"] == "attempt_voided" for event in recorded[hogged.start :]
            ):
                hogged = range(hogged.start, len(recorded))
                for hog in hogs:
                    hog.kill()
            time.sleep(0.2)
    finally:
        for process in [run, *hogs]:
            process.kill()
            process.wait()
    output = (tmp_path / "said").read_text()
    print(output)
    if "cannot be compared here" in output or not hogs:  # it gave up before anything was done to the machine
        pytest.skip("this machine has no steady speed to begin with")
    recorded = events(journal)
    assert any(event["event"] == "attempt_voided" for event in recorded)
    losses = [event["outcome"] for event in recorded if event["event"] == "trial_finished"]
    assert all(abs(outcome["machine"].get("ratio", 1.0) - 1) < WIDEST for outcome in losses)
    during = [recorded[n]["event"] for n in hogged if n < len(recorded)]
    assert "trial_finished" not in during[: during.index("attempt_voided")]
