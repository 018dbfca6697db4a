"""A run whose proposals wait for a person, killed at any moment: each decision counts once, and none is lost."""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.errors import AgentError
from agent.run.steering.approvals import decide
from agent.store.paths import RunsFolder
from agent.store.stored_run import StoredRun
from agent.trials.trial import Status
from tests.kill_anywhere.killed_runs import Death, Zygote
from tests.test_kill_anywhere import KilledRuns, deaths
from tests.test_kill_parallel import KilledTogether

QUICK_KILLS, LONG_KILLS = 8, 100


def is_wanted(number: int) -> bool:
    """What the person thinks of trial `number`."""
    return number % 3 != 1


@contextmanager
def person(folder: Path) -> Iterator[None]:
    """Decide about each trial that waits, in any run below `folder`, from a thread of its own."""
    is_over = threading.Event()

    def work() -> None:
        while not is_over.wait(0.05):
            for journal in folder.glob("*/*/runs/r/journal.jsonl"):
                try:
                    stored = StoredRun.find(RunsFolder(journal.parents[1]), "r")
                    for number, trial in stored.history.in_flight.items():
                        if trial.waits_for_approval:
                            decide(stored, number, is_approved=is_wanted(number), reason=f"trial {number}")
                except (AgentError, OSError):
                    continue  # the run begins, or the decision was sent already

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def check(runs: RunsFolder) -> None:
    """Check that the run ended as the person decided.

    A decision that was sent again while the first was being taken may be left; the next process removes it.
    """
    history = StoredRun.find(runs, "r").history
    assert not history.in_flight
    for trial in history.trials[1:]:
        if trial.proposal.refused is None:
            assert trial.approval is not None
            assert trial.approval.reason == f"trial {trial.number}"
            assert trial.approval.is_approved is is_wanted(trial.number)
            assert (trial.status is Status.REFUSED) is not is_wanted(trial.number)


class KilledAndDecided(KilledRuns):
    def _compare(self, ended: int) -> None:
        super()._compare(ended)
        check(self._now.runs)


class TogetherAndDecided(KilledTogether):
    def _compare(self, ended: int) -> None:
        super()._compare(ended)
        check(self._now.runs)


def kill_one_worker(warm: Zygote, mode: str, n_kills: int) -> None:
    chance = random.Random(mode)
    with person(warm.folder):
        runs = KilledAndDecided(warm, mode, 7, chance, ["--approve"])
        for drawn in deaths(runs.places, chance, n_kills):
            runs.die(drawn or runs.torn())
        while runs.n_kills < n_kills:
            runs.die(Death("before fsync runs/r/journal.jsonl", nth=chance.randrange(1, 4)))
        runs.end()
    assert "trial_approval" in str(runs.unbroken["journal"])


def kill_three_workers(warm: Zygote, task: Path, n_kills: int) -> None:
    chance = random.Random("three")
    with person(warm.folder):
        runs = TogetherAndDecided(warm, "random", chance, task, 3, more=["--approve"])
        while runs.n_kills < n_kills:
            runs.die(runs.death())
        runs.end()


@pytest.mark.slow
def test_a_killed_run_ends_as_the_person_decided(warm: Zygote) -> None:
    kill_one_worker(warm, "code-edit", QUICK_KILLS)


@pytest.mark.slow
def test_so_does_one_with_several_workers(warm: Zygote, sleeping: Path) -> None:
    kill_three_workers(warm, sleeping, QUICK_KILLS)


@pytest.mark.long
@pytest.mark.parametrize("mode", ["random", "centaur", "code-edit"])
def test_a_run_killed_a_hundred_times_ends_as_the_person_decided(warm: Zygote, mode: str) -> None:
    kill_one_worker(warm, mode, LONG_KILLS)


@pytest.mark.long
def test_several_workers_killed_a_hundred_times(warm: Zygote, sleeping: Path) -> None:
    kill_three_workers(warm, sleeping, LONG_KILLS)
