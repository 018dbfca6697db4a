"""A trial's loss on the test split, which decides nothing: `agent best --verify` if there is no slice to open."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agent.errors import AgentError, JournalError, UsageError
from agent.execution.executor import ExecutionSettings, Executor
from agent.execution.host import Host
from agent.execution.scoring.scorer import artifact_in
from agent.files import read_json
from agent.store.run_config import MOST_BYTES
from agent.store.stored_run import StoredRun
from agent.trials.metric import Metric
from agent.trials.trial import Score, Trial


@dataclass(frozen=True)
class TestSplitResult:
    """Losses of a trial on the validation split, which selected it, and on the test split; and the baseline's."""

    trial: int
    val_loss: float
    test_loss: float
    baseline_val_loss: float
    baseline_test_loss: float

    @property
    def gap(self) -> float:
        return self.test_loss - self.val_loss

    @property
    def baseline_gap(self) -> float:
        """The difference between the two splits without selection: nothing selected the baseline."""
        return self.baseline_test_loss - self.baseline_val_loss

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "gap": self.gap, "baseline_gap": self.baseline_gap}

    def describe(self, metric: Metric) -> str:
        """Return the losses as text for people."""
        val, test = metric.display(self.val_loss), metric.display(self.test_loss)
        gap, usual = metric.display(self.gap), metric.display(self.baseline_gap)
        return (
            f"on test: {metric.name} {test:.6f} (validation {val:.6f}, gap {gap:+.6f}; "
            f"the baseline's gap {usual:+.6f})\n"
            f"  the search has overfitted the validation split by about {gap - usual:+.6f}"
        )

    def save(self, path: Path) -> None:
        """Write this into the run's folder, in place of an earlier result on the test split."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")


def load_verified(path: Path) -> TestSplitResult | None:
    """Return the saved result; None if there is none, or one on a slice.

    Raises JournalError if the file cannot be read.
    """
    try:
        document = read_json(path, MOST_BYTES)
        return None if "events" in document else TestSplitResult(**document)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise JournalError(f"{path} cannot be read: {error}; remove it, and run `agent best --verify` again") from error


def verified_on_test(stored: StoredRun, trial: Trial, host: Host) -> TestSplitResult:
    """Score the artifacts of a kept trial and of the baseline on the test split, in fresh sandboxes, with an audit.

    Saves the result in the run's folder, where the report reads it.

    Raises:
        UsageError: the task has no test split, or an artifact is missing.
        AgentError: a scoring job gave no score; the message gives the reason.
    """
    task = stored.task(trial.number)
    if not task.score.row.needs_data:
        raise UsageError(
            f"{stored.run_id}: a score of kind {task.score.kind} needs no data, and such a task has no test split"
        )
    unenforced = frozenset(stored.config.accept_unenforced)
    settings = ExecutionSettings(stored.config.sandbox, stored.paths.compiled, unenforced, trains=False)
    with Executor.open(task, settings, host) as executor:
        first = _scored(stored, stored.trial(0), executor)
        own = first if trial.number == 0 else _scored(stored, trial, executor, first[2])
    verified = TestSplitResult(trial.number, *own[:2], *first[:2])
    verified.save(stored.paths.verified)
    return verified


def _scored(
    stored: StoredRun, trial: Trial, executor: Executor, baseline: Score | None = None
) -> tuple[float, float, Score]:
    """Return a kept trial's loss on the validation and on the test split, and its score on the test split.

    Args:
        baseline: the baseline's score on the same split, whose cost limits this one's; None for the baseline itself.
    """
    paths = stored.paths.trial(trial.number)
    if not paths.artifact.is_file() or trial.val_loss is None:
        again = f"agent replay {stored.run_id}/{trial.number} --test"
        raise UsageError(f"{paths.artifact} is missing; `{again}` trains the trial again")
    label, folder = f"{stored.run_id}/{trial.number:04d}/test", paths.root / "score-test"
    artifact = artifact_in(paths, folder, label, trial.number, baseline)
    score = executor.score(artifact, "test")
    if score.val_loss is None:
        raise AgentError(f"no score on the test split: {score.status}, {score.reason}; see {folder}")
    return trial.val_loss, score.val_loss, score
