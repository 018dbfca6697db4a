"""Predictions: labels are read and checked before any job runs, and answers that are no predictions have no score."""

import json
from pathlib import Path

import numpy as np
import pytest

from agent.errors import TaskError
from agent.execution.scoring.predictions import PredictionScorer
from agent.execution.scoring.scorer import Artifact
from agent.task.corpus import Corpus
from agent.task.task import Task
from agent.trials.trial import Score, Status
from sandbox.job import Execution, Job, StoppedBy

TOML = """
[task]
name = "guessing"
[metric]
goal = "{goal}"
[score]
kind = "predictions"
measure = "{measure}"
[data]
prepare = ["true"]
[budget]
amount = 1
[limits]
wall_seconds = 9
memory_gb = 1
"""


class Answers:
    """A sandbox whose jobs answer the same, and see what they are given."""

    def __init__(self, outputs: object = ()) -> None:
        self._outputs = np.asarray(outputs, dtype=np.float32)
        self.jobs: list[Job] = []

    def run(self, job: Job) -> Execution:
        self.jobs.append(job)
        assert job.output is not None
        self._outputs.tofile(job.output)
        return Execution(0, StoppedBy.ITSELF, 1.0, 1.0, 0.1, self._outputs.nbytes, False)

    def close(self) -> None:
        pass


def task_with(measure: str, goal: str) -> Task:
    text = TOML.format(measure=measure, goal=goal)
    return Task(Path("guessing"), {"task.toml": text.encode(), "train.py": b"X = 1\n"})


def data(folder: Path, labels: object, n_outputs: object = 1) -> Corpus:
    (folder / "val").mkdir(parents=True)
    (folder / "val" / "inputs.bin").write_bytes(b"inputs")
    np.save(folder / "val" / "labels.npy", np.asarray(labels))
    (folder / "meta.json").write_text(json.dumps({"n_outputs": n_outputs, "files": {}}))
    return Corpus(folder)


def scored(folder: Path, task: Task, corpus: Corpus, outputs: object) -> Score:
    artifact = Artifact(folder / "artifact", folder / "files", "", folder / "score", "r/0001", 1)
    return PredictionScorer(task, corpus, Answers(outputs)).score(artifact)


def test_a_measure_to_maximise_becomes_a_loss_and_one_to_minimise_stays(tmp_path: Path) -> None:
    corpus = data(tmp_path / "data", [3, -0.5, 2, 7])
    score = scored(tmp_path, task_with("r2", "maximise"), corpus, [2.5, 0.0, 2, 8])
    assert score.val_loss == pytest.approx(-(1 - 1.5 / 29.1875))
    assert (score.status, score.evidence) == (Status.OK, {"examples": 4})
    assert scored(tmp_path, task_with("mean_absolute_error", "minimise"), corpus, [2.5, 0.0, 2, 8]).val_loss == 0.5


def test_a_job_sees_the_inputs_and_nothing_else_of_the_data(tmp_path: Path) -> None:
    box = Answers([0.0, 1.0])
    corpus = data(tmp_path / "data", [0, 1])
    artifact = Artifact(tmp_path / "artifact", tmp_path / "files", "", tmp_path / "score", "r/0001", 1)
    assert PredictionScorer(task_with("auc", "maximise"), corpus, box).score(artifact).val_loss == -1.0
    (job,) = box.jobs
    assert [mount.target for mount in job.mounts if mount.source.is_relative_to(corpus.folder)] == ["/data/inputs.bin"]


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ([0.0, np.nan], "a prediction is not finite"),
        ([0.0, np.inf], "a prediction is not finite"),
        ([0.0], "too short"),
    ],
)
def test_what_is_no_prediction_is_rejected(tmp_path: Path, outputs: list[float], expected: str) -> None:
    score = scored(tmp_path, task_with("auc", "maximise"), data(tmp_path / "data", [0, 1]), outputs)
    assert (score.val_loss, score.status) == (None, Status.REJECTED_SCORE)
    assert expected in score.reason


@pytest.mark.parametrize(
    ("labels", "n_outputs", "expected"),
    [
        ([1, 1], 1, "auc needs labels that differ as float32, but all are 1; change [score] measure, or what"),
        ([0, 1], 10, "auc needs one or two outputs"),
        ([0, 1], None, "meta.json needs n_outputs, a whole number from 1 on, but has None"),
        ([0, 1], 0, "but has 0"),
        ([{}, 1], 1, "Object arrays cannot be loaded"),
    ],
)
def test_data_that_give_no_measure_are_refused_before_anything_runs(
    tmp_path: Path, labels: object, n_outputs: object, expected: str
) -> None:
    box = Answers()
    with pytest.raises(TaskError) as caught:
        PredictionScorer(task_with("auc", "maximise"), data(tmp_path / "data", labels, n_outputs), box)
    assert expected in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path}/data/val/labels.npy: ")
    assert "\n" not in str(caught.value)
    assert box.jobs == []


def test_a_split_without_labels_or_with_other_bytes_is_refused(tmp_path: Path) -> None:
    corpus, task = data(tmp_path / "data", [0, 1]), task_with("auc", "maximise")
    with pytest.raises(
        TaskError, match=r"test/labels.npy cannot be read: No such file.*\[data\] prepare must write it"
    ):
        PredictionScorer(task, corpus, Answers(), split="test")
    for content in (b"", b"no array", (tmp_path / "data" / "val" / "labels.npy").read_bytes()[:-3]):
        (tmp_path / "data" / "val" / "labels.npy").write_bytes(content)
        with pytest.raises(
            TaskError, match=r"val/labels.npy: .*change \[score\] measure, or what \[data\] prepare writes"
        ):
            PredictionScorer(task, corpus, Answers())
