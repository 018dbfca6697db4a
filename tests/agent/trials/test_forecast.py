"""The time that a run has left: by the first cap that it will reach, as fast as its trials have been so far."""

import pytest

from agent.llm.model import ModelUsage
from agent.llm.spending_cap import Caps
from agent.trials.budget import Budget, Ledger, seconds_left

SPENT = Ledger(10, 50.0, 200.0, ModelUsage("m", 10, 900, 100, 5.0, 0.5))


@pytest.mark.parametrize(
    ("budget", "left"),
    [
        (Budget(), None),
        (Budget(trials=40), 600.0),
        (Budget(train_seconds=100.0), 200.0),
        (Budget(wall_seconds=500.0), 300.0),
        (Budget(caps=Caps(tokens=3000)), 400.0),
        (Budget(caps=Caps(dollars=0.75)), 100.0),
        (Budget(trials=40, wall_seconds=500.0), 300.0),
        (Budget(trials=12, wall_seconds=500.0), 40.0),
        (Budget(trials=5), 0.0),
        (Budget(wall_seconds=100.0), 0.0),
    ],
)
def test_the_first_cap_decides(budget: Budget, left: float | None) -> None:
    assert seconds_left(SPENT, budget) == left


def test_before_the_first_trial_only_a_cap_on_wall_time_says_anything() -> None:
    nothing = Ledger.of(())
    assert seconds_left(nothing, Budget(trials=40, train_seconds=100.0)) is None
    assert seconds_left(nothing, Budget(trials=40, wall_seconds=500.0)) == 500.0


def test_runs_after_the_last_trial_take_their_time_but_are_a_part_of_a_cap_on_time() -> None:
    assert seconds_left(SPENT, Budget(trials=40), closing_seconds=60.0) == 660.0
    assert seconds_left(SPENT, Budget(train_seconds=100.0), closing_seconds=60.0) == 200.0
    assert seconds_left(SPENT, Budget(trials=40, wall_seconds=640.0), closing_seconds=60.0) == 440.0
