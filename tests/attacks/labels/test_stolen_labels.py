"""Labels stolen through what a proposer is told: they lower the loss that the search sees, and confirm nothing.

The labels are coin tosses, so that no honest script is better than another. The thief knows every input of the
validation split, those of the slices too, and each of its scripts knows all that any job was ever shown. What it cannot
have is the label of an example that no trial is scored on.
"""

import hashlib
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.edits.edit import WholeFile
from agent.execution.task_data import division_of, scorer_of, slices_of
from agent.modes.proposer import Context
from agent.run.loop import run_trials
from agent.run.open_run import Run
from agent.task.corpus import Corpus
from agent.task.task import Task
from agent.task.unseen.division import Division
from agent.trials.keeping.keep_rule import KeepRule
from agent.trials.trial import KeepState, Origin, Proposal
from sandbox.job import Execution, Job, StoppedBy

TOML = b"""
[task]
name = "coins"
[metric]
name = "accuracy"
goal = "maximise"
[score]
kind = "predictions"
measure = "accuracy"
[data]
prepare = ["true"]
[budget]
unit = "steps"
amount = 1
nominal_seconds = 1.0
counted_by = "script"
[limits]
wall_seconds = 9
memory_gb = 1
"""
Numbers = NDArray[np.int64]


class Coins:
    """A sandbox whose scripts say 1 for the examples of their GROUPS, each of `size` in a row, and 0 for the others."""

    def __init__(self, n: int, size: int) -> None:
        self._n, self._size = n, size

    def run(self, job: Job) -> Execution:
        assert job.output is not None
        if job.label.endswith("/train"):
            folder = next(mount.source for mount in job.mounts if mount.target == "/task")
            job.output.write_text((folder / "train.py").read_text().partition("GROUPS = ")[2])
            # Luck of the seed, so that sigma is not nothing: a few examples are answered the other way round.
            job.output.write_text(json.dumps([json.loads(job.output.read_text()), job.environment["TRAIN_SEED"]]))
            return Execution(0, StoppedBy.ITSELF, 1.0, 1.0, 0.1, job.output.stat().st_size, False)
        mounted = {mount.target: mount.source for mount in job.mounts}
        groups, seed = json.loads(mounted["/in/artifact"].read_text())
        answers = np.zeros(self._n, np.int64)
        for number in groups:
            answers[number * self._size : (number + 1) * self._size] = 1
        if seed != "0":
            answers[np.random.default_rng(int(seed)).choice(self._n, self._n // 500)] ^= 1
        outputs = np.zeros((len(shown := np.fromfile(mounted["/data/inputs.bin"], "<i8")), 2), np.float32)
        outputs[np.arange(len(shown)), answers[shown]] = 1
        outputs.tofile(job.output)
        return Execution(0, StoppedBy.ITSELF, 1.0, 1.0, 0.1, outputs.nbytes, False)

    def close(self) -> None:
        pass


def script(groups: list[int]) -> str:
    return f"X = 1\nGROUPS = {groups}"


def groups_of(source: str) -> list[int]:
    found: list[int] = json.loads(source.partition("GROUPS = ")[2])
    return found


@dataclass
class Decoder:
    """Asks about one example a trial, reads its label off the loss that it is told, then uses all that it knows."""

    n_asked: int
    stolen: list[int] = field(default_factory=list)  # examples whose label it has learned to be 1

    def propose(self, context: Context) -> Proposal:
        losses = {trial.number: trial.val_loss for trial in context.trials}
        if context.number > self.n_asked:
            self.stolen = [n for n in range(self.n_asked) if (losses[n + 1] or 0.0) < (losses[0] or 0.0)]
            return Proposal(Origin.LLM, "all labels that I know", WholeFile(script(self.stolen)))
        return Proposal(Origin.LLM, f"example {context.number - 1}", WholeFile(script([context.number - 1])))


class Climber:
    """Adds a group of examples to the incumbent's; what is kept tells whether it was right about more than half."""

    def propose(self, context: Context) -> Proposal:
        groups = [*groups_of(context.source), context.number]
        return Proposal(Origin.LLM, f"group {context.number}", WholeFile(script(groups)))


@dataclass
class Place:
    open_run: Callable[..., Run]
    folder: Path
    labels: Numbers = field(init=False)
    division: Division = field(init=False)

    def run(self, thief: Any, n: int, size: int, trials: int, sigma: float, *, rounded: bool) -> Run:
        """Open a run on `n` examples whose labels are coin tosses, of which half stand."""
        task = Task(self.folder, {"task.toml": TOML, "train.py": script([]).encode()})
        data = self.folder / "data"
        (data / "val").mkdir(parents=True)
        (data / "train").mkdir()
        self.labels = np.random.default_rng(1).integers(0, 2, n)
        np.save(data / "val" / "labels.npy", self.labels)
        np.arange(n).astype("<i8").tofile(data / "val" / "inputs.bin")
        (data / "meta.json").write_text(json.dumps({"n_outputs": 2, "files": {}}))
        corpus, box, answers = Corpus(data), Coins(n, size), list[str]()
        division = division_of(task, corpus, self.folder, answers.append)
        assert division is not None
        self.division = division
        slices = slices_of(task, corpus, self.folder, box, answers.append, division=division)
        assert slices is not None
        rule = KeepRule(paired=True, sigma=sigma, lead=4.0, n_slices=slices.n_slices)
        scorer = scorer_of(task, corpus, box, division=division)
        of_task = {"task": task, "corpus": corpus, "scorer": scorer, "slices": slices}
        return self.open_run(thief, trials=trials, box=box, rule=rule, rounded=rounded, **of_task)


@pytest.fixture
def place(open_run: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    bits = int.from_bytes(hashlib.sha256(b"the same draw in every test").digest())
    monkeypatch.setattr(secrets, "randbits", lambda _: bits)
    folder = tmp_path / "task"
    folder.mkdir()
    return Place(open_run, folder)


def test_labels_decoded_from_losses_lower_the_loss_and_confirm_nothing(place: Place) -> None:
    """Told at full precision, or with one example more than a step, each trial gives away one label."""
    thief = Decoder(40)
    run = place.run(thief, n=2000, size=1, trials=42, sigma=0.002, rounded=False)
    run_trials(run)
    standing = set(place.division.standing.tolist())
    assert thief.stolen == [n for n in range(40) if n in standing and place.labels[n] == 1]
    assert len(thief.stolen) > 5
    baseline, loot = run.history.trials[0], run.history.trials[41]
    assert baseline.val_loss is not None
    assert loot.val_loss == pytest.approx(baseline.val_loss - len(thief.stolen) / 1000)
    assert loot.kept
    # Put to the test: the stolen labels are of no slice, so there is no lead at all.
    assert [use.score is not None and not use.score.is_burned for use in run.history.slices] == [True]
    score = run.history.slices[0].score
    assert score is not None
    assert abs(score.lead("challenger", "baseline").mean) < 2 * score.lead("challenger", "baseline").error
    assert [trial.standing for trial in run.history.trials if trial.kept] == [
        KeepState.CONFIRMED,  # the baseline
        KeepState.ROLLED_BACK,
        KeepState.ROLLED_BACK,
    ]
    assert run.keeper.champion == 0


def test_with_losses_rounded_a_label_moves_no_loss_that_is_reported(place: Place) -> None:
    """Unless the loss lies beside the edge of a step, and then a trial tells one label, as what is kept always does."""
    thief = Decoder(40)
    run = place.run(thief, n=20_000, size=1, trials=42, sigma=0.05, rounded=True)
    run_trials(run)
    reported = {run.policy.reported.trial(trial).val_loss for trial in run.history.trials[:41]}
    exact = {trial.val_loss for trial in run.history.trials[:41]}
    assert len(exact) == 3  # the baseline's, one example better, one worse
    assert len(reported) == 1
    assert thief.stolen == []


def test_what_was_kept_gives_labels_away_all_the_same_and_they_confirm_nothing(place: Place) -> None:
    run = place.run(Climber(), n=20_000, size=200, trials=70, sigma=0.003, rounded=True)
    run_trials(run)
    losses = [trial.val_loss for trial in run.history.trials if trial.val_loss is not None]
    assert losses[0] - min(losses) > 4 * 0.003  # and nothing has been learned
    assert len(run.history.slices) > 0
    for use in run.history.slices:
        assert use.score is not None
        assert not use.score.is_burned
    assert not any(trial.standing is KeepState.CONFIRMED for trial in run.history.trials[1:])
    assert run.keeper.champion == 0
