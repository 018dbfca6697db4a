"""The clock and the accounts of the benchmark with several trials in flight, not its figures."""

import math

import numpy as np
import pytest

from agent.trials.keeping.keep_rule import KeepRule
from benchmarks.parallel import Overlapped, claims, ratio, row, search
from benchmarks.simulated_days import CRASH_SECONDS, RUN_SECONDS, CodeEdits, Day
from benchmarks.two_tier import Job, Slots, TwoTier, two_tier


class Steps:
    """Scripts that are true losses. Each edit gives the next loss of a list; None crashes."""

    def __init__(self, *losses: float | None, sigma: float = 0.0) -> None:
        self.losses, self.sigma = list(losses), sigma
        self.edited_from: list[float] = []
        self.learned: list[tuple[int, float | None]] = []

    def first(self) -> float:
        return 1.0

    def edited(self, base: float, rng: np.random.Generator) -> float | None:
        self.edited_from.append(base)
        return self.losses.pop(0)

    def learn(self, number: int, loss: float | None) -> None:
        self.learned.append((number, loss))

    def loss(self, script: float) -> float:
        return script

    def noise(self, script: float) -> float:
        return self.sigma


def test_jobs_end_in_the_order_of_their_ends_and_all_slots_cost() -> None:
    slots = Slots(width=3)
    for trial, seconds in enumerate((300.0, 100.0, 200.0)):
        slots.start(Job(trial, 1.0), seconds)
    assert slots.device_seconds == 600.0
    assert slots.finish().trial == 1
    assert (slots.now, slots.device_seconds) == (100.0, 3 * 100.0 + 200.0 + 100.0)
    slots.start(Job(3, 1.0), 50.0)
    assert [slots.finish().trial for _ in range(3)] == [3, 2, 0]
    assert (slots.now, slots.device_seconds) == (300.0, 900.0)


def test_the_baseline_runs_alone_and_a_trial_is_compared_when_it_ends() -> None:
    """Two trials edit the baseline at once. The second to end is lower than the baseline, but not than the first."""
    simulated = Steps(0.9, 0.95, None, 1.2)
    day = Day(simulated, seed=0, seconds_left=RUN_SECONDS * 8)  # three are kept for the final runs
    run = TwoTier(day, KeepRule(kind="any"), slots := Slots(width=2))
    ends = [(job.trial, slots.now) for job in run.run()]
    assert ends == [(0, 300.0), (1, 600.0), (2, 600.0), (3, 600.0 + CRASH_SECONDS), (4, 900.0)]
    assert simulated.edited_from == [1.0, 1.0, 0.9, 0.9]
    assert simulated.learned == [(0, 1.0), (1, 0.9), (2, 0.95), (3, None), (4, 1.2)]
    assert run.keeper.incumbent == 1


def test_a_repeat_takes_one_slot_and_decides_about_the_trial_that_it_was_started_for() -> None:
    """Trial 1 is tested while trial 3 replaces it as the incumbent: the claim is trial 1's gain."""
    simulated = Steps(0.9, 1.1, 0.89, *[1.5] * 9, sigma=1e-3)
    day = Day(simulated, seed=0, seconds_left=RUN_SECONDS * 12)
    run = TwoTier(day, KeepRule(sigma=1e-3), Slots(width=2))
    jobs = []
    for job in run.run():
        jobs.append((job.trial, job.repeat is not None))
        if job.repeat is not None and job.trial == 1:
            break
    assert jobs[:3] == [(0, False), (1, False), (2, False)]
    assert (3, False) in jobs
    assert sum(is_repeat for _, is_repeat in jobs) == 2  # the baseline's first, then trial 1's: one at a time
    assert (run.keeper.champion, run.keeper.incumbent) == (1, 3)
    assert day.steps == [pytest.approx(-0.1)]  # of the true losses


@pytest.mark.parametrize("width", [1, 4])
def test_a_day_is_spent_and_repeats_exactly(width: int) -> None:
    done = [two_tier(Day(CodeEdits(), 3, seconds_left=40 * RUN_SECONDS), KeepRule(sigma=3e-4), 1e-4, width)] * 2
    assert done[0] == done[1]
    assert done[0].n_false <= done[0].n_claims


def test_a_search_stops_once_it_has_the_level_and_the_device_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.parallel.PAPER_LEVEL", 0.99)
    monkeypatch.setattr("benchmarks.parallel.EQUAL_HOURS", 3.0)
    one, again, four = search("local+derived", 1, 0), search("local+derived", 1, 0), search("local+derived", 4, 0)
    assert one == again
    for width, course in ((1, one), (4, four)):
        assert course.curve[0][0] == pytest.approx(300, rel=0.3)
        assert course.at(course.reached) <= 0.99 < course.at(course.reached - 1e-6)
        assert width * course.reached <= course.device_hours <= width * course.reached + (width - 1) * 400 / 3600
        spent = width * course.curve[-1][0] / 3600  # at the end of the last trial; a repeat may have ended later
        assert spent == pytest.approx(3.0, abs=2 * width * 400 / 3600)
    assert four.curve[-1][0] < one.curve[-1][0] / 2


def test_a_level_that_is_never_reached_ends_by_its_device_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.parallel.PAPER_LEVEL", 0.5)
    monkeypatch.setattr("benchmarks.parallel.MOST_HOURS", 2.0)
    course = search("cma-es", 2, 0)
    assert (course.reached, course.device_hours) == (math.inf, math.inf)
    assert course.curve[-1][0] / 3600 == pytest.approx(1.0, abs=0.15)


def test_the_speed_up_is_paired_by_seed() -> None:
    alone = [float(hours) for hours in range(1, 42)]
    times, low, high = ratio(alone, [hours / 4 for hours in alone])
    assert (times, low, high) == (4.0, 4.0, 4.0)  # every resample of seeds has the same ratio
    times, low, high = ratio(alone, alone[::-1])
    assert low < times == 1.0 < high


def test_the_rows_of_the_tables() -> None:
    course = Overlapped(curve=[(300.0, 0.99), (7200.0, 0.97)], reached=2.0, reached_after=1, device_hours=4.5)
    alone = Overlapped(curve=course.curve, reached=6.0)
    cells = "2.00 (2.00 to 2.00) | 3.0 (3.0 to 3.0) | 1 | 4.5 | 0.9700 ± 0.0000 | 0"
    assert row("local", 2, [course] * 3, [alone] * 3) == f"| local | 2 | {cells} |"
    line = claims("code edits", "repeated, sigma known", 2, 1, range(2))
    assert line.startswith("| code edits | repeated, sigma known | 2 | 24 | ")
