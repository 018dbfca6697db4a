"""Runs of a task scored by predictions, by the command: what is scored, what is confirmed, resumed and replayed."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests import commands

pytestmark = pytest.mark.slow

DIGITS = Path(__file__).parents[3] / "examples" / "digits"
Agent = Callable[..., CompletedProcess[str]]


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "AUTOCENTAUR_CACHE": str(tmp_path / "cache"),
        "LANG": "C.UTF-8",
    }
    return lambda *args: commands.agent(*args, cwd=tmp_path, env=environment)


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """The digits, with a baseline that has learned next to nothing, and values that are all better."""
    folder = tmp_path / "task"
    shutil.copytree(DIGITS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    text = (folder / "task.toml").read_text()
    text = text.replace("amount = 2000", "amount = 400\ncpu_factor = 30").partition("[space]")[0]
    space = '[space]\nLEARNING_RATE = { type = "float", low = 0.0005, high = 0.25, log = true }\n'
    (folder / "task.toml").write_text(f"{text}[values]\nLEARNING_RATE = 0.0005\n\n[noise]\nsigma = 0.01\n\n{space}")
    return folder


def outcomes(folder: Path, name: str) -> list[dict[str, Any]]:
    lines = (folder / "runs" / name / "journal.jsonl").read_text().splitlines()
    return [json.loads(line)["outcome"] for line in lines if '"trial_finished"' in line]


def config(folder: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "runs" / name / "run.json").read_text())["config"]
    return found


def test_a_gain_is_confirmed_on_examples_that_no_trial_is_scored_on(agent: Agent, task: Path, tmp_path: Path) -> None:
    run = ("run", "--task", str(task), "--mode", "random")
    done = agent(*run, "--trials", "5", "--name", "d")
    assert done.returncode == 0, done.stderr
    asked = config(tmp_path, "d")
    assert (asked["n_slices"], asked["rounded"]) == (4, True)
    (kept,) = (tmp_path / "cache").glob("rows-*/division.json")
    assert all(outcome["conditions"]["rows"] == asked["pool"] for outcome in outcomes(tmp_path, "d"))
    assert all(outcome["score"]["evidence"] == {"examples": 1000} for outcome in outcomes(tmp_path, "d"))
    trials = json.loads(agent("log", "d", "--json").stdout)["trials"]
    assert "confirmed" in [trial["standing"] for trial in trials[1:]]
    events = [json.loads(line) for line in (tmp_path / "runs" / "d" / "journal.jsonl").read_text().splitlines()]
    scored = [event["score"] for event in events if event["event"] == "slice_scored"]
    assert scored
    assert all(not score.get("burned_by") for score in scored)
    leads = [lead for score in scored for pair, lead in score["leads"].items() if pair == "challenger-baseline"]
    assert all(mean > 2 * error > 0 for mean, error in leads)
    assert not list((tmp_path / "runs" / "d").rglob("labels*"))

    replayed = agent("replay", "d/1")
    assert "reproduced exactly" in replayed.stdout, replayed.stdout + replayed.stderr
    assert agent("resume", "d", "--trials", "6").returncode == 0
    assert outcomes(tmp_path, "d")[5]["score"]["evidence"] == {"examples": 1000}

    # Without the division nothing of the run can be scored, and no other one is drawn in its place.
    kept.rename(tmp_path / "division.json")
    resumed = agent("resume", "d", "--trials", "7")
    assert (resumed.returncode, resumed.stderr.count("\n")) == (2, 1)
    assert f"the slices of digits are not those that d began with (digest {asked['pool']} → none)" in resumed.stderr
    replayed = agent("replay", "d/1")
    assert replayed.returncode != 0
    assert "d/1 was scored on part of the validation examples, and no division in" in replayed.stderr
    assert not kept.exists()
    (tmp_path / "division.json").rename(kept)
    assert agent("resume", "d", "--trials", "7").returncode == 0


def test_a_run_without_slices_scores_all_examples_before_and_after_a_resume(
    agent: Agent, task: Path, tmp_path: Path
) -> None:
    done = agent("run", "--task", str(task), "--mode", "random", "--no-confirm", "--trials", "2", "--name", "d")
    assert done.returncode == 0, done.stderr
    # As run.json of an earlier version, which knew neither.
    path = tmp_path / "runs" / "d" / "run.json"
    document = json.loads(path.read_text())
    for name in ("pool", "n_slices", "rounded", "confirm"):
        del document["config"][name]
    path.write_text(json.dumps(document))
    assert agent("resume", "d", "--trials", "3").returncode == 0
    found = outcomes(tmp_path, "d")
    assert [outcome["score"]["evidence"] for outcome in found] == [{"examples": 2000}] * 3
    assert all("rows" not in outcome["conditions"] for outcome in found)
    assert "reproduced exactly" in agent("replay", "d/2").stdout
    assert list((tmp_path / "cache").glob("rows-*")) == []


def test_inputs_that_cannot_be_divided_are_refused_in_one_sentence_and_run_without_slices(
    agent: Agent, task: Path, tmp_path: Path
) -> None:
    prepare = (task / "prepare.py").read_text()
    changed = 'inputs.tofile(out / split / "inputs.bin")'
    assert changed in prepare
    (task / "prepare.py").write_text(
        prepare.replace(changed, f'{changed}\n    (out / split / "inputs.bin").open("ab").write(b"end")')
    )
    run = ("run", "--task", str(task), "--mode", "random", "--trials", "1", "--name", "d")
    refused = agent(*run)
    assert refused.returncode == 2
    assert "which is not 2000 rows of equal size: let [data] prepare write one row" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "runs" / "d").exists()
    done = agent(*run, "--no-confirm")
    assert done.returncode == 0, done.stderr


def test_too_few_examples_are_reported_once_and_gains_are_repeated(agent: Agent, task: Path, tmp_path: Path) -> None:
    prepare = (task / "prepare.py").read_text()
    (task / "prepare.py").write_text(prepare.replace('"val": 2000', '"val": 200'))
    done = agent("run", "--task", str(task), "--mode", "random", "--trials", "5", "--name", "d")
    assert done.returncode == 0, done.stderr
    expected = "200 validation examples are too few for slices, which take 999: gains will be repeated, not"
    assert (done.stdout + done.stderr).count(expected) == 1
    assert config(tmp_path, "d")["pool"] is None
    standings = [trial["standing"] for trial in json.loads(agent("log", "d", "--json").stdout)["trials"][1:]]
    assert "repeated" in standings
    assert "confirmed" not in standings
