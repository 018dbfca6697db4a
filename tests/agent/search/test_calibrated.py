"""The task's own estimate of memory: one trial makes it useful, and it is asked only where trials cannot tell."""

import pytest

from agent.edits.edit import Params
from agent.search.calibrated import CalibratedMemory, calibration
from agent.search.feasible import HOPELESS_BELOW, MIN_TRIALS, MemoryModel

LIMIT_GB = 64.0


class Asked:
    """An estimate that sees half of what is needed, and notes what it was asked."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.depths: list[int] = []
        self._fails_at = fails_at

    def __call__(self, params: Params) -> float | None:
        self.depths.append(int(params["DEPTH"]))
        return None if params["DEPTH"] == self._fails_at else needs_gb(params) / 2


def needs_gb(params: Params) -> float:
    return 4.0 * int(params["DEPTH"])


def at(depth: int) -> Params:
    return {"DEPTH": depth}


def memory(asked: Asked, terms: tuple[str, ...] = ("DEPTH",)) -> CalibratedMemory:
    return CalibratedMemory(MemoryModel(terms, LIMIT_GB, ("DEPTH",)), asked)


def test_before_a_trial_has_run_nothing_is_told_and_nothing_asked() -> None:
    asked = Asked()
    assert memory(asked).estimate(at(40)) is None
    assert asked.depths == []


def test_one_trial_tells_the_factor() -> None:
    calibrated = memory(Asked())
    calibrated.learn(at(2), needs_gb(at(2)))
    estimates = {depth: calibrated.estimate(at(depth)) for depth in (8, 16, 18, 24)}
    assert {depth: e.gb for depth, e in estimates.items() if e is not None} == pytest.approx(
        {8: 32.0, 16: 64.0, 18: 72.0, 24: 96.0}
    )
    refused = {depth: e.hopeless for depth, e in estimates.items() if e is not None}
    assert refused == {8: False, 16: False, 18: False, 24: True}  # 72 of 64 GB may be the factor's own error


def test_trials_that_agree_make_it_surer_and_trials_that_do_not_less_sure() -> None:
    once = calibration([(10.0, 20.0)], LIMIT_GB)
    agreeing = calibration([(10.0, 20.0)] * 4, LIMIT_GB)
    scattered = calibration([(10.0, 10.0), (10.0, 40.0)] * 2, LIMIT_GB)
    assert [once[0], agreeing[0], scattered[0]] == pytest.approx([2.0, 2.0, 2.0])
    assert agreeing[1] < once[1] < scattered[1]


def test_a_trial_that_ran_out_although_it_was_to_fit_raises_the_factor() -> None:
    calibrated = memory(Asked())
    calibrated.learn(at(2), 4.0)  # half of what the others will take
    before = calibrated.estimate(at(30))
    calibrated.learn(at(24), None)
    after = calibrated.estimate(at(30))
    assert before is not None
    assert after is not None
    assert not before.hopeless
    assert after.gb > before.gb


def test_a_trial_that_ran_out_as_was_foreseen_changes_nothing() -> None:
    assert calibration([(10.0, 20.0), (40.0, None)], LIMIT_GB) == calibration([(10.0, 20.0)], LIMIT_GB)


def test_the_learned_model_takes_over_and_the_task_is_asked_no_more() -> None:
    asked = Asked()
    calibrated, learned = memory(asked), MemoryModel(["DEPTH"], LIMIT_GB, ("DEPTH",))
    for depth in (1, 2, 4, 8, 9, 10)[: MIN_TRIALS + 2]:
        calibrated.learn(at(depth), needs_gb(at(depth)))
        learned.learn(at(depth), needs_gb(at(depth)))
    assert asked.depths == [1, 2, 4, 8]
    assert calibrated.estimate(at(30)) == learned.estimate(at(30))
    assert asked.depths == [1, 2, 4, 8]


def test_where_the_learned_model_is_in_doubt_the_surer_of_the_two_decides() -> None:
    """The terms leave out the batch, and the task's own estimate does not."""
    names = ("DEPTH", "BATCH")
    learned = MemoryModel(["DEPTH"], LIMIT_GB, names)
    calibrated = CalibratedMemory(MemoryModel(["DEPTH"], LIMIT_GB, names), lambda p: needs_gb(p) * int(p["BATCH"]) / 2)
    for depth, batch in ((1, 1), (2, 3), (3, 1), (4, 3)):
        params: Params = {"DEPTH": depth, "BATCH": batch}
        learned.learn(params, needs_gb(params) * batch)
        calibrated.learn(params, needs_gb(params) * batch)
    for batch, fits in ((1, True), (8, False)):
        point: Params = {"DEPTH": 8, "BATCH": batch}
        doubtful, decided = learned.estimate(point), calibrated.estimate(point)
        assert doubtful is not None
        assert decided is not None
        assert HOPELESS_BELOW < doubtful.chance < 1 - HOPELESS_BELOW
        assert decided.gb == pytest.approx(32.0 * batch)
        assert decided.hopeless is not fits


def test_a_task_without_terms_is_asked_about_every_trial_and_point() -> None:
    asked = Asked()
    calibrated = memory(asked, terms=())
    for depth in range(1, 8):
        calibrated.learn(at(depth), needs_gb(at(depth)))
    estimate = calibrated.estimate(at(40))
    assert asked.depths == [*range(1, 8), 40]
    assert estimate is not None
    assert estimate.hopeless
    assert estimate.told == "needs about 160 of 64 GB"


def test_values_without_an_estimate_are_not_refused() -> None:
    calibrated = memory(Asked(fails_at=40))
    calibrated.learn(at(2), needs_gb(at(2)))
    assert calibrated.estimate(at(40)) is None
    assert calibrated.estimate(at(41)) is not None


def test_a_baseline_without_an_estimate_tells_nothing() -> None:
    calibrated = memory(Asked(fails_at=2))
    calibrated.learn(at(2), needs_gb(at(2)))
    assert calibrated.estimate(at(41)) is None
