"""The slices of a task scored by predictions: examples that no job has seen, with labels that no job ever sees.

All models get the inputs of a slice, one model after the other, each in its own sandbox. When all answers and their
hashes are on the disk, the host compares them with the labels. So it does not matter what jobs tell each other: none of
them knows a label of the slice.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.errors import JournalError
from agent.execution.scoring.measures import Labels, Outputs, measured
from agent.execution.scoring.predictions import Answer, Examples, predicted
from agent.execution.scoring.scoring_job import observed
from agent.execution.slices.row_lead import SHARES, row_lead
from agent.execution.slices.source import Burned, Contender, Openings
from agent.store.atomic_file import write_durably
from agent.task.host_commands.prepared import OPENED
from agent.task.measure_table import MEASURES
from agent.task.task import Task
from agent.task.unseen.division import Division
from agent.trials.keeping.noise import Lead
from agent.trials.trial import Score
from sandbox.errors import JobLostError
from sandbox.job import Sandbox

HASHES = "answers.json"
MAX_LOST = 3  # answers of a model in a row that are lost with their jobs, after which the run stops
_INPUTS = "inputs-"
FEWEST_OTHERS = 10  # of a slice without its commonest label: leaving some out must not make the measure undefined
SHARE_CHANGED = 0.1  # of examples that one of two models gets right and the other wrong: a rule of thumb
LACKS_PREDICT = "the score program cannot answer about a part of its examples; docs/tasks.md says what it must do"


class RowSlices:
    """Examples that no trial is scored on. See agent.execution.slices.source."""

    def __init__(self, task: Task, examples: Examples, division: Division, sandbox: Sandbox) -> None:
        """`examples`: all examples of the division."""
        self._task = task
        self._examples = examples
        self._division = division
        self._sandbox = sandbox
        self.openings = Openings(division.folder / OPENED)

    @property
    def digest(self) -> str:
        return self._division.digest

    @property
    def n_slices(self) -> int:
        return self._division.n_slices

    @property
    def n_items(self) -> int:
        return self._division.n_rows

    @property
    def n_standing(self) -> int:
        return len(self._division.standing)

    @property
    def expected_error(self) -> float | None:
        """√(.1 / N) if the measure is a share of examples; for others it is not known before models are scored.

        Two models differ by 1 on an example that only one of them gets right, and by 0 on all others.
        """
        return (SHARE_CHANGED / self.n_items) ** 0.5 if self._task.score.measure in SHARES else None

    def why_none(self, baseline: Contender, score: Score | None, *, folder: Path, label: str) -> str | None:
        """Return a sentence if the score program cannot answer about as many examples as a slice has; None if it can.

        The test uses standing examples.
        """
        shutil.rmtree(folder, ignore_errors=True)  # of an earlier rehearsal
        folder.mkdir(parents=True)
        found = self._answers(self._division.standing[: self.n_items], [baseline], score, folder=folder, label=label)
        return f"{LACKS_PREDICT} ({found.reason})" if isinstance(found, Burned) else None

    def ask(
        self, number: int, models: Sequence[Contender], score: Score | None, *, folder: Path, label: str
    ) -> "RowAnswers | Burned":
        """Return the answers of all models on a slice, or why it is burned."""
        numbers = self._division.slice(number)
        folder.mkdir(parents=True, exist_ok=True)
        answers = self._answers(numbers, models, score, folder=folder, label=label)
        if isinstance(answers, Burned):
            return answers
        hashes = json.dumps({name: hashlib.sha256(answer).hexdigest() for name, answer in answers.items()}) + "\n"
        if (folder / HASHES).exists() and (folder / HASHES).read_text(encoding="utf-8") != hashes:
            raise JournalError(
                f"an answer in {folder} has changed since it was given; restore it from a backup, or start a new run"
            )
        self._commit(folder / HASHES, hashes)
        labels = self._examples.labels[numbers]
        outputs = {name: _outputs(answer, len(numbers)) for name, answer in answers.items()}
        return RowAnswers(self._task, labels, outputs)

    def _answers(
        self,
        numbers: NDArray[np.int64],
        models: Sequence[Contender],
        score: Score | None,
        *,
        folder: Path,
        label: str,
    ) -> dict[str, bytes] | Burned:
        """Return each model's answer about some examples; all answers are on the disk then.

        The challenger, which is last in `models`, is asked first: so no job can pass another model's answer on to it.
        """
        jobs: list[Mapping[str, Any]] = []
        answers: dict[str, bytes] = {}
        with self._shown(numbers, folder) as examples:
            for model in reversed(models):
                kept, name = folder / f"{model.name}.bin", f"predict-{model.name}"
                if kept.is_file() and kept.stat().st_size == examples.n_bytes:
                    answers[model.name] = kept.read_bytes()  # of a killed process, for the same files
                    continue
                found = _until_known(
                    partial(
                        predicted,
                        self._task,
                        self._sandbox,
                        examples,
                        files=model.files,
                        artifact=model.artifact,
                        into=folder / f"{name}.answer",
                        log=folder / f"{name}.log",
                        label=f"{label}/{name}",
                        baseline=score,
                    )
                )
                jobs.append(observed(name, found.execution, examples.n_bytes))
                if found.outputs is None:
                    assert found.failed is not None
                    return Burned(model.name, found.failed[1], jobs)
                answers[model.name] = found.outputs.astype(np.float32).tobytes()
                self._commit(kept, answers[model.name])
        return answers

    @contextmanager
    def _shown(self, numbers: NDArray[np.int64], folder: Path) -> Iterator[Examples]:
        """Yield some examples, with their inputs in a file in `folder` for a while, which nodes of a cluster see."""
        for left in folder.glob(f"{_INPUTS}*"):  # by a killed process
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=_INPUTS, dir=folder) as private:  # its mode is 0700
            inputs = Path(private, "inputs.bin")
            inputs.write_bytes(self._division.inputs_of(numbers))
            inputs.chmod(0o644)  # whatever the umask: a job of another user needs no copy
            yield self._examples.part(numbers, inputs)

    def _commit(self, path: Path, content: str | bytes) -> None:
        try:
            write_durably(path, content)
        except OSError as error:
            raise JournalError(
                f"cannot write to {path}: {error.strerror}; make room and continue with `agent resume`"
            ) from error


@dataclass(frozen=True)
class RowAnswers:
    """The answers of all models about a slice of N examples."""

    task: Task
    labels: Labels  # (N,)
    outputs: Mapping[str, Outputs]  # by model, (N, C)

    @property
    def losses(self) -> Mapping[str, float]:
        """The measure of each model as a loss."""
        return {
            name: self.task.metric.to_loss(measured(self.task.score, outputs, self.labels))
            for name, outputs in self.outputs.items()
        }

    def lead(self, better: Collection[str], worse: str | Collection[str]) -> Lead:
        """Return the lead of some models' mean loss over that of one or several others, in the metric's unit."""
        ours = [self.outputs[name] for name in better]
        others = [self.outputs[name] for name in ([worse] if isinstance(worse, str) else worse)]
        return row_lead(self.task.score, self.task.metric, ours, others, self.labels)


def why_too_alike(task: Task, examples: Examples, division: Division) -> str | None:
    """Return a sentence if the labels are so alike that the measure may be undefined on a part of the examples."""
    measure = task.score.measure or ""
    if not MEASURES[measure].varied:
        return None
    parts = [division.standing, *(division.slice(number) for number in range(division.n_slices))]
    counts = [np.unique(examples.labels[part], return_counts=True)[1] for part in parts]
    fewest = min(int(count.sum() - count.max()) for count in counts)
    if fewest >= FEWEST_OTHERS:
        return None
    return (
        f"a slice of {division.n_rows} validation examples has {fewest} whose label is not the commonest one, and "
        f"{measure} needs {FEWEST_OTHERS} for a standard error"
    )


def _until_known(ask: Callable[[], Answer]) -> Answer:
    """Return a model's answer; run it again if its job is lost, since no answer was read then.

    Raises:
        JobLostError: MAX_LOST jobs in a row were lost.
    """
    for _ in range(MAX_LOST - 1):
        with suppress(JobLostError):
            return ask()
    return ask()


def _outputs(answer: bytes, n: int) -> Outputs:
    return np.frombuffer(answer, dtype=np.float32).reshape(n, -1).astype(np.float64)
