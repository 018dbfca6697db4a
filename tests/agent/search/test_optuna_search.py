"""Optuna's samplers: they learn, remember what ran, and say what they lack."""

import importlib.util
from typing import Any

import pytest

from agent.edits.edit import Params
from agent.errors import MissingRequirementError, UsageError
from agent.search.optuna_search import OptunaSearcher
from agent.search.space import SearchSpace

TABLES: dict[str, dict[str, Any]] = {
    "DEPTH": {"type": "int", "low": 1, "high": 8},
    "BATCH": {"type": "power_of_two", "low": 16, "high": 256},
    "LR": {"type": "float", "low": 0.001, "high": 1.0, "log": True},
    "PATTERN": {"type": "categorical", "choices": ["SSSS", "SSSL", "LLLL"], "ordered": True},
    "ACT": {"type": "categorical", "choices": ["relu", "gelu"]},
}
SPACE = SearchSpace.from_tables(TABLES)


def loss(params: Params) -> float | None:
    u = SPACE.encode(params)
    return None if params["ACT"] == "gelu" else float(((u[:4] - 0.7) ** 2).sum())


def test_tpe_learns_where_losses_are_low_and_trials_succeed() -> None:
    searcher = OptunaSearcher(SPACE, 0)
    losses = []
    for number in range(1, 71):
        params = searcher.ask(number)
        losses.append(loss(params))
        searcher.tell(number, params, losses[-1])
    early = [value for value in losses[:10] if value is not None]
    late = [value for value in losses[-20:] if value is not None]
    assert len(late) >= 15  # failures rank last and are avoided
    assert sum(late) / len(late) < 0.5 * sum(early) / len(early)


def test_settings_reach_the_sampler() -> None:
    def points(**settings: Any) -> list[Params]:
        searcher = OptunaSearcher(SPACE, 0, **settings)
        asked = []
        for number in range(1, 16):
            asked.append(searcher.ask(number))
            searcher.tell(number, asked[-1], loss(asked[-1]))
        return asked

    assert points()[:10] == points(multivariate=False)[:10]  # random start-up
    assert points() != points(multivariate=False)


def test_pitfall_11_the_study_remembers_the_values_that_ran() -> None:
    """Rounded before they are stored, and replaced where a model decided."""
    searcher = OptunaSearcher(SPACE, 0)
    ran: list[Params] = []
    for number in range(1, 5):
        asked = searcher.ask(number)
        ran.append({**asked, "LR": 0.5} if number == 3 else asked)
        searcher.tell(number, ran[-1], 1.0)
    complete = [t for t in searcher._study.trials if t.state.name == "COMPLETE"]
    assert sorted(t.params["LR"] for t in complete) == sorted(p["LR"] for p in ran)
    assert sorted(t.params["BATCH"] for t in complete) == sorted(p["BATCH"] for p in ran)


def test_unknown_samplers_are_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"no sampler 'Magic'; choose one of .*CmaEsSampler.*TPESampler"):
        OptunaSearcher(SPACE, 0, "Magic")


def test_a_sampler_that_needs_more_than_a_seed_is_refused() -> None:
    with pytest.raises(UsageError, match="GridSampler cannot search a space by itself"):
        OptunaSearcher(SPACE, 0, "GridSampler")


@pytest.mark.parametrize("sampler", ["GPSampler", "QMCSampler"])
@pytest.mark.skipif(importlib.util.find_spec("scipy") is not None, reason="scipy is installed")
def test_what_a_sampler_lacks_is_named_before_it_is_asked(sampler: str) -> None:
    """GPSampler draws ten points at random before it loads its library: ten trials would be paid for."""
    with pytest.raises(MissingRequirementError, match="needs the package scipy: `pip install scipy`"):
        OptunaSearcher(SPACE, 0, sampler)


def test_a_sampler_that_cannot_search_this_space_is_refused_with_its_reason() -> None:
    with pytest.raises(UsageError, match=r"BruteForceSampler cannot search this space: .*step must be given"):
        OptunaSearcher(SPACE, 0, "BruteForceSampler")


def test_a_sampler_that_has_been_everywhere_goes_on() -> None:
    """It would end Optuna's own loop, and there is none; what it asks then has run, and is skipped."""
    grid = SearchSpace.from_tables(
        {"A": {"type": "int", "low": 1, "high": 3}, "B": {"type": "int", "low": 1, "high": 2}}
    )
    searcher, points = OptunaSearcher(grid, 0, "BruteForceSampler"), []
    for number in range(1, 9):
        points.append(searcher.ask(number))
        searcher.tell(number, points[-1], 1.0)
    assert len({tuple(point.values()) for point in points[:6]}) == 6
    assert all(grid.validate(point) == [] for point in points)


SAMPLERS = ["TPESampler", "RandomSampler", "NSGAIISampler", "CmaEsSampler"]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_derived_coordinate_is_searched_in_its_range_and_learns_what_ran(sampler: str) -> None:
    if sampler == "CmaEsSampler":
        pytest.importorskip("cmaes")
    tables = {**TABLES, "TOTAL": {"type": "power_of_two", "low": 64, "high": 4096}}
    derived = {"accumulation": {"replaces": "TOTAL", "product": "TOTAL / BATCH", "low": 1, "high": 16}}
    space = SearchSpace.from_tables(tables, derived)
    searcher = OptunaSearcher(space, 0, sampler)
    ran: list[Params] = []
    for number in range(1, 41):
        asked = searcher.ask(number)
        ran.append({**asked, "LR": 0.5} if number % 5 == 0 else asked)
        searcher.tell(number, ran[-1], loss(ran[-1]))
    assert [space.validate(params) for params in ran] == [[]] * 40
    found = [trial.params for trial in searcher._study.trials if trial.state.name == "COMPLETE"]
    axis = space.axes[space.names.index("TOTAL")].start
    assert sorted((t["TOTAL"], t["LR"]) for t in found) == sorted((space.encode(p)[axis], p["LR"]) for p in ran)
    plain = OptunaSearcher(space.plain(), 0, sampler)
    assert any(space.validate(plain.ask(number)) for number in range(1, 41))  # by names alone it leaves the range
