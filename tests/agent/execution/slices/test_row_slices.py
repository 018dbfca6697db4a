"""Slices of examples: what jobs are shown of them, what is on the disk before anything is scored, and after a kill."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.errors import JournalError
from agent.execution.scoring.predictions import NOT_FINITE, PredictionScorer, examples_of
from agent.execution.scoring.scorer import Artifact
from agent.execution.slices.row_slices import LACKS_PREDICT, RowSlices, why_too_alike
from agent.execution.slices.source import Burned, Contender
from agent.execution.task_data import division_of, slices_of
from agent.task.corpus import Corpus
from agent.task.task import Task
from agent.task.unseen.division import prepare_division
from agent.trials.trial import Score
from sandbox.errors import JobLostError
from sandbox.job import Execution, Job, StoppedBy

N = 1000
TOML = """
[task]
name = "rows"
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
Numbers = NDArray[Any]


def task_with(measure: str, goal: str) -> Task:
    text = TOML.format(measure=measure, goal=goal)
    return Task(Path("rows"), {"task.toml": text.encode(), "train.py": b"X = 1\n"})


ACCURACY = task_with("accuracy", "maximise")


def data(folder: Path, labels: Numbers, n_outputs: int = 2) -> Corpus:
    """Examples whose input is their number, 8 bytes."""
    (folder / "val").mkdir(parents=True)
    np.arange(len(labels)).astype("<i8").tofile(folder / "val" / "inputs.bin")
    np.save(folder / "val" / "labels.npy", labels)
    (folder / "meta.json").write_text(json.dumps({"n_outputs": n_outputs, "files": {}}))
    return Corpus(folder)


class Models:
    """A sandbox in which each model answers with class 1 for the examples that it likes; it keeps what jobs saw."""

    def __init__(self, likes: Mapping[str, Callable[[Numbers], Numbers]], n_outputs: int = 2) -> None:
        self._likes = likes
        self._n_outputs = n_outputs
        self.seen: list[tuple[str, Numbers]] = []
        self.mounts: list[Path] = []
        self.dies_at: str | None = None
        self.loses = 0  # so many jobs are lost at first
        self.n_lost = 0

    def run(self, job: Job) -> Execution:
        name = job.label.rpartition("-")[2]
        if name == self.dies_at:
            raise KeyboardInterrupt
        self.n_lost += 1
        if self.n_lost <= self.loses:
            raise JobLostError("its node is gone", "n1")
        shown = next(mount.source for mount in job.mounts if mount.target == "/data/inputs.bin")
        numbers = np.fromfile(shown, "<i8")
        self.seen.append((name, numbers))
        self.mounts += [mount.source for mount in job.mounts if mount.target.startswith("/data")]
        outputs = np.zeros((len(numbers), self._n_outputs), np.float32)
        outputs[:, -1] = self._likes[name](numbers) - 0.5
        assert job.output is not None
        outputs.tofile(job.output)
        return Execution(0, StoppedBy.ITSELF, 1.0, 1.0, 0.1, outputs.nbytes, False)

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class Place:
    corpus: Corpus
    labels: Numbers
    cache: Path
    folder: Path  # of the slice

    def slices(self, box: Models, task: Task = ACCURACY) -> RowSlices:
        division = prepare_division(self.corpus, N, self.cache)
        return RowSlices(task, examples_of(task, self.corpus, "val"), division, box)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    labels = np.random.default_rng(3).integers(0, 2, N)
    return Place(data(tmp_path / "data", labels), labels, tmp_path, tmp_path / "slice")


@pytest.fixture
def models(place: Place) -> Models:
    """A baseline that is right at three of four examples, a champion at all, and a challenger that says 0."""
    return Models(
        {
            "baseline": lambda numbers: np.where(numbers % 4 == 0, 1 - place.labels[numbers], place.labels[numbers]),
            "champion": lambda numbers: place.labels[numbers],
            "challenger": lambda numbers: 0 * numbers,
        }
    )


def contenders(*names: str) -> list[Contender]:
    return [Contender(name, Path("artifact"), Path("files")) for name in names]


ALL = contenders("baseline", "champion", "challenger")


