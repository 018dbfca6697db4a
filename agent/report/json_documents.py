"""A run and its trials as JSON documents, for `--json`."""

from dataclasses import asdict, fields
from typing import Any, NamedTuple

from agent.report.documents.commands import BestDocument, ShownTrialDocument
from agent.report.documents.trials import (
    PoolDocument,
    PublishedDocument,
    RepeatDocument,
    ResultFields,
    SpentDocument,
    TrialDocument,
    TurnShareDocument,
)
from agent.report.slices import PoolSize, published, why_repeated
from agent.task.score_kinds import is_self_reported
from agent.text import one_line
from agent.trials.added_lines import AddedLines
from agent.trials.budget import Ledger
from agent.trials.history import History
from agent.trials.hybrid.turn_shares import turn_shares
from agent.trials.keeping.keep_rule import KeepPolicy
from agent.trials.metric import Metric
from agent.trials.repeat import Repeat
from agent.trials.trial import Outcome, Trial

_KEYS = frozenset({"version", *(field.name for each in (ShownTrialDocument, BestDocument) for field in fields(each))})
"""Keys of a trial in the documents of all commands."""


def result_json(history: History, keeper: KeepPolicy, pool: PoolSize | None = None) -> dict[str, Any]:
    """Return the result of a run as the JSON document that `--json` prints; losses are minimised.

    `champion_loss` is the search loss, on the split that scores every trial; `published` is the result on unseen text.
    """
    has_result = history.champion is not None and history.incumbent is not None
    reading = keeper.reading(history.champion.number) if has_result and history.champion is not None else None
    found = published(history, keeper) if has_result else None
    size = None
    if pool is not None and has_result:
        size = PoolDocument(
            slices=pool.n_slices,
            opened=len(history.slices),
            untouched=pool.n_untouched,
            used_up=keeper.is_used_up,
        )
    return asdict(
        ResultFields(
            champion=history.champion.number if has_result and history.champion is not None else None,
            incumbent=history.incumbent.number if has_result and history.incumbent is not None else None,
            champion_loss=reading.mean if reading is not None else None,
            champion_error=reading.error if reading is not None else None,
            champion_runs=reading.n_runs if reading is not None else None,
            sigma=keeper.sigma if has_result else None,
            published=PublishedDocument(**found.to_json()) if found is not None else None,
            why_only_repeated=(why_repeated(history, keeper) or None) if has_result else None,
            pool=size,
            spent=SpentDocument(**asdict(Ledger.of(history.results))),
            turns=turns_of(history),
        )
    )


def turns_of(history: History) -> list[TurnShareDocument]:
    """Return the parts of structure and of numbers in the gain of a run; nothing for a run of another mode."""
    return [
        TurnShareDocument(
            kind=share.kind.value,
            trials=share.n_trials,
            kept=share.n_kept,
            gain=share.gain,
            device_seconds=share.seconds,
        )
        for share in turn_shares(history)
    ]


def repeat_json(repeat: Repeat, metric: Metric) -> dict[str, Any]:
    """Return a repeat as the JSON document that `--json` prints."""
    outcome, loss, slot = repeat.outcome, repeat.val_loss, _slot(repeat.outcome)
    document = RepeatDocument(
        trial=repeat.trial,
        seed=repeat.seed,
        purpose=repeat.purpose.value,
        status=outcome.status.value if outcome else None,
        val_loss=loss,
        value=None if loss is None else metric.display(loss),
        verdict=repeat.verdict.to_json() if repeat.verdict else None,
        slices=[use.number for use in repeat.slices],
        machine=outcome.machine.to_json() if outcome and outcome.machine else None,
        compute=outcome.compute.to_json() if outcome and outcome.compute else None,
        flags=list(outcome.flags) if outcome else [],
        slot=slot.slot,
        device=slot.device,
        slot_seconds=slot.slot_seconds,
        queued_seconds=slot.queued_seconds,
        elapsed_seconds=slot.elapsed_seconds,
        voids=[void.to_json() for void in repeat.voids],
        lost=[lost.to_json() for lost in repeat.lost],
        started_at=repeat.started_at,
        finished_at=repeat.finished_at,
    )
    return dict(vars(document))


