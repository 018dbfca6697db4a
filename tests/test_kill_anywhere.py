"""A run that is killed at any moment and resumed ends as one that nobody killed: nothing lost, nothing counted twice.

The unbroken run tells every place where the program touches the disk or starts a process (`zygote.boundary`). Then runs
die there, in the middle of a line of the journal, or at a random time from outside; alone or with the git commands they
have running; again while they are being resumed.
"""

import json
import random
from collections.abc import Mapping, Sequence

import pytest

from sandbox.container.docker_sandbox import OWNER
from sandbox.container.engine import Engine
from sandbox.host_identity import is_dead
from tests.docker_engine import skip_without_docker
from tests.kill_anywhere.killed_runs import INSTANT, NEVER, Death, Zygote, contents_of, task_without_numbers

SIGKILL, SIGXFSZ = -9, -25
TRIALS = 6
QUICK_KILLS, LONG_KILLS, DOCKER_KILLS = 8, 120, 6


def edit(old: str, new: str) -> str:
    return f"TITLE: {new}\n<<<<<<< SEARCH\n{old}\n=======\n{new}\n>>>>>>> REPLACE\n"


EDITS = [
    edit("WIDTH = 2.0", "WIDTH = 1.2"),  # kept
    edit("DEPTH = 9", "DEPTH = 2"),  # does not apply,
    edit("DEPTH = 4", "DEPTH = 2"),  # and is mended
    edit("SHIFT = 0.3", "SHIFT = undefined"),  # crashes in its rehearsal,
    edit("SHIFT = 0.3", "SHIFT = undefined + 1"),  # and so does each of its mends
    edit("SHIFT = 0.3", "SHIFT = undefined + 2"),
    edit("DEPTH = 4", "DEPTH = 2"),  # a change that was tried already
    *[edit("SHIFT = 0.3", f"SHIFT = {value}") for value in (0.9, 0.1, 0.2, 0.05, 0.4)],
    *[edit("\n\nif __name__", f"UNUSED = {n}\n\nif __name__") for n in range(40)],  # apply to any script
]
POINTS = [
    '{"WIDTH": 0.8, "SHIFT": 0.1, "DEPTH": 3, "ORDER": "backward"}',
    '{"WIDTH": 2.0, "SHIFT": 0.3, "DEPTH": 4, "ORDER": "forward"}',  # has run
    '{"configurations": [{"WIDTH": 0.7, "SHIFT": 0.05, "DEPTH": 3, "ORDER": "backward"}, '
    '{"WIDTH": 9.0, "SHIFT": 0.4, "DEPTH": 8, "ORDER": "forward"}]}',
    "I would rather not.",
    *[json.dumps({"WIDTH": 3.0 + n / 8, "SHIFT": 0.0, "DEPTH": 5, "ORDER": "forward"}) for n in range(50)],
]
STRUCTURES = [
    edit("width = 2.0", "width = 1.2\nGAIN = 3  # tune: 0.5..2"),  # its range does not fit its value,
    edit("width = 2.0", "width = 1.2\nGAIN = 1.0  # tune: 0.5..2"),  # and is mended; all other trials tune it
    *EDITS[-40:],
]
OPTIONS = {
    "random": [],
    "cma-es": [],
    "tpe": [],
    "local-gp": [],
    "centaur": ["--llm-warmup", "1", "--llm-share", "0.6"],
    "centaur on local-gp": ["--host", "local-gp", "--llm-warmup", "1", "--llm-share", "0.6"],
    "code-edit": [],
    "centaur-code": [],
}


