"""CMA-ES: where it starts, what it learns, and what the paper's runs got wrong."""

import json
import math

import numpy as np
import pytest

from agent.edits.edit import Params
from agent.search.cmaes import CMAESearcher, CMASettings
from agent.search.space import SearchSpace

SPACE = SearchSpace.from_tables(
    {
        "DEPTH": {"type": "int", "low": 1, "high": 8},
        "BATCH": {"type": "power_of_two", "low": 16, "high": 256},
        "LR": {"type": "float", "low": 0.001, "high": 1.0, "log": True},
        "DECAY": {"type": "float", "low": 0.0, "high": 1.0},
        "ACT": {"type": "categorical", "choices": ["relu", "gelu", "silu"]},
    }
)
START: Params = {"DEPTH": 2, "BATCH": 32, "LR": 0.01, "DECAY": 0.0, "ACT": "relu"}
GOAL = np.array([0.8, 0.6, 0.7, 0.4])


def loss(params: Params) -> float:
    bowl = float(((SPACE.encode(params)[:4] - GOAL) ** 2).sum())
    return bowl + (0.1 if params["ACT"] != "silu" else 0.0)


def drive(searcher: CMAESearcher, n_trials: int) -> list[float]:
    losses = []
    for number in range(1, n_trials + 1):
        params = searcher.ask(number)
        losses.append(loss(params))
        searcher.tell(number, params, losses[-1])
    return losses


def test_pitfall_10_it_starts_from_the_scripts_own_values() -> None:
    """The paper's started in the middle of the box, where most trials ran out of memory."""
    state = CMAESearcher(SPACE, START, seed=0).state()
    assert state.mean == pytest.approx({**START, "ACT": "relu"})
    assert state.generation == 0


def test_pitfall_10_choices_are_learned() -> None:
    """The paper's drew its categorical at random for ever."""
    searcher = CMAESearcher(SPACE, START, seed=0)
    drive(searcher, 200)
    assert searcher.state().mean["ACT"] == "silu"


@pytest.mark.parametrize("seed", range(5))
def test_it_descends(seed: int) -> None:
    losses = drive(CMAESearcher(SPACE, START, seed), 200)
    assert min(losses) < 0.02 < loss(START) / 10


def test_levels_stay_reachable_after_convergence() -> None:
    searcher = CMAESearcher(SPACE, START, seed=0)
    drive(searcher, 400)
    std = searcher.state().std
    assert std["DEPTH"] >= 0.249  # layers
    assert std["BATCH"] >= 2**0.249  # a factor
    assert std["LR"] < 1.2  # a factor: converged


@pytest.mark.parametrize("seed", range(5))
def test_when_whole_generations_fail_it_pulls_back_to_what_works(seed: int) -> None:
    """A ball of radius 0.15 around the start is all that works; the optimum lies within it."""
    space = SearchSpace.from_tables({f"X{i}": {"type": "float", "low": 0.0, "high": 1.0} for i in range(10)})
    start = np.full(10, 0.5)
    goal = start + 0.1 / math.sqrt(10)
    searcher = CMAESearcher(space, space.decode(start), seed)
    n_failed = 0
    for number in range(1, 301):
        params = searcher.ask(number)
        u = space.encode(params)
        works = bool(np.linalg.norm(u - start) < 0.15)
        n_failed += not works
        searcher.tell(number, params, float(((u - goal) ** 2).sum()) if works else None)
    assert n_failed < 280  # without the pull, 300 of 300 fail