def test_all_models_are_shown_a_slice_and_nothing_else_the_challenger_first(place: Place, models: Models) -> None:
    slices = place.slices(models)
    division = prepare_division(place.corpus, N, place.cache)
    found = slices.ask(1, ALL, None, folder=place.folder, label="r/slice-001")
    assert not isinstance(found, Burned)
    assert [name for name, _ in models.seen] == ["challenger", "champion", "baseline"]
    assert all(list(numbers) == list(division.slice(1)) for _, numbers in models.seen)
    assert {path.name for path in models.mounts} == {"inputs.bin"}
    assert not any(path.exists() for path in models.mounts)  # no longer than jobs need it
    assert {path.name for path in place.folder.iterdir()} == {
        "answers.json", "baseline.bin", "challenger.bin", "champion.bin",
    }  # fmt: skip


def test_losses_and_leads_are_those_of_the_labels(place: Place, models: Models) -> None:
    slices = place.slices(models)
    numbers = prepare_division(place.corpus, N, place.cache).slice(0)
    found = slices.ask(0, ALL, None, folder=place.folder, label="r/slice-000")
    assert not isinstance(found, Burned)
    wrong, ones = (numbers % 4 == 0).mean(), place.labels[numbers].mean()
    assert found.losses == pytest.approx({"baseline": wrong - 1, "champion": -1.0, "challenger": ones - 1})
    lead = found.lead(["champion"], "baseline")
    assert lead.mean == pytest.approx(wrong)
    n = len(numbers)
    assert lead.error == pytest.approx(np.sqrt((n * wrong * (1 - wrong) + 1) / (n * (n - 1))))
    assert found.lead(["champion", "challenger"], "baseline").mean == pytest.approx(wrong - ones / 2)


def test_a_trial_is_scored_on_the_examples_that_stand(place: Place, tmp_path: Path) -> None:
    division = prepare_division(place.corpus, N, place.cache)
    artifact = Artifact(tmp_path / "a", tmp_path / "files", "", tmp_path / "score", "r/0001-baseline", 1)
    box = Models({"baseline/predict": lambda numbers: 0 * numbers})
    score = PredictionScorer(ACCURACY, place.corpus, box, division=division).score(artifact)
    assert score.val_loss == pytest.approx(place.labels[division.standing].mean() - 1)
    assert list(box.seen[0][1]) == list(division.standing)
    assert score.evidence == {"examples": 500}
    whole = PredictionScorer(ACCURACY, place.corpus, box).score(artifact)
    assert whole.evidence == {"examples": N}


def test_answers_on_the_disk_are_used_again_and_nobody_is_asked_twice(place: Place, models: Models) -> None:
    slices = place.slices(models)
    models.dies_at = "baseline"
    with pytest.raises(KeyboardInterrupt):
        slices.ask(0, ALL, None, folder=place.folder, label="r/slice-000")
    assert not (place.folder / "answers.json").exists()
    models.dies_at = None
    first = slices.ask(0, ALL, None, folder=place.folder, label="r/slice-000")
    assert [name for name, _ in models.seen] == ["challenger", "champion", "baseline"]
    again = slices.ask(0, ALL, None, folder=place.folder, label="r/slice-000")
    assert len(models.seen) == 3
    assert not isinstance(first, Burned)
    assert not isinstance(again, Burned)
    assert first.losses == again.losses
    (place.folder / "champion.bin").write_bytes(bytes((place.folder / "champion.bin").stat().st_size))
    with pytest.raises(JournalError, match=r"an answer in .*slice has changed since it was given"):
        slices.ask(0, ALL, None, folder=place.folder, label="r/slice-000")


def test_a_model_whose_job_is_lost_is_asked_again_and_the_run_stops_only_after_three(
    place: Place, models: Models
) -> None:
    names = ("baseline", "champion", "challenger")
    models.loses = 2
    asked = place.slices(models).ask(0, contenders(*names), None, folder=place.folder, label="RUN/slice-000")
    assert not isinstance(asked, Burned)
    assert [name for name, _ in models.seen] == ["challenger", "champion", "baseline"]
    assert not list(place.folder.glob("inputs-*"))
    models.n_lost, models.loses = 0, 3
    with pytest.raises(JobLostError, match="its node is gone"):
        place.slices(models).ask(1, contenders(*names), None, folder=place.folder / "1", label="RUN/slice-001")


