"""What every Searcher promises, for all of them."""

import json
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from agent.edits.edit import Params
from agent.modes.searchers import build_searcher
from agent.search.cmaes import CMAESearcher
from agent.search.local_gp import LocalGPSearcher
from agent.search.local_search import LocalSearcher
from agent.search.random_search import RandomSearcher
from agent.search.searcher import HintedSearcher, Searcher
from agent.search.space import SearchSpace

TABLES: dict[str, dict[str, Any]] = {
    "DEPTH": {"type": "int", "low": 1, "high": 8},
    "STEPS": {"type": "int", "low": 10, "high": 1000, "log": True},
    "HEAD_DIM": {"type": "power_of_two", "low": 16, "high": 64},
    "LR": {"type": "float", "low": 0.005, "high": 0.2, "log": True},
    "DECAY": {"type": "float", "low": 0.0, "high": 0.5},
    "PATTERN": {"type": "categorical", "choices": ["SSSS", "SSSL", "LLLL"], "ordered": True},
    "ACT": {"type": "categorical", "choices": ["relu", "gelu", "silu"]},
}
SPACE = SearchSpace.from_tables(TABLES)
DERIVED = SearchSpace.from_tables(TABLES, {"work": {"replaces": "STEPS", "product": "STEPS * DEPTH * HEAD_DIM"}})
START: Params = {
    "DEPTH": 4,
    "STEPS": 100,
    "HEAD_DIM": 32,
    "LR": 0.04,
    "DECAY": 0.0,
    "PATTERN": "SSSL",
    "ACT": "relu",
}
HINT: Params = {**START, "LR": 0.02}

Build = Callable[[int], Searcher]
BUILDERS: dict[str, Build] = {
    "random": lambda seed: RandomSearcher(SPACE, seed),
    "cma-es": lambda seed: CMAESearcher(SPACE, START, seed),
    "local": lambda seed: LocalSearcher(SPACE, START, seed),
    "local-gp": lambda seed: LocalGPSearcher(SPACE, START, seed),
    "cma-es, derived": lambda seed: CMAESearcher(DERIVED, START, seed),
    "local, derived": lambda seed: LocalSearcher(DERIVED, START, seed),
    "local-gp, derived": lambda seed: LocalGPSearcher(DERIVED, START, seed),
    "tpe": lambda seed: build_searcher("tpe", SPACE, START, seed),
    "tpe, derived": lambda seed: build_searcher("tpe", DERIVED, START, seed),
    "cma-es, hinted": lambda seed: HintedSearcher(CMAESearcher(SPACE, HINT, seed), HINT),
    "local, hinted": lambda seed: HintedSearcher(LocalSearcher(SPACE, HINT, seed), HINT),
    "optuna:NSGAIISampler": lambda seed: build_searcher("optuna:NSGAIISampler", SPACE, START, seed),
}
N_TRIALS = 30  # several generations of CMA-ES, past the warm-up of the others


@pytest.fixture(params=BUILDERS, ids=str)
def build(request: pytest.FixtureRequest) -> Build:
    return BUILDERS[request.param]


def objective(params: Params) -> float | None:
    """A bowl with its floor away from the start; deep models fail."""
    u = SPACE.encode(params)
    return None if u[0] > 0.8 else float(((u - 0.6) ** 2).sum())


def drive(searcher: Searcher, first: int, last: int) -> list[Params]:
    """Run trials `first` to `last` one after the other and return their points."""
    points = []
    for number in range(first, last + 1):
        points.append(searcher.ask(number))
        searcher.tell(number, points[-1], objective(points[-1]))
    return points


def test_points_are_valid_canonical_and_plain(build: Build) -> None:
    for params in drive(build(0), 1, N_TRIALS):
        assert SPACE.validate(params) == []
        assert list(params) == list(SPACE.names)
        assert json.loads(json.dumps(params)) == params
        assert all(type(value) in (int, float, str) for value in params.values())
        assert SPACE.canonical(params) == params


def test_asking_again_gives_the_same_point(build: Build) -> None:
    searcher = build(0)
    drive(searcher, 1, 5)
    assert searcher.ask(6) == searcher.ask(6)


def test_a_number_with_a_result_gets_a_new_point(build: Build) -> None:
    searcher = build(0)
    first = searcher.ask(1)
    searcher.tell(1, first, 1.0)
    assert searcher.ask(1) != first


def test_points_differ_between_trials_and_seeds(build: Build) -> None:
    points = [json.dumps(params) for params in drive(build(0), 1, N_TRIALS)]
    assert len(set(points)) > 0.9 * N_TRIALS
    assert drive(build(1), 1, 5) != drive(build(0), 1, 5)


@pytest.mark.parametrize("killed_after", [1, 9, 23])
def test_pitfall_1_driven_again_after_a_kill_it_goes_on_as_if_unbroken(build: Build, killed_after: int) -> None:
    """The paper's CMA-ES lost its state at every resume and began again in the middle of the box."""
    unbroken = drive(build(3), 1, N_TRIALS)
    again = build(3)
    drive(again, 1, killed_after)
    assert drive(again, killed_after + 1, N_TRIALS) == unbroken[killed_after:]


