"""The facts of a run for trackers, computed from its journal; all trackers get the same facts."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Protocol

from agent.edits.edit import Params
from agent.store.stored_run import StoredRun
from agent.text import one_line
from agent.trials.best_so_far import lowest_kept
from agent.trials.budget import Ledger
from agent.trials.metric import Metric
from agent.trials.trial import Trial

_TITLE = 500  # characters: trackers cut or refuse long values
_NUMBERS = (
    *("best_so_far", "kept", "train_seconds", "wall_seconds", "peak_memory_gb", "peak_vram_gb"),
    *("prompt_tokens", "completion_tokens", "dollars", "spent_seconds", "spent_tokens"),
)
_SETTINGS = (
    *("mode", "seed", "task_name", "task_digest", "profile", "keep", "trials", "budget_seconds", "wall_seconds"),
    *("sandbox", "model", "host", "llm_share", "llm_warmup", "of_trial"),
)


@dataclass(frozen=True)
class TrialFacts:
    """One finished trial."""

    number: int
    step: int  # its place in the order of finish, from 0; the number where trials ran one at a time
    params: Params
    metrics: Mapping[str, float]  # of this trial, and of the run up to it
    tags: Mapping[str, str]  # status, standing, commit, title and the like
    ok: bool
    started_ms: int  # Unix time
    finished_ms: int


@dataclass(frozen=True)
class RunFacts:
    """A run and its finished trials."""

    run_id: str
    task: str
    metric: str
    maximise: bool
    settings: Mapping[str, str]
    trials: tuple[TrialFacts, ...]  # in the order in which they finished


class Tracker(Protocol):
    """Writes the facts of a run to one place, each fact once, even after an interruption."""

    def write(self, run: RunFacts) -> None:
        """Bring the tracker up to date with `run`, which only grows, except for the effects of a roll-back.

        A roll-back changes the standing of the trials rolled back, and the best loss up to each of them. A tracker
        that cannot change written facts leaves both as they were when the trial ended.

        Raises:
            TrackError: the tracker could not be reached, or refused; a later call writes the missing facts.
        """
        ...

    def close(self) -> str:
        """Finish writing, and return where the facts are, for the user."""
        ...


def facts_of(stored: StoredRun) -> RunFacts:
    """Return the facts of a run and of its finished trials that have a commit."""
    config, metric, hashes = stored.config, stored.metric, stored.repo.tags(stored.run_id)
    settings = {name: str(value) for name, value in asdict(config).items() if name in _SETTINGS and value is not None}
    trials: list[TrialFacts] = []
    ledger = Ledger(0, 0.0, 0.0, None)
    for trial, best in zip(stored.history.by_finish, lowest_kept(stored.history), strict=True):
        if trial.number not in hashes:  # it has just ended; its commit is pending
            break
        ledger = ledger.plus(trial)
        trials.append(_trial(trial, metric, step=len(trials), sha=hashes[trial.number], ledger=ledger, best=best))
    return RunFacts(
        stored.run_id, config.task_name, metric_key(metric), metric.goal == "maximise", settings, tuple(trials)
    )


def _trial(trial: Trial, metric: Metric, *, step: int, sha: str, ledger: Ledger, best: float | None) -> TrialFacts:
    outcome, proposal = trial.outcome, trial.proposal
    assert outcome is not None
    usage = proposal.usage
    numbers = {
        metric_key(metric): None if outcome.val_loss is None else metric.display(outcome.val_loss),
        "best_so_far": None if best is None else metric.display(best),
        "kept": float(trial.kept),
        "train_seconds": outcome.train_seconds,
        "wall_seconds": outcome.wall_seconds,
        "peak_memory_gb": outcome.peak_memory_gb,
        "peak_vram_gb": outcome.peak_vram_gb,
        "prompt_tokens": usage.prompt_tokens if usage else None,
        "completion_tokens": usage.completion_tokens if usage else None,
        "dollars": usage.dollars if usage else None,
        "spent_seconds": ledger.train_seconds,
        "spent_tokens": float(ledger.model_tokens),
    }
    words = {
        "status": outcome.status.value,
        "standing": trial.standing.value if trial.standing else None,
        "origin": proposal.origin.value,
        "copied_from": str(proposal.copied_from) if proposal.copied_from is not None else None,
        "commit": sha,
        "parent": None if trial.parent is None else str(trial.parent),
        "title": one_line(proposal.title)[:_TITLE],
        "reason": one_line(outcome.reason)[:_TITLE],
        "score": outcome.score.kind if outcome.score else None,
    }
    return TrialFacts(
        trial.number,
        step,
        dict(proposal.params or {}),
        {name: float(value) for name, value in numbers.items() if value is not None},
        {name: value for name, value in words.items() if value},
        outcome.val_loss is not None,
        _milliseconds(trial.started_at),
        _milliseconds(trial.finished_at or trial.started_at),
    )


def _milliseconds(at: str) -> int:
    return int(datetime.fromisoformat(at).timestamp() * 1000)


def metric_key(metric: Metric) -> str:
    """Return the name of a metric among the numbers of a trial, in characters that all trackers accept.

    One that is called like another of these numbers is `value`.
    """
    name = re.sub(r"[^\w./ -]", "_", metric.name, flags=re.ASCII)
    return "value" if name in _NUMBERS else name