def test_inputs_are_in_the_folder_of_the_slice_which_the_nodes_of_a_cluster_see(place: Place, models: Models) -> None:
    left = place.folder / "inputs-of-a-killed-process"
    left.mkdir(parents=True)
    asked = place.slices(models).ask(0, contenders("baseline"), None, folder=place.folder, label="RUN/slice-000")
    assert not isinstance(asked, Burned)
    assert [path.is_relative_to(place.folder) for path in models.mounts if path.name == "inputs.bin"] == [True]
    assert not list(place.folder.glob("inputs-*"))


def test_a_model_without_an_answer_burns_the_slice(place: Place) -> None:
    box = Models({"baseline": lambda numbers: 0 * numbers, "challenger": lambda numbers: numbers * np.nan})
    found = place.slices(box).ask(0, contenders("baseline", "challenger"), None, folder=place.folder, label="r/s")
    assert isinstance(found, Burned)
    assert (found.model, found.reason) == ("challenger", NOT_FINITE)
    assert [job["job"] for job in found.jobs] == ["predict-challenger"]
    assert list(place.folder.glob("*.bin")) == []


def test_the_rehearsal_asks_about_as_many_examples_as_a_slice_has_all_of_which_stand(
    place: Place, models: Models
) -> None:
    slices = place.slices(models)
    (baseline,) = contenders("baseline")
    assert slices.why_none(baseline, None, folder=place.folder, label="r/rehearsal") is None
    standing = prepare_division(place.corpus, N, place.cache).standing
    ((_, numbers),) = models.seen
    assert list(numbers) == list(standing[:250])
    box = Models({"baseline": lambda numbers: numbers * np.nan})
    why = place.slices(box).why_none(baseline, None, folder=place.folder, label="r/rehearsal")
    assert why is not None
    assert why.startswith(LACKS_PREDICT)
    assert "\n" not in why


def test_the_expected_error_is_known_for_shares_alone(place: Place, models: Models) -> None:
    assert place.slices(models).expected_error == pytest.approx(0.02)  # 250 examples
    assert place.slices(models, task_with("log_loss", "minimise")).expected_error is None


def test_a_source_has_as_many_items_as_it_shows(place: Place, models: Models) -> None:
    slices = place.slices(models)
    assert (slices.n_slices, slices.n_items, slices.n_standing) == (2, 250, 500)


def test_too_few_examples_are_one_sentence(tmp_path: Path) -> None:
    lines: list[str] = []
    corpus = data(tmp_path / "data", np.arange(200) % 2)
    assert division_of(ACCURACY, corpus, tmp_path, lines.append) is None
    too_few = "200 validation examples are too few for slices, which take 999"
    assert lines == [f"{too_few}: gains will be repeated, not confirmed"]
    assert list(tmp_path.glob("rows-*")) == []


def test_labels_nearly_all_alike_are_reported_where_the_measure_needs_others(tmp_path: Path) -> None:
    lines: list[str] = []
    task = task_with("f1", "maximise")
    corpus = data(tmp_path / "data", (np.arange(N) < 12).astype(np.int64))
    assert division_of(task, corpus, tmp_path, lines.append) is None
    assert len(lines) == 1
    assert "whose label is not the commonest one, and f1 needs 10 for a standard error: gains will be" in lines[0]
    division = prepare_division(corpus, N, tmp_path)
    assert why_too_alike(ACCURACY, examples_of(ACCURACY, corpus, "val"), division) is None


def test_a_resumed_run_draws_no_division(place: Place, models: Models) -> None:
    lines: list[str] = []
    assert division_of(ACCURACY, place.corpus, place.cache, lines.append, make=False) is None
    assert list(place.cache.glob("rows-*")) == []
    drawn = division_of(ACCURACY, place.corpus, place.cache, lines.append)
    found = division_of(ACCURACY, place.corpus, place.cache, lines.append, make=False)
    assert drawn is not None
    assert found is not None
    assert found.digest == drawn.digest
    assert slices_of(ACCURACY, place.corpus, place.cache, models, lines.append, division=None) is None
    assert lines == []


def test_what_a_job_may_take_follows_the_baseline(place: Place) -> None:
    limits = []

    class Watched(Models):
        def run(self, job: Job) -> Execution:
            limits.append(job.limits.cpu_seconds)
            return super().run(job)

    box = Watched({"baseline": lambda numbers: 0 * numbers})
    score = Score(0.5, "predictions", cpu_seconds={"predict": 2.0})
    place.slices(box).ask(0, contenders("baseline"), score, folder=place.folder, label="r/slice-000")
    assert limits == [8 * 2.0 + 10]