class KilledRuns:
    """Runs of one mode, each killed again and again until its last death, then compared with the unbroken one."""

    def __init__(
        self,
        warm: Zygote,
        mode: str,
        seed: int,
        chance: random.Random,
        options: Sequence[str] = (),
        *,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """`mode`: one of OPTIONS; `variables` of the environment, for each command."""
        self._warm = warm
        self._folder = warm.folder / f"{mode} {seed}"
        self._folder.mkdir()
        self._chance = chance
        name = mode.partition(" ")[0]
        task = task_without_numbers(self._folder) if name == "centaur-code" else INSTANT  # structures come at once
        self._begin = ["run", "--task", str(task), "--mode", name, "--trials", str(TRIALS), "--name", "r"]
        self._begin += [*OPTIONS[mode], *options]
        self._variables = dict(variables or {})
        replies = {"centaur": POINTS, "code-edit": EDITS, "centaur-code": STRUCTURES}.get(name)
        if replies is not None and "--model" not in options:
            recording = self._folder / "replies.jsonl"
            recording.write_text("".join(json.dumps({"reply": reply}) + "\n" for reply in replies))
            self._begin += ["--model", f"replay:{recording}"]
        unbroken = warm.within(self._folder / "unbroken")
        assert unbroken.agent(*self._begin, **self._variables) == 0, unbroken.said
        assert "repeat_finished" in unbroken.runs.run("r").journal.read_text()
        self.places = unbroken.places
        self.unbroken = contents_of(unbroken.runs, "r")
        self.n_kills = self.n_runs = 0
        self._now = self._fresh()

    def die(self, death: Death) -> bool:
        """Let the run come to `death`; return False if it ended, in order, without coming there."""
        ended = self._go_on(death)
        if ended in (SIGKILL, SIGXFSZ):
            self.n_kills += 1
            return True
        if death.file_bytes is not None and ended not in (0, 3):
            return True  # it met the end of its disk where it could still say so
        self._compare(ended)
        self._now = self._fresh()
        return False

    def end(self) -> None:
        """Let the run come to its end."""
        self._compare(self._go_on(NEVER))

    def torn(self) -> Death:
        """Return a death within the next bytes that are written to the longest file."""
        journal = self._now.runs.run("r").journal
        n_bytes = journal.stat().st_size if journal.exists() else 0
        return Death(file_bytes=n_bytes + self._chance.randrange(1, 400), whole_group=True)

    def _go_on(self, death: Death) -> int:
        is_there = self._now.runs.run("r").run_json.exists()
        return self._now.agent(*(["resume", "r"] if is_there else self._begin), death=death, **self._variables)

    def _compare(self, ended: int) -> None:
        assert ended in (0, 3), self._now.said  # 3: it was killed after its last trial, and nothing is left to do
        assert contents_of(self._now.runs, "r") == self.unbroken
        assert self._now.agent("log", "--verify", "r") == 0, self._now.said

    def _fresh(self) -> Zygote:
        self.n_runs += 1
        return self._warm.within(self._folder / f"killed-{self.n_runs}")


def deaths(places: dict[str, int], chance: random.Random, n_kills: int) -> list[Death | None]:
    """Return how to die, `n_kills` times: at every place in turn, torn (None), or from outside."""
    names = sorted(places)
    chance.shuffle(names)
    drawn: list[Death | None] = []
    for n in range(n_kills):
        if n % 8 == 3:
            drawn.append(None)
        elif n % 8 == 7:
            drawn.append(Death(seconds=chance.uniform(0.0, 1.0), whole_group=chance.random() < 0.5))
        else:
            place = names[n % len(names)]
            nth = chance.randrange(1, min(3, places[place]) + 1)
            drawn.append(Death(place, nth, whole_group=chance.random() < 0.5))
    return drawn


def kill_anywhere(warm: Zygote, mode: str, n_kills: int, seed: int) -> KilledRuns:
    chance = random.Random(f"{mode} {seed}")
    runs = KilledRuns(warm, mode, seed, chance)
    for drawn in deaths(runs.places, chance, n_kills):
        death = drawn or runs.torn()
        if not runs.die(death):
            runs.die(death if drawn else runs.torn())  # what happens only at the start needs a fresh run
    while runs.n_kills < n_kills:
        runs.die(Death("before fsync runs/r/journal.jsonl", nth=chance.randrange(1, 4)))
    runs.end()
    return runs


# The long suite kills a run of every mode a hundred times; test_kill_parallel.py has two other modes, with workers.
@pytest.mark.parametrize("mode", ["code-edit", "tpe", pytest.param("centaur-code", marks=pytest.mark.slow)])
def test_a_killed_run_ends_as_the_unbroken_one(warm: Zygote, mode: str) -> None:
    runs = kill_anywhere(warm, mode, QUICK_KILLS, seed=0)
    print(f"{mode}: {runs.n_kills} kills in {runs.n_runs} runs, {len(runs.places)} places")
    assert runs.n_kills >= QUICK_KILLS


@pytest.mark.docker
@pytest.mark.long
def test_containers_of_killed_runs_are_removed_and_the_run_ends_as_the_unbroken_one(warm: Zygote) -> None:
    skip_without_docker()
    chance = random.Random("docker")
    runs = KilledRuns(warm, "random", 2, chance, ["--sandbox", "docker"])
    while runs.n_kills < DOCKER_KILLS:
        runs.die(Death(seconds=chance.uniform(0.3, 4.0), whole_group=True))
    runs.end()
    with Engine() as engine:
        assert [name for name, started_by in engine.labelled(OWNER).items() if is_dead(started_by)] == []


@pytest.mark.long
@pytest.mark.parametrize("mode", OPTIONS)
def test_a_run_killed_a_hundred_times_ends_as_the_unbroken_one(warm: Zygote, mode: str) -> None:
    runs = kill_anywhere(warm, mode, LONG_KILLS, seed=1)
    print(f"{mode}: {runs.n_kills} kills in {runs.n_runs} runs, {len(runs.places)} places")
    assert runs.n_kills >= LONG_KILLS
