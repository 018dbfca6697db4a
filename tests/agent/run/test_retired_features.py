"""Runs that used what has been deleted: `[memory] estimate`, `--prompt paper`, mode tpe-4. See the fixture's README."""

import json
import shutil
import tarfile
from pathlib import Path

import pytest

from agent.execution.environment import NAMES
from agent.report.html.charts.cma_states import search_states
from agent.store.stored_run import StoredRun
from agent.task.task import Task
from tests.conftest import TASKS
from tests.kill_anywhere.killed_runs import Zygote, contents_of
from tests.made_runs import BIGRAM

OLD = TASKS.parent / "fixtures" / "runs-2026-11-22"
ACCEPTED = [part for name in NAMES for part in ("--accept-changed", name)]  # this may be another machine
IGNORED = "task.toml: [memory] estimate has no effect any more and is ignored: [memory] terms, fitted to"


@pytest.fixture
def agent(warm: Zygote, tmp_path: Path) -> Zygote:
    """In a folder with the old runs, whose tasks lie beside them."""
    with tarfile.open(OLD / "runs.tar.xz") as tar:
        tar.extractall(tmp_path, filter="data")
    shutil.copytree(OLD / "tasks", tmp_path / "tasks")
    for path in (tmp_path / "runs").glob("*/run.json"):
        document = json.loads(path.read_text())
        document["config"]["task_folder"] = str(tmp_path / "tasks" / document["config"]["task_name"])
        path.write_text(json.dumps(document))
    return warm.within(tmp_path)


def with_memory(folder: Path, table: str) -> Path:
    task = Path(shutil.copytree(BIGRAM, folder / "task"))
    (task / "task.toml").write_text((task / "task.toml").read_text() + f"\n[memory]\n{table}\n")
    return task


@pytest.mark.parametrize(
    ("run", "has"),
    [
        ("tpe4", "--mode tpe-4, and only `python -m benchmarks.autoresearch` has that mode now"),
        ("paper", "--prompt paper, and that prompt no longer exists"),
    ],
)
def test_a_run_of_a_retired_mode_or_prompt_is_not_gone_on_with(agent: Zygote, run: str, has: str) -> None:
    before = contents_of(agent.runs, run)
    assert agent.agent("resume", run, "--trials", "9") == 2
    output = agent.said.strip().splitlines()
    assert len(output) == 1
    assert f"{run} cannot be resumed: it has {has}; " in output[0]
    assert contents_of(agent.runs, run) == before


def test_a_comparison_with_a_retired_mode_is_not_gone_on_with(agent: Zygote) -> None:
    shutil.copytree(agent.runs.run("tpe4").root, agent.runs.run("c-tpe-4-s0").root)
    config = json.loads(agent.runs.run("tpe4").run_json.read_text())["config"]
    before = json.dumps({"format": 1, "modes": ["tpe-4"], "seeds": 1, "config": {**config, "run_id": "c"}})
    path = agent.runs.run("c").comparison
    path.parent.mkdir()
    path.write_text(before)
    assert agent.agent("compare", "--resume", "c", "--trials", "9") == 2
    assert "c-tpe-4-s0 cannot be resumed: it has --mode tpe-4" in agent.said
    assert path.read_text() == before


def test_a_prompt_that_there_is_no_more_is_not_made_up(agent: Zygote) -> None:
    assert agent.agent("prompt", "paper/2") == 2
    assert "the prompts of paper cannot be rebuilt: it has --prompt paper" in agent.said
    assert agent.agent("show", "paper/2", "--exchange") == 0
    assert "CMA-ES covariance matrix (2x2)" in agent.said


def test_a_run_with_the_other_prompt_loses_that_field_alone(agent: Zygote) -> None:
    assert json.loads(agent.runs.run("cut").run_json.read_text())["config"]["prompt"] == "compact"
    assert not hasattr(StoredRun.find(agent.runs, "cut").config, "prompt")


def test_a_run_whose_task_estimated_memory_goes_on_and_says_so_once(agent: Zygote, tmp_path: Path) -> None:
    assert agent.agent("resume", "cut", *ACCEPTED) == 0, agent.said
    assert agent.said.count(IGNORED) == 1
    stored = StoredRun.find(agent.runs, "cut")
    assert search_states(stored, Task.load(tmp_path / "tasks" / "hungry"))[5].generation == 0


@pytest.mark.parametrize("table", ["estimate = ['python', 'e.py']", "estimate = 3\nlimit_gb = 2.0"])
def test_a_task_that_only_estimated_has_no_model_of_memory(tmp_path: Path, table: str) -> None:
    task = Task.load(with_memory(tmp_path, table))
    assert task.memory_model() is None
    assert [line.startswith(IGNORED) for line in task.retired] == [True]


def test_terms_are_learned_beside_an_estimate(tmp_path: Path) -> None:
    task = Task.load(with_memory(tmp_path, "estimate = ['python', 'e.py']\nterms = ['CHUNK']"))
    assert task.memory_model() is not None
    assert len(task.retired) == 1
