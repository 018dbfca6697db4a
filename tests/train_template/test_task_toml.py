"""task.toml says of train.py what is true of it."""

import ast
import math
import tomllib
from typing import Any

import pytest

from tests.train_template.conftest import TEMPLATE

TASK: dict[str, Any] = tomllib.loads((TEMPLATE / "task.toml").read_text())


def script_constants() -> dict[str, int | float | str]:
    """Return the `NAME = literal` lines at the top of train.py."""
    found = {}
    for node in ast.parse((TEMPLATE / "train.py").read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            assert isinstance(node.targets[0], ast.Name)
            found[node.targets[0].id] = node.value.value
    return found


@pytest.mark.parametrize("profile", ["cpu", "gpu"])
def test_space_names_exactly_the_constants_of_the_script(profile: str) -> None:
    assert list(TASK["profiles"][profile]["space"]) == list(script_constants())


@pytest.mark.parametrize("profile", ["cpu", "gpu"])
def test_baseline_lies_in_the_space(profile: str) -> None:
    values = script_constants() | TASK["profiles"][profile]["values"]
    for name, dimension in TASK["profiles"][profile]["space"].items():
        value = values[name]
        if dimension["type"] == "categorical":
            assert value in dimension["choices"]
            continue
        assert dimension["low"] <= value <= dimension["high"], name
        assert isinstance(value, float if dimension["type"] == "float" else int), name
        if dimension["type"] == "power_of_two":
            assert math.log2(value).is_integer(), name
        if dimension.get("log"):
            assert dimension["low"] > 0, name


@pytest.mark.parametrize(("profile", "seq_len"), [("cpu", 128), ("gpu", 2048)])
def test_no_batch_of_the_space_leaves_a_remainder(profile: str, seq_len: int) -> None:
    command = TASK["profiles"][profile]["data"]["prepare"]
    assert command[command.index("--seq-len") + 1] == str(seq_len)
    assert TASK["profiles"][profile]["space"]["TOTAL_BATCH_SIZE"]["low"] % seq_len == 0


def test_files_of_the_task_exist() -> None:
    for name in (TASK["task"]["script"], *TASK["task"]["frozen"]):
        assert (TEMPLATE / name).is_file()
    assert TASK["task"]["profile"] in TASK["profiles"]
