"""The rule that stops trials, on curves made up here."""

import math
from pathlib import Path

import pytest

from agent.edits.edit import Unchanged
from agent.execution.early_stopping import FEWEST_CURVES, ONE_IN, EarlyStopper, Pruner, PruningThreshold, is_control
from agent.task.curve_format import PATTERN, CurveFormat, compiled
from agent.task.spec import BudgetSpec
from agent.trials.learning_curve import LearningCurve
from agent.trials.repeat import Purpose, Repeat
from agent.trials.trial import Origin, Outcome, Proposal, Status, Trial

FORMAT = CurveFormat(compiled(PATTERN), 100.0)
THRESHOLD = PruningThreshold(
    champion=3, half=2.0, recovery=0.5, n_curves=9, sigma=0.1, error=0.0, is_control=False
)  # limit: 0.7
SCRIPT, OTHER = "WIDTH = 1\nWARMUP = 0.1\n", "WIDTH = 2\nWARMUP = 0.1\n"
STEPS = BudgetSpec(unit="steps", amount=100, nominal_seconds=40.0, counted_by="script")
PLENTY = 1 << 20


def lines(*losses: float) -> str:
    """Return what a script prints whose budget is used up with the last of 11 losses."""
    return "".join(f"step {n} progress {n / 10:.3f} loss {loss}\n" for n, loss in enumerate(losses))


def watched(log: Path, text: str, threshold: PruningThreshold | None = THRESHOLD) -> EarlyStopper:
    log.write_text(text)
    watch = EarlyStopper(FORMAT, log, PLENTY, threshold)
    watch.end()
    return watch


def finished(number: int, curve: LearningCurve | None, loss: float | None = 1.0) -> Trial:
    outcome = Outcome(Status.OK if loss is not None else Status.CRASHED, loss, curve=curve)
    return Trial(number, None, Proposal(Origin.LLM, "", Unchanged()), "then", outcome, "later")


def pruner(curves: list[LearningCurve], seed: int = 0) -> Pruner:
    return Pruner(FORMAT, ("warm",), seed, [finished(n, curve, loss=curve.end) for n, curve in enumerate(curves)])


def fell(half: float, end: float) -> LearningCurve:
    return LearningCurve(start=5.0, half=half, end=end)


@pytest.mark.parametrize("loss", ["nan", "inf", "-inf", "16.0"])
def test_a_loss_that_diverges_is_stopped_at_once(tmp_path: Path, loss: str) -> None:
    log = tmp_path / "log"
    log.write_text(f"{lines(5.0, 4.0)}step 2 progress 0.150 loss {loss}\n")
    watch = EarlyStopper(FORMAT, log, PLENTY)
    assert watch()
    assert watch.stop is not None
    assert (watch.stop.status, watch.stop.share) == (Status.DIVERGED, 0.15)
    assert watch.curve == LearningCurve(start=5.0)


def test_losses_beyond_all_measure_are_no_error_of_the_host(tmp_path: Path) -> None:
    huge = watched(tmp_path / "log", lines(*(1e200 * (1 + n % 3) for n in range(12))))
    assert huge.stop is not None
    assert huge.stop.status is Status.DIVERGED
    assert huge.curve is None


def test_a_loss_within_three_times_its_start_may_go_on(tmp_path: Path) -> None:
    assert watched(tmp_path / "log", lines(5.0, 14.9, 5.0)).stop is None


def test_a_loss_that_starts_below_nothing_has_no_multiple_of_it(tmp_path: Path) -> None:
    assert watched(tmp_path / "log", lines(-5.0, 3.0)).stop is None


@pytest.mark.parametrize(("half", "is_stopped"), [(2.69, False), (2.71, True), (1.0, False)])
def test_a_gap_beyond_recovery_and_two_sigma_is_stopped(tmp_path: Path, half: float, is_stopped: bool) -> None:
    watch = watched(tmp_path / "log", lines(5.0, 4.0, 3.0, 3.0, half, half))
    assert (watch.stop is not None and watch.stop.status is Status.PRUNED) == is_stopped
    assert (watch.condemned is not None) == is_stopped
    assert watch.curve is not None
    assert watch.curve.half == pytest.approx(half)


