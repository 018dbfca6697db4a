"""The best so far, against trials and costs, and its spread over runs."""

from agent.trials.best_so_far import BestSoFar, as_charged, as_trials, best_so_far, spread
from agent.trials.trial import KeepState, Status
from tests.made_runs import BASELINE, Again, failed, made_history, scored, searched

IDEA = searched(0.5)


def test_only_kept_trials_lower_the_best_and_failures_cost_too() -> None:
    history = made_history(
        [BASELINE, (IDEA, scored(2.5)), (IDEA, failed(Status.CRASHED)), (IDEA, scored(2.0, kept=True))]
    )
    assert best_so_far(history, as_trials) == BestSoFar((0.0, 1.0, 2.0, 3.0), (3.0, 3.0, 3.0, 2.0))
    assert best_so_far(history, as_charged).x == (1.0, 2.0, 2.5, 3.5)


def test_there_is_no_best_before_the_first_loss() -> None:
    curve = best_so_far(made_history([(IDEA, failed(Status.CRASHED)), (IDEA, scored(2.0, kept=True))]), as_trials)
    assert curve.best == (None, 2.0)
    assert (curve.at(0.5), curve.at(1.0)) == (None, 2.0)


def test_repeats_cost_and_what_they_rolled_back_does_not_count() -> None:
    history = made_history([BASELINE, (IDEA, scored(2.0, kept=True)), Again(1, scored(2.9), KeepState.ROLLED_BACK),
                            (IDEA, scored(2.8, kept=True))])  # fmt: skip
    assert best_so_far(history, as_charged) == BestSoFar((1.0, 2.0, 4.0), (3.0, 3.0, 2.8))


def test_the_spread_covers_what_all_curves_cover() -> None:
    found = spread([BestSoFar((0.0, 1.0, 2.0), (4.0, 2.0, 1.0)), BestSoFar((1.0, 3.0), (3.0, 3.0))], n_points=2)
    assert (found.x, found.mean, found.n_curves) == ((1.0, 2.0), (2.5, 2.0), 2)
    assert found.std == (0.5**0.5, 2**0.5)


def test_curves_without_a_loss_are_no_part_of_the_spread() -> None:
    assert spread([BestSoFar((0.0, 1.0), (None, None))]).x == ()
    assert spread([BestSoFar((0.0, 1.0), (None, None)), BestSoFar((0.0, 1.0), (2.0, 1.0))], n_points=2).mean == (
        2.0,
        1.0,
    )
