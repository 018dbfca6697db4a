"""The supervision loop on a simulated clock: which reason it reports for a job that has several to end."""

from collections.abc import Collection, Iterator
from itertools import combinations, pairwise, permutations
from pathlib import Path

import pytest

from sandbox.job import POLL_SECONDS, Job, Limits, StoppedBy
from sandbox.job_log import JobLog
from sandbox.limits.controller import Usage
from sandbox.supervision import Ending, supervise

ORDER = (StoppedBy.ITSELF, StoppedBy.MEMORY, StoppedBy.CPU_LIMIT, StoppedBy.WALL_LIMIT, StoppedBy.CALLER)
NEVER = 1e9
CPU_SECONDS = 10.0


class Simulated:
    """A job to which each reason happens at a time of its own, and the clock by which it does."""

    def __init__(self, at: dict[StoppedBy, float], *, notices_end: bool = True, look_costs: float = 0.0) -> None:
        self.now = 1000.0
        self.looks: list[float] = []
        self._at = {reason: 1000.0 + at.get(reason, NEVER) for reason in ORDER}
        self._wall_seconds = at.get(StoppedBy.WALL_LIMIT, NEVER)
        self._notices_end = notices_end
        self._look_costs = look_costs
        self._printed = [b"first\n", b"second\n"]

    def clock(self) -> float:
        return self.now

    def wait(self, fds: Collection[int], seconds: float) -> None:
        ends_at = self._at[StoppedBy.ITSELF]
        woken = self.now + max(0.0, seconds)
        self.now = min(woken, ends_at) if self._notices_end and self.now < ends_at else woken

    def has(self, reason: StoppedBy) -> bool:
        return self.now >= self._at[reason]

    def fds(self) -> Collection[int]:
        return ()

    def look_seconds(self) -> float:
        return 0.05

    def drain(self, log: JobLog) -> None:
        if self._printed:
            log.write(self._printed.pop(0))

    def usage(self, *, fresh: bool = False) -> Usage:
        self.looks.append(self.now)
        self.now += self._look_costs
        cpu_seconds = CPU_SECONDS + 1.0 if self.has(StoppedBy.CPU_LIMIT) else 1.0
        return Usage(cpu_seconds, 1, over_memory=self.has(StoppedBy.MEMORY))

    def has_ended(self, *, fresh: bool = False) -> bool:
        return self.has(StoppedBy.ITSELF) and (fresh or self._notices_end)

    def supervise(self, log: JobLog, stop_when: object = None) -> Ending:
        job = Job(
            ("true",),
            "RUN/1/x",
            Limits(wall_seconds=self._wall_seconds, memory_gb=1.0, cpu_seconds=CPU_SECONDS),
            Path("log"),
            stop_when=stop_when or (lambda: self.has(StoppedBy.CALLER)),  # type: ignore[arg-type]
        )
        return supervise(self, job, log, clock=self.clock, wait=self.wait)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[JobLog]:
    with JobLog(Job(("true",), "RUN/1", Limits(1.0, 1.0), tmp_path / "log")) as log:
        yield log


def expected(reasons: Collection[StoppedBy]) -> StoppedBy:
    if StoppedBy.MEMORY in reasons:  # then the kernel ended it, and not the job itself
        return StoppedBy.MEMORY
    return min(reasons, key=ORDER.index)


SUBSETS = [subset for n in range(1, 6) for subset in combinations(ORDER, n)]


@pytest.mark.parametrize(
    ("reasons", "notices_end"),
    [
        *((reasons, True) for reasons in SUBSETS),
        *((reasons, False) for reasons in SUBSETS if reasons[0] is StoppedBy.ITSELF and len(reasons) > 1),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, tuple) else "end seen at once" if value else "end seen late",
)
def test_of_several_reasons_at_once_the_first_in_order_is_reported(
    log: JobLog, reasons: tuple[StoppedBy, ...], notices_end: bool
) -> None:
    for at in (0.0, POLL_SECONDS, 7.0, 7.03):  # at the first look, at a question, at a look and between two
        ending = Simulated(dict.fromkeys(reasons, at), notices_end=notices_end).supervise(log)
        assert ending.stopped_by is expected(reasons)
        assert at - 1e-6 <= ending.wall_seconds <= at + 2 * POLL_SECONDS


