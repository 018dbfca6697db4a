"""A run with several trials at once on a full disk: one line names the remedy, and the resumed run loses no trial."""

import os
import random
from pathlib import Path

import pytest

from tests.full_disk import small_disk
from tests.kill_anywhere.killed_runs import Zygote
from tests.kill_anywhere.several_workers import check_whole, lines_of, n_in_flight

N_TRIALS, N_WORKERS = 8, 3
QUICK, LONG = (24, 40, 64), (4, 8, 24, 40)  # KiB of room that is made, and a whole run takes about 400


def fill_again_and_again(agent: Zygote, task: Path, chance: random.Random, room: tuple[int, ...]) -> tuple[int, int]:
    """Make a little room each time the disk is full; return how often it was, and the most trials then in flight."""
    begin = ["run", "--task", str(task), "--mode", "cma-es", "--trials", str(N_TRIALS), "--name", "r"]
    begin += ["--workers", str(N_WORKERS), "--queue", "1"]
    paths, kib, lines = agent.runs.run("r"), 80, list[bytes]()
    n_full = most_in_flight = 0
    with small_disk(agent.folder / "runs", kib) as resize:
        while (ended := agent.agent(*(["resume", "r"] if paths.run_json.exists() else begin))) not in (0, 3):
            errors = [line for line in agent.said.splitlines() if line.startswith("error: ")]
            assert ended in (1, 4), agent.said  # 4: a job could not log
            assert errors == agent.said.splitlines()[-1:], agent.said
            assert "; make room" in errors[0]
            assert "Traceback" not in agent.said
            before, lines = lines, lines_of(paths.journal)
            assert lines[: len(before)] == before
            n_full, most_in_flight = n_full + 1, max(most_in_flight, n_in_flight(lines))
            kib += chance.choice(room)
            resize(kib)
        check_whole(agent, "r", N_TRIALS)
    return n_full, most_in_flight


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_all_in_flight_runs_again_once_there_is_room(warm: Zygote, sleeping: Path, tmp_path: Path) -> None:
    n_full, most_in_flight = fill_again_and_again(warm.within(tmp_path), sleeping, random.Random(0), QUICK)
    assert n_full > 3
    assert most_in_flight >= N_WORKERS


@pytest.mark.long
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_all_in_flight_runs_again_wherever_the_disk_is_full(warm: Zygote, sleeping: Path, tmp_path: Path) -> None:
    chance, n_full = random.Random(1), 0
    for n in range(12):
        n_full += fill_again_and_again(warm.within(tmp_path / f"run {n}"), sleeping, chance, LONG)[0]
    print(f"full {n_full} times")
    assert n_full > 100
