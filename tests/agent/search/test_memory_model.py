"""The memory model: it learns what fits from the run's own trials, and says how sure it is."""

from typing import Any

import numpy as np
import pytest

from agent.edits.edit import Params
from agent.search.memory_model import MemoryModel, non_negative_least_squares
from agent.search.space import SearchSpace

SPACE = SearchSpace.from_tables(
    {
        "DEPTH": {"type": "int", "low": 2, "high": 24},
        "RATIO": {"type": "int", "low": 32, "high": 128},
        "BATCH": {"type": "power_of_two", "low": 8, "high": 128},
    }
)
TERMS = ["BATCH * DEPTH * width", "DEPTH * width * width", "BATCH * width"]
DEFINE = {"width": "ceil(DEPTH * RATIO / 64) * 64"}
LIMIT_GB = 24.0


def needs_gb(params: Params) -> float:
    """A machine's truth: two of the terms matter, the third does not."""
    depth, batch = int(params["DEPTH"]), int(params["BATCH"])
    width = -(-depth * int(params["RATIO"]) // 64) * 64
    return 0.5 + 1.5e-5 * batch * depth * width + 2e-7 * depth * width**2


def model(n_successes: int, seed: int = 0) -> MemoryModel:
    """A model that has seen random trials, their memory measured within half a per cent."""
    learner, rng = MemoryModel(TERMS, LIMIT_GB, SPACE.names, DEFINE), np.random.default_rng(seed)
    while n_successes:
        params = SPACE.decode(rng.random(SPACE.n_dims))
        fits = needs_gb(params) <= LIMIT_GB
        learner.observe(params, needs_gb(params) * (1 + 0.005 * rng.standard_normal()) if fits else None)
        n_successes -= fits
    return learner


def points(n: int) -> list[Params]:
    rng = np.random.default_rng(99)
    return [SPACE.decode(rng.random(SPACE.n_dims)) for _ in range(n)]


def test_nothing_is_refused_before_a_few_trials_have_succeeded() -> None:
    learner = model(3)
    assert all(learner.estimate(params) is None for params in points(20))


@pytest.mark.parametrize("seed", range(5))
def test_after_ten_trials_it_tells_what_fits(seed: int) -> None:
    learner = model(10, seed)
    estimates = [learner.estimate(params) for params in points(400)]
    refused = [estimate is not None and estimate.hopeless for estimate in estimates]
    fits = [needs_gb(params) <= LIMIT_GB for params in points(400)]
    assert 0.1 < np.mean(fits) < 0.9
    assert sum(r and f for r, f in zip(refused, fits, strict=True)) <= 0.01 * sum(fits)
    assert sum(not r and not f for r, f in zip(refused, fits, strict=True)) <= 0.05 * fits.count(False)


def test_it_is_less_sure_far_from_what_it_has_seen_and_surer_with_more() -> None:
    small: Params = {"DEPTH": 4, "RATIO": 64, "BATCH": 16}
    large: Params = {"DEPTH": 24, "RATIO": 128, "BATCH": 128}
    few, many = model(6), model(60)
    errors = [estimate.error for m in (few, many) for p in (small, large) if (estimate := m.estimate(p)) is not None]
    assert len(errors) == 4
    few_small, few_large, many_small, many_large = errors
    assert few_large > few_small
    assert many_large < few_large
    assert many_small == pytest.approx(0.01, rel=0.1)  # never surer than memory repeats


def test_the_chance_of_fitting_falls_with_the_estimate() -> None:
    learner = model(20)
    estimates = [e for params in points(200) if (e := learner.estimate(params)) is not None]
    ordered = sorted(estimates, key=lambda estimate: estimate.gb)
    assert ordered[0].chance > 0.999
    assert ordered[-1].chance < 0.001
    assert all((e.chance > 0.5) == (e.gb < LIMIT_GB) for e in estimates)


def test_a_trial_that_ran_out_of_memory_corrects_an_estimate_that_was_too_low() -> None:
    learner = MemoryModel(TERMS, LIMIT_GB, SPACE.names, DEFINE)
    for depth in (2, 3, 4, 5):  # all narrow: the width squared is not to be seen
        learner.observe({"DEPTH": depth, "RATIO": 32, "BATCH": 8}, 1.0 + 0.1 * depth)
    wide: Params = {"DEPTH": 16, "RATIO": 128, "BATCH": 8}
    before = learner.estimate(wide)
    assert before is not None
    assert before.gb < LIMIT_GB
    learner.observe(wide, None)
    after = learner.estimate(wide)
    assert after is not None
    assert after.gb > 0.9 * LIMIT_GB


def test_weights_are_never_negative_and_are_the_best() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        rows, targets = rng.standard_normal((12, 5)), rng.standard_normal(12)
        x = non_negative_least_squares(rows, targets, ridge=0.0)
        gradient = rows.T @ (rows @ x - targets)
        assert (x >= 0).all()
        assert np.abs(gradient[x > 0]).max(initial=0) < 1e-9  # flat where it is free
        assert (gradient[x == 0] > -1e-9).all()  # and uphill where it is held


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "terms must be a list"),
        ({"terms": []}, "terms must be a list"),
        ({"terms": ["DEPTH * WIDTH"]}, "WIDTH in 'DEPTH * WIDTH' is not a name"),
        ({"terms": ["DEPTH"], "cap": 3}, "unknown key 'cap'"),
        ({"terms": ["DEPTH"], "limit_gb": 0}, "limit_gb = 0 is not a positive number"),
    ],
)
def test_bad_tables_are_refused(table: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r"^memory: ") as error:
        MemoryModel.from_table(table, SPACE.names, LIMIT_GB)
    assert message in str(error.value)


def test_the_limit_is_the_jobs_own_unless_the_table_says_otherwise() -> None:
    assert MemoryModel.from_table({"terms": ["DEPTH"]}, SPACE.names, 2.0).limit_gb == 2.0
    assert MemoryModel.from_table({"terms": ["DEPTH"], "limit_gb": 76}, SPACE.names, 2.0).limit_gb == 76.0
