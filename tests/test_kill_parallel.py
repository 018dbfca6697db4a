"""A run with several trials at once, killed at any moment and resumed: all in flight runs again, and ends once."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.kill_anywhere.killed_runs import Death, Zygote
from tests.kill_anywhere.several_workers import check_whole, lines_of, n_in_flight
from tests.test_kill_anywhere import OPTIONS, KilledRuns

QUICK_KILLS, LONG_KILLS = 6, 100


class KilledTogether(KilledRuns):
    """Runs with several workers that are killed again and again."""

    def __init__(
        self,
        warm: Zygote,
        mode: str,
        chance: random.Random,
        task: Path,
        workers: int,
        *,
        more: Sequence[str] = (),
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.most_in_flight = 0  # when a run was killed
        self._trials = 2 * workers
        options = ["--task", str(task), "--trials", str(self._trials), "--workers", str(workers), "--queue", "1", *more]
        super().__init__(warm, mode, workers, chance, options, variables=variables)

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
        before = lines_of(self._journal)
        ended = super()._go_on(death)
        lines = lines_of(self._journal)
        assert lines[: len(before)] == before
        self.most_in_flight = max(self.most_in_flight, n_in_flight(lines))
        return ended

    @property
    def _journal(self) -> Path:
        return self._now.runs.run("r").journal

    def _compare(self, ended: int) -> None:
        assert ended in (0, 3), self._now.said
        check_whole(self._now, "r", self._trials)


def kill_together(warm: Zygote, mode: str, task: Path, workers: int, n_kills: int) -> None:
    chance = random.Random(f"{mode} {workers}")
    runs = KilledTogether(warm, mode, chance, task, workers)
    while runs.n_kills < n_kills:
        runs.die(runs.death())
    runs.end()
    print(f"{mode}: {runs.n_kills} kills in {runs.n_runs} runs, at most {runs.most_in_flight} trials in flight")


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["cma-es", "centaur"])
def test_all_in_flight_runs_again_after_a_kill_and_ends_once(warm: Zygote, sleeping: Path, mode: str) -> None:
    kill_together(warm, mode, sleeping, 4, QUICK_KILLS)


@pytest.mark.long
@pytest.mark.parametrize("mode", OPTIONS)
def test_eight_in_flight_and_killed_a_hundred_times(warm: Zygote, sleeping: Path, mode: str) -> None:
    kill_together(warm, mode, sleeping, 8, LONG_KILLS)
