"""Complaints about values are plain words: the option or key, what it should be, and what it is."""

import tomllib
from pathlib import Path

import pytest

from agent.errors import TaskError, UsageError
from agent.store.run_config import RunConfig, checked
from agent.task.task import Task

RAW = ("Input should", "valid ", "Extra inputs", "Field required", "Value error", "input_value", "Unexpected")


def run(**options: object) -> RunConfig:
    needed = {"run_id": "r", "mode": "random", "task_folder": "t", "task_name": "t", "task_digest": "d"}
    return checked(**needed | options)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"trials": 0}, "--trials: it should be 1 or more, not 0"),
        ({"llm_share": 1.5}, "--llm-share: it should be 1 or less, not 1.5"),
        ({"budget_seconds": 0.0}, "--budget: it should be greater than 0, not 0.0"),
        ({"seed": "x"}, "--seed: it should be a whole number, not 'x'"),
        ({"smoke_on": "tpu"}, "--smoke-on: it should be 'cpu' or 'gpu', not 'tpu'"),
        ({"max_cost": float("nan")}, "--max-cost: it should be greater than 0, not nan"),
    ],
)
def test_a_wrong_option_is_one_plain_line(options: dict[str, object], expected: str) -> None:
    with pytest.raises(UsageError) as caught:
        run(**options)
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("[limits]\nwall_seconds = 60\nmemory_gb = 'much'", "limits.memory_gb: it should be a number, not 'much'"),
        ("[limits]\nwall_seconds = 60", "limits.memory_gb: it is missing"),
        (
            "[limits]\nwall_seconds = 60\nmemory_gb = 1\nprocesses = 2.5",
            "limits.processes: it should be a whole number",
        ),
        ("limits = 3", "limits: it should be a table, not 3"),
        ("[metric]\nnames = 'x'", "metric.names: unknown key"),
        ("[metric]\ngoal = 'up'", "metric.goal: it should be 'minimise' or 'maximise', not 'up'"),
        ("[score]\ncommand = 'python score.py'", "score.command: it should be a list, not 'python score.py'"),
        ("[set]\nA = 1", "set.A: it should be text in quotes, not 1"),
        ("[task]\nname = 'Bi gram'", "task.name: it should be of the pattern "),
        ("profile = 'x'", "profile: unknown key"),
        ("task = 'x'", "task: it should be a table, not 'x'"),
        ("[keep]\nrule = ['two-tier']", "keep.rule: it should be 'two-tier' or 'any', not ['two-tier']"),
    ],
)
def test_a_wrong_value_in_task_toml_is_one_plain_line(tmp_path: Path, table: str, expected: str) -> None:
    wrong = tomllib.loads(table)
    given = {
        "task": "[task]\nname = 'x'",
        "budget": "[budget]\namount = 1",
        "limits": "[limits]\nwall_seconds = 60\nmemory_gb = 1",
    }
    kept = [text for name, text in given.items() if name not in wrong]
    (tmp_path / "task.toml").write_text("\n".join([table, *kept]))
    with pytest.raises(TaskError) as caught:
        Task.load(tmp_path)
    assert expected in str(caught.value)
    assert not any(word in str(caught.value) for word in RAW)
    assert "\n" not in str(caught.value)
