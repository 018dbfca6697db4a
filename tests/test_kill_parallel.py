"""A run with several trials at once that is killed at any moment and resumed: all in flight runs again, and ends once.

The order in which trials end is not the same in two runs, so that there is no unbroken run to compare with.
"""

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from agent.store.git_repo import TrialRepo
from agent.store.journal import read_history
from tests.kill_anywhere.killed_runs import INSTANT, Death, Zygote
from tests.test_kill_anywhere import OPTIONS, KilledRuns

QUICK_KILLS, LONG_KILLS = 6, 100
CPUS = 0.2  # of each job: what two processors have for 8 of them
SECONDS = 0.3  # of each job, so that several are in flight when a process is killed


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The task in tests/tasks/instant, with jobs that sleep, and limits with which several at once fit any machine."""
    task = tmp_path_factory.mktemp("task") / "instant"
    shutil.copytree(INSTANT, task)
    toml = task / "task.toml"
    toml.write_text(toml.read_text().replace("[limits]", f"[limits]\ncpus = {CPUS}"))
    script = task / "train.py"
    script.write_text(script.read_text().replace("    print(", f"    __import__('time').sleep({SECONDS})\n    print("))
    return task


class KilledTogether(KilledRuns):
    """Runs with several workers that are killed again and again."""

    def __init__(self, warm: Zygote, mode: str, chance: random.Random, task: Path, workers: int) -> None:
        self.most_in_flight = 0  # when a run was killed
        self._trials = 2 * workers
        options = ["--task", str(task), "--trials", str(self._trials), "--workers", str(workers), "--queue", "1"]
        super().__init__(warm, mode, workers, chance, options)

    def death(self) -> Death:
        """Return how to die next: where the unbroken run came most often, torn, or from outside."""
        kind = self._chance.random()
        if kind < 0.15:
            return self.torn()
        is_whole = self._chance.random() < 0.5
        if kind < 0.4:
            return Death(seconds=self._chance.uniform(0.0, 4.0), whole_group=is_whole)
        place = self._chance.choices(list(self.places), list(self.places.values()))[0]
        return Death(place, self._chance.randint(1, 1 + self.places[place] // 3), whole_group=is_whole)

    def _go_on(self, death: Death) -> int:
        before = self._lines()
        ended = super()._go_on(death)
        lines = self._lines()
        assert lines[: len(before)] == before
        self.most_in_flight = max(
            self.most_in_flight, len(_numbers(lines, "started")) - len(_numbers(lines, "finished"))
        )
        return ended

    def _lines(self) -> list[bytes]:
        """Return the complete lines of the journal."""
        journal = self._now.runs.run("r").journal
        return journal.read_bytes().split(b"\n")[:-1] if journal.exists() else []

    def _compare(self, ended: int) -> None:
        assert ended in (0, 3), self._now.said
        lines = self._lines()
        assert _numbers(lines, "started") == list(range(self._trials))
        assert sorted(_numbers(lines, "finished")) == list(range(self._trials))
        runs = self._now.runs
        history, repo = read_history(runs.run("r").journal), TrialRepo(runs.repo)
        assert history.repeating is None
        assert sorted(repo.tags("r")) == list(range(self._trials))
        assert history.incumbent is not None
        assert repo.branch("r") == repo.tag("r", history.incumbent.number)
        assert self._now.agent("log", "--verify", "r") == 0, self._now.said


def _numbers(lines: list[bytes], what: str) -> list[int]:
    """Return the numbers of the trials that started, or finished, in the order of these lines of a journal."""
    events: list[dict[str, Any]] = [json.loads(line) for line in lines]
    return [event["number"] for event in events if event["event"] == f"trial_{what}"]


def kill_together(warm: Zygote, mode: str, task: Path, workers: int, n_kills: int) -> None:
    chance = random.Random(f"{mode} {workers}")
    runs = KilledTogether(warm, mode, chance, task, workers)
    while runs.n_kills < n_kills:
        runs.die(runs.death())
    runs.end()
    print(f"{mode}: {runs.n_kills} kills in {runs.n_runs} runs, at most {runs.most_in_flight} trials in flight")


@pytest.mark.parametrize("mode", ["cma-es", "centaur"])
def test_all_in_flight_runs_again_after_a_kill_and_ends_once(warm: Zygote, small: Path, mode: str) -> None:
    kill_together(warm, mode, small, 4, QUICK_KILLS)


@pytest.mark.long
@pytest.mark.parametrize("mode", OPTIONS)
def test_eight_in_flight_and_killed_a_hundred_times(warm: Zygote, small: Path, mode: str) -> None:
    kill_together(warm, mode, small, 8, LONG_KILLS)