def test_before_half_of_the_budget_nothing_is_behind(tmp_path: Path) -> None:
    assert watched(tmp_path / "log", lines(5.0, 4.9, 4.9, 4.9, 4.9)).stop is None


def test_without_points_near_half_nothing_is_behind(tmp_path: Path) -> None:
    watch = watched(tmp_path / "log", "progress 0.0 loss 5\nprogress 0.7 loss 5\nprogress 1.0 loss 5\n")
    assert watch.stop is None


def test_the_noise_of_its_own_curve_is_allowed_for(tmp_path: Path) -> None:
    rough = "".join(f"progress {0.4 + n / 100:.3f} loss {2.75 + 0.4 * (-1) ** n}\n" for n in range(11))
    assert watched(tmp_path / "log", rough).condemned is None
    assert watched(tmp_path / "log", rough.replace("3.15", "2.75").replace("2.35", "2.75")).condemned is not None


def test_asked_at_any_moment_it_decides_the_same(tmp_path: Path) -> None:
    text, log = lines(5.0, 4.0, 3.0, 3.0, 2.8, 2.8, 9.9, 1.0, 1.0, 1.0, 1.0), tmp_path / "log"
    late = watched(log, text)
    for n_bytes in range(1, 40, 3):
        log.write_text("")
        watch = EarlyStopper(FORMAT, log, PLENTY, THRESHOLD)
        for end in range(0, len(text), n_bytes):
            log.write_text(text[:end])
            if watch():
                break
        log.write_text(text)
        watch.end()
        assert (watch.stop, watch.curve, watch.condemned) == (late.stop, late.curve, late.condemned)
    assert late.stop is not None


def test_a_last_line_without_its_end_counts(tmp_path: Path) -> None:
    assert watched(tmp_path / "log", f"{lines(5.0)}progress 0.2 loss nan").stop is not None


