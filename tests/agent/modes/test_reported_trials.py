"""What a proposer is told of losses: rounded once, by the noise as it was known, the same after a resume."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.edits.edit import Unchanged
from agent.modes.reported_trials import SHARE, ReportedTrials, followed, step_for
from agent.trials.keeping.keep_rule import KeepPolicy, KeepRule
from agent.trials.repeat import Purpose, Repeat
from agent.trials.trial import KeepState, Origin, Outcome, Proposal, Score, Status, Trial

SIGMAS = st.floats(1e-9, 1e6)


def trial(number: int, loss: float | None, *, kept: bool = False, status: Status = Status.OK) -> Trial:
    score = Score(loss, "predictions", evidence={"examples": 7})
    reason = (
        "no effect: the loss equals the incumbent's to the last digit" if loss is not None else "the scoring job failed"
    )
    outcome = Outcome(
        status, loss, kept=kept, reason=reason, score=score, flags=("reported acc 0.51, measured 0.5123",)
    )
    return Trial(number, None if number == 0 else 0, Proposal(Origin.LLM, "t", Unchanged()), "now", outcome, "then")


def as_reported(found: Trial, *, sigma: float = 0.01) -> Outcome:
    reported = ReportedTrials(is_rounded=True)
    reported.observe(found, sigma)
    outcome = reported.trial(found).outcome
    assert outcome is not None
    return outcome


@given(SIGMAS)
def test_a_step_is_1_2_or_5_times_a_power_of_ten_and_no_more_than_a_tenth_of_sigma(sigma: float) -> None:
    step = step_for(sigma)
    assert f"{step:.12e}"[:13] in ("1.00000000000", "2.00000000000", "5.00000000000")
    assert SHARE * sigma / 2.5 * (1 - 1e-6) < step <= SHARE * sigma * (1 + 1e-6)


@pytest.mark.parametrize(("sigma", "step"), [(0.01, 0.001), (0.0094, 0.0005), (0.03, 0.002), (70.0, 5.0), (1.0, 0.1)])
def test_steps(sigma: float, step: float) -> None:
    assert step_for(sigma) == pytest.approx(step)


@given(st.floats(-5, 5), st.sampled_from([0.0094, 0.01, 0.2, 3.0]))
def test_losses_nearer_than_half_a_step_to_a_multiple_are_reported_alike(loss: float, sigma: float) -> None:
    reported = as_reported(trial(1, loss), sigma=sigma).val_loss
    assert reported is not None
    step = step_for(sigma)
    assert reported == pytest.approx(round(loss / step) * step, abs=1e-9)
    assert len(f"{abs(reported) % 1:.12f}".rstrip("0")) <= 7  # no digits behind the step's
    assert as_reported(trial(1, reported + 0.4 * step), sigma=sigma).val_loss == reported


def test_nothing_that_is_reported_has_more_digits() -> None:
    outcome = as_reported(trial(1, -0.51237))
    assert outcome.val_loss == -0.512
    assert outcome.score is not None
    assert (outcome.score.val_loss, outcome.score.evidence) == (-0.512, {})
    assert (outcome.flags, outcome.reason) == ((), "")
    assert "0.51237" not in str(outcome.to_json())


def test_what_has_no_loss_is_reported_as_it_is_and_a_verdict_shows() -> None:
    reported = ReportedTrials(is_rounded=True)
    failed = trial(1, None, status=Status.BAD_ARTIFACT)
    reported.observe(failed, 0.01)
    assert reported.trial(failed) == failed
    kept = trial(2, 0.1234, kept=True)
    reported.observe(kept, 0.01)
    later = Trial(2, 0, kept.proposal, "now", kept.outcome, "then", repeat_state=KeepState.ROLLED_BACK)
    assert reported.trial(later).standing is KeepState.ROLLED_BACK
    assert reported.trial(later).val_loss == 0.123


def test_runs_that_do_not_round_tell_all_digits() -> None:
    found = trial(0, 0.123456)
    reported = ReportedTrials(is_rounded=False)
    reported.observe(found, 0.01)
    assert reported.trial(found) == found


def test_a_loss_keeps_the_step_of_its_day_and_a_resumed_run_tells_the_same() -> None:
    rule = KeepRule(sigma=0.01)
    first, second = trial(0, 0.500049, kept=True), trial(1, 0.412345)
    wide = Outcome(Status.OK, 0.9)  # far from the first: sigma rises
    repeat = Repeat(0, 1, Purpose.BASELINE, "now").finished(wide, None, "then")
    later = trial(2, 0.412345)
    keeper, reported = KeepPolicy(rule), ReportedTrials(is_rounded=True)
    for result in (first, second, repeat, later):
        keeper.observe(result)
        if isinstance(result, Trial):
            reported.observe(result, keeper.sigma)
    assert keeper.sigma > 0.1
    live = [reported.trial(found).val_loss for found in (first, second, later)]
    assert live == [0.5, 0.412, 0.41]
    _, again = followed(rule, (first, second, repeat, later), is_rounded=True)
    assert [again.trial(found).val_loss for found in (first, second, later)] == live
