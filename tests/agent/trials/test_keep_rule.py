"""What counts as progress: what moves the incumbent, when it is run again, and what that decides."""

from copy import copy
from dataclasses import replace

import numpy as np
import pytest

from agent.edits.edit import Unchanged
from agent.trials.keeping.keep_rule import HELD_OUT_SEED, KeepPolicy, KeepRule, RepeatRequest, closing_runs
from agent.trials.repeat import Purpose, Repeat, RepeatVerdict
from agent.trials.trial import KeepState, Origin, Outcome, Proposal, Status, Trial

KNOWN = KeepRule(sigma=0.01)
PAIRED = replace(KNOWN, paired=True)


def first_run(keeper: KeepPolicy, number: int, loss: float, seed: int = 0) -> bool:
    """Have the keeper judge a trial's first run, as the loop does; return whether it was kept."""
    outcome = keeper.decide(Outcome(Status.OK, loss), seed)
    proposal = Proposal(Origin.LLM, "idea", Unchanged(), train_seed=seed)
    keeper.observe(Trial(number, None, proposal, "t").finished(outcome, "t"))
    return outcome.kept


def again(keeper: KeepPolicy, loss: float | None) -> RepeatVerdict | None:
    """Run what the keeper wants with this loss; return the verdict of a confirmation."""
    wanted = keeper.next_repeat()
    assert wanted is not None
    keeper.read(wanted.trial, wanted.seed, loss)
    if wanted.purpose is not Purpose.CONFIRM:
        return None
    verdict = keeper.verdict(wanted.trial, wanted.seed)
    keeper.move(wanted.trial, verdict.standing)
    return verdict


def after(rule: KeepRule, *losses: float) -> KeepPolicy:
    """Return a keeper that has judged first runs with these losses, the baseline's first."""
    keeper = KeepPolicy(rule)
    for number, loss in enumerate(losses):
        first_run(keeper, number, loss)
    return keeper


@pytest.mark.parametrize(("loss", "kept"), [(0.9, True), (1.0, False), (1.1, False)])
@pytest.mark.parametrize("rule", [KNOWN, PAIRED, replace(KNOWN, kind="any")])
def test_any_decrease_moves_the_incumbent_and_nothing_else_does(rule: KeepRule, loss: float, kept: bool) -> None:
    keeper = after(rule, 1.0)
    assert first_run(keeper, 1, loss) is kept
    assert (keeper.champion, keeper.incumbent) == (0, 1 if kept else 0)


def test_a_trial_without_a_loss_is_not_kept() -> None:
    assert not after(KNOWN, 1.0).decide(Outcome(Status.CRASHED, None), 0).kept


def test_the_baseline_is_kept_and_a_noise_run_keeps_nothing_else() -> None:
    keeper = KeepPolicy(KeepRule("baseline"))
    assert first_run(keeper, 0, 5.0)
    assert not first_run(keeper, 1, 4.0, seed=1)
    assert keeper.next_repeat() is None


def test_the_same_loss_to_the_last_digit_is_called_an_edit_without_effect() -> None:
    keeper = after(PAIRED, 1.0)
    assert "no effect" in keeper.decide(Outcome(Status.OK, 1.0), 0).reason
    assert not keeper.decide(Outcome(Status.OK, np.nextafter(1.0, 2)), 0).reason


def test_small_gains_are_kept_without_being_run_again() -> None:
    assert after(PAIRED, 1.0, 0.99, 0.98).next_repeat() is None


def test_the_lead_of_a_chain_of_gains_is_what_is_put_to_the_test() -> None:
    keeper = after(PAIRED, 1.0, 0.99, 0.98, 0.97, 0.96)  # 4 sigma, in steps of one
    assert keeper.next_repeat() == RepeatRequest(0, 1, Purpose.CHAMPION)
    again(keeper, 1.01)
    assert keeper.next_repeat() == RepeatRequest(4, 1, Purpose.CONFIRM)
    verdict = again(keeper, 0.961)
    assert verdict is not None
    assert verdict.standing is KeepState.REPEATED
    assert (keeper.champion, keeper.incumbent) == (4, 4)
    assert keeper.next_repeat() is None


def test_the_champion_runs_only_once_under_a_seed() -> None:
    keeper = after(PAIRED, 1.0, 0.9)
    again(keeper, 1.01)
    again(keeper, 0.91)
    first_run(keeper, 2, 0.8)
    assert keeper.next_repeat() == RepeatRequest(2, 1, Purpose.CONFIRM)


