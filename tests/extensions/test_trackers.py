"""A tracker of one file and one row gets the values of a run, from `agent run --track` and from `agent track`."""

import csv
import json
import os
from pathlib import Path

import pytest

from agent.errors import UsageError
from agent.report.trackers import kinds
from tests.extensions import csv_tracker
from tests.extensions.conftest import Agent, trials_of
from tests.kill_anywhere.killed_runs import INSTANT, ROOT

WITH_THE_ROW = """
from agent.report.trackers import kinds
from tests.extensions import csv_tracker
kinds.TRACKERS[csv_tracker.ROW.name] = csv_tracker.ROW
"""


@pytest.fixture(autouse=True)
def table(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(kinds.TRACKERS, csv_tracker.ROW.name, csv_tracker.ROW)
    return csv_tracker.ROW.name


def rows(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def test_it_gets_the_values_of_a_run(agent: Agent, table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The tracker has a process of its own, which finds the row by sitecustomize.
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(WITH_THE_ROW)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "site"), str(ROOT)]))
    search = ["--task", str(INSTANT), "--mode", "random", "--name", "r", "--trials", "3"]
    output = agent("run", *search, "--track", table)
    expected = [[str(t["number"]), str(t["val_loss"]), t["status"]] for t in trials_of(agent, "r")]
    assert rows(tmp_path / "runs" / "r" / "table" / "trials.csv") == expected
    assert f"3 trials of r are in {table}: " in output
    assert f"are in {table}: mine.csv" in agent("track", "r", "--to", table, "--uri", "mine.csv")
    assert rows(tmp_path / "mine.csv") == expected


def test_what_there_is_not_is_refused_with_what_there_is(agent: Agent) -> None:
    with pytest.raises(UsageError, match="there is no tracker 'comet'; use one of mlflow, tensorboard, wandb, table"):
        agent("run", "--task", str(INSTANT), "--mode", "random", "--trials", "1", "--track", "comet")


def test_a_run_is_resumed_without_a_tracker_that_is_not_here(agent: Agent, tmp_path: Path) -> None:
    agent("run", "--task", str(INSTANT), "--mode", "random", "--name", "r", "--trials", "2")
    path = tmp_path / "runs" / "r" / "run.json"
    document = json.loads(path.read_text())
    document["config"]["track"] = ["../comet"]
    path.write_text(json.dumps(document))
    output = agent("resume", "r", "--trials", "3")
    assert (
        "there is no tracker '../comet'; use one of mlflow, tensorboard, wandb, table; the run continues without it"
        in output
    )
    assert len(trials_of(agent, "r")) == 3
    assert not (tmp_path / "runs" / "comet.log").exists()
