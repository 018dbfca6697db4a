"""A score from predictions on inputs that training never saw; the labels never enter any sandbox.

For models that are no language models. There is nothing to audit: a job that does not have the labels cannot fit its
predictions to them.
"""

import time

import numpy as np

from agent.errors import TaskError
from agent.execution.scoring.measures import Labels, checked_labels, measured
from agent.execution.scoring.scorer import Artifact
from agent.execution.scoring.scoring_job import fault, scoring_job, with_cost
from agent.task.corpus import Corpus
from agent.task.task import Task
from agent.trials.trial import Score, Status
from sandbox.job import Sandbox

KIND = "predictions"


class PredictionScorer:
    """Hands the inputs of a split to a fresh sandbox, and compares what comes back with the labels on the host."""

    def __init__(self, task: Task, corpus: Corpus, sandbox: Sandbox, *, split: str = "val") -> None:
        """Read the labels of a split. Raises TaskError if the task's measure cannot be computed from them."""
        self._task = task
        self._sandbox = sandbox
        self._inputs = corpus.folder / split / "inputs.bin"
        self._n_outputs, self._labels = _read(task, corpus, split)  # C, 1 for a regression; (N,)

    def score(self, left_behind: Artifact) -> Score:
        """Return the measure as a loss; bad_artifact or rejected_score if there are no usable predictions."""
        started = time.monotonic()
        folder = left_behind.folder
        folder.mkdir(parents=True, exist_ok=True)
        n_bytes = len(self._labels) * self._n_outputs * 4
        answer = folder / "predictions.bin"
        try:
            execution = self._sandbox.run(
                scoring_job(
                    self._task,
                    "predict",
                    files=left_behind.files,
                    artifact=left_behind.path,
                    asked={"inputs.bin": self._inputs},
                    answer=answer,
                    answer_bytes=n_bytes,
                    log=folder / "predict.log",
                    label=f"{left_behind.label}/predict",
                    environment={"SCORE_INPUTS": "/data/inputs.bin"},
                    baseline=left_behind.baseline,
                )
            )
            failed = fault(execution, n_bytes)
            outputs = None if failed else np.fromfile(answer, dtype=np.float32).reshape(-1, self._n_outputs)
        finally:
            answer.unlink(missing_ok=True)
        if outputs is not None and not np.isfinite(outputs).all():
            failed = Status.REJECTED_SCORE, "a prediction is not finite"
        seconds = round(time.monotonic() - started, 3)
        if failed is not None:
            return with_cost(Score(None, KIND, failed[0], failed[1], seconds), [("predict", execution)])
        assert outputs is not None
        value = measured(self._task.score, outputs.astype(np.float64), self._labels)
        found = Score(self._task.metric.to_loss(value), KIND, seconds=seconds, evidence={"examples": len(outputs)})
        return with_cost(found, [("predict", execution)])


def _read(task: Task, corpus: Corpus, split: str) -> tuple[int, Labels]:
    """Return the number of outputs and the labels of a split. Raises TaskError if they are of no use; it says why."""
    n_outputs, folder = corpus.meta.get("n_outputs"), corpus.folder / split
    try:
        if not isinstance(n_outputs, int) or n_outputs < 1:
            raise ValueError(f"meta.json needs n_outputs, a whole number from 1 on, and has {n_outputs!r}")
        with (folder / "labels.npy").open("rb") as file:
            labels = np.lib.format.read_array(file, allow_pickle=False)
        return n_outputs, checked_labels(task.score, n_outputs, labels)
    except OSError as fault:
        raise TaskError(f"{folder}/labels.npy cannot be read: {fault.strerror}; [data] prepare must write it") from None
    except ValueError as fault:
        said = f"{folder}/labels.npy: {fault}"
        raise TaskError(f"{said}; change [score] measure, or what [data] prepare writes") from None
