"""Derived coordinates: another axis for the same names, exact in both directions."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.edits.edit import Params
from agent.search.cmaes import CMAESearcher
from agent.search.space import SearchSpace

TABLES: dict[str, dict[str, Any]] = {
    "RATIO": {"type": "int", "low": 16, "high": 128},
    "DEPTH": {"type": "int", "low": 1, "high": 8},
    "BATCH": {"type": "power_of_two", "low": 4, "high": 64},
    "TOTAL": {"type": "power_of_two", "low": 256, "high": 32768},
    "LR": {"type": "float", "low": 0.001, "high": 1.0, "log": True},
    "DECAY": {"type": "float", "low": 0.0, "high": 0.5},
    "ACT": {"type": "categorical", "choices": ["relu", "gelu"]},
}
COORDINATES: dict[str, dict[str, Any]] = {
    "width": {"replaces": "RATIO", "product": "DEPTH * RATIO"},
    "accumulation": {"replaces": "TOTAL", "product": "TOTAL / (BATCH * 64)", "low": 1, "high": 8},
    "noise": {"replaces": "LR", "product": "LR / TOTAL"},
}
SPACE = SearchSpace.from_tables(TABLES, COORDINATES)
START: Params = {"RATIO": 64, "DEPTH": 4, "BATCH": 16, "TOTAL": 2048, "LR": 0.04, "DECAY": 0.1, "ACT": "relu"}
cube = st.lists(st.floats(0, 1), min_size=SPACE.n_dims, max_size=SPACE.n_dims).map(np.array)


@given(cube)
def test_decoding_what_was_encoded_gives_the_same_values(u: np.ndarray) -> None:
    params = SPACE.decode(u)
    if SPACE.validate(params) == []:
        again = SPACE.decode(SPACE.encode(params))
        assert again == params
        assert [type(value) for value in again.values()] == [type(value) for value in params.values()]


@given(cube)
def test_every_point_is_a_point_of_the_plain_space_in_its_order(u: np.ndarray) -> None:
    params = SPACE.decode(u)
    assert list(params) == list(TABLES)
    assert SPACE.plain().validate(params) == []


def test_an_axis_moves_the_product_and_keeps_the_rest() -> None:
    u = SPACE.encode(START)
    u[SPACE.names.index("DEPTH")] = 7.5 / 8  # DEPTH 8
    moved = SPACE.decode(u)
    assert (moved["DEPTH"], moved["RATIO"]) == (8, 32)  # the same width
    u = SPACE.encode(START)
    u[SPACE.names.index("BATCH")] = 4.5 / 5  # BATCH 64
    moved = SPACE.decode(u)
    assert (moved["BATCH"], moved["TOTAL"]) == (64, 8192)  # the same accumulation


def test_powers_of_two_fall_on_every_level_alike() -> None:
    rng = np.random.default_rng(0)
    points = [SPACE.decode(np.array([*rng.random(3), u, *rng.random(4)])) for u in (np.arange(4000) + 0.5) / 4000]
    small = [p for p in points if p["BATCH"] == 16]  # where neither end of TOTAL is in the way
    _, counts = np.unique([int(p["TOTAL"]) // (16 * 64) for p in small], return_counts=True)
    assert len(counts) == 4
    assert counts.max() - counts.min() < 0.25 * len(small)


def test_without_them_every_name_is_searched_by_itself() -> None:
    plain = SPACE.plain()
    assert plain == SearchSpace.from_tables(TABLES)
    u = plain.encode(START)
    u[plain.names.index("DEPTH")] = 7.5 / 8
    assert plain.decode(u)["RATIO"] == 64


def test_a_product_out_of_its_range_is_a_fault() -> None:
    bad = {**START, "TOTAL": 256}
    assert SPACE.validate(bad) == ["accumulation = TOTAL / BATCH / 64 is 0.25; it must be in 1 to 8"]
    assert SPACE.plain().validate(bad) == []


def test_the_state_has_the_names_of_the_space() -> None:
    state = CMAESearcher(SPACE, START, seed=0).state()
    mean = dict(state.mean)
    assert mean.pop("ACT") == "relu"
    assert mean == pytest.approx({name: value for name, value in START.items() if name != "ACT"}, rel=1e-6)
    assert list(state.std) == list(TABLES)


@pytest.mark.parametrize(
    ("name", "table", "message"),
    [
        ("w", {"replaces": "RATIO"}, "'product' is missing"),
        ("w", {"replaces": "RATIO", "product": "DEPTH * RATIO", "log": True}, "unknown key 'log'"),
        ("w", {"replaces": "RATIO", "product": "DEPTH * WIDTH"}, "WIDTH is not a name in [space]"),
        ("w", {"replaces": "RATIO", "product": "DEPTH * DEPTH"}, "'RATIO' must occur in the product exactly once"),
        ("w", {"replaces": "RATIO", "product": "RATIO * RATIO"}, "'RATIO' must occur in the product exactly once"),
        ("w", {"replaces": "RATIO", "product": "RATIO * DECAY"}, "DECAY is not positive"),
        ("w", {"replaces": "RATIO", "product": "RATIO * ACT"}, "ACT is not positive"),
        ("w", {"replaces": "RATIO", "product": "RATIO + DEPTH"}, "RATIO + DEPTH is not allowed"),
        ("w", {"replaces": "RATIO", "product": "f(RATIO)"}, "f(RATIO) is not allowed"),
        ("w", {"replaces": "RATIO", "product": "RATIO *"}, "is not an expression"),
        ("w", {"replaces": "RATIO", "product": 3}, "is not a string"),
        ("w", {"replaces": "RATIO", "product": "RATIO * DEPTH", "low": 0}, "low = 0 is not a positive"),
        ("w", {"replaces": "RATIO", "product": "RATIO * DEPTH", "low": 9, "high": 8}, "is not below"),
    ],
)
def test_bad_tables_are_refused_by_name(name: str, table: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r"^derived\.w: ") as error:
        SearchSpace.from_tables(TABLES, {name: table})
    assert message in str(error.value)


def test_circles_are_refused() -> None:
    first = {"replaces": "LR", "product": "LR / TOTAL"}
    second = {"replaces": "TOTAL", "product": "TOTAL / LR"}
    with pytest.raises(ValueError, match=r"derived\.a: a later one replaces TOTAL"):
        SearchSpace.from_tables(TABLES, {"a": first, "b": second})
    with pytest.raises(ValueError, match=r"derived\.b: an earlier one replaces LR already"):
        SearchSpace.from_tables(TABLES, {"a": first, "b": first})
