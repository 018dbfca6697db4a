"""[space] constraints in a task.toml: read when the task is, refused with file and line, part of its digest."""

from pathlib import Path

import pytest

from agent.errors import TaskError
from agent.modes.mode import search_space
from agent.store.run_config import RunConfig
from agent.task.task import Task

SCRIPT = "TOTAL = 100\nkind = 'gpt'\nWIDTH = 64\nHEADS = 4\nLR = 0.1\n"
TOML = """[task]
name = "x"
[score]
kind = "printed"
[budget]
amount = 1
[limits]
wall_seconds = 9
memory_gb = 1
[space]
{constraints}
WIDTH = {{ type = "int", low = 8, high = 512 }}
HEADS = {{ type = "int", low = 1, high = 16 }}
LR = {{ type = "float", low = 0.0, high = 1.0 }}
"""


def task(folder: Path, constraints: str, script: str = SCRIPT, *, as_is: bool = False) -> Task:
    files = {"task.toml": TOML.format(constraints=constraints).encode(), "train.py": script.encode()}
    return Task(folder, files, as_is=as_is)


def test_constraints_use_names_of_the_space_and_constants_of_the_script(tmp_path: Path) -> None:
    rules = '["WIDTH % HEADS == 0", "HEADS <= TOTAL and kind == \'gpt\'"]'
    found = task(tmp_path, f"constraints = {rules}")
    assert found.space is not None
    assert found.space.names == ("WIDTH", "HEADS", "LR")
    assert found.space.validate({"WIDTH": 64, "HEADS": 5, "LR": 0.1}) == [
        "WIDTH % HEADS == 0 does not hold with WIDTH = 64, HEADS = 5"
    ]


@pytest.mark.parametrize(
    ("constraints", "message"),
    [
        ('constraints = ["WIDTH % HEAD == 0"]', "task.toml:11: space.constraints: HEAD in"),
        ('constraints = ["WIDTH % HEADS"]', "task.toml:11: space.constraints: .* is no condition"),
        ('constraints = "WIDTH > HEADS"', r"task.toml:11: space.constraints: .* is not a list; write \["),
        ("constraints = [1]", "task.toml:11: space.constraints: 1 is not a string"),
        ('constraints = ["WIDTH % HEADS == 1"]', "own values are outside the space: WIDTH % HEADS == 1 does not hold"),
        ("N = 3", "task.toml:11: space.N: it should be a table, not 3"),
    ],
)
def test_what_is_no_constraint_or_does_not_hold_at_the_start_is_refused(
    tmp_path: Path, constraints: str, message: str
) -> None:
    with pytest.raises(TaskError, match=message):
        task(tmp_path, constraints)


def test_the_digest_changes_only_where_there_are_constraints(tmp_path: Path) -> None:
    assert task(tmp_path, "").digest == "76871cb852fc62de"  # as before there were any, so that earlier runs are resumed
    assert task(tmp_path, 'constraints = ["WIDTH > HEADS"]').digest != task(tmp_path, "").digest


def test_a_trials_own_script_may_have_changed_what_a_constraint_names(tmp_path: Path) -> None:
    rule = 'constraints = ["WIDTH % HEADS == 0", "HEADS < TOTAL"]'
    edited = SCRIPT.replace("TOTAL = 100\n", "").replace("HEADS = 4", "HEADS = 5")
    found = task(tmp_path, rule, edited, as_is=True)
    assert found.space is not None
    assert found.defaults["HEADS"] == 5
    assert found.space.constraints == ()
    edited = SCRIPT.replace("HEADS = 4", "HEADS = 5")
    found = task(tmp_path, rule, edited, as_is=True)
    assert found.space is not None
    assert [constraint.text for constraint in found.space.constraints] == ["HEADS < TOTAL"]


def test_constraints_that_no_point_meets_are_refused_before_a_search(tmp_path: Path) -> None:
    found = task(tmp_path, 'constraints = ["LR == 0.1"]')
    config = RunConfig(run_id="r", task_name="x", task_digest="d", task_folder=str(tmp_path), mode="random")
    with pytest.raises(TaskError, match=r"task\.toml: space\.constraints: none of 10000 random points meets them"):
        search_space(config, found)
