"""A kind of score of one file and one row decides a search, and every reading command shows it."""

import json
from pathlib import Path

import pytest

from agent.errors import TaskError, UsageError
from agent.task import score_kinds
from tests.extensions import small_output
from tests.extensions.conftest import Agent, trials_of
from tests.kill_anywhere.killed_runs import INSTANT

SAVES = '    import os\n    open(os.environ["TRAIN_OUTPUT"], "wb").write(b"x" * round(1000 * loss()))\n'


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A task of the toy kind: its script saves as many bytes as its loss has thousandths."""
    monkeypatch.setitem(score_kinds.SCORE_KINDS, small_output.ROW.name, small_output.ROW)
    folder = tmp_path / "task"
    folder.mkdir()
    for name, old, new in (
        ("train.py", "    print(", SAVES + "    print("),
        ("task.toml", '"printed"', '"small_output"'),
    ):
        text = (INSTANT / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))
    return folder


def test_it_decides_a_search_and_is_shown(agent: Agent, task: Path) -> None:
    agent("run", "--task", str(task), "--mode", "random", "--name", "r", "--trials", "4")
    trials = trials_of(agent, "r")
    assert trials[0]["val_loss"] == 1930  # (2 - 0.7)² + 0.3² + 0.1 + 0.05 = 1.93, in bytes
    losses = [trial["val_loss"] for trial in trials]
    assert json.loads(agent("best", "r", "--json"))["val_loss"] == min(losses)
    assert not any(trial["self_reported"] for trial in trials)
    output = agent("show", "r/0")
    assert "measured_size" in output
    assert "self-reported" not in output + agent("log", "r")
    assert "files" in output
    agent("log", "r", "--verify")
    assert "repeated, not confirmed" in agent("log", "r")
    with pytest.raises(
        UsageError, match="a score of kind small_output needs no data, and such a task has no test split"
    ):
        agent("replay", "r/0", "--test")
    agent("replay", "r/0")


def test_a_script_that_saves_nothing_fails_under_it(agent: Agent, task: Path) -> None:
    (task / "train.py").write_text((INSTANT / "train.py").read_text())
    with pytest.raises(SystemExit):
        agent("run", "--task", str(task), "--mode", "random", "--name", "r", "--trials", "2")
    assert trials_of(agent, "r")[0]["status"] == "bad_artifact"


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        ('kind = "nothing"', "it should be one of held_out, predictions, printed, small_output, and is 'nothing'"),
        ('kind = "small_output"\nline = "loss {}"', "line belongs to kind = 'printed'"),
        ('kind = "predictions"', "kind = 'predictions' needs measure"),
        ('kind = "held_out"', "needs \\[data\\] prepare"),
    ],
)
def test_what_task_toml_says_of_it_is_checked(agent: Agent, task: Path, score: str, expected: str) -> None:
    config = task / "task.toml"
    config.write_text(config.read_text().replace('kind = "small_output"', score))
    with pytest.raises(TaskError, match=expected):
        agent("run", "--task", str(task), "--mode", "random", "--trials", "1")
