"""The contract of a scorer: it turns the artifact of a training job into a Score."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from agent.store.paths import TrialPaths
from agent.task.corpus import Corpus
from agent.task.task import Task
from agent.task.unseen.division import Division
from agent.text import read_tail
from agent.trials.trial import Score
from sandbox.job import Sandbox


@dataclass(frozen=True)
class Artifact:
    """The artifact of a training job. The host never loads the file: it only passes it to other sandboxes."""

    path: Path
    files: Path  # the trial's exported tree: the script and the frozen files
    log: str  # the end of what the script printed
    folder: Path  # where evidence may be written
    label: str  # "RUN/0007"
    trial: int
    to_beat: float | None = None  # the incumbent's loss: a lower one would move it, and is audited more closely
    baseline: Score | None = None  # whose cost caps that of scoring; None: this is the baseline, or it has none
    stdout: str = ""  # the end of its standard output alone; empty where only the log was kept


def artifact_in(paths: TrialPaths, folder: Path, label: str, trial: int, baseline: Score | None = None) -> Artifact:
    """Return what a finished training left in its folder, with the ends of its log and its standard output.

    Args:
        paths: of the training.
        folder, label, trial, baseline: as in Artifact.
    """
    log, stdout = read_tail(paths.log), read_tail(paths.stdout)
    return Artifact(paths.artifact, paths.files, log, folder, label, trial, stdout=stdout, baseline=baseline)


@dataclass(frozen=True)
class ScorerInputs:
    """The inputs of `open_scorer(inputs)`, which builds the Scorer of a kind of score."""

    task: Task
    prepared: Corpus | None  # the task's data; None only where the kind needs none
    sandbox: Sandbox
    split: str = "val"
    division: Division | None = None  # its standing part is scored; None: the whole split

    @property
    def corpus(self) -> Corpus:
        """The task's data, for a kind that needs it."""
        assert self.prepared is not None, "the row of this kind says that it needs data"
        return self.prepared


class Scorer(Protocol):
    """Scores artifacts. A fault of the artifact is in the Score, never an exception."""

    def score(self, artifact: Artifact) -> Score:
        """Return the score. Raises SandboxError only if a sandbox itself failed."""
        ...