def test_a_lead_that_a_fresh_run_does_not_hold_is_rolled_back() -> None:
    keeper = after(PAIRED, 1.0, 0.98, 0.96)
    again(keeper, 1.0)
    verdict = again(keeper, 1.04)
    assert verdict is not None
    assert verdict.standing is KeepState.ROLLED_BACK
    assert (keeper.champion, keeper.incumbent) == (0, 0)
    assert keeper.to_beat(0) == 1.0


def test_a_lead_that_is_half_held_stays_provisional_and_is_not_run_again() -> None:
    keeper = after(PAIRED, 1.0, 0.96)
    again(keeper, 1.0)
    verdict = again(keeper, 1.01)
    assert verdict is not None
    assert verdict.standing is KeepState.PROVISIONAL
    assert (keeper.champion, keeper.incumbent, keeper.next_repeat()) == (0, 1, None)


def test_a_script_that_fails_under_another_seed_is_rolled_back() -> None:
    keeper = after(PAIRED, 1.0, 0.9)
    again(keeper, 1.0)
    verdict = again(keeper, None)
    assert verdict == RepeatVerdict(KeepState.ROLLED_BACK, None, "it has no loss under training seed 1")


def test_a_champion_that_fails_under_a_seed_is_compared_under_another() -> None:
    keeper = after(PAIRED, 1.0, 0.9)
    again(keeper, None)
    assert keeper.next_repeat() == RepeatRequest(0, 2, Purpose.CHAMPION)
    again(keeper, None)
    again(keeper, None)
    assert keeper.next_repeat() is None  # three are enough


def test_a_script_that_fixes_its_own_lucky_seed_is_not_confirmed() -> None:
    keeper = after(PAIRED, 1.0, 0.9)
    again(keeper, 1.02)
    verdict = again(keeper, 0.9)
    assert verdict is not None
    assert verdict.standing is KeepState.ROLLED_BACK
    assert "ignores its seed" in verdict.reason


def test_where_no_seed_has_an_effect_an_equal_loss_holds_the_lead() -> None:
    keeper = after(PAIRED, 1.0, 0.9)
    again(keeper, 1.0)
    verdict = again(keeper, 0.9)
    assert verdict is not None
    assert verdict.standing is KeepState.REPEATED


def test_without_pairs_the_baseline_is_run_again_before_the_first_confirmation() -> None:
    keeper = after(KNOWN, 1.0, 0.9)
    assert keeper.next_repeat() == RepeatRequest(0, 1, Purpose.BASELINE)
    again(keeper, 1.01)
    assert keeper.next_repeat() == RepeatRequest(1, 1, Purpose.CONFIRM)


def test_without_pairs_the_baseline_is_run_again_after_ten_trials() -> None:
    keeper = after(KNOWN, *[1.0] * 11)
    assert keeper.next_repeat() == RepeatRequest(0, 1, Purpose.BASELINE)
    again(keeper, 1.0)
    assert keeper.next_repeat() is None
    unknown = after(KeepRule(), *[1.0] * 11)
    again(unknown, 1.0)
    for number in range(11, 22):
        first_run(unknown, number, 1.0)
    assert unknown.next_repeat() == RepeatRequest(0, 2, Purpose.BASELINE)


def test_sigma_begins_at_what_is_known_and_is_learned_from_every_repeat() -> None:
    assert after(KNOWN, 1.0).sigma == pytest.approx(0.01)
    assert after(KeepRule(sigma_share=0.02), 3.0).sigma == pytest.approx(0.06)
    keeper = after(KNOWN, 0.0)
    draws = np.random.default_rng(3).normal(0, 0.5, 400)
    for seed, loss in enumerate(draws, start=1):
        keeper.read(0, seed, float(loss))
    assert keeper.sigma == pytest.approx(0.5, rel=0.1)


def test_pairs_teach_the_noise_of_one_run() -> None:
    # What both scripts have in common under a seed is no noise; of what is left each has its own half.
    rng = np.random.default_rng(4)
    keeper = after(replace(PAIRED, sigma=1e-6), 0.0, -0.1)
    squares = []
    for seed in range(1, 400):
        common, a, b = rng.normal(0, [5.0, 0.5, 0.5])
        before = copy(keeper.noise)
        keeper.read(0, seed, common + a)
        keeper._readings.noise = before  # the spread of the seeds itself is not the point
        squares_before = before._squares
        keeper.read(1, seed, common + b)
        squares.append(keeper.noise._squares - squares_before)
    assert np.sqrt(np.mean(squares)) == pytest.approx(0.5, rel=0.1)


