"""Of a run that confirmed its gains on slices: replays and attributions open none, and a run from its trials may."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from agent.analysis.replay_verdict import CONFIRMS_NOTHING
from agent.store.git_repo import TrialRepo
from agent.store.run_config import load
from agent.task.task import Task
from agent.task.unseen.pool import pool_of_folder
from tests.kill_anywhere.killed_runs import ROOT, Zygote

pytestmark = pytest.mark.slow

TASK = ROOT / "tests" / "tasks" / "bigram_plain"
FROM = ["run", "--from", "r/1", "--mode", "random", "--trials", "3", "--name"]


def openings(process: Zygote) -> str:
    (path,) = process.folder.glob(".cache/autocentaur/bigram-pool-*/opened.jsonl")
    return path.read_text()


def repeat_of(process: Zygote, trial: int, seed: int) -> dict[str, Any]:
    lines = process.runs.run("r").journal.read_text().splitlines()
    events = [event for event in map(json.loads, lines) if event["event"] == "repeat_finished"]
    found: dict[str, Any] = next(e for e in events if (e["trial"], e["seed"]) == (trial, seed))
    return found


@pytest.mark.parametrize(("name", "seed"), [("r/7", 1), ("r/7", 100), ("r/0", 1)])
def test_a_replay_of_a_repeat_is_exact_audited_as_it_was_and_opens_no_slice(
    finished: Zygote, name: str, seed: int
) -> None:
    before = openings(finished)
    assert finished.agent("replay", name, "--seed", str(seed), "--json") == 0, finished.said
    document = json.loads(finished.said[finished.said.index("{") :])
    recorded = repeat_of(finished, int(name[2:]), seed)["outcome"]
    assert document["verdict"] == "reproduced exactly"
    assert document["replayed"]["val_loss"] == recorded["val_loss"]
    rounds = [outcome["score"]["evidence"]["rounds"] for outcome in (document["outcome"], recorded)]
    assert rounds == [1, 1]
    assert openings(finished) == before


@pytest.mark.parametrize("asked", [["r/7", "--seed", "1"], ["r/7"], ["r", "--all-kept"]], ids=" ".join)
def test_a_replay_says_that_it_confirms_nothing(finished: Zygote, asked: list[str]) -> None:
    assert finished.agent("replay", *asked) == 0, finished.said
    assert CONFIRMS_NOTHING in finished.said


def test_an_attribution_asks_only_the_standing_split(finished: Zygote) -> None:
    before = openings(finished)
    assert finished.agent("attribute", "r", "--seeds", "1") == 0, finished.said
    assert "losses are search losses, on the split that scores every trial; no slice confirms these effects" in (
        finished.said
    )
    assert openings(finished) == before


def test_a_run_from_a_trial_has_the_pool_of_the_tasks_folder(finished: Zygote) -> None:
    assert finished.agent(*FROM, "f") == 0, finished.said
    ours, theirs = (load(finished.runs.run(name).run_json) for name in ("f", "r"))
    assert (ours.pool, ours.n_slices, ours.keep_lead) == (theirs.pool, theirs.n_slices, theirs.keep_lead)
    assert ours.pool is not None
    assert finished.agent("resume", "f", "--trials", "4") == 0, finished.said
    committed = TrialRepo(finished.runs.repo).read("f/0000")
    assert "pool" not in committed["task.toml"].decode()
    assert "pool.py" not in committed


def moved(finished: Zygote, tmp_path: Path) -> Path:
    """Let the runs be of a copy of the task's folder, and return it."""
    task = tmp_path / "task"
    shutil.copytree(TASK, task, ignore=shutil.ignore_patterns("__pycache__"))
    path = finished.runs.run("r").run_json
    path.write_text(path.read_text().replace(str(TASK), str(task)))
    return task


def test_where_the_folder_prepares_other_data_gains_are_repeated_with_the_reason(
    finished: Zygote, tmp_path: Path
) -> None:
    task = moved(finished, tmp_path)
    (task / "prepare.py").write_text((task / "prepare.py").read_text() + "# another version\n")
    assert finished.agent(*FROM, "f") == 0, finished.said
    assert f"the pool of {task} is not used, because the task there prepares or scores other data" in finished.said
    assert "gains will be repeated, not confirmed" in finished.said
    assert load(finished.runs.run("f").run_json).pool is None


def test_where_the_folder_is_no_task_any_more_that_is_reported(finished: Zygote, tmp_path: Path) -> None:
    task = moved(finished, tmp_path)
    (task / "task.toml").write_text("[task\n")
    assert finished.agent(*FROM, "f") == 0, finished.said
    assert "the task's folder, which may declare a pool, cannot be read" in finished.said
    assert "Traceback" not in finished.said


def test_a_folder_without_a_pool_gives_none_and_nothing_is_printed(finished: Zygote, tmp_path: Path) -> None:
    task = moved(finished, tmp_path)
    lines = (task / "task.toml").read_text().splitlines(keepends=True)
    ours = ("pool", "slice_sequences")
    (task / "task.toml").write_text("".join(line for line in lines if not line.startswith(ours)))
    assert finished.agent(*FROM, "f") == 0, finished.said
    assert "gains will be repeated" not in finished.said
    assert load(finished.runs.run("f").run_json).pool is None


def test_the_pool_is_the_same_as_that_of_the_folder(bigram: Task) -> None:
    of_commit = Task(TASK, bigram.files, bigram.profile, as_is=True)
    assert of_commit.data.pool == ()
    assert pool_of_folder(of_commit) == ""
    assert (of_commit.data, of_commit.pool_files) == (bigram.data, bigram.pool_files)
    assert of_commit.digest == bigram.digest
