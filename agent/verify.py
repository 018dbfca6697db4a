"""The test split: scored on request, told to people, never fed back to a search."""

from collections.abc import Callable
from pathlib import Path

from agent.errors import AgentError, UsageError
from agent.judge import read_tail
from agent.places import open_sandbox
from agent.report.stored_run import StoredRun
from agent.report.verified import Verified
from agent.score.scorer import Artifact, Scorer
from agent.session import corpus_of, scorer_of
from agent.trial import Trial


def verified_on_test(stored: StoredRun, trial: Trial, cache: Path, say: Callable[[str], None]) -> Verified:
    """Score what a kept trial and the baseline left behind on the test split, in fresh sandboxes, audited as in a run.

    The result is left in the run's folder, where the report finds it.

    Raises:
        UsageError: the task has no test split, or an artifact is gone.
        AgentError: there is no score; the message says why.
    """
    task = stored.task(trial.number)
    if task.score.kind == "printed":
        raise UsageError(f"{stored.run_id}: the score is self-reported, and such a task has no test split")
    sandbox = open_sandbox(stored.config.sandbox, task, frozenset(stored.config.accept_unenforced), say=say)
    try:
        corpus = corpus_of(task, cache, say)
        scorer = scorer_of(task, corpus, sandbox, split="test")
        own = _scored(stored, trial, scorer)
        first = own if trial.number == 0 else _scored(stored, stored.trial(0), scorer)
    finally:
        sandbox.close()
    verified = Verified(trial.number, *own, *first)
    verified.save(stored.paths.verified)
    return verified


def _scored(stored: StoredRun, trial: Trial, scorer: Scorer) -> tuple[float, float]:
    """Return a kept trial's loss on validation and on the scorer's split."""
    paths = stored.paths.trial(trial.number)
    if not paths.artifact.is_file() or trial.val_loss is None:
        raise UsageError(f"{paths.artifact} is gone: only kept trials leave their model behind")
    label, folder = f"{stored.run_id}/{trial.number:04d}/test", paths.root / "score-test"
    left_behind = Artifact(paths.artifact, paths.files, read_tail(paths.log), folder, label, trial.number)
    score = scorer.score(left_behind)
    if score.val_loss is None:
        raise AgentError(f"no score on the test split: {score.status}, {score.reason}; see {folder}")
    return trial.val_loss, score.val_loss
