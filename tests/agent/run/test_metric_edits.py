"""Runs in which a model edits the line that prints a self-reported score."""

import json
import os
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests import commands

SCRIPT = """W = 2.0
V = 3.0
loss = W + V
print(f"val loss {loss:.4f}")
"""
TOML = """[task]
name = "tiny"
command = ["python", "-I", "-S", "train.py"]
[metric]
name = "val_loss"
[score]
kind = "printed"
line = "val loss {}"
[budget]
amount = 1.0
[limits]
wall_seconds = 60
memory_gb = 0.25
output_mb = 1
scratch_mb = 64
[machine]
canary = "off"
[keep]
rule = "any"
"""


def agent(*words: str, cwd: Path) -> CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(cwd / "home"), "LANG": "C.UTF-8", "AUTOCENTAUR_TRUST": "1"}
    return commands.agent(*words, cwd=cwd, env=environment)


def reply(title: str, old: str, new: str) -> str:
    return f"TITLE: {title}\n\n<<<<<<< SEARCH\n{old}\n=======\n{new}\n>>>>>>> REPLACE\n"


REPLIES = [
    reply("print half of it", 'print(f"val loss {loss:.4f}")', 'print(f"val loss {loss / 2:.4f}")'),
    reply("a smaller W", "W = 2.0", "W = 1.9"),
]


@pytest.fixture
def task(tmp_path: Path) -> Path:
    folder = tmp_path / "task"
    folder.mkdir()
    (folder / "train.py").write_text(SCRIPT)
    (folder / "task.toml").write_text(TOML)
    (folder / "replies.jsonl").write_text("".join(json.dumps({"reply": text}) + "\n" for text in REPLIES))
    return folder


def run(task: Path, *options: str) -> list[dict[str, Any]]:
    """Return the trials of a run in which the model gives the two replies."""
    words = ("--mode", "code-edit", "--model", "replay:task/replies.jsonl", "--trials", "3", "--name", "r", "--json")
    done = agent("run", "--task", "task", *words, *options, cwd=task.parent)
    assert done.returncode == 0, done.stderr
    trials: list[dict[str, Any]] = json.loads(done.stdout)["trials"]
    return trials


def test_a_trial_that_prints_another_number_is_flagged_and_never_kept(task: Path) -> None:
    _, forged, honest = run(task)
    assert (forged["status"], forged["kept"], forged["metric_edit"]) == ("ok", False, True)
    flag = "edits the code that reports the metric: line 4: print(f'val loss {loss / 2:.4f}')"
    assert forged["flags"][0] == flag
    assert (honest["kept"], honest["metric_edit"], honest["flags"], honest["parent"]) == (True, False, [], 0)
    log = agent("log", "r", cwd=task.parent).stdout
    assert "metric edit" in log
    assert "[edits the code that reports the metric" in log
    assert flag in agent("show", "r/1", cwd=task.parent).stdout
    assert "smaller W" not in agent("log", "r", "--status", "metric-edit", cwd=task.parent).stdout
    agent("report", "r", "--out", "page.html", cwd=task.parent)
    assert "edits the code that reports the metric" in (task.parent / "page.html").read_text()
    asked = (task.parent / "runs" / "r" / "trials" / "0002" / "llm.jsonl").read_text()
    assert "put it back: such a change is never kept" in asked
    assert "Leave the code that computes and prints it as it is" in asked


def test_a_person_may_accept_such_edits(task: Path) -> None:
    _, edited, honest = run(task, "--accept-metric-edits")
    assert (edited["kept"], edited["metric_edit"], len(edited["flags"])) == (True, False, 2)
    assert json.loads((task.parent / "runs" / "r" / "run.json").read_text())["config"]["accept_metric_edits"] is True
    assert honest["parent"] == 1
    assert honest["flags"][0].startswith("edits the code")  # it builds on the edit


def test_the_option_needs_a_self_reported_score(tmp_path: Path) -> None:
    done = agent("run", "--accept-metric-edits", "--mode", "random", "--trials", "1", cwd=tmp_path)
    assert done.returncode == 2
    assert "--accept-metric-edits: the host computes the score" in done.stderr