def test_a_result_is_the_mean_of_runs_that_did_not_choose_it() -> None:
    keeper = after(PAIRED, 1.0, 0.9)
    assert keeper.reading(1).selected
    again(keeper, 1.0)
    again(keeper, 0.92)
    assert (keeper.reading(1).mean, keeper.reading(1).n_runs, keeper.reading(1).selected) == (0.92, 1, False)
    assert keeper.reading(0).n_runs == 2  # nobody chose the baseline


def test_what_was_kept_last_is_put_to_the_test_once_before_the_final_runs() -> None:
    keeper = after(PAIRED, 1.0, 0.98)
    assert keeper.next_repeat() is None
    assert keeper.final(0) is None
    assert keeper.final(2) == RepeatRequest(0, 1, Purpose.CHAMPION)
    keeper.read(0, 1, 1.0)
    assert keeper.final(2) == RepeatRequest(1, 1, Purpose.CONFIRM)
    keeper.read(1, 1, 0.995)
    keeper.move(1, keeper.verdict(1, 1).standing)
    assert (keeper.champion, keeper.incumbent) == (0, 1)  # more than none, less than 2 sigma
    assert keeper.final(2) is None  # it was tested, and the result is the baseline


def test_a_lead_of_less_than_a_sigma_is_worth_no_run() -> None:
    assert after(PAIRED, 1.0, 0.991).final(2) is None


@pytest.mark.parametrize(("rule", "n"), [(PAIRED, 5), (KNOWN, 4), (replace(KNOWN, kind="any"), 3)])
def test_the_last_test_is_held_back_with_the_final_runs(rule: KeepRule, n: int) -> None:
    assert closing_runs(rule, 3) == n
    assert closing_runs(rule, 0) == 0


def test_final_runs_are_of_the_champion_under_held_out_seeds_and_of_no_baseline() -> None:
    assert after(PAIRED, 1.0).final(2) is None
    keeper = after(PAIRED, 1.0, 0.9)
    again(keeper, 1.0)
    again(keeper, 0.9001)
    for seed in (HELD_OUT_SEED, HELD_OUT_SEED + 1):
        assert keeper.final(2) == RepeatRequest(1, seed, Purpose.FINAL)
        keeper.read(1, seed, 0.95)
    assert keeper.final(2) is None
    assert keeper.reading(1).mean == pytest.approx(0.95)
    assert after(replace(PAIRED, kind="any"), 1.0, 0.9).final(1) == RepeatRequest(1, HELD_OUT_SEED, Purpose.FINAL)


def test_the_paper_s_rule_never_repeats_anything() -> None:
    assert after(KeepRule("any"), 1.0, 0.1).next_repeat() is None


@pytest.mark.parametrize("paired", [False, True])
def test_built_anew_from_what_happened_it_decides_the_same(paired: bool) -> None:
    rng = np.random.default_rng(5)
    keeper, results = KeepPolicy(replace(KNOWN, paired=paired)), list[Trial | Repeat]()
    for number in range(60):
        loss = 1.0 - 0.004 * number + float(rng.normal(0, 0.01))
        outcome = keeper.decide(Outcome(Status.OK, loss), 0)
        trial = Trial(number, None, Proposal(Origin.LLM, "", Unchanged()), "t").finished(outcome, "t")
        results.append(trial)
        keeper.observe(trial)
        while (wanted := keeper.next_repeat()) is not None:
            fresh = Outcome(Status.OK, 1.0 - 0.004 * wanted.trial + float(rng.normal(0, 0.01)))
            keeper.read(wanted.trial, wanted.seed, fresh.val_loss)
            decides = wanted.purpose is Purpose.CONFIRM
            verdict = keeper.verdict(wanted.trial, wanted.seed) if decides else None
            if verdict is not None:
                keeper.move(wanted.trial, verdict.standing)
            repeat = Repeat(wanted.trial, wanted.seed, wanted.purpose, "t").finished(fresh, verdict, "t")
            results.append(repeat)
        rebuilt = KeepPolicy(keeper.rule, results)
        state = (keeper.champion, keeper.incumbent, keeper.sigma, keeper.next_repeat())
        assert (rebuilt.champion, rebuilt.incumbent, rebuilt.sigma, rebuilt.next_repeat()) == state
    assert keeper.champion  # 60 steps of 0.4 sigma do not go unnoticed
