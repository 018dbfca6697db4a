"""A score from predictions on inputs that training never saw; the labels never enter any sandbox.

For models that are no language models. There is nothing to audit: a job that does not have the labels cannot fit its
predictions to them.
"""

import time
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from agent.execution.scoring.scorer import Artifact
from agent.execution.scoring.scoring_job import fault, scoring_job, with_cost
from agent.task.corpus import Corpus
from agent.task.task import Task
from agent.trials.trial import Score, Status
from sandbox.job import Sandbox

KIND = "predictions"
Measure = Literal["accuracy", "log_loss", "mean_squared_error"]


class PredictionScorer:
    """Hands the inputs of a split to a fresh sandbox, and compares what comes back with the labels on the host."""

    def __init__(self, task: Task, corpus: Corpus, sandbox: Sandbox, *, split: str = "val") -> None:
        assert task.score.measure is not None, "task.toml was checked"
        self._task = task
        self._sandbox = sandbox
        self._measure: Measure = task.score.measure
        self._inputs = corpus.folder / split / "inputs.bin"
        self._labels = np.load(corpus.folder / split / "labels.npy", allow_pickle=False)  # (N,)
        self._n_outputs = int(corpus.meta["n_outputs"])  # C; 1 for a regression

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
        value = measured(self._measure, outputs.astype(np.float64), self._labels)
        found = Score(self._task.metric.to_loss(value), KIND, seconds=seconds, evidence={"examples": len(outputs)})
        return with_cost(found, [("predict", execution)])


def measured(measure: Measure, outputs: NDArray[np.float64], labels: NDArray[Any]) -> float:
    """Return the measure of outputs, shape (N, C), against labels, shape (N,).

    For `accuracy` and `log_loss` (nats) the outputs are logits, normalised here; for `mean_squared_error` C is 1.
    """
    if measure == "mean_squared_error":
        return float(np.square(outputs[:, 0] - labels).mean())
    if measure == "accuracy":
        return float((outputs.argmax(axis=1) == labels).mean())
    shifted = outputs - outputs.max(axis=1, keepdims=True)
    chosen = shifted[np.arange(len(labels)), labels]
    return float((np.log(np.exp(shifted).sum(axis=1)) - chosen).mean())
