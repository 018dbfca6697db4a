"""The hill-climb that a Gaussian process steers: near the best point, towards what the trials promise."""

import numpy as np
import pytest

from agent.edits.edit import Params
from agent.search.local_gp import LocalGPSearcher
from agent.search.local_search import LocalSearcher
from agent.search.searcher import Searcher
from agent.search.space import SearchSpace

TABLES = {
    "DEPTH": {"type": "int", "low": 1, "high": 16},
    "RATIO": {"type": "int", "low": 16, "high": 256},
    "LR": {"type": "float", "low": 0.001, "high": 1.0, "log": True},
    "DECAY": {"type": "float", "low": 0.0, "high": 1.0},
    "WARMUP": {"type": "float", "low": 0.0, "high": 1.0},
    "ACT": {"type": "categorical", "choices": ["relu", "gelu", "silu"]},
}
SPACE = SearchSpace.from_tables(TABLES)
START: Params = {"DEPTH": 8, "RATIO": 64, "LR": 0.01, "DECAY": 0.5, "WARMUP": 0.5, "ACT": "relu"}


def bowl(params: Params) -> float:
    u = SPACE.encode(params)
    return float(((u[:5] - 0.75) ** 2).sum()) + (0.05 if params["ACT"] != "silu" else 0.0)


def search(searcher: Searcher, n_trials: int) -> list[float]:
    """Return the losses of the trials, the start included."""
    searcher.tell(0, START, bowl(START))
    losses = [bowl(START)]
    for number in range(1, n_trials + 1):
        params = searcher.ask(number)
        losses.append(bowl(params))
        searcher.tell(number, params, losses[-1])
    return losses


def test_it_comes_further_than_unscreened_steps() -> None:
    screened = [min(search(LocalGPSearcher(SPACE, START, seed), 40)) for seed in range(6)]
    plain = [min(search(LocalSearcher(SPACE, START, seed), 40)) for seed in range(6)]
    assert np.mean(screened) < 0.5 * np.mean(plain)


def test_every_step_leaves_the_best_point_and_repeats_nothing() -> None:
    searcher, seen = LocalGPSearcher(SPACE, START, seed=0), [START]
    searcher.tell(0, START, bowl(START))
    for number in range(1, 60):
        params = searcher.ask(number)
        assert params not in seen
        seen.append(params)
        searcher.tell(number, params, bowl(params))


@pytest.mark.parametrize("loss", [None, 1.0])
def test_nothing_but_failures_or_ties_is_no_obstacle(loss: float | None) -> None:
    searcher = LocalGPSearcher(SPACE, START, seed=0)
    for number in range(1, 30):
        searcher.tell(number, searcher.ask(number), loss)


def test_it_turns_away_from_failures() -> None:
    searcher, n_failed = LocalGPSearcher(SPACE, START, seed=1), []
    searcher.tell(0, START, bowl(START))
    for number in range(1, 61):
        params = searcher.ask(number)
        fails = int(params["DEPTH"]) > 9  # the floor of the bowl lies beyond
        n_failed.append(fails)
        searcher.tell(number, params, None if fails else bowl(params))
    assert sum(n_failed[30:]) < 10


def test_where_there_is_nothing_new_it_repeats() -> None:
    space = SearchSpace.from_tables(
        {"A": {"type": "int", "low": 0, "high": 1}, "B": {"type": "int", "low": 0, "high": 1}}
    )
    searcher, seen = LocalGPSearcher(space, {"A": 0, "B": 0}, seed=0), []
    for number in range(20):
        params = searcher.ask(number)
        seen.append(tuple(params.values()))
        searcher.tell(number, params, 1.0 + int(params["A"]) + int(params["B"]))
    assert len(set(seen[:8])) >= 3
    assert len(set(seen)) < len(seen)


def test_it_takes_the_trials_in_flight_into_account() -> None:
    """With a trial in flight, the mean at its point stays the same, and the deviation is smaller."""
    alone, beside = (LocalGPSearcher(SPACE, START, seed=0) for _ in range(2))
    for searcher in (alone, beside):
        search(searcher, 12)
    point = np.array([SPACE.encode(beside.ask(13))])
    (mean, std), (same_mean, larger) = (searcher._process().predict(point) for searcher in (beside, alone))
    assert mean == pytest.approx(same_mean)
    assert std < 0.8 * larger


def test_eight_in_flight_come_further_than_unscreened_steps() -> None:
    def last(searcher: Searcher) -> float:
        waiting, losses = list[tuple[int, Params]](), [bowl(START)]
        searcher.tell(0, START, bowl(START))
        for number in range(1, 81):
            waiting.append((number, searcher.ask(number)))
            if len(waiting) == 8:
                done, params = waiting.pop(0)
                losses.append(bowl(params))
                searcher.tell(done, params, losses[-1])
        return min(losses)

    screened = [last(LocalGPSearcher(SPACE, START, seed)) for seed in range(6)]
    plain = [last(LocalSearcher(SPACE, START, seed)) for seed in range(6)]
    assert np.mean(screened) < 0.5 * np.mean(plain)
