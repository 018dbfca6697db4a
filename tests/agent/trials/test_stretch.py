"""A stretch without a gain is long by the run's own rate of gains, and what noise gives is no gain."""

import random
from dataclasses import replace
from statistics import mean

import pytest

from agent.trials.keeping.stretch import FEWEST_TRIALS, LEVEL, chance_of_none, stretch_without_gain
from agent.trials.trial import KeepState, Status, Trial
from tests.agent.modes.run_so_far import baseline, trial

SIGMA = 0.01


def night(losses: list[float | None], best: float = 2.5) -> list[Trial]:
    """Return a baseline of 2.5 and a trial for each loss; each lower one is kept. None: it crashed."""
    trials = [baseline(loss=best)]
    for number, loss in enumerate(losses, start=1):
        if loss is None:
            trials.append(trial(number, status=Status.CRASHED))
            continue
        trials.append(trial(number, loss=loss, kept=loss < best))
        best = min(best, loss)
    return trials


def test_without_any_gain_it_takes_twenty_trials() -> None:
    nothing = [stretch_without_gain(night([2.6] * n), SIGMA) for n in (0, 19, 20)]
    assert [stretch.is_long for stretch in nothing] == [False, False, True]
    assert nothing[-1].since == 0
    assert chance_of_none(20, 0, 0) == pytest.approx(1 / 21)


def test_a_run_that_often_gains_has_a_long_stretch_sooner() -> None:
    often = night([2.5 - 0.1 * (n // 2) for n in range(2, 14)])  # every second trial gains
    seldom = night([2.5 - 0.1 * (n // 6) for n in range(6, 36)])  # every sixth
    limits = [stretch_without_gain(trials, SIGMA).limit for trials in (often, seldom)]
    assert FEWEST_TRIALS <= limits[0] < limits[1] <= 20


def test_the_limit_is_the_first_length_that_chance_does_not_explain() -> None:
    found = stretch_without_gain(night([2.6, 2.4, 2.6, 2.6, 2.2, 2.6, 2.6]), SIGMA)
    assert (found.since, found.n_trials) == (5, 2)
    assert chance_of_none(found.limit, 2, 5) < LEVEL <= chance_of_none(found.limit - 1, 2, 5)


def test_a_lower_loss_within_the_noise_is_no_gain_but_small_steps_add_up() -> None:
    assert stretch_without_gain(night([2.49]), SIGMA).since == 0
    assert stretch_without_gain(night([2.49, 2.48, 2.47, 2.46]), SIGMA).since == 4
    assert stretch_without_gain(night([2.49]), 0.0).since == 1


def test_a_trial_that_is_rolled_back_later_gained_nothing() -> None:
    trials = night([2.0, 2.1])
    trials[1] = replace(trials[1], repeat_state=KeepState.ROLLED_BACK)
    assert (stretch_without_gain(trials, SIGMA).since, stretch_without_gain(trials, SIGMA).n_trials) == (0, 2)


def test_failures_count_and_what_never_ran_does_not() -> None:
    trials = [*night([2.0, None, None]), trial(4, status=Status.DUPLICATE), trial(5, status=Status.NO_PROPOSAL)]
    assert stretch_without_gain(trials, SIGMA).n_trials == 2


def test_trials_that_change_nothing_hardly_ever_gain() -> None:
    """Scripts that differ by noise alone: the lowest of many losses is kept, and is still no gain."""
    rng = random.Random(3)
    runs = [night([rng.gauss(2.5, SIGMA) for _ in range(60)], best=rng.gauss(2.5, SIGMA)) for _ in range(50)]
    assert mean(stretch_without_gain(trials, SIGMA).is_long for trials in runs) > 0.9


def test_without_any_trial_there_is_no_stretch() -> None:
    assert not stretch_without_gain([], SIGMA).is_long
