"""How often a cluster is asked about jobs."""

import time
from collections.abc import Mapping

import pytest

from agent.execution.placement.job_queue import QueueState, QueueUnreachableError
from agent.execution.placement.poller import Poller, pause_seconds
from tests.contracts.local_queue import LocalQueue
from tests.contracts.sandbox_contract import wait_until


@pytest.mark.parametrize(
    ("n_open", "n_failed", "seconds"),
    [(1, 0, 2.0), (20, 0, 40.0), (1, 1, 4.0), (20, 1, 4.0), (1, 5, 60.0), (1, 10**6, 60.0)],
)
def test_all_pollers_together_ask_as_often_as_one_and_rarely_while_nobody_answers(
    n_open: int, n_failed: int, seconds: float
) -> None:
    assert pause_seconds(2.0, n_open, n_failed) == seconds


def test_the_pollers_of_a_process_count_each_other_until_they_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[int] = []

    def pause(_each: float, n_open: int, _n_failed: int) -> float:
        counted.append(n_open)
        return 0.01

    monkeypatch.setattr("agent.execution.placement.poller.pause_seconds", pause)
    pollers = [Poller(LocalQueue(), print, 0.01) for _ in range(3)]

    def wait_for(n: int) -> None:
        counted.clear()
        while n not in counted:
            pass

    for n, poller in enumerate(pollers, 1):
        poller.__enter__()
        wait_for(n)
    for poller in pollers[1:]:
        poller.close()
    wait_for(1)
    pollers[0].close()


def test_a_poller_that_is_hurried_does_not_wait_for_the_end_of_its_pause() -> None:
    poller = Poller(LocalQueue(), print, 86_400.0)
    with poller:
        wait_until(lambda: poller.snapshot(0.0) is not None)
        later = time.monotonic()
        poller.hurry()
        wait_until(lambda: poller.snapshot(later) is not None)
    poller.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("error", [QueueUnreachableError("no route"), ValueError("an odd answer")])
def test_a_question_that_fails_in_any_way_is_said_and_asked_again(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue, said, errors = LocalQueue(), [], [error]

    def states() -> Mapping[str, QueueState]:
        if errors:
            raise errors.pop()
        return {}

    monkeypatch.setattr(queue, "states", states)
    poller = Poller(queue, said.append, 0.01)
    with poller:
        wait_until(lambda: poller.snapshot(0.0) is not None, 30.0)
    poller.close()
    assert said == [
        f"the cluster does not answer ({error}); waiting: jobs go on meanwhile",
        "the cluster answers again",
    ]
