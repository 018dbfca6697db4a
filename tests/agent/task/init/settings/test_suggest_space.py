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
    table = tomllib.loads(proposed_space(source))["space"]
    constraints = table.pop("constraints", ())
    return SearchSpace.from_tables(table, constraints=constraints, constants=all_constants(source))


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("RANDOM_STATE = 42", "identifies something"),
        ("N = 600", "a fact of the data"),
        ("TTA = 3", "concerns evaluation"),
        ("MOST = 1e308", "too large for a range"),
        ("MIN_LR = 0.0", "0 does not say how large a rate may be"),
    ],
)
def test_what_no_search_should_change_is_left_out(line: str, why: str) -> None:
    name = line.partition(" = ")[0]
    (found,) = (text for text in proposed_space(f"{line}\nDEPTH = 3\n").splitlines() if f"{name} = " in text)
    assert found.startswith("# ")
    assert why in found


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
        "N_LAYERS", "BATCH", "LEARNING_RATE", "BETA2", "DROPOUT", "BIAS", "WARMUP", "SCALE",
    }  # fmt: skip
    assert "# SEED = 1337  # left out: it identifies something" in proposed_space(ODD)
    assert "# OFFSET = -5  # left out: -5 seems to stand for none" in proposed_space(ODD)
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


NEVER_SEARCHED = """TOTAL_TIMESTEPS EPISODES MAX_EPOCHS N_ESTIMATORS NUM_BOOST_ROUND GENERATIONS MAX_TOKENS NUM_BATCHES
TRAIN_STEPS PATIENCE GRADIENT_ACCUMULATION_STEPS LR_DECAY_ITERS EARLY_STOPPING_PATIENCE UPDATE_EPOCHS
NUM_CLASSES IGNORE_INDEX PAD_ID BOS_ID EOS_TOKEN_ID PAD_IDX VOCAB_SIZE SEED DATA_SEED NUM_LABELS INPUT_DIM IN_CHANNELS
IMAGE_SIZE IMG_SIZE TRAIN_SIZE TEST_SIZE N_SAMPLES NUM_FEATURES OBS_DIM ACTION_DIM N_FOLDS SAMPLE_RATE
WORLD_SIZE LOCAL_RANK RANK NUM_WORKERS N_JOBS PORT MASTER_PORT NUM_GPUS H100_BF16_PEAK_FLOPS PREFETCH_FACTOR TIMEOUT
VERBOSE LOG_INTERVAL SAVE_EVERY PRINT_FREQ CHECKPOINT_INTERVAL EVAL_BATCH_SIZE EVAL_ITERS EVAL_BLOCK_SIZE VAL_SPLIT
TOP_K TEST_BATCH_SIZE MAX_NEW_TOKENS BEAM_SIZE IOU_THRES BLOCK_SIZE SEQ_LEN CONTEXT_LENGTH MAX_LENGTH BPTT"""
SEARCHED = """BATCH_SIZE DEVICE_BATCH_SIZE N_LAYER N_HEAD HEAD_DIM LORA_RANK MINIBATCH_SIZE NUM_MINIBATCHES NUM_ENVS
WARMUP_STEPS WARMUP_EPOCHS LR_PATIENCE TARGET_UPDATE_FREQ EMBED_DIM HIDDEN_SIZE KERNEL_SIZE BUFFER_SIZE MASK_RATIO
NUM_EXPERTS"""


@pytest.mark.parametrize("name", NEVER_SEARCHED.split())
def test_names_of_length_evaluation_data_machine_and_identity_are_left_out(name: str) -> None:
    assert f"# {name} = 8  # left out: it " in proposed_space(f"{name} = 8\nLR = 0.1\n")


@pytest.mark.parametrize("name", SEARCHED.split())
def test_names_that_only_look_like_those_are_searched(name: str) -> None:
    assert space_of(f"{name} = 8\n").names == (name,)


