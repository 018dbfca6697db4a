"""Every searcher proposes only points that meet the constraints of the space, and repeats them after a kill."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.edits.edit import Params
from agent.modes.searchers import build_searcher
from agent.search.constraints.feasible import FeasiblePoints
from agent.search.searcher import Searcher
from agent.search.space import SearchSpace

NAMES = ["random", "cma-es", "local", "local-gp", "tpe", "optuna:CmaEsSampler", "optuna:NSGAIISampler"]
TABLES: dict[str, dict[str, Any]] = {
    "WIDTH": {"type": "int", "low": 192, "high": 3072, "log": True},
    "HEADS": {"type": "int", "low": 1, "high": 24},
    "BATCH": {"type": "power_of_two", "low": 4, "high": 256},
    "LR": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
    "MIN_LR": {"type": "float", "low": 1e-5, "high": 1e-2, "log": True},
    "ACT": {"type": "categorical", "choices": ["relu", "gelu", "silu"]},
}
RULES = ["WIDTH % HEADS == 0", "MIN_LR <= LR", "ACT != 'silu' or HEADS > 2"]
SPACE = SearchSpace.from_tables(TABLES, constraints=RULES)
DERIVED = SearchSpace.from_tables(
    TABLES, {"work": {"replaces": "BATCH", "product": "BATCH * WIDTH"}}, constraints=RULES
)
START: Params = {"WIDTH": 768, "HEADS": 12, "BATCH": 32, "LR": 1e-3, "MIN_LR": 1e-4, "ACT": "gelu"}


@pytest.fixture(params=NAMES, ids=str)
def build(request: pytest.FixtureRequest) -> Callable[..., Searcher]:
    return lambda space=SPACE, start=START, seed=0: build_searcher(request.param, space, start, seed)


def objective(space: SearchSpace, params: Params) -> float | None:
    u = space.encode(params)
    return None if u[0] > 0.9 else float(((u - 0.6) ** 2).sum())


def drive(searcher: Searcher, space: SearchSpace, first: int, last: int) -> Iterator[Params]:
    for number in range(first, last + 1):
        params = searcher.ask(number)
        yield params
        searcher.tell(number, params, objective(space, params))


@pytest.mark.parametrize("space", [SPACE, DERIVED], ids=["plain", "derived"])
def test_every_point_meets_them(build: Callable[..., Searcher], space: SearchSpace) -> None:
    for params in drive(build(space), space, 1, 30):
        assert space.validate(params) == []
        assert space.canonical(params) == params
        assert json.loads(json.dumps(params)) == params


def test_points_still_differ(build: Callable[..., Searcher]) -> None:
    points = [json.dumps(params) for params in drive(build(), SPACE, 1, 30)]
    assert len(set(points)) > 25
    assert len({json.loads(point)["WIDTH"] for point in points}) > 5


def test_driven_again_it_asks_the_same(build: Callable[..., Searcher]) -> None:
    unbroken = list(drive(build(), SPACE, 1, 20))
    again = build()
    list(drive(again, SPACE, 1, 8))
    discarded = again.ask(9)
    assert discarded == unbroken[8]
    assert list(drive(again, SPACE, 9, 20)) == unbroken[8:]


def test_released_and_discarded_points_meet_them_too(build: Callable[..., Searcher]) -> None:
    searcher = build()
    points = [searcher.ask(1), searcher.ask(2)]
    searcher.release(1)
    searcher.discard(2)
    points += [searcher.ask(3), searcher.ask(4)]
    assert points[2] == points[0]
    assert all(SPACE.validate(point) == [] for point in points)


RARE_TABLES: dict[str, dict[str, Any]] = {
    "A": {"type": "int", "low": 0, "high": 399},
    "B": {"type": "int", "low": 0, "high": 399},
    "LR": {"type": "float", "low": 0.0, "high": 1.0},
}

FEW = {(0, 0), (133, 19), (266, 38), (399, 57)}


@pytest.mark.slow
def test_the_few_feasible_points_of_a_grid_are_all_found(build: Callable[..., Searcher]) -> None:
    """4 points in 160,000 are feasible: below one in 10,000."""
    space = SearchSpace.from_tables(RARE_TABLES, constraints=["A == 7 * B", "A % 133 == 0", "B % 19 == 0"])
    start: Params = {"A": 133, "B": 19, "LR": 0.5}
    found = {(p["A"], p["B"]) for p in drive(build(space, start), space, 1, 12)}
    assert found <= FEW
    assert {(e["A"], e["B"]) for e in FeasiblePoints(space).examples} == FEW


@pytest.mark.parametrize("rule", ["LR == 0.123456789", "A == B and LR > 0.99999"])
def test_a_space_in_which_none_can_be_found_is_an_error_that_says_what_to_do(rule: str) -> None:
    space = SearchSpace.from_tables(RARE_TABLES, constraints=[rule])
    with pytest.raises(ValueError, match=r"none of 10000 random points meets them.*narrow the ranges of .*LR"):
        FeasiblePoints(space).nearest({"A": 1, "B": 2, "LR": 0.5})


def test_without_constraints_nothing_is_drawn_twice(build: Callable[..., Searcher]) -> None:
    """Runs of earlier versions, which had none, are resumed with the same points."""
    free = SearchSpace.from_tables(TABLES)
    always = SearchSpace.from_tables(TABLES, constraints=["WIDTH > 0"])
    assert list(drive(build(free), free, 1, 15)) == list(drive(build(always), always, 1, 15))


@st.composite
def spaces(draw: st.DrawFn) -> tuple[SearchSpace, Params]:
    """Draw a space with constraints that hold for its start."""
    low, high = draw(st.integers(1, 20)), draw(st.integers(30, 400))
    tables: dict[str, dict[str, Any]] = {
        "X": {"type": "int", "low": low, "high": high, "log": draw(st.booleans())},
        "Y": {"type": "int", "low": 1, "high": draw(st.integers(2, 40))},
        "P": {"type": "power_of_two", "low": 1, "high": 64},
        "F": {"type": "float", "low": 0.0, "high": 1.0},
        "C": {"type": "categorical", "choices": [1, 2, 3, 5]},
    }
    start: Params = {"X": draw(st.integers(low, high)), "Y": 1, "P": 8, "F": draw(st.floats(0, 1)), "C": 1}
    start = SearchSpace.from_tables(tables).canonical(start)
    possible = ["X % Y == 0", "X % C == 0", "P >= Y", "F * Y <= F * P", "Y <= C * 8", "X + Y <= 2 * X", "F <= 1 / Y"]
    rules = draw(st.lists(st.sampled_from(possible), min_size=1, unique=True))
    return SearchSpace.from_tables(tables, constraints=rules), start


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=spaces(), seed=st.integers(0, 99))
def test_any_constraints_are_met(build: Callable[..., Searcher], drawn: tuple[SearchSpace, Params], seed: int) -> None:
    space, start = drawn
    assert space.validate(start) == []
    points = list(drive(build(space, start, seed), space, 1, 8))
    assert [space.validate(point) for point in points] == [[]] * 8
    assert list(drive(build(space, start, seed), space, 1, 8)) == points
