"""A run and its trials as JSON documents, for `--json`."""

from dataclasses import asdict
from typing import Any

from agent.report.slices import PoolSize, published, why_repeated
from agent.task.score_kinds import is_self_reported
from agent.text import one_line
from agent.trials.budget import Ledger
from agent.trials.history import History
from agent.trials.keeping.keep_rule import KeepPolicy
from agent.trials.metric import Metric
from agent.trials.repeat import Repeat
from agent.trials.trial import Outcome, Trial


def result_json(history: History, keeper: KeepPolicy, pool: PoolSize | None = None) -> dict[str, Any]:
    """Return the result of a run as the JSON document that `--json` prints; losses are minimised.

    `champion_loss` is the search loss, on the split that scores every trial; `published` is the result on unseen text.
    """
    spent = asdict(Ledger.of(history.results))
    if history.champion is None or history.incumbent is None:
        return {"champion": None, "incumbent": None, "spent": spent}
    reading, found = keeper.reading(history.champion.number), published(history, keeper)
    size = None if pool is None else {
        "slices": pool.n_slices, "opened": len(history.slices), "untouched": pool.n_untouched,
        "used_up": keeper.is_used_up,
    }  # fmt: skip
    return {
        "champion": history.champion.number,
        "incumbent": history.incumbent.number,
        "champion_loss": reading.mean,
        "champion_error": reading.error,
        "champion_runs": reading.n_runs,
        "sigma": keeper.sigma,
        "published": found.to_json() if found is not None else None,
        "why_only_repeated": why_repeated(history, keeper) or None,
        "pool": size,
        "spent": spent,
    }


def repeat_json(repeat: Repeat, metric: Metric) -> dict[str, Any]:
    """Return a repeat as the JSON document that `--json` prints."""
    loss = repeat.val_loss
    return {
        "trial": repeat.trial,
        "seed": repeat.seed,
        "purpose": repeat.purpose.value,
        "status": repeat.outcome.status.value if repeat.outcome else None,
        "val_loss": loss,
        metric.name: None if loss is None else metric.display(loss),
        "verdict": repeat.verdict.to_json() if repeat.verdict else None,
        "slices": [use.number for use in repeat.slices],
        "machine": repeat.outcome.machine.to_json() if repeat.outcome and repeat.outcome.machine else None,
        "compute": repeat.outcome.compute.to_json() if repeat.outcome and repeat.outcome.compute else None,
        "flags": list(repeat.outcome.flags) if repeat.outcome else [],
        **_slot_json(repeat.outcome),
        "voids": [void.to_json() for void in repeat.voids],
        "lost": [lost.to_json() for lost in repeat.lost],
        "started_at": repeat.started_at,
        "finished_at": repeat.finished_at,
    }


def trial_json(trial: Trial, sha: str | None, metric: Metric) -> dict[str, Any]:
    """Return one trial as the JSON document that `--json` prints."""
    outcome, proposal = trial.outcome, trial.proposal
    loss = outcome.val_loss if outcome else None
    return {
        "number": trial.number,
        "status": outcome.status.value if outcome else None,
        "kept": trial.kept,
        "standing": trial.standing.value if trial.standing is not None else None,
        "waits_for_approval": trial.waits_for_approval,
        "approval": asdict(trial.approval) if trial.approval is not None else None,
        "val_loss": loss,
        metric.name: None if loss is None else metric.display(loss),
        "origin": proposal.origin.value,
        "copied_from": proposal.copied_from,
        "agent": asdict(proposal.agent) if proposal.agent is not None else None,
        "submission": asdict(proposal.submission) if proposal.submission is not None else None,
        "title": one_line(proposal.title),
        "reason": one_line(outcome.reason) if outcome else "",
        "params": dict(proposal.params) if proposal.params is not None else None,
        "commit": sha,
        "parent": trial.parent,
        "n_seen": trial.n_seen,
        "seed": proposal.train_seed,
        "train_seconds": outcome.train_seconds if outcome else None,
        "wall_seconds": outcome.wall_seconds if outcome else None,
        "total_seconds": outcome.total_seconds if outcome else None,
        "cpu_seconds": outcome.cpu_seconds if outcome else None,
        "peak_memory_gb": outcome.peak_memory_gb if outcome else None,
        "peak_vram_gb": outcome.peak_vram_gb if outcome else None,
        "score": outcome.score.to_json() if outcome and outcome.score else None,
        "self_reported": bool(outcome and outcome.score and is_self_reported(outcome.score.kind)),
        "reported": dict(outcome.reported) if outcome else {},
        "flags": list(outcome.flags) if outcome else [],
        "metric_edit": bool(outcome and outcome.metric_edit),
        "stopped_at": outcome.stopped_at if outcome else None,
        "condemned": outcome.condemned.to_json() if outcome and outcome.condemned else None,
        "curve": outcome.curve.to_json() if outcome and outcome.curve else None,
        "machine": outcome.machine.to_json() if outcome and outcome.machine else None,
        "compute": outcome.compute.to_json() if outcome and outcome.compute else None,
        **_slot_json(outcome),
        "voids": [void.to_json() for void in trial.voids],
        "lost": [lost.to_json() for lost in trial.lost],
        "usage": proposal.to_json().get("usage"),
        "notes": proposal.notes,
        "n_messages": proposal.n_messages,
        "started_at": trial.started_at,
        "finished_at": trial.finished_at,
    }


def _slot_json(outcome: Outcome | None) -> dict[str, Any]:
    """Return the slot that a trial or repeat held, and its times; None where nothing ran or none was recorded."""
    place = outcome.place if outcome is not None and outcome.status.ran else None
    return {
        "slot": place.slot if place is not None else None,
        "device": place.device or None if place is not None else None,
        "slot_seconds": place.seconds if place is not None else None,
        "queued_seconds": place.queued_seconds if place is not None else None,
        "elapsed_seconds": outcome.place.elapsed_seconds if outcome is not None and outcome.place is not None else None,
    }
