"""Parameter importance finds the name that decides, and says nothing where little is known."""

import numpy as np

from agent.modes.prompting.axis_effects import MIN_TRIALS
from agent.report.html.importance import importances
from agent.search.parameters import Float, Int
from agent.search.space import SearchSpace
from agent.task.task import Task


def test_the_name_that_decides_comes_first(bigram: Task) -> None:
    assert bigram.space is not None
    rng = np.random.default_rng(0)
    points = [bigram.space.decode(rng.random(bigram.space.n_dims)) for _ in range(80)]
    found = importances(bigram.space, [(point, abs(float(point["MIX"]) - 0.3)) for point in points])
    assert next(iter(found)) == "MIX"
    assert abs(sum(found.values()) - 1.0) < 1e-9


def test_few_trials_say_nothing(bigram: Task) -> None:
    assert bigram.space is not None
    known = [(bigram.defaults, 1.0)] * (MIN_TRIALS - 1)
    assert importances(bigram.space, known) == {}


def test_a_name_with_one_value_has_no_importance() -> None:
    space = SearchSpace((Float("A", 0.0, 1.0), Float("B", 0.0, 1.0), Int("C", 1, 9)))
    scored = [({"A": n / 40, "B": (n * 7 % 40) / 40, "C": 3}, (n / 40 - 0.5) ** 2) for n in range(40)]
    assert set(importances(space, scored)) == {"A", "B"}
    assert importances(space, [({**params, "A": 0.5, "B": 0.5}, loss) for params, loss in scored]) == {}
