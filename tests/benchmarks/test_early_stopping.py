"""The benchmark of early stopping, on trials made up here."""

import pytest

from agent.edits.edit import Unchanged
from agent.resources import folder
from agent.task.task import Task
from agent.trials.learning_curve import LearningCurve
from agent.trials.trial import Origin, Outcome, Proposal, Status, Trial
from benchmarks.early_stopping import Ran, play, row


def ran(half: float, loss: float, source: str = "WIDTH = 2") -> Ran:
    """Return a trial whose curve ends at its loss."""
    curve = LearningCurve(start=8.0, half=half, end=loss)
    outcome = Outcome(Status.OK, loss, curve=curve)
    trial = Trial(0, None, Proposal(Origin.LLM, "", Unchanged()), "then", outcome, "later")
    return Ran(trial, curve, half, source, "WIDTH = 1")


@pytest.fixture(scope="module")
def task() -> Task:
    return Task.load(folder("train_template"))


def test_what_is_hopeless_after_enough_curves_is_killed_and_what_is_exempt_is_not(task: Task) -> None:
    full = [ran(3.0, 2.0 + n / 100) for n in range(8)]
    order = [*full, ran(4.0, 3.0), ran(4.0, 3.0, "WARMUP = 1")]
    found = play(order, task, ("WARMUP",), sigma=0.01, seed=1)
    assert (found.n_condemned, found.n_killed, found.n_better_killed, found.regret) == (1, 1, 0, 0.0)
    assert found.saved == pytest.approx(0.5 / 10)


def test_a_kill_that_was_wrong_is_counted_with_what_it_cost(task: Task) -> None:
    order = [ran(3.0, 2.0), *[ran(3.0, 2.1)] * 7, ran(4.0, 1.5)]
    found = play(order, task, (), sigma=0.01, seed=1)
    assert (found.n_killed, found.n_better, found.n_better_killed) == (1, 1, 1)
    assert found.regret == pytest.approx(0.5)
    assert row("this", [found]) == "| this | 12.5 | 12.5 | 5.6 | 100.0 | 0.5000 |"