def trial_json(trial: Trial, sha: str | None, metric: Metric, added: AddedLines | None = None) -> dict[str, Any]:
    """Return one trial as the JSON document that `--json` prints.

    `added`: the lines that its edit adds; None if it was not written as code.

    `value` also stands under the metric's own name, unless another key is called so.
    """
    outcome, proposal, slot = trial.outcome, trial.proposal, _slot(trial.outcome)
    loss = outcome.val_loss if outcome else None
    value = None if loss is None else metric.display(loss)
    document = TrialDocument(
        number=trial.number,
        status=outcome.status.value if outcome else None,
        kept=trial.kept,
        standing=trial.standing.value if trial.standing is not None else None,
        waits_for_approval=trial.waits_for_approval,
        approval=asdict(trial.approval) if trial.approval is not None else None,
        val_loss=loss,
        value=value,
        origin=proposal.origin.value,
        copied_from=proposal.copied_from,
        offer=asdict(proposal.offer) if proposal.offer is not None else None,
        turn=asdict(proposal.turn) if proposal.turn is not None else None,
        agent=asdict(proposal.agent) if proposal.agent is not None else None,
        submission=asdict(proposal.submission) if proposal.submission is not None else None,
        title=one_line(proposal.title),
        reason=one_line(outcome.reason) if outcome else "",
        params=dict(proposal.params) if proposal.params is not None else None,
        commit=sha,
        parent=trial.parent,
        n_seen=trial.n_seen,
        seed=proposal.train_seed,
        train_seconds=outcome.train_seconds if outcome else None,
        wall_seconds=outcome.wall_seconds if outcome else None,
        total_seconds=outcome.total_seconds if outcome else None,
        cpu_seconds=outcome.cpu_seconds if outcome else None,
        peak_memory_gb=outcome.peak_memory_gb if outcome else None,
        peak_vram_gb=outcome.peak_vram_gb if outcome else None,
        score=outcome.score.to_json() if outcome and outcome.score else None,
        self_reported=bool(outcome and outcome.score and is_self_reported(outcome.score.kind)),
        reported=dict(outcome.reported) if outcome else {},
        flags=list(outcome.flags) if outcome else [],
        metric_edit=bool(outcome and outcome.metric_edit),
        stopped_at=outcome.stopped_at if outcome else None,
        condemned=outcome.condemned.to_json() if outcome and outcome.condemned else None,
        curve=outcome.curve.to_json() if outcome and outcome.curve else None,
        machine=outcome.machine.to_json() if outcome and outcome.machine else None,
        compute=outcome.compute.to_json() if outcome and outcome.compute else None,
        slot=slot.slot,
        device=slot.device,
        slot_seconds=slot.slot_seconds,
        queued_seconds=slot.queued_seconds,
        elapsed_seconds=slot.elapsed_seconds,
        voids=[void.to_json() for void in trial.voids],
        lost=[lost.to_json() for lost in trial.lost],
        reintroduced=_reintroduced(added),
        usage=proposal.to_json().get("usage"),
        notes=proposal.notes,
        n_messages=proposal.n_messages,
        started_at=trial.started_at,
        finished_at=trial.finished_at,
    )
    return dict(vars(document)) | ({} if metric.name in _KEYS else {metric.name: value})


def _reintroduced(added: AddedLines | None) -> dict[str, Any] | None:
    if added is None:
        return None
    return {"added": added.n_lines, "again": len(added.again), "trials": list(added.had_by)}


class _Slot(NamedTuple):
    """The slot that a trial or repeat held, and its times; None where nothing ran or none was recorded."""

    slot: int | None
    device: str | None
    slot_seconds: float | None
    queued_seconds: float | None
    elapsed_seconds: float | None


def _slot(outcome: Outcome | None) -> _Slot:
    place = outcome.place if outcome is not None else None
    elapsed = place.elapsed_seconds if place is not None else None
    if place is None or outcome is None or not outcome.status.ran:
        return _Slot(None, None, None, None, elapsed)
    return _Slot(place.slot, place.device or None, place.seconds, place.queued_seconds, elapsed)
