"""The space: asked = run = told, exactly; bad tables and bad points are named."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.search.space import SearchSpace

TABLES: dict[str, dict[str, Any]] = {
    "DEPTH": {"type": "int", "low": 1, "high": 8},
    "STEPS": {"type": "int", "low": 1, "high": 1000, "log": True},
    "HEAD_DIM": {"type": "power_of_two", "low": 16, "high": 64},
    "LR": {"type": "float", "low": 0.005, "high": 0.2, "log": True},
    "DECAY": {"type": "float", "low": 0, "high": 0.5},
    "SHIFT": {"type": "float", "low": -3.0, "high": 97.0},
    "PATTERN": {"type": "categorical", "choices": ["SSSS", "SSSL", "LLLL"], "ordered": True},
    "ACT": {"type": "categorical", "choices": ["relu", "gelu", "silu", "tanh"]},
}
SPACE = SearchSpace.from_tables(TABLES)
cube = st.lists(st.floats(0, 1), min_size=SPACE.n_dims, max_size=SPACE.n_dims).map(np.array)


@given(cube)
def test_a_snapped_point_is_its_own_encoding(u: np.ndarray) -> None:
    params = SPACE.decode(u)
    snapped = SPACE.encode(params)
    again = SPACE.decode(snapped)
    assert again == params
    assert [type(v) for v in again.values()] == [type(v) for v in params.values()]
    assert np.array_equal(SPACE.encode(again), snapped)
    assert ((snapped >= 0) & (snapped <= 1)).all()


@given(cube)
def test_every_point_is_valid_plain_and_canonical(u: np.ndarray) -> None:
    params = SPACE.decode(u)
    assert SPACE.validate(params) == []
    assert SPACE.canonical(params) == params
    assert all(type(value) in (int, float, str) for value in params.values())


@given(cube)
def test_snapping_moves_less_than_a_bin(u: np.ndarray) -> None:
    moved = np.abs(SPACE.encode(SPACE.decode(u)) - u)
    for parameter, axes in zip(SPACE.parameters, SPACE.axes, strict=True):
        levels, step = parameter.n_levels, moved[axes].max()
        if levels is None:
            assert step < 2e-5
        elif parameter.name in ("DEPTH", "HEAD_DIM", "PATTERN"):
            assert step <= 0.5 / levels + 1e-9


@given(st.floats(0, 1))
def test_floats_have_a_short_literal(u: float) -> None:
    lr, decay = SPACE.parameters[3], SPACE.parameters[4]
    assert len(f"{lr.decode(u)!r}".lstrip("0.").replace(".", "")) <= 6
    assert round(float(decay.decode(u)), 6) == decay.decode(u)


def test_uniform_points_fall_on_every_level_alike() -> None:
    points = np.random.default_rng(0).random((9_000, SPACE.n_dims))
    drawn = [SPACE.decode(point) for point in points]
    for name, n in {"DEPTH": 8, "HEAD_DIM": 3, "PATTERN": 3, "ACT": 4}.items():
        _, counts = np.unique([str(params[name]) for params in drawn], return_counts=True)
        assert len(counts) == n
        assert np.abs(counts - 9_000 / n).max() < 4 * np.sqrt(9_000 / n)


def test_reads_what_a_model_may_send_and_nothing_else() -> None:
    good = SPACE.decode(np.full(SPACE.n_dims, 0.5))
    sent = {**good, "DEPTH": 4.0, "DECAY": 0, "LR": 0.01234567890123}
    read = SPACE.canonical(sent)
    assert (read["DEPTH"], type(read["DEPTH"])) == (4, int)
    assert (read["DECAY"], type(read["DECAY"])) == (0.0, float)
    assert read["LR"] == 0.0123457
    assert list(read) == list(SPACE.names)


def test_validate_names_every_fault_in_one_line() -> None:
    bad = {
        **SPACE.decode(np.full(SPACE.n_dims, 0.5)),
        "DEPTH": 9,
        "STEPS": 2.5,
        "HEAD_DIM": 48,
        "LR": float("nan"),
        "DECAY": True,
        "ACT": "elu",
        "EXTRA": 1,
    }
    del bad["PATTERN"]
    assert SPACE.validate(bad) == [
        "EXTRA: is not a name of the space",
        "DEPTH: 9 is outside 1 to 8",
        "STEPS: 2.5 is not a whole number",
        "HEAD_DIM: 48 is not one of 16, 32, 64",
        "LR: nan is not a number",
        "DECAY: True is not a number",
        "PATTERN: is missing",
        "ACT: 'elu' is not one of 'relu', 'gelu', 'silu', 'tanh'",
    ]
    with pytest.raises(ValueError, match="DEPTH: 9 is outside 1 to 8; STEPS"):
        SPACE.canonical(bad)


def test_a_number_that_no_float_holds_is_a_fault_like_any_other() -> None:
    """JSON has whole numbers of any length, and a model that stutters writes zeros until it is cut off."""
    good = SPACE.decode(np.full(SPACE.n_dims, 0.5))
    faults = SPACE.validate({**good, **dict.fromkeys(("DEPTH", "HEAD_DIM", "LR", "ACT"), 10**400)})
    assert [fault.partition(":")[0] for fault in faults] == ["DEPTH", "HEAD_DIM", "LR", "ACT"]
    assert all("000...000" in fault for fault in faults)
    assert max(map(len, faults)) < 120


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"low": 1, "high": 8}, "type = None is not one of float, int"),
        ({"type": "uniform", "low": 1, "high": 8}, "type = 'uniform' is not one of"),
        ({"type": "int", "low": 1, "high": 8, "step": 2}, "unknown key 'step'"),
        ({"type": "int", "low": 8, "high": 8}, "low = 8 is not below high = 8"),
        ({"type": "int", "low": 1.5, "high": 8}, "1.5 is not a whole number"),
        ({"type": "int", "low": 0, "high": 8, "log": True}, "a log scale needs low >= 1"),
        ({"type": "float", "low": 0.0, "high": 1.0, "log": True}, "a log scale needs low > 0"),
        ({"type": "float", "low": -1.7e308, "high": 1.7e308}, "-1.7e+308 to 1.7e+308 is too wide a range"),
        ({"type": "float", "low": 1e-200, "high": 1e200, "log": True}, "1e-200 to 1e+200 is too wide a range"),
        ({"type": "float", "low": 0.0, "high": 5e-324}, "5e-324 is not a valid bound"),
        ({"type": "float", "low": 0.0, "high": float("inf")}, "inf is not a valid bound"),
        ({"type": "float", "low": 0.0, "high": 10**400}, "000 is not a valid bound"),
        ({"type": "int", "low": 0, "high": 10**400}, "000 is too large; the largest whole number is 9007199254740992"),
        ({"type": "power_of_two", "low": 1, "high": 2**2000}, "is too large"),
        ({"type": "float", "low": "0", "high": 1.0}, "low = '0' is not a number"),
        ({"type": "float", "low": 0.1}, "'high' is missing"),
        ({"type": "float", "low": 0.1, "high": 1.0, "log": "yes"}, "neither true nor false"),
        ({"type": "power_of_two", "low": 24, "high": 64}, "24 is not a power of two"),
        ({"type": "categorical", "choices": ["a"]}, "at least two"),
        ({"type": "categorical", "choices": ["a", "a"]}, "occurs twice"),
        ({"type": "categorical", "choices": "ab"}, "is not a list"),
        ({"type": "categorical"}, "'choices' is missing"),
        ({"type": "categorical", "choices": [True, False]}, "neither a number nor a string"),
    ],
)
def test_bad_tables_are_refused_by_name(table: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r"^space\.X: ") as error:
        SearchSpace.from_tables({"X": table})
    assert message in str(error.value)


def test_an_empty_space_is_refused() -> None:
    with pytest.raises(ValueError, match="space: the table is empty"):
        SearchSpace.from_tables({})


def test_choices_without_order_have_an_axis_each_and_the_highest_wins() -> None:
    space = SearchSpace.from_tables({"ACT": TABLES["ACT"]})
    assert space.n_dims == 4
    assert space.decode(np.array([0.1, 0.2, 0.9, 0.3])) == {"ACT": "silu"}
    assert space.encode({"ACT": "gelu"}).tolist() == [0.4, 0.6, 0.4, 0.4]


def test_the_schema_admits_points_and_bounds_them() -> None:
    schema = SPACE.json_schema()
    assert schema["required"] == list(SPACE.names)
    assert schema["additionalProperties"] is False
    assert schema["properties"]["DEPTH"] == {"type": "integer", "minimum": 1, "maximum": 8}
    assert schema["properties"]["HEAD_DIM"] == {"type": "integer", "enum": [16, 32, 64]}
    assert schema["properties"]["LR"] == {"type": "number", "minimum": 0.005, "maximum": 0.2}
    assert schema["properties"]["ACT"] == {"enum": ["relu", "gelu", "silu", "tanh"]}


def test_the_table_has_a_row_for_every_name() -> None:
    rows = SPACE.table()
    assert [row.name for row in rows] == list(SPACE.names)
    assert (rows[3].kind, rows[3].low, rows[3].high, rows[3].log) == ("float", 0.005, 0.2, True)
    assert rows[7].choices == ("relu", "gelu", "silu", "tanh")


def test_all_points_of_a_space_of_levels() -> None:
    space = SearchSpace.from_tables(
        {
            "A": {"type": "int", "low": 2, "high": 4},
            "B": {"type": "power_of_two", "low": 8, "high": 16},
            "C": {"type": "categorical", "choices": ["x", "y"]},
        },
        {"product": {"replaces": "B", "product": "A * B", "high": 48}},
    )
    points = list(space.all_points())
    assert len({tuple(params.values()) for params in points}) == len(points) == 10  # 4 x 16 is beyond 48
    assert all(space.validate(params) == [] for params in points)


def test_a_continuous_parameter_leaves_nothing_to_list_and_a_huge_range_lists_at_once() -> None:
    real = {"type": "float", "low": 0.0, "high": 1.0}
    huge = {"type": "int", "low": 0, "high": 2**53 - 1}
    assert list(SearchSpace.from_tables({"A": huge, "B": real}).all_points()) == []
    assert next(SearchSpace.from_tables({"A": huge}).all_points()) == {"A": 0}
