"""A proposed space is a table that stands as it is: TOML, a valid space, and the script's own values lie in it."""

import tomllib
from pathlib import Path

import pytest

from agent.edits.assignments import all_constants, read_constants
from agent.errors import EditError
from agent.search.parameters import Float
from agent.search.space import SearchSpace
from agent.task.init.settings.suggest_space import proposed_space
from agent.task.task import Task

ROOT = Path(__file__).parents[5]
ODD = '''
"""A script as people write them."""
import math
SEED = 1337
lr = 3e-4
N_LAYERS: int = 6
BATCH = 2**5
VOCAB_SIZE = 50_257
LEARNING_RATE = 6e-4
MIN_LR = LEARNING_RATE / 10
BETA2 = 0.95
DROPOUT = 0.0
OFFSET = -5
BIAS = -0.5
USE_FLASH = True
WARMUP = 0
ACTIVATION = 'ge"lu'
WIDTHS = [1, 2]
GAIN = float("inf")
SCALE = 1
if math.pi > 3:
    BATCH_TWICE = 1
BATCH_TWICE = 2
for DEPTH in range(3):
    pass
DEPTH = 4


def f():
    HIDDEN = 3
'''
CRAMPED = "A=1;B=1e-12\nC = 1e300; D_RATIO = 1.0\nE = 10**9\nMOMENTUM = 0.999\nF = 0.3 * 2\nLABEL_SMOOTHING = 0.1\n"


def space_of(source: str) -> SearchSpace:
    return SearchSpace.from_tables(tomllib.loads(proposed_space(source))["space"])


@pytest.mark.parametrize(
    "source",
    [
        (ROOT / "train_template" / "train.py").read_text(),
        ODD,
        CRAMPED,
        (ROOT / "tests/tasks/bigram/train.py").read_text(),
    ],
    ids=["train_template", "odd", "cramped", "bigram"],
)
def test_the_table_stands_as_it_is(source: str) -> None:
    space = space_of(source)
    assert space.validate(read_constants(source, space.names)) == []


def test_the_bundled_script_gets_kinds_as_its_task_has_them() -> None:
    source = (ROOT / "train_template" / "train.py").read_text()
    declared = Task.load(ROOT / "train_template").space
    assert declared is not None
    kinds = {row.name: row.kind for row in declared.table() if row.kind != "categorical"}
    assert {row.name: row.kind for row in space_of(source).table()} == kinds
    assert '# WINDOW_PATTERN = { type = "categorical", choices = ["SSSL"] }' in proposed_space(source)


def test_only_plain_constants_in_capitals_that_are_assigned_once_are_proposed() -> None:
    assert set(space_of(ODD).names) == {
        "N_LAYERS", "BATCH", "LEARNING_RATE", "BETA2", "DROPOUT", "OFFSET", "BIAS", "WARMUP", "SCALE",
    }  # fmt: skip
    assert "# SEED = 1337  # left out" in proposed_space(ODD)
    assert list(all_constants("A = 1\na = 2\nB = A\n")) == ["A"]


def test_it_goes_into_a_task(tmp_path: Path) -> None:
    folder = tmp_path / "task"
    folder.mkdir()
    (folder / "train.py").write_text(ODD)
    toml = '[task]\nname = "odd"\n[score]\nkind = "printed"\n[budget]\namount = 1\n[limits]\nwall_seconds = 9\n'
    (folder / "task.toml").write_text(f"{toml}memory_gb = 1\n\n{proposed_space(ODD)}")
    task = Task.load(folder)
    assert task.space is not None
    assert task.defaults["BATCH"] == 32


def test_a_script_without_constants_and_one_that_does_not_parse_say_so() -> None:
    assert "no constant NAME = number" in proposed_space("x = 1\n")
    with pytest.raises(EditError, match="does not parse"):
        proposed_space("def f(:\n")


@pytest.mark.parametrize("value", [0.8, 0.95, 0.999, 0.9999, 0.99999999, 0.9999999999999999])
def test_a_share_near_one_gets_a_range_around_it_by_its_distance_from_one(value: float) -> None:
    (parameter,) = space_of(f"MOMENTUM = {value!r}\n").parameters
    assert isinstance(parameter, Float)
    assert 1 - parameter.low == pytest.approx(4 * (1 - value), rel=0.01)
    assert value < parameter.high <= 1