def test_what_is_written_only_when_the_job_has_ended_is_not_read(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(lines(5.0, 4.0, float("nan")))
    watch = EarlyStopper(FORMAT, log, len(lines(5.0, 4.0)))
    assert watch.end() is None


def test_an_endless_line_is_no_point_and_takes_no_time(tmp_path: Path) -> None:
    watch = watched(tmp_path / "log", f"{'progress 0.1 ' * 40_000}loss nan\n{lines(5.0)}")
    assert watch.curve == LearningCurve(start=5.0)


def test_one_that_runs_on_is_recorded_and_not_stopped(tmp_path: Path) -> None:
    on = PruningThreshold(champion=3, half=2.0, recovery=0.5, n_curves=9, sigma=0.1, error=0.0, is_control=True)
    watch = watched(tmp_path / "log", lines(5.0, 4.0, 3.0, 3.0, 2.9, 2.9, 2.0, 1.5, 1.2, 1.1, 1.0), on)
    assert watch.stop is None
    assert watch.condemned is not None
    assert watch.condemned.gap == pytest.approx(0.9)
    assert watch.curve is not None
    assert watch.curve.end == pytest.approx(1.05)


def test_the_limit_is_the_largest_recovery_to_the_champion() -> None:
    curves = [fell(2.0, 1.0)] * FEWEST_CURVES + [fell(2.6, 1.1), fell(1.5, 1.2)]
    threshold = pruner(curves).threshold(10, OTHER, 0, SCRIPT, sigma=0.02)
    assert threshold is not None
    assert threshold.recovery == pytest.approx(0.6 - 0.1)
    assert threshold.sigma == pytest.approx(0.02)  # the baseline's curve ends at 1, and its loss is 1
    assert threshold.half == 2.0


def test_what_the_score_shows_to_be_made_up_for_counts_too() -> None:
    trials = [finished(number, fell(4.0, 2.0), loss=1.0) for number in range(FEWEST_CURVES)]
    regularised = finished(FEWEST_CURVES, fell(4.7, 2.7), loss=1.1)  # 0.2 behind in the curve's units, of 0.7
    threshold = Pruner(FORMAT, (), 0, [*trials, regularised]).threshold(10, OTHER, 0, SCRIPT, sigma=0.0)
    assert threshold is not None
    assert threshold.recovery == pytest.approx(0.5)


def test_a_champion_that_prints_in_another_unit_makes_nobody_hopeless() -> None:
    trials = [finished(number, fell(4.0, 2.0), loss=1.0) for number in range(FEWEST_CURVES)]
    champion = finished(FEWEST_CURVES, fell(0.4, 0.2), loss=0.99)
    threshold = Pruner(FORMAT, (), 0, [*trials, champion]).threshold(10, OTHER, FEWEST_CURVES, SCRIPT, sigma=0.01)
    assert threshold is not None
    assert threshold.condemned(4.0, 0.0) is None


def test_a_recovery_is_never_below_nothing() -> None:
    curves = [fell(2.0, 1.0), *[fell(1.5, 1.4)] * FEWEST_CURVES]
    threshold = pruner(curves).threshold(10, OTHER, 0, SCRIPT, sigma=0.02)
    assert threshold is not None
    assert threshold.recovery == 0.0


def test_sigma_is_carried_over_as_the_same_share_of_the_loss() -> None:
    first = finished(0, fell(6.0, 4.0), loss=2.0)
    rest = [finished(number, fell(6.0, 4.0)) for number in range(1, 9)]
    threshold = Pruner(FORMAT, (), 0, [first, *rest]).threshold(9, OTHER, 0, SCRIPT, sigma=0.01)
    assert threshold is not None
    assert threshold.sigma == pytest.approx(0.02)


def test_too_few_full_curves_condemn_nobody() -> None:
    curves = [fell(2.0, 1.0)] * (FEWEST_CURVES - 1)
    stopped = [LearningCurve(start=5.0, half=4.0)] * 5
    assert pruner(curves + stopped).threshold(20, OTHER, 0, SCRIPT, sigma=0.0) is None
    assert pruner([*curves, fell(2.0, 1.0)]).threshold(20, OTHER, 0, SCRIPT, sigma=0.0) is not None


def test_failures_and_repeats_teach_nothing() -> None:
    rule = pruner([fell(2.0, 1.0)] * (FEWEST_CURVES - 1))
    rule.observe(finished(7, fell(9.0, 1.0), loss=None))
    rule.observe(Repeat(0, 1, Purpose.CONFIRM, "then", Outcome(Status.OK, 1.0, curve=fell(9.0, 1.0))))
    assert rule.threshold(20, OTHER, 0, SCRIPT, sigma=0.0) is None


def test_a_champion_without_a_curve_condemns_nobody() -> None:
    rule = pruner([fell(2.0, 1.0)] * FEWEST_CURVES)
    rule.observe(finished(8, None))
    assert rule.threshold(9, OTHER, 8, SCRIPT, sigma=0.0) is None


def test_a_change_of_schedule_is_exempt() -> None:
    rule = pruner([fell(2.0, 1.0)] * FEWEST_CURVES)
    assert rule.threshold(9, SCRIPT.replace("0.1", "0.2"), 0, SCRIPT, sigma=0.0) is None
    assert rule.threshold(9, OTHER, 0, SCRIPT, sigma=0.0) is not None


def test_about_one_in_twenty_runs_on_and_always_the_same() -> None:
    drawn = [is_control(3, number) for number in range(4000)]
    assert abs(sum(drawn) - 4000 / ONE_IN) < 3 * math.sqrt(4000 / ONE_IN)
    assert drawn == [is_control(3, number) for number in range(4000)]
    assert drawn != [is_control(4, number) for number in range(4000)]


def test_a_counted_budget_charges_the_share_that_was_used(tmp_path: Path) -> None:
    pruned = watched(tmp_path / "log", lines(5.0, 4.0, 3.0, 3.0, 2.8, 2.8)).stop
    assert pruned is not None
    assert pruned.charge_seconds(STEPS, wall_seconds=33.0) == 20.0
    assert pruned.charge_seconds(BudgetSpec(amount=40.0), wall_seconds=33.0) == 33.0
    diverged = watched(tmp_path / "log", lines(5.0, math.nan)).stop
    assert diverged is not None
    assert diverged.charge_seconds(STEPS, wall_seconds=3.0) == 3.0
