"""A comparison with two workers, killed at any moment and continued: each trial of each run ends once."""

import json
import random
from pathlib import Path

import pytest

from tests.kill_anywhere.killed_runs import NEVER, Death, Zygote
from tests.kill_anywhere.several_workers import check_whole, lines_of, n_in_flight

SIGKILL, SIGXFSZ = -9, -25
MODES, N_SEEDS, N_TRIALS, N_WORKERS = ("random", "cma-es"), 2, 3, 2
RUNS = [f"c-{mode}-s{seed}" for mode in MODES for seed in range(N_SEEDS)]
QUICK_KILLS, LONG_KILLS = 6, 100


class KilledComparison:
    """Comparisons that are killed again and again, and checked once all their runs are complete."""

    def __init__(self, warm: Zygote, task: Path, folder: Path, chance: random.Random) -> None:
        self._warm, self._folder, self._chance = warm, folder, chance
        self._begin = ["compare", "--task", str(task), "--modes", ",".join(MODES), "--seeds", str(N_SEEDS)]
        self._begin += ["--trials", str(N_TRIALS), "--workers", str(N_WORKERS), "--name", "c"]
        self.n_kills = self.n_comparisons = self.most_in_flight = 0
        self._now = self._fresh()
        ended = self._go_on(NEVER)
        self._places = self._now.places  # of a comparison that nobody killed
        self._end(ended)

    def kill(self, n_times: int) -> None:
        """Kill so often, and let the last comparison end."""
        while self.n_kills < n_times:
            death = self._death()
            ended = self._go_on(death)
            if ended in (SIGKILL, SIGXFSZ):
                self.n_kills += 1
            elif death.file_bytes is None or ended in (0, 3):  # else: it met the end of a file where it could say so
                self._end(ended)
        self._end(self._go_on(NEVER))

    def _death(self) -> Death:
        """Return how to die next: in a line of a journal, from outside, or where the first comparison came."""
        kind, is_whole = self._chance.random(), self._chance.random() < 0.5
        if kind < 0.15:
            longest = max(sum(map(len, lines)) + len(lines) for lines in self._journals().values())
            return Death(file_bytes=longest + self._chance.randrange(1, 400), whole_group=True)
        if kind < 0.4:
            return Death(seconds=self._chance.uniform(0.0, 4.0), whole_group=is_whole)
        place = self._chance.choices(list(self._places), list(self._places.values()))[0]
        return Death(place, self._chance.randint(1, 1 + self._places[place] // 3), whole_group=is_whole)

    def _go_on(self, death: Death) -> int:
        """Begin the comparison or continue it, and check what it has added; return how the process ended."""
        before, runs = self._journals(), self._now.runs
        is_whole = all(runs.run(run).journal.exists() for run in RUNS)
        ended = self._now.agent(*(["compare", "--resume", "c"] if is_whole else self._begin), death=death)
        journals = self._journals()
        assert all(journals[run][: len(lines)] == lines for run, lines in before.items())
        self.most_in_flight = max(self.most_in_flight, sum(map(n_in_flight, journals.values())))
        return ended

    def _journals(self) -> dict[str, list[bytes]]:
        return {run: lines_of(self._now.runs.run(run).journal) for run in RUNS}

    def _end(self, ended: int) -> None:
        """Check the comparison that has ended with this status, and go on with another one."""
        assert ended in (0, 3), self._now.said  # 3: nothing was left to run
        for run in RUNS:
            check_whole(self._now, run, N_TRIALS)
        assert self._now.agent("compare", "c", "--json") == 0, self._now.said
        document = json.loads(self._now.said)
        assert document["done"] is True
        assert document["ledger"]["trials"] == len(RUNS) * N_TRIALS
        self._now = self._fresh()

    def _fresh(self) -> Zygote:
        self.n_comparisons += 1
        return self._warm.within(self._folder / f"comparison-{self.n_comparisons}")


def kill_compare(warm: Zygote, task: Path, folder: Path, n_kills: int) -> None:
    killed = KilledComparison(warm, task, folder, random.Random(n_kills))
    killed.kill(n_kills)
    print(f"{killed.n_kills} kills, at most {killed.most_in_flight} trials in flight")
    assert killed.most_in_flight >= N_WORKERS


@pytest.mark.slow
def test_a_comparison_with_two_workers_that_is_killed_loses_and_doubles_nothing(
    warm: Zygote, sleeping: Path, tmp_path: Path
) -> None:
    kill_compare(warm, sleeping, tmp_path, QUICK_KILLS)


@pytest.mark.long
def test_the_same_holds_for_many_kills(warm: Zygote, sleeping: Path, tmp_path: Path) -> None:
    kill_compare(warm, sleeping, tmp_path, LONG_KILLS)
