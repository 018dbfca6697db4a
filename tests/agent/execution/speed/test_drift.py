"""What is made of the speeds around a training: nothing, or a void attempt."""

import math

import pytest

from agent.execution.speed.drift import SpeedReference, shared_with, unsteady
from agent.trials.machine_speed import MachineSpeed

VOID = 0.03
STEADY = SpeedReference.of(MachineSpeed(speeds=(1000.0, 1001.0, 999.0, 1000.0, 1000.0)))
NOISY = SpeedReference.of(MachineSpeed(speeds=(1000.0, 1050.0, 950.0, 1010.0, 990.0)))


def test_the_reference_is_the_median_with_the_noise_of_one_canary() -> None:
    assert STEADY.speed == 1000.0
    assert math.isclose(STEADY.noise, math.sqrt(0.5e-6), rel_tol=1e-3)


@pytest.mark.parametrize("ratio", [0.98, 1.0, 1.02])
def test_within_three_percent_it_is_the_machine_of_the_baseline(ratio: float) -> None:
    assert STEADY.exceeds_limit(1000 * ratio, VOID) is None


@pytest.mark.parametrize("ratio", [0.5, 0.96, 1.04, 2.0])
def test_beyond_three_percent_it_is_another_machine(ratio: float) -> None:
    why = STEADY.exceeds_limit(1000 * ratio, VOID)
    assert why is not None
    assert f"{ratio:.1%} of its speed at the baseline" in why


def test_what_the_canary_cannot_tell_from_its_own_noise_is_not_held_against_a_trial() -> None:
    assert NOISY.exceeds_limit(930.0, VOID) is None


def test_half_the_speed_is_seen_however_noisy_the_canary_is() -> None:
    wild = SpeedReference.of(MachineSpeed(speeds=(1000.0, 1300.0, 800.0, 1250.0, 780.0)))
    assert 4 * wild.noise > math.log(2)
    assert wild.exceeds_limit(500.0, VOID) is not None


def test_a_task_may_ask_for_another_threshold() -> None:
    assert STEADY.exceeds_limit(850.0, 0.2) is None
    assert STEADY.exceeds_limit(800.0, 0.2) is not None


def test_slow_before_and_as_slow_behind_is_one_ratio() -> None:
    assert math.isclose(STEADY.ratio([980.0, 980.0]), 0.98)
    assert math.isclose(STEADY.ratio([960.0, 1000.0]), math.sqrt(0.96))


def test_no_reference_is_taken_from_a_machine_that_changed_meanwhile() -> None:
    assert unsteady([1000.0, 1010.0, 990.0, 1000.0, 900.0], VOID) is None
    assert "from 1000 to 500" in (unsteady([1000.0, 1010.0, 990.0, 1000.0, 500.0], VOID) or "")
    assert unsteady([1000.0, 1010.0, 990.0, 1000.0, 500.0], 0.8) is None


def test_heat_in_training_voids_unless_the_baseline_was_as_hot() -> None:
    hot = {"sw_thermal": 0.4, "power_cap": 1.0}
    assert "sw thermal" in (STEADY.throttled(hot, canary=False) or "")
    warm = SpeedReference.of(MachineSpeed(speeds=(1000.0,), gpu={"sw_thermal": 0.35}))
    assert warm.throttled(hot, canary=False) is None


def test_a_script_may_meet_the_power_cap_by_itself_and_a_canary_may_not() -> None:
    capped = {"power_cap": 1.0}
    assert STEADY.throttled(capped, canary=False) is None
    assert "power cap" in (STEADY.throttled(capped, canary=True) or "")
    always = SpeedReference.of(MachineSpeed(speeds=(1000.0,), canary_gpu={"power_cap": 0.95}))
    assert always.throttled(capped, canary=True) is None


def test_another_program_on_the_gpu_is_named() -> None:
    assert shared_with(()) is None
    assert "4711" in (shared_with((4711,)) or "")
