"""A run that is killed anywhere in a confirmation on slices, and resumed, ends with the verdicts of one that was not.

The unbroken run tells the places: trainings, the pool's own list, every line of the journal, every round. A slice is
shown once. What was answered before a kill stays, and only the rounds behind it are asked.
"""

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from agent.store.journal import read_history
from agent.trials.trial import KeepState
from tests.conftest import TASKS
from tests.kill_anywhere.killed_runs import NEVER, Death, Zygote

SIGKILL = -9
N_ROUNDS = 4
N_LONG = 66  # kills, beside those of the quick test
BETTER = {"MIX = 0.5": "MIX = 0.9"}  # by 20 sigma of training seeds, and the second by 30 more
BEST = {"MIX = 0.5": "MIX = 0.95", "CHUNK = 256": "CHUNK = 1024", "SMOOTHING = 20.0": "SMOOTHING = 2.0"}


def reply(changes: dict[str, str]) -> str:
    """Return what a model says to propose the honest script with these changes."""
    source = (TASKS / "bigram_plain" / "train.py").read_text()
    for old, new in changes.items():
        assert old in source
        source = source.replace(old, new)
    return json.dumps({"reply": f"TITLE: {' '.join(changes.values())}\n```python\n{source}```\n"}) + "\n"


class Killed:
    """One run with a cache of its own, so that nobody else opens its slices."""

    def __init__(self, warm: Zygote, prepared: Path, name: str) -> None:
        self._warm = warm.within(warm.folder / name)
        self._cache = self._warm.folder / "cache"
        shutil.copytree(prepared, self._cache)
        self._begin = ["run", "--task", str(TASKS / "bigram_plain"), "--mode", "code-edit", "--name", "r"]
        replies = self._warm.folder / "replies.jsonl"
        replies.write_text(reply(BETTER) + reply(BEST))
        self._begin += ["--edit-format", "whole-file", "--model", f"replay:{replies}", "--no-smoke"]
        self._begin += ["--trials", "3", "--final-runs", "1"]
        self.paths = self._warm.runs.run("r")
        self.places: dict[str, int] = {}  # that its last process came to

    def go_on(self, death: Death = NEVER) -> int:
        """Begin the run, or resume it; return how the process ended."""
        argv = ["resume", "r"] if self.paths.run_json.exists() else self._begin
        return self._warm.agent(*argv, death=death, AUTOCENTAUR_CACHE=str(self._cache))

    @property
    def said(self) -> str:
        return self._warm.said

    def answers(self) -> dict[str, bytes]:
        """Return what is on the disk of answers, by slice."""
        return {path.parent.name: path.read_bytes() for path in self.paths.root.glob("slices/0*/answers.jsonl")}

    def end(self) -> list[Any]:
        """Let the run come to its end, and return all that its slices decided."""
        before = self.answers()
        ended = self.go_on()
        assert ended in (0, 3), self.said  # 3: there was nothing left to do
        self.places = self._warm.places
        after = self.answers()
        for number, answers in before.items():
            whole = answers[: answers.rfind(b"\n") + 1]
            assert after[number].startswith(whole)
        assert {answers.count(b"\n") for answers in after.values()} == {N_ROUNDS}
        assert self._warm.agent("log", "--verify", "r", AUTOCENTAUR_CACHE=str(self._cache)) == 0, self.said
        history = read_history(self.paths.journal)
        assert len({use.number for use in history.slices}) == len(history.slices) == len(after)
        uses = [
            (
                use.number,
                use.purpose,
                use.entrants,
                use.n_other_runs,
                use.score and dict(use.score.to_json(), seconds=0),
            )
            for use in history.slices
        ]
        repeats = [(repeat.trial, repeat.seed, repeat.purpose, repeat.verdict) for repeat in history.repeats]
        return [uses, repeats, [trial.standing for trial in history.trials], history.position]


class Unbroken:
    """The run that nobody kills: what it decides, and where it can be killed."""

    def __init__(self, warm: Zygote, prepared: Path) -> None:
        run = Killed(warm, prepared, "unbroken")
        self.decided = run.end()
        self.places = run.places
        lines = [json.loads(line)["event"] for line in run.paths.journal.read_text().splitlines()]
        self.events = {n: event for n, event in enumerate(lines, start=1)}

    def line(self, run: Killed, event: str, which: int = 1) -> Death:
        """Return the death of a process that has just written the so-manieth line of that event in the run."""
        there = run.paths.journal.read_text().count("\n") if run.paths.journal.exists() else 0
        nth = [n for n, found in self.events.items() if found == event][which - 1]
        return Death("after fsync runs/r/journal.jsonl", nth - there)

    def round(self, run: Killed, number: int, when: str) -> Death:
        """Return the death of a process just before or after the so-manieth round of the run is safe on the disk."""
        there = sum(answers.count(b"\n") for answers in run.answers().values())
        return Death(f"{when} fsync runs/r/slices/N/answers.jsonl", number - there)