class Driver:
    """Feeds a searcher events as they stand in a journal, several trials in flight."""

    def __init__(self, searcher: Searcher) -> None:
        self.searcher = searcher
        self.points: dict[int, Params] = {}

    def run(self, events: list[tuple[str, int]]) -> list[Params]:
        """Apply `events`; return the points asked for."""
        asked = []
        for event, number in events:
            match event:
                case "ask":
                    self.points[number] = self.searcher.ask(number)
                    asked.append(self.points[number])
                case "tell":
                    self.searcher.tell(number, self.points[number], objective(self.points[number]))
                case "release":
                    self.searcher.release(number)
        return asked


def overlapping(n_trials: int) -> list[tuple[str, int]]:
    """Three trials at once, told out of order, some released."""
    events: list[tuple[str, int]] = []
    for number in range(1, n_trials, 3):
        events += [("ask", number), ("ask", number + 1), ("ask", number + 2)]
        events += [("tell", number + 1), ("release" if number % 2 else "tell", number), ("tell", number + 2)]
    return events


@pytest.mark.parametrize("in_flight", [1, 3])
def test_a_kill_with_trials_in_flight_changes_nothing(build: Build, in_flight: int) -> None:
    events = overlapping(N_TRIALS)
    cut = events.index(("ask", 19)) + in_flight
    unbroken, broken = Driver(build(5)), Driver(build(5))
    unbroken.run(events[:cut])
    broken.run(events[:cut])
    for number in range(19, 19 + in_flight):
        assert broken.searcher.ask(number) == unbroken.points[number]
    assert broken.run(events[cut:]) == unbroken.run(events[cut:])


def test_what_is_released_is_asked_next(build: Build) -> None:
    searcher = build(0)
    drive(searcher, 1, 20)
    point = searcher.ask(21)
    searcher.release(21)
    assert searcher.ask(22) == point
    assert searcher.ask(23) != point


def test_what_is_discarded_is_not_asked_again(build: Build) -> None:
    searcher, again = build(0), build(0)
    drive(searcher, 1, 12)
    points = []
    for _ in range(3):
        points.append(searcher.ask(13))
        searcher.discard(13)
    points.append(searcher.ask(13))
    assert all(points.count(point) == 1 for point in points)
    assert all(SPACE.validate(point) == [] for point in points)
    drive(again, 1, 12)
    for point in points[:3]:
        assert again.ask(13) == point
        again.discard(13)
    assert drive(again, 13, N_TRIALS) == drive(searcher, 13, N_TRIALS)


def test_several_released_points_come_back_in_order(build: Build) -> None:
    searcher = build(0)
    points = [searcher.ask(number) for number in (1, 2, 3)]
    searcher.release(1)
    searcher.release(2)
    assert [searcher.ask(number) for number in (4, 5)] == points[:2]


def test_a_point_from_elsewhere_may_be_reported_in_place_of_the_proposed_one(build: Build) -> None:
    searcher = build(0)
    for number in range(1, N_TRIALS + 1):
        asked = searcher.ask(number)
        run = START if number % 3 == 0 else asked
        searcher.tell(number, run, objective(run))
    assert SPACE.validate(searcher.ask(N_TRIALS + 1)) == []


def test_the_baseline_may_be_reported_without_being_proposed(build: Build) -> None:
    searcher = build(0)
    searcher.tell(0, START, objective(START))
    points = drive(searcher, 1, 15)
    assert all(SPACE.validate(params) == [] for params in points)


def test_it_goes_on_when_everything_fails(build: Build) -> None:
    searcher = build(0)
    for number in range(1, N_TRIALS + 1):
        searcher.tell(number, searcher.ask(number), None)
    assert SPACE.validate(searcher.ask(N_TRIALS + 1)) == []


def test_no_global_generator_is_touched(build: Build) -> None:
    def states() -> list[Any]:
        kind, keys, *rest = np.random.get_state()
        return [random.getstate(), kind, keys.tolist(), rest]  # type: ignore[union-attr]

    before = states()
    drive(build(0), 1, N_TRIALS)
    assert states() == before


def test_global_generators_do_not_matter(build: Build) -> None:
    points = drive(build(0), 1, N_TRIALS)
    state = np.random.get_state(), random.getstate()
    try:
        np.random.seed(99)
        random.seed(99)
        assert drive(build(0), 1, N_TRIALS) == points
    finally:
        np.random.set_state(state[0])
        random.setstate(state[1])


@pytest.mark.parametrize("kind", [LocalSearcher, LocalGPSearcher])
def test_with_trials_in_flight_each_point_is_new_while_there_are_any(kind: Callable[..., Searcher]) -> None:
    """90 points, 8 in flight: the baseline and 89 trials try all of them."""
    space = SearchSpace.from_tables(
        {"A": {"type": "int", "low": 1, "high": 9}, "B": {"type": "categorical", "choices": list(range(10))}}
    )
    start: Params = {"A": 5, "B": 0}
    searcher, in_flight, seen = kind(space, start, seed=0), dict[int, Params](), [start]
    searcher.tell(0, start, 1.0)
    for number in range(1, 90):
        in_flight[number] = searcher.ask(number)
        assert in_flight[number] not in seen
        seen.append(in_flight[number])
        if len(in_flight) == 8:
            done = min(in_flight, key=lambda each: (each % 3, each))
            params = in_flight.pop(done)
            searcher.tell(done, params, None if params["A"] == 9 else float(abs(int(params["A"]) - 3)))
    assert space.validate(searcher.ask(90)) == []