@pytest.mark.parametrize(("first", "second"), [*permutations(ORDER, 2)], ids=str)
def test_what_happens_a_second_earlier_is_the_reason(log: JobLog, first: StoppedBy, second: StoppedBy) -> None:
    ending = Simulated({first: 7.0, second: 8.0}).supervise(log)
    assert ending.stopped_by is first
    assert 7.0 - 1e-6 <= ending.wall_seconds < 8.0


def test_a_limit_that_passes_while_the_caller_decides_comes_before_the_caller(log: JobLog) -> None:
    job = Simulated({StoppedBy.WALL_LIMIT: 3.0})

    def slow() -> bool:
        job.now += 3.0
        return True

    assert job.supervise(log, slow).stopped_by is StoppedBy.WALL_LIMIT


def test_a_job_that_ends_while_the_caller_decides_has_ended_by_itself(log: JobLog) -> None:
    job = Simulated({StoppedBy.ITSELF: 3.0, StoppedBy.WALL_LIMIT: 3.0})

    def slow() -> bool:
        job.now += 3.0
        return True

    assert job.supervise(log, slow).stopped_by is StoppedBy.ITSELF


@pytest.mark.parametrize("reason", [reason for reason in ORDER if reason is not StoppedBy.CALLER])
def test_the_caller_is_not_asked_about_a_job_that_ends_anyway(log: JobLog, reason: StoppedBy) -> None:
    def broken() -> bool:
        raise AssertionError

    assert Simulated({reason: 0.0}).supervise(log, broken).stopped_by is reason


def test_the_caller_is_asked_every_half_second(log: JobLog) -> None:
    job = Simulated({StoppedBy.WALL_LIMIT: 10.2})
    asked: list[float] = []

    def ask() -> bool:
        asked.append(job.now)
        return False

    job.supervise(log, ask)
    assert 18 <= len(asked) <= 20
    assert min(later - earlier for earlier, later in pairwise(asked)) >= POLL_SECONDS


def test_looking_takes_a_tenth_of_the_time(log: JobLog) -> None:
    job = Simulated({StoppedBy.WALL_LIMIT: 100.0}, look_costs=1.0)
    job.supervise(log)
    assert len(job.looks) <= 12


def test_the_figures_of_the_last_look_stand_in_for_fresh_ones(log: JobLog) -> None:
    class Mute(Simulated):
        def usage(self, *, fresh: bool = False) -> Usage | None:  # type: ignore[override]
            return None if fresh else super().usage()

    ending = Mute({StoppedBy.CPU_LIMIT: 1.0}).supervise(log)
    assert ending.stopped_by is StoppedBy.CPU_LIMIT
    assert ending.usage == Usage(CPU_SECONDS + 1.0, 1, over_memory=False)


def test_what_the_job_prints_is_in_the_log(log: JobLog, tmp_path: Path) -> None:
    Simulated({StoppedBy.ITSELF: 1.0}).supervise(log)
    assert (tmp_path / "log").read_text() == "first\nsecond\n"


@pytest.mark.parametrize(
    ("status", "reason", "exit_code", "signal"),
    [
        (0, StoppedBy.ITSELF, 0, None),
        (128, StoppedBy.ITSELF, 128, None),
        (129, StoppedBy.SIGNAL, None, 1),
        (137, StoppedBy.SIGNAL, None, 9),
        (192, StoppedBy.SIGNAL, None, 64),
        (193, StoppedBy.ITSELF, 193, None),
        (-9, StoppedBy.SIGNAL, None, 9),
    ],
)
def test_an_exit_status_is_a_code_or_a_signal(
    status: int, reason: StoppedBy, exit_code: int | None, signal: int | None
) -> None:
    ended = Ending(StoppedBy.ITSELF, 1.0, None).with_status(status)
    assert (ended.stopped_by, ended.exit_code, ended.signal) == (reason, exit_code, signal)
    stopped = Ending(StoppedBy.WALL_LIMIT, 1.0, None)
    assert stopped.with_status(status) == stopped
