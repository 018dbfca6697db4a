"""Whose turn it is: baseline and promising structures are tuned first, then what each has earned decides."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from agent.modes.centaur_code.lineage import Lineage
from agent.modes.centaur_code.turns import MARGIN, N_FEWEST, N_MOST, TurnRule, margin
from agent.modes.proposer import Context
from agent.trials.hybrid.turn import TurnChoice, TurnKind
from agent.trials.trial import KeepState, Status, Trial
from tests.agent.modes.centaur_code.test_lineage import seconds, structure, tuned
from tests.agent.modes.run_so_far import baseline, context

SIGMA = 0.01


def seen(trials: Sequence[Trial], pending: Sequence[Trial] = (), number: int | None = None) -> Context:
    made = context("", list(trials))
    n = len(trials) + len(pending) if number is None else number
    return replace(made, sigma=SIGMA, pending=tuple(pending), number=n)


def one_number(_trial: Trial) -> frozenset[str]:
    return frozenset({"A"})


def turn(
    trials: Sequence[Trial],
    pending: Sequence[Trial] = (),
    *,
    seed: int = 0,
    tunables: Callable[[Trial], frozenset[str]] = one_number,
) -> TurnChoice:
    return TurnRule(seed, tunables).turn(seen(trials, pending))


def untuned(loss: float = 3.0) -> Trial:
    return seconds(baseline(loss=loss), 1.0)


def start(loss: float = 3.0) -> list[Trial]:
    """Return a baseline whose numbers have been tuned, in trials -4 to -1, without a gain."""
    return [untuned(loss), *(tuned(-n, 0, 9.0) for n in range(N_FEWEST, 0, -1))]


def test_the_baseline_is_tuned_before_the_first_structure_and_for_as_long_as_it_moves() -> None:
    trials = [untuned()]
    for n in range(1, N_MOST + 1):
        found = turn(trials)
        assert (found.kind, found.tunes, found.is_required) == (TurnKind.NUMBERS, 0, True)
        assert ("the baseline comes first" if n <= N_FEWEST else "still improves the baseline") in found.why
        assert f"tuning trial {n} of" in found.why
        trials.append(tuned(n, 0, 3.0 - 2 * SIGMA * n, kept=True))
    assert turn(trials).kind is TurnKind.STRUCTURE
    assert "no structure has been tried" in turn(trials).why
    assert turn(trials, [replace(structure(13, 2.0), outcome=None)]).kind is TurnKind.STRUCTURE
    assert not turn([untuned(), *(tuned(n, 0, 3.0 - SIGMA * n / 5, kept=True) for n in range(1, 5))]).is_required


def test_each_number_that_is_new_in_a_script_gets_a_trial_up_to_twelve() -> None:
    old, new = frozenset(f"OLD_{n}" for n in range(14)), frozenset(f"NEW_{n}" for n in range(6))

    def names(trial: Trial) -> frozenset[str]:
        return old | new if trial.number else old

    def n_required(trials: list[Trial], tunes: int) -> int:
        for n in range(20):
            found = turn(trials, tunables=names)
            if not found.is_required:
                return n
            assert found.tunes == tunes
            trials.append(tuned(100 + len(trials), tunes, 9.0))
        raise AssertionError

    trials = [untuned()]
    assert n_required(trials, 0) == N_MOST
    trials.append(structure(50, 2.9, kept=True))
    assert n_required(trials, 50) == len(new)


def test_with_several_workers_the_first_structure_waits_for_four_results_of_the_baseline() -> None:
    done, at_work = [tuned(n, 0, 9.0) for n in range(1, 4)], [replace(tuned(4, 0, 9.0), outcome=None)]
    assert turn([untuned(), *done], at_work).is_required
    assert turn([untuned(), *done, tuned(4, 0, 9.0)]).kind is TurnKind.STRUCTURE


@pytest.mark.parametrize(("loss", "kept"), [(2.9, True), (3.0 + 2.9 * SIGMA, False)])
def test_a_structure_that_is_better_or_within_the_margin_gets_four_tuning_trials(loss: float, kept: bool) -> None:
    trials = [*start(), structure(1, loss, kept=kept)]
    for n in range(N_FEWEST):
        found = turn(trials)
        assert (found.kind, found.tunes, found.is_required) == (TurnKind.NUMBERS, 1, True)
        assert f"tuning trial {n + 1} of at least 4" in found.why
        trials.append(tuned(2 + n, 1, 4.0))
    assert not turn(trials).is_required


def test_trials_in_flight_count_so_that_several_workers_tune_at_once_and_no_more_than_that() -> None:
    trials = [*start(), structure(1, 2.9, kept=True)]
    pending = [replace(tuned(2 + n, 1, 4.0), outcome=None) for n in range(N_FEWEST)]
    assert turn(trials, pending[:3]).is_required
    assert not turn(trials, pending).is_required


@pytest.mark.parametrize(
    "other",
    [
        structure(1, 3.0 + 3.1 * SIGMA),  # beyond the margin
        structure(1, None),  # it crashed
        replace(structure(1, 2.9), repeat_state=KeepState.ROLLED_BACK),
    ],
)
def test_another_structure_is_not_tuned(other: Trial) -> None:
    assert not turn([*start(), other]).is_required


def test_without_numbers_every_turn_is_a_structure() -> None:
    found = turn([*start(), structure(1, 2.9, kept=True)], tunables=lambda _trial: frozenset())
    assert (found.kind, found.tunes) == (TurnKind.STRUCTURE, None)
    assert "no number to tune" in found.why


def test_what_tuning_has_brought_to_structures_widens_the_margin() -> None:
    trials = [*start(), structure(1, 2.9, kept=True), *(tuned(n, 1, 2.9 - 0.1 * (n == 3)) for n in range(2, 6))]
    assert margin(Lineage(trials[:6]), SIGMA) == pytest.approx(MARGIN * SIGMA)
    assert margin(Lineage(trials), SIGMA) == pytest.approx(MARGIN * SIGMA + 0.1)
    first = [untuned(), *(tuned(n, 0, 2.5) for n in range(1, 5))]
    assert margin(Lineage(first), SIGMA) == pytest.approx(MARGIN * SIGMA)


def test_after_a_long_stretch_without_gain_the_numbers_of_the_incumbent_come_first() -> None:
    trials = [*start(), *(structure(n, 4.0) for n in range(1, 30))]
    stretch = seen(trials).stretch
    assert stretch.is_long
    for seed in range(20):
        found = turn(trials, seed=seed)
        assert (found.kind, found.tunes, found.is_required) == (TurnKind.NUMBERS, 0, False)
        assert f"{stretch.n_trials} trials without a gain" in found.why
    searched = [*trials, *(tuned(30 + n, 0, 5.0, is_required=False) for n in range(N_FEWEST))]
    assert {turn(searched, seed=seed).kind for seed in range(40)} == {TurnKind.STRUCTURE, TurnKind.NUMBERS}
    assert "drawn" in turn(searched).why
    gained = [*trials, structure(30, 2.5, kept=True), *(tuned(30 + n, 30, 5.0) for n in range(1, 5))]
    assert not seen(gained).stretch.is_long
    assert "drawn" in turn(gained).why


def share_of_structure(trials: Sequence[Trial]) -> float:
    kinds = [TurnRule(0, one_number).turn(seen(trials, number=n)).kind for n in range(100, 500)]
    return sum(kind is TurnKind.STRUCTURE for kind in kinds) / len(kinds)


def test_the_turn_goes_more_often_to_what_has_earned_more_per_device_second() -> None:
    due = [tuned(n, 1, 3.1) for n in range(2, 6)]
    rich_structure = [*start(), structure(1, 2.9, kept=True), *due, tuned(6, 1, 3.1, is_required=False)]
    rich_numbers = [*start(), structure(1, 2.999, kept=True), *due, tuned(6, 1, 2.9, kept=True, is_required=False)]
    slow_numbers = [*rich_numbers[:-1], seconds(rich_numbers[-1], 30.0)]
    assert share_of_structure(rich_numbers) < 0.3
    assert share_of_structure(rich_structure) > share_of_structure(rich_numbers) + 0.3
    assert share_of_structure(slow_numbers) > share_of_structure(rich_numbers) + 0.2


def test_a_gain_within_the_noise_earns_nothing() -> None:
    def earned(loss: float) -> float:
        trials = [*start(), structure(1, 2.99, kept=True), tuned(2, 1, loss, kept=True, is_required=False)]
        return TurnRule(0, one_number).arms(Lineage(trials), seen(trials))[1].sigmas

    assert earned(2.99 - 0.9 * SIGMA) == 0
    assert earned(2.99 - 3 * SIGMA) == pytest.approx(2.0)
    assert earned(0.0) == pytest.approx(5.0)  # one trial never decides the night


def test_a_structure_that_still_moves_is_tuned_on_up_to_twelve_trials() -> None:
    def is_due(losses: Sequence[float]) -> bool:
        trials = [*start(), structure(1, 3.02), *(tuned(2 + n, 1, loss) for n, loss in enumerate(losses))]
        found = turn(trials)
        assert not found.is_required or found.tunes == 1
        return found.is_required

    assert is_due([3.2, 3.2, 3.2, 3.001])
    assert not is_due([3.2, 3.2, 3.2, 3.2])
    assert not is_due([3.2, 3.2, 3.2, 3.02 - 0.9 * SIGMA])
    assert is_due([3.2] * (N_MOST - 2) + [3.001])
    assert not is_due([3.2] * (N_MOST - 1) + [3.001])


def test_a_structure_whose_values_are_used_up_is_left() -> None:
    used_up = tuned(2, 1, 1.0)
    used_up = replace(used_up, proposal=replace(used_up.proposal, refused=Status.DUPLICATE), outcome=None)
    trials = [*start(), structure(1, 3.02), used_up]
    assert turn(trials).tunes != 1