@pytest.mark.parametrize(
    ("name", "value", "low", "high"),
    [
        ("MOMENTUM", 0.9, 0, 1),
        ("DISCOUNT", 0.99, 0.9, 1),
        ("GAE_LAMBDA", 0.95, 0.5, 1),
        ("SUBSAMPLE", 0.7, 0.001, 1),
        ("THRESHOLD", 0.6, 0.001, 1),
        ("ANYTHING", 0.75, 0.001, 1),
        ("DROP_RATE", 0.6, 0, 1),
        ("DROPOUT", 0.4, 0, 1),
        ("MIXUP", 0.5, 0, 1),
    ],
)
def test_shares_stay_below_one(name: str, value: float, low: float, high: float) -> None:
    (parameter,) = space_of(f"{name} = {value}\n").parameters
    assert isinstance(parameter, Float)
    assert low <= parameter.low < value < parameter.high < high


@pytest.mark.parametrize("name", ["LEARNING_RATE", "BASE_LR", "INIT_SCALE"])
def test_rates_and_scales_may_exceed_one(name: str) -> None:
    (parameter,) = space_of(f"{name} = 0.6\n").parameters
    assert isinstance(parameter, Float)
    assert parameter.high > 1


@pytest.mark.parametrize("value", ["-1", "-100", "-1.0"])
def test_negative_placeholders_are_left_out(value: str) -> None:
    assert f"# LIMIT = {value}  # left out: {value} seems to stand for" in proposed_space(
        f"LIMIT = {value}\nLR = 0.1\n"
    )
    assert "# HIDDEN = 0  # left out: 0 seems to stand for a size" in proposed_space("HIDDEN = 0\nLR = 0.1\n")
    assert space_of("DROPOUT = 0\n").names == ("DROPOUT",)


@pytest.mark.parametrize("value", [1.0, 0.5, 0.36, 0.37, 0.02, 0.8, 0.95])
@pytest.mark.parametrize("name", ["GAMMA", "DROPOUT", "ALPHA", "SCALE", "X"])
def test_every_value_is_inside_its_range(name: str, value: float) -> None:
    space = space_of(f"{name} = {value}\n")
    assert space.validate({name: value}) == []


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("assert WIDTH % HEADS == 0", "WIDTH % HEADS == 0"),
        ("assert not WIDTH % HEADS, 'no'", "WIDTH % HEADS == 0"),
        ("if WIDTH % HEADS:\n    raise ValueError", "WIDTH % HEADS == 0"),
        ("if WIDTH % HEADS != 0 or HEADS > WIDTH:\n    raise ValueError", "HEADS <= WIDTH"),
        ("def f(config):\n    assert config.heads < config.width * 2 and config.width > 8", "WIDTH > 8"),
        ("assert c['width'] >= 2 ** c['heads']", "WIDTH >= 2 ** HEADS"),
    ],
)
def test_what_the_script_asserts_becomes_a_constraint(statement: str, constraint: str) -> None:
    table = tomllib.loads(proposed_space(f"WIDTH = 64\nHEADS = 4\n{statement}\n"))["space"]
    assert constraint in table["constraints"]


@pytest.mark.parametrize(
    "statement",
    [
        "assert WIDTH % HEADS == 1",  # not true of the script's own values
        "assert len(x) == WIDTH",
        "assert loss < WIDTH",
        "assert isinstance(WIDTH, int)",
        "assert WIDTH",
        "if WIDTH > 9:\n    print(1)",
    ],
)
def test_other_asserts_are_none(statement: str) -> None:
    table = tomllib.loads(proposed_space(f"WIDTH = 64\nDEPTH = 4\n{statement.replace('HEADS', 'DEPTH')}\n"))
    assert "constraints" not in table["space"]


def test_a_whole_number_that_is_too_large_to_be_searched_is_left_out() -> None:
    text = proposed_space("LR = 0.1\nBIG = 2**60\n")
    assert SearchSpace.from_tables(tomllib.loads(text)["space"]).names == ("LR",)
    assert "# BIG = 1152921504606846976  # left out: no other value that a search can use" in text
