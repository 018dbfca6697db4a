"""Builds the Context of a made-up run, for tests of proposers."""

from collections.abc import Mapping
from typing import Any

from agent.edits.edit import Edit, Params, Unchanged
from agent.modes.prompting.trial_digest import Briefing
from agent.modes.proposer import Context
from agent.search.space import SearchSpace
from agent.trials.trial import Origin, Outcome, Proposal, Status, Trial

BRIEFING = Briefing(
    "train.py", "val_bpb", False, ("prepare.py", "score.py"), "6 s of work, 2 GiB of memory, 600 s", memory_gb=2.0
)


def trial(
    number: int,
    title: str = "",
    *,
    loss: float | None = None,
    status: Status = Status.OK,
    kept: bool = False,
    reason: str = "",
    origin: Origin = Origin.LLM,
    params: Params | None = None,
    edit: Edit = Unchanged(),  # noqa: B008 (frozen)
    observed: Mapping[str, Any] | None = None,
    **proposal: Any,
) -> Trial:
    """Return a finished trial; `observed` are further fields of its outcome."""
    return Trial(
        number=number,
        parent=0 if number else None,
        proposal=Proposal(origin=origin, title=title or f"idea {number}", edit=edit, params=params, **proposal),
        started_at="2026-01-01T00:00:00Z",
        outcome=Outcome(status, loss, kept=kept, reason=reason, **(observed or {})),
        finished_at="2026-01-01T00:01:00Z",
    )


def baseline(params: Params | None = None, loss: float = 2.5) -> Trial:
    return trial(0, "baseline", loss=loss, kept=True, origin=Origin.BASELINE, params=params)


def context(
    source: str,
    trials: list[Trial],
    *,
    space: SearchSpace | None = None,
    baseline_source: str | None = None,
) -> Context:
    """Return what a proposer sees after `trials`; the last kept one is the incumbent, `source` its script."""
    return Context(
        number=len(trials),
        source=source,
        baseline_source=baseline_source or source,
        incumbent=[trial for trial in trials if trial.kept][-1],
        trials=trials,
        space=space,
        budget_left="23 trials",
    )
