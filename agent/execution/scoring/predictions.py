"""A score from predictions on inputs that training never saw; the labels never enter any sandbox.

It serves models that are not language models. It needs no audit: a job without the labels cannot fit its predictions to
them.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agent.errors import TaskError
from agent.execution.scoring.measures import Labels, Outputs, checked_labels, measured
from agent.execution.scoring.scorer import Artifact, ScorerInputs
from agent.execution.scoring.scoring_job import fault, scoring_job, with_cost
from agent.files import private_folder
from agent.task.corpus import Corpus
from agent.task.score_kinds import PREDICTIONS
from agent.task.task import Task
from agent.task.unseen.division import Division
from agent.trials.trial import Score, Status
from sandbox.job import Execution, Sandbox

KIND = PREDICTIONS.recorded_as
NOT_FINITE = "a prediction is not finite"


@dataclass(frozen=True)
class Examples:
    """The inputs that a model predicts on, and the labels that the host compares its predictions with."""

    inputs: Path  # the only file of the examples that a job sees
    labels: Labels  # (N,)
    n_outputs: int  # C, 1 for a regression

    @property
    def n_bytes(self) -> int:
        """Size of an answer: float32 (N, C)."""
        return len(self.labels) * self.n_outputs * 4

    def part(self, numbers: Labels, inputs: Path) -> "Examples":
        """Return the examples with these numbers; the file `inputs` holds their inputs alone."""
        return Examples(inputs, self.labels[numbers], self.n_outputs)


@dataclass(frozen=True)
class Answer:
    """The result of a prediction job."""

    execution: Execution
    outputs: Outputs | None  # float64 (N, C), finite; None: there are none
    failed: tuple[Status, str] | None  # why there are none


class PredictionScorer:
    """Gives the inputs of a split to a fresh sandbox, and compares the predictions with the labels on the host."""

    def __init__(
        self, task: Task, corpus: Corpus, sandbox: Sandbox, *, split: str = "val", division: Division | None = None
    ) -> None:
        """Read the labels of a split. Raises TaskError if the task's measure cannot be computed from them.

        Args:
            division: of the validation split: only its standing examples are scored; None: all examples are.
        """
        self._task = task
        self._sandbox = sandbox
        self._examples = examples_of(task, corpus, split)
        if division is not None:
            self._examples = self._examples.part(division.standing, division.standing_inputs)

    def score(self, artifact: Artifact) -> Score:
        """Return the measure as a loss; bad_artifact or rejected_score if there are no usable predictions."""
        started = time.monotonic()
        folder = artifact.folder
        private_folder(folder)
        answer = predicted(
            self._task,
            self._sandbox,
            self._examples,
            files=artifact.files,
            artifact=artifact.path,
            into=folder / "predictions.bin",
            log=folder / "predict.log",
            label=f"{artifact.label}/predict",
            baseline=artifact.baseline,
        )
        seconds = round(time.monotonic() - started, 3)
        if answer.outputs is None:
            assert answer.failed is not None
            return with_cost(Score(None, KIND, *answer.failed, seconds), [("predict", answer.execution)])
        value = measured(self._task.score, answer.outputs, self._examples.labels)
        loss, evidence = self._task.metric.to_loss(value), {"examples": len(answer.outputs)}
        return with_cost(Score(loss, KIND, seconds=seconds, evidence=evidence), [("predict", answer.execution)])


def predicted(
    task: Task,
    sandbox: Sandbox,
    examples: Examples,
    *,
    files: Path,
    artifact: Path,
    into: Path,
    log: Path,
    label: str,
    baseline: Score | None,
) -> Answer:
    """Return the predictions of a model on the examples, made in its own sandbox.

    Args:
        files: the exported tree of the trial that saved the artifact.
        into: file for the answer, which is removed after reading.
        baseline: the score whose cost caps this job's; None: only the task's limits do.

    Raises:
        SandboxError: the sandbox failed, not the script.
    """
    try:
        execution = sandbox.run(
            scoring_job(
                task,
                "predict",
                files=files,
                artifact=artifact,
                inputs={"inputs.bin": examples.inputs},
                answer=into,
                answer_bytes=examples.n_bytes,
                log=log,
                label=label,
                environment={"SCORE_INPUTS": "/data/inputs.bin"},
                baseline=baseline,
            )
        )
        failed = fault(execution, examples.n_bytes)
        if failed is not None:
            return Answer(execution, None, failed)
        outputs = np.fromfile(into, dtype=np.float32).reshape(-1, examples.n_outputs).astype(np.float64)
    finally:
        into.unlink(missing_ok=True)
    if not np.isfinite(outputs).all():
        return Answer(execution, None, (Status.REJECTED_SCORE, NOT_FINITE))
    return Answer(execution, outputs, None)


def examples_of(task: Task, corpus: Corpus, split: str) -> Examples:
    """Return the examples of a split. Raises TaskError if the measure cannot use its labels."""
    n_outputs, folder = corpus.meta.get("n_outputs"), corpus.folder / split
    try:
        if not isinstance(n_outputs, int) or n_outputs < 1:
            raise ValueError(f"meta.json needs n_outputs, a whole number from 1 on, but has {n_outputs!r}")
        with (folder / "labels.npy").open("rb") as file:
            labels = np.lib.format.read_array(file, allow_pickle=False)
        return Examples(folder / "inputs.bin", checked_labels(task.score, n_outputs, labels), n_outputs)
    except OSError as fault:
        raise TaskError(f"{folder}/labels.npy cannot be read: {fault.strerror}; [data] prepare must write it") from None
    except ValueError as fault:
        problem = f"{folder}/labels.npy: {fault}"
        raise TaskError(f"{problem}; change [score] measure, or what [data] prepare writes") from None


def open_scorer(inputs: ScorerInputs) -> PredictionScorer:
    """Return the scorer of this kind."""
    return PredictionScorer(inputs.task, inputs.corpus, inputs.sandbox, split=inputs.split, division=inputs.division)
