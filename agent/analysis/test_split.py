"""A trial's loss on the test split, which decides nothing: `agent best --verify` where no slice is opened for it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agent.errors import AgentError, JournalError, UsageError
from agent.execution.executor import ExecutionSettings, Executor
from agent.execution.host import Host
from agent.execution.scoring.scorer import Artifact
from agent.files import read_json
from agent.store.run_config import MOST_BYTES
from agent.store.stored_run import StoredRun
from agent.text import read_tail
from agent.trials.metric import Metric
from agent.trials.trial import Score, Trial


@dataclass(frozen=True)
class TestSplitResult:
    """Losses on validation, which chose the trial, and on test, which did not; and the same of the baseline."""

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
        """What the two splits differ by anyway: no decision was made on the baseline."""
        return self.baseline_test_loss - self.baseline_val_loss

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "gap": self.gap, "baseline_gap": self.baseline_gap}

    def told(self, metric: Metric) -> str:
        """Return the numbers as lines for people."""
        val, test = metric.shown(self.val_loss), metric.shown(self.test_loss)
        gap, usual = metric.shown(self.gap), metric.shown(self.baseline_gap)
        return (
            f"on test: {metric.name} {test:.6f} (validation {val:.6f}, gap {gap:+.6f}; "
            f"the baseline's gap {usual:+.6f})\n"
            f"  the search has fitted itself to the validation split by about {gap - usual:+.6f}"
        )

    def save(self, path: Path) -> None:
        """Write this into the run's folder, in place of what an earlier look at the test split said."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")


def load_verified(path: Path) -> TestSplitResult | None:
    """Return what was saved last; None if nothing was, or something of a slice of unseen text.

    Raises JournalError if the file is none of ours.
    """
    try:
        document = read_json(path, MOST_BYTES)
        return None if "events" in document else TestSplitResult(**document)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise JournalError(f"{path} cannot be read: {error}; remove it, and run `agent best --verify` again") from error


def verified_on_test(stored: StoredRun, trial: Trial, host: Host) -> TestSplitResult:
    """Score what a kept trial and the baseline left behind on the test split, in fresh sandboxes, audited as in a run.

    The result is left in the run's folder, where the report finds it.

    Raises:
        UsageError: the task has no test split, or an artifact is gone.
        AgentError: there is no score; the message says why.
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
    """Return a kept trial's loss on validation and on the test split, and the score that the second one is of.

    Args:
        baseline: the baseline's score on the same split, whose cost caps this one's; None for the baseline itself.
    """
    paths = stored.paths.trial(trial.number)
    if not paths.artifact.is_file() or trial.val_loss is None:
        raise UsageError(f"{paths.artifact} is gone: only kept trials leave their model behind")
    label, folder = f"{stored.run_id}/{trial.number:04d}/test", paths.root / "score-test"
    left_behind = Artifact(
        paths.artifact, paths.files, read_tail(paths.log), folder, label, trial.number, None, baseline
    )
    score = executor.score(left_behind, "test")
    if score.val_loss is None:
        raise AgentError(f"no score on the test split: {score.status}, {score.reason}; see {folder}")
    return trial.val_loss, score.val_loss, score
