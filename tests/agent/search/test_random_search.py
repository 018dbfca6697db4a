"""Random search: counted, not streamed."""

import numpy as np

from agent.search.random_search import RandomSearcher
from agent.search.space import SearchSpace

SPACE = SearchSpace.from_tables({"X": {"type": "float", "low": 0.0, "high": 1.0}})


def test_pitfall_2_a_resumed_run_does_not_repeat_itself() -> None:
    """The paper's random search was seeded anew at every resume and ran 271 configurations twice."""
    before = [RandomSearcher(SPACE, 0).ask(number) for number in range(1, 21)]
    resumed = RandomSearcher(SPACE, 0)
    after = [resumed.ask(number) for number in range(21, 41)]
    assert not [params for params in after if params in before]


def test_points_cover_the_range_evenly() -> None:
    searcher = RandomSearcher(SPACE, 0)
    values = [float(searcher.ask(number)["X"]) for number in range(1, 2001)]
    counts, _ = np.histogram(values, bins=10, range=(0, 1))
    assert np.abs(counts - 200).max() < 60
