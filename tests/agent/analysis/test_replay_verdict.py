"""What counts as reproduced: decided on numbers alone, without running anything."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from agent.analysis.recorded_trial import RecordedTrial
from agent.analysis.replay_verdict import ReplayResult, ReplayVerdict
from agent.trials.learning_curve import LearningCurve, PruningDecision
from agent.trials.metric import Metric
from agent.trials.trial import Outcome, Status

HERE = {"data": "d0", "torch": "2.9.0", "processor": "one"}


def outcome(loss: float | None, conditions: Mapping[str, str] = HERE, status: Status = Status.CRASHED) -> Outcome:
    return Outcome(
        Status.OK if loss is not None else status, loss, reason="why", sandbox="bubblewrap 1", conditions=conditions
    )


def replayed(
    then: Outcome, now: Outcome, *, deterministic: bool = True, sigma: float | None = 0.01, seed: int = 0
) -> ReplayResult:
    recorded = RecordedTrial("r", 2, "a" * 40, {}, None, 0, then, None)
    return ReplayResult(recorded, now, seed, deterministic, sigma, Path("replays/0002-1"))


def test_the_same_value_to_all_digits_is_exact() -> None:
    found = replayed(outcome(2.0801211234567), outcome(2.0801211234567))
    assert found.verdict is ReplayVerdict.EXACTLY
    shown = found.describe(Metric(name="val_bpb"))
    assert "recorded:     val_bpb 2.0801211234567" in shown
    assert "difference:   none, to all digits" in shown
    assert "nothing: sandbox, data, torch, processor are the same" in shown
    assert "verdict:      reproduced exactly" in shown


def test_the_last_digit_decides_where_the_budget_is_deterministic_and_nothing_differs() -> None:
    assert replayed(outcome(2.0), outcome(2.0000000000000004)).verdict is ReplayVerdict.NOT


@pytest.mark.parametrize(("change", "verdict"), [(0.028, ReplayVerdict.WITHIN_NOISE), (-0.029, ReplayVerdict.NOT)])
def test_on_another_machine_the_noise_decides(change: float, verdict: ReplayVerdict) -> None:
    other = {**HERE, "processor": "two"}
    found = replayed(outcome(2.0), outcome(2.0 + change, other))
    assert found.verdict is verdict
    assert [difference.name for difference in found.differs] == ["processor"]
    assert "processor (recorded one; here two)" in found.describe(Metric())


def test_a_budget_by_the_clock_is_judged_by_the_noise() -> None:
    assert replayed(outcome(2.0), outcome(2.01), deterministic=False).verdict is ReplayVerdict.WITHIN_NOISE
    assert replayed(outcome(2.0), outcome(2.05), deterministic=False).verdict is ReplayVerdict.NOT


PRUNED = Outcome(Status.PRUNED, None, sandbox="bubblewrap 1", conditions=HERE, condemned=PruningDecision(5.0, 0.4, 0.3))


@pytest.mark.parametrize(
    ("half", "same_machine", "verdict"),
    [
        (5.0, True, ReplayVerdict.EXACTLY),
        (5.0000001, True, ReplayVerdict.NOT),
        (4.95, False, ReplayVerdict.SAME_FAILURE),
        (4.85, False, ReplayVerdict.NOT),
        (None, True, ReplayVerdict.NOT),
    ],
)
def test_a_pruned_trial_is_held_against_its_curve(
    half: float | None, same_machine: bool, verdict: ReplayVerdict
) -> None:
    now = outcome(2.3, HERE if same_machine else {**HERE, "processor": "two"})
    found = replayed(PRUNED, replace(now, curve=LearningCurve(7.0, half, 0.0, 4.5)))
    assert found.verdict is verdict
    if half is not None:
        assert f"curve 5 recorded, {half:g} replayed; it was stopped 0.4 behind" in found.describe(Metric())


def test_another_seed_is_judged_by_the_noise_and_named() -> None:
    found = replayed(outcome(2.0), outcome(2.01), seed=1)
    assert found.verdict is ReplayVerdict.WITHIN_NOISE
    assert [str(difference) for difference in found.differs] == ["training seed (recorded 0; here 1)"]


def test_nothing_is_explained_by_a_noise_that_nobody_knows() -> None:
    found = replayed(outcome(2.0), outcome(2.001), deterministic=False, sigma=None)
    assert found.verdict is ReplayVerdict.NOT
    assert "`agent noise` measures it" in found.describe(Metric())


@pytest.mark.parametrize(
    ("then", "now", "verdict"),
    [
        (outcome(None), outcome(None), ReplayVerdict.SAME_FAILURE),
        (outcome(None), outcome(None, status=Status.TIMED_OUT), ReplayVerdict.NOT),
        (outcome(None), outcome(2.0), ReplayVerdict.NOT),
        (outcome(2.0), outcome(None), ReplayVerdict.NOT),
    ],
)
def test_a_failure_is_reproduced_by_the_same_failure(then: Outcome, now: Outcome, verdict: ReplayVerdict) -> None:
    found = replayed(then, now)
    assert found.verdict is verdict
    assert found.reproduced is (verdict is not ReplayVerdict.NOT)
    assert "crashed: why" in found.describe(Metric()) or now.val_loss is not None or then.val_loss is not None


def test_a_metric_to_maximise_is_shown_as_the_user_named_it() -> None:
    found = replayed(outcome(-0.9), outcome(-0.8), deterministic=False)
    assert "difference:   -0.1" in found.describe(Metric(name="accuracy", goal="maximise"))


def test_a_record_without_conditions_says_so() -> None:
    then = Outcome(Status.OK, 2.0)
    assert "unknown: nothing was recorded" in replayed(then, outcome(2.0)).describe(Metric())
