"""The hill-climb: steps around the best point, and over derived coordinates structural moves."""

import numpy as np
import pytest

from agent.edits.edit import Params
from agent.search.local_search import LocalSearcher, TriedPoints
from agent.search.space import SearchSpace

TABLES = {
    "DEPTH": {"type": "int", "low": 1, "high": 16},
    "RATIO": {"type": "int", "low": 16, "high": 256},
    "LR": {"type": "float", "low": 0.001, "high": 1.0, "log": True},
    "ACT": {"type": "categorical", "choices": ["relu", "gelu", "silu"]},
}
SPACE = SearchSpace.from_tables(TABLES)
DERIVED = SearchSpace.from_tables(TABLES, {"width": {"replaces": "RATIO", "product": "DEPTH * RATIO"}})
START: Params = {"DEPTH": 8, "RATIO": 64, "LR": 0.01, "ACT": "relu"}


def changed(params: Params, start: Params = START) -> set[str]:
    return {name for name in params if params[name] != start[name]}


def test_a_step_changes_some_names_and_never_none() -> None:
    searcher = LocalSearcher(SPACE, START, seed=0)
    steps = [changed(searcher.ask(number)) for number in range(1, 301)]
    assert all(steps)
    assert 1.1 < sum(map(len, steps)) / len(steps) < 2.0
    assert set.union(*steps) == set(SPACE.names)


def test_it_steps_from_the_best_point_whoever_proposed_it() -> None:
    searcher = LocalSearcher(SPACE, START, seed=0, mutated=0.01)
    far: Params = {"DEPTH": 2, "RATIO": 200, "LR": 0.5, "ACT": "silu"}
    searcher.tell(0, START, 1.0)
    searcher.tell(1, searcher.ask(1), None)
    searcher.ask(2)
    searcher.tell(2, far, 0.5)  # a model's answer in place of the point asked for
    searcher.tell(3, searcher.ask(3), 0.9)
    assert len(changed(searcher.ask(4), far)) == 1


@pytest.mark.parametrize("seed", range(3))
def test_it_descends(seed: int) -> None:
    def loss(params: Params) -> float:
        u = SPACE.encode(params)
        return float(((u[:3] - 0.8) ** 2).sum()) + (0.1 if params["ACT"] != "silu" else 0.0)

    searcher, losses = LocalSearcher(SPACE, START, seed), []
    for number in range(1, 151):
        params = searcher.ask(number)
        losses.append(loss(params))
        searcher.tell(number, params, losses[-1])
    assert min(losses) < 0.02 < loss(START) / 10


def test_over_derived_coordinates_depth_moves_at_equal_width() -> None:
    searcher = LocalSearcher(DERIVED, START, seed=0, mutated=0.01)
    moves = []
    for number in range(1, 201):
        moves.append(searcher.ask(number))
        searcher.discard(number)
    deeper = [params for params in moves if "DEPTH" in changed(params)]
    assert len(deeper) > 20
    for params in deeper:
        width = int(params["DEPTH"]) * int(params["RATIO"])
        assert 512 * 0.9 < width < 512 * 1.1 or params["RATIO"] in (16, 256)  # the ratio's own range ends there


def test_a_mix_has_the_values_of_two_good_points() -> None:
    tried, rng = TriedPoints(SPACE, START), np.random.default_rng(0)
    assert SPACE.decode(tried.mix(rng)) == START
    better: Params = {**START, "LR": 0.1}
    other: Params = {**START, "DEPTH": 12, "ACT": "silu"}
    bad: Params = {**START, "RATIO": 16}
    for params, loss in ((START, 1.0), (better, 0.5), (other, 0.6), (START, 0.9), (better, 0.7), (bad, 3.0)):
        tried.add(params, loss)
    tried.add(bad, None)
    mixes = [SPACE.decode(tried.mix(rng)) for _ in range(200)]
    assert {params["RATIO"] for params in mixes} == {64}  # only the four best are good
    gains = [(params["LR"], params["DEPTH"], params["ACT"]) for params in mixes]
    assert {(0.1, 12, "silu"), (0.1, 12, "relu"), (0.1, 8, "silu"), (0.1, 8, "relu")} <= set(gains)