@pytest.fixture(scope="module")
def prepared(warm: Zygote) -> Path:
    """A cache with data and pool, which no run has used."""
    cache = warm.folder / "prepared"
    task = str(TASKS / "bigram_plain")
    assert warm.agent("prepare", "--task", task, "--pool", AUTOCENTAUR_CACHE=str(cache)) == 0, warm.said
    return cache


@pytest.fixture(scope="module")
def unbroken(warm: Zygote, prepared: Path) -> Unbroken:
    found = Unbroken(warm, prepared)
    events = list(found.events.values())
    assert events.count("slice_opened") == events.count("slice_scored") == 3  # two confirmations and the final slice
    return found


@pytest.mark.slow
def test_a_confirmation_killed_at_every_step_decides_as_the_unbroken_one(
    warm: Zygote, prepared: Path, unbroken: Unbroken
) -> None:
    run = Killed(warm, prepared, "each step")
    listed = next(name for name in unbroken.places if name.startswith("after fsync") and "opened.jsonl" in name)
    for death in (
        lambda: unbroken.line(run, "repeat_started", 2),  # its training is to begin
        lambda: unbroken.line(run, "repeat_trained"),
        lambda: Death(listed),  # before the line of the journal
        lambda: unbroken.line(run, "slice_opened"),
        lambda: unbroken.round(run, 2, "before"),
        lambda: unbroken.round(run, 3, "after"),  # between two rounds
        lambda: unbroken.line(run, "slice_scored"),  # before the verdict
        lambda: unbroken.line(run, "repeat_started", 4),  # the final run
        lambda: unbroken.line(run, "slice_opened", 3),
        lambda: unbroken.round(run, 2 * N_ROUNDS + 3, "before"),
    ):
        assert run.go_on(death()) == SIGKILL, run.said
    assert run.end() == unbroken.decided


@pytest.mark.slow
def test_a_slice_whose_models_are_others_after_a_kill_is_burned_and_the_next_one_opened(
    warm: Zygote, prepared: Path, unbroken: Unbroken
) -> None:
    run = Killed(warm, prepared, "changed")
    assert run.go_on(unbroken.round(run, 1, "after")) == SIGKILL
    artifact = run.paths.trial(0).repeat(1).artifact  # the champion's
    artifact.write_bytes(artifact.read_bytes() + b"\n")
    assert run.go_on() == 0, run.said
    history = read_history(run.paths.journal)
    first, second = (use.score for use in history.slices[:2])
    assert first is not None
    assert second is not None
    assert (first.burned_by, first.reason) == ("champion", "its files have changed since the slice was opened")
    assert (second.is_burned, [use.number for use in history.slices]) == (False, [0, 1, 2, 3])
    assert history.trials[1].standing is KeepState.CONFIRMED


@pytest.mark.slow
def test_a_model_that_is_gone_after_a_kill_is_trained_again_and_the_slice_goes_on_if_it_is_the_same(
    warm: Zygote, prepared: Path, unbroken: Unbroken
) -> None:
    run = Killed(warm, prepared, "gone")
    assert run.go_on(unbroken.round(run, 2, "after")) == SIGKILL
    run.paths.trial(1).repeat(1).artifact.unlink()  # the challenger's
    assert run.end() == unbroken.decided


@pytest.mark.long
def test_a_confirmation_killed_many_times_anywhere_decides_as_the_unbroken_one(
    warm: Zygote, prepared: Path, unbroken: Unbroken
) -> None:
    chance = random.Random(5)
    steps = ("slices/", "opened.jsonl", "seed-N", "journal.jsonl")
    places = sorted(name for name in unbroken.places if any(step in name for step in steps))
    chance.shuffle(places)
    n_killed = n_runs = 0
    while n_killed < N_LONG:
        drawn = [places[(4 * n_runs + n) % len(places)] for n in range(4)]
        deaths = [
            Death(name, chance.randint(1, unbroken.places[name]), whole_group=chance.random() < 0.5) for name in drawn
        ]
        deaths[1] = Death(seconds=chance.uniform(0.2, 2.0), whole_group=True)  # in a round, or wherever it is
        chance.shuffle(deaths)
        run = Killed(warm, prepared, f"run {n_runs}")
        n_killed += sum(run.go_on(death) == SIGKILL for death in deaths)
        assert run.end() == unbroken.decided, deaths
        n_runs += 1
    print(f"{n_killed} kills in {n_runs} runs, {len(places)} places")
