"""The other kinds of score, the test split, and trials under several seeds, by the command."""

import json
import os
import shutil
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests import commands

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
PRINTING = """
[task]
name = "printing"
script = "train.py"
[metric]
name = "val_bpb"
[score]
kind = "printed"
[budget]
unit = "seconds"
amount = 1.0
[limits]
wall_seconds = 600
memory_gb = 0.25
[machine]
canary = "off"
[space]
X = { type = "float", low = 0.0, high = 4.0 }
"""


@pytest.fixture
def environment(cache: Path, tmp_path: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "AUTOCENTAUR_CACHE": str(cache), "LANG": "C.UTF-8"}


def agent(folder: Path, environment: dict[str, str], *args: str) -> CompletedProcess[str]:
    return commands.agent(*args, cwd=folder, env=environment)


def test_a_classifier_is_scored_by_labels_that_no_sandbox_sees(tmp_path: Path, environment: dict[str, str]) -> None:
    done = agent(
        tmp_path, environment, "run", "--task", str(ROOT / "examples" / "digits"), "--mode", "random", "--trials", "3",
        "--name", "d",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    trials = json.loads(agent(tmp_path, environment, "log", "--json").stdout)["trials"]
    assert 0.2 < trials[0]["value"] < 1
    assert trials[0]["val_loss"] == -trials[0]["value"]
    assert trials[0]["score"]["kind"] == "predictions"
    best = json.loads(agent(tmp_path, environment, "best", "--verify", "--json").stdout)
    assert best["test"]["test_loss"] != best["test"]["val_loss"]
    assert abs(best["test"]["gap"]) < 0.2
    # The job that answered saw the inputs and no labels.
    assert not list((tmp_path / "runs" / "d").rglob("labels*"))


def test_a_measure_that_the_data_do_not_allow_is_refused_and_leaves_no_run(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    task = tmp_path / "task"
    shutil.copytree(ROOT / "examples" / "digits", task, ignore=shutil.ignore_patterns("__pycache__"))
    text = (task / "task.toml").read_text()
    (task / "task.toml").write_text(text.replace('measure = "accuracy"', 'measure = "auc"'))
    refused = agent(tmp_path, environment, "run", "--task", "task", "--mode", "random", "--trials", "2", "--name", "d")
    assert refused.returncode == 2
    assert "auc needs one or two outputs, for two classes, and meta.json says n_outputs = 10" in refused.stderr
    (task / "task.toml").write_text(text.replace('measure = "accuracy"', 'measure = "f1"'))
    done = agent(tmp_path, environment, "run", "--task", "task", "--mode", "random", "--trials", "2", "--name", "d")
    assert done.returncode == 0, done.stderr


def test_an_audited_score_is_verified_on_the_test_split(tmp_path: Path, environment: dict[str, str]) -> None:
    task = str(ROOT / "tests" / "tasks" / "bigram_plain")
    asked = ["run", "--task", task, "--mode", "random", "--trials", "2", "--no-confirm", "--name", "b"]
    agent(tmp_path, environment, *asked)
    done = agent(tmp_path, environment, "best", "--verify")
    assert done.returncode == 0, done.stderr
    assert "on test: val_bpb" in done.stdout
    assert "the baseline's gap" in done.stdout
    # Asking for it leaves no trace where a search would look.
    assert "test_loss" not in (tmp_path / "runs" / "b" / "journal.jsonl").read_text()


def test_a_trial_is_run_under_several_seeds(tmp_path: Path, environment: dict[str, str]) -> None:
    task = str(ROOT / "tests" / "tasks" / "bigram_plain")
    agent(tmp_path, environment, "run", "--task", task, "--mode", "random", "--trials", "3", "--name", "b")
    done = agent(tmp_path, environment, "noise", "b/2", "--seeds", "2", "--name", "n")
    assert done.returncode == 0, done.stderr
    before = json.loads(agent(tmp_path, environment, "log", "b", "--json").stdout)["trials"][2]
    again = json.loads(agent(tmp_path, environment, "log", "n", "--json").stdout)["trials"]
    assert again[0]["val_loss"] == before["val_loss"]
    assert again[0]["params"] == before["params"]
    assert again[1]["seed"] == 1


def test_a_printed_score_works_without_data_and_says_that_it_is_self_reported(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    task = tmp_path / "task"
    task.mkdir()
    (task / "task.toml").write_text(PRINTING)
    (task / "train.py").write_text("X = 1.0  # where\nprint(f'---\\nval_bpb: {(X - 3) ** 2 + 1:.6f}')\n")
    done = agent(tmp_path, environment, "run", "--task", str(task), "--mode", "random", "--trials", "4", "--name", "p")
    assert done.returncode == 0, done.stderr
    assert "val_bpb is self-reported" in done.stdout
    trials = json.loads(agent(tmp_path, environment, "log", "--json").stdout)["trials"]
    assert trials[0]["val_loss"] == 5.0
    assert all(trial["self_reported"] for trial in trials)
    assert "(self-reported)" in agent(tmp_path, environment, "show", "0").stdout
    refused = agent(tmp_path, environment, "best", "--verify")
    assert refused.returncode == 2
    assert "has no test split" in refused.stderr


def test_a_fixed_seed_and_a_faked_clock_are_flagged(tmp_path: Path, environment: dict[str, str]) -> None:
    task = tmp_path / "task"
    task.mkdir()
    (task / "task.toml").write_text(PRINTING)
    (task / "train.py").write_text(
        "import os, random\nX = 1.0\nrandom.seed(int(os.environ['TRAIN_SEED']))\n"
        "print('---\\nval_bpb: 2.0\\ntraining_seconds: 500.0')\n"
    )
    agent(tmp_path, environment, "run", "--task", str(task), "--mode", "random", "--trials", "1", "--name", "p")
    (trial,) = json.loads(agent(tmp_path, environment, "log", "--json").stdout)["trials"]
    assert any("reports 500.0 s of training" in flag for flag in trial["flags"])
    assert "reports 500.0 s" in agent(tmp_path, environment, "log").stdout