def test_failures_are_measured_from_the_baseline_until_something_beats_it() -> None:
    """All but one of a generation fail: it is pulled to those near the baseline, not to those near a bad point."""
    space = SearchSpace.from_tables({f"X{i}": {"type": "float", "low": 0.0, "high": 1.0} for i in range(2)})
    start = {"X0": 0.5, "X1": 0.5}

    def after_a_generation(baseline_loss: float) -> float:
        searcher = CMAESearcher(space, start, 0, CMASettings(population=8))
        searcher.tell(0, start, baseline_loss)
        for number in range(1, 9):
            searcher.ask(number)
            near, far = {"X0": 0.55, "X1": 0.5}, {"X0": 0.95, "X1": 0.5}
            point = {"X0": 0.99, "X1": 0.5} if number == 1 else near if number < 4 else far
            searcher.tell(number, point, 1.0 if number == 1 else None)
        return float(searcher.state().mean["X0"])

    assert after_a_generation(0.9) < after_a_generation(1.1) - 0.05


def test_a_generation_counts_every_reported_trial_once() -> None:
    searcher = CMAESearcher(SPACE, START, 0, CMASettings(population=6))
    for number in range(1, 6):
        searcher.tell(number, searcher.ask(number), None if number == 2 else 1.0)
    assert searcher.state().generation == 0
    searcher.ask(6)
    searcher.release(6)
    assert searcher.state().generation == 0
    searcher.tell(7, START, 0.5)  # never asked for: not a member
    assert searcher.state().generation == 0
    searcher.ask(8)
    searcher.tell(8, START, 0.5)  # a model's answer in place of the point asked for
    assert searcher.state().generation == 1


def test_a_good_point_reported_in_place_pulls_the_mean() -> None:
    def distance_to_goal(*, is_reported: bool) -> float:
        searcher = CMAESearcher(SPACE, START, seed=0)
        good = SPACE.decode(np.array([*GOAL, 0.4, 0.4, 0.6]))
        for number in range(1, 11):
            params = searcher.ask(number)
            params = good if is_reported and number == 3 else params
            searcher.tell(number, params, loss(params))
        state = searcher.state()
        return abs(math.log(float(state.mean["LR"]) / float(good["LR"])))

    assert distance_to_goal(is_reported=True) < distance_to_goal(is_reported=False)


def test_the_state_is_json_in_the_parameters_units() -> None:
    searcher = CMAESearcher(SPACE, START, seed=0)
    state = searcher.state()
    assert state.sigma == pytest.approx(1 / 6)
    assert state.std["DEPTH"] == pytest.approx(8 / 6)
    assert state.std["LR"] == pytest.approx(1000 ** (1 / 6), rel=1e-3)
    assert state.std["DECAY"] == pytest.approx(1 / 6, rel=1e-3)
    assert state.std["ACT"] == pytest.approx(5 / 6, rel=1e-3)  # of the way from not chosen to chosen
    assert state.axes == ("DEPTH", "BATCH", "LR", "DECAY", "ACT", "ACT", "ACT")
    drive(searcher, 60)
    data = json.loads(json.dumps(searcher.state().to_json()))
    covariance = np.array(data["covariance"])
    assert covariance.shape == (7, 7)
    assert np.allclose(covariance, covariance.T)
    assert (np.linalg.eigvalsh(covariance) > 0).all()
    assert data["generation"] == 6
    assert data["std"]["DECAY"] == pytest.approx(math.sqrt(covariance[3, 3]))


def test_correlations_are_those_of_the_samples() -> None:
    searcher = CMAESearcher(SPACE, START, seed=0)
    drive(searcher, 60)
    state = searcher.state()
    assert state.correlation("LR", "LR") == pytest.approx(1)
    assert -1 <= state.correlation("LR", "DECAY") == state.correlation("DECAY", "LR") <= 1
    assert -1 <= state.correlation("LR", "ACT") <= 1


def test_one_name_is_enough() -> None:
    space = SearchSpace.from_tables({"X": {"type": "float", "low": 0.0, "high": 1.0}})
    searcher = CMAESearcher(space, {"X": 0.1}, seed=0)
    for number in range(1, 61):
        params = searcher.ask(number)
        searcher.tell(number, params, (float(params["X"]) - 0.7) ** 2)
    assert searcher.state().mean["X"] == pytest.approx(0.7, abs=0.02)
