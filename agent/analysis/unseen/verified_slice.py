"""A run's result and the baseline on one slice: `agent best --verify` for a run that confirms gains on slices.

There is one slice per run: a later call returns the saved scores.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agent.analysis.unseen.slice_file import SliceFile, has_slices, read_events, slices_for
from agent.errors import AgentError, UsageError
from agent.execution.host import Clock, Host
from agent.execution.workers import finished
from agent.run.one_slice import baseline_of, models_of_result, needs_another_slice, score_of_result, show
from agent.store.run_lock import locked
from agent.store.stored_run import StoredRun
from agent.text import plural
from agent.trials.history import History
from agent.trials.keeping.confirmations import BASELINE, CHAMPION, RESULT, SlicePurpose, SliceScore, SliceUse
from agent.trials.keeping.noise import Lead, mean_of
from agent.trials.metric import Metric


@dataclass(frozen=True)
class VerifiedOnSlice:
    """The losses of a result and of the baseline on a slice. Losses are minimised."""

    use: SliceUse  # scored, and not burned
    again: bool = False  # whether an earlier call opened it

    @property
    def trial(self) -> int:
        """The trial whose models were scored."""
        return next(entrant.trial for name, entrant in self.use.entrants.items() if name != BASELINE)

    @property
    def score(self) -> SliceScore:
        assert self.use.score is not None
        return self.use.score

    @property
    def baseline(self) -> float:
        """The baseline's loss."""
        return self.score.losses[BASELINE]

    @property
    def held_out(self) -> list[float]:
        """The losses of the final runs' models; empty if there were no final runs."""
        return [loss for name, loss in self.score.losses.items() if name.startswith(RESULT)]

    @property
    def loss(self) -> float:
        """The result's loss: the mean over its final runs, else the loss of the confirming run."""
        return mean_of(self.held_out or [self.score.losses[CHAMPION]])

    @property
    def lead(self) -> Lead:
        """The paired lead of the result over the baseline, with the sampling error of the slice."""
        return self.score.lead(RESULT if self.held_out else CHAMPION, BASELINE)

    def to_json(self) -> dict[str, Any]:
        return {
            "slice": self.use.number,
            "trial": self.trial,
            "loss": self.loss,
            "baseline_loss": self.baseline,
            "lead": self.lead.mean,
            "lead_error": self.lead.error,
            "losses": dict(self.score.losses),
            "entrants": {name: asdict(entrant) for name, entrant in self.use.entrants.items()},
            "n_other_runs": self.use.n_other_runs,
            "opened_at": self.use.opened_at,
            "flags": list(self.score.flags),
            "again": self.again,
        }

    def describe(self, metric: Metric, unseen: str) -> str:
        """Return the losses as text for people; `unseen` names the data of slices in words."""
        made = f"mean of {plural(len(self.held_out), 'final run')}" if self.held_out else "the confirming run"
        lines = [
            f"on {unseen}, slice {self.use.number} of the pool{_opened_before(self.use)}:",
            f"  {metric.name} {metric.display(self.loss):.6f} (trial {self.trial}, {made}), "
            f"the baseline's {metric.display(self.baseline):.6f}: {_better(self.lead)}",
            "  ± is the standard error of sampling, without the noise of training seeds",
        ]
        if self.held_out and CHAMPION in self.score.losses:
            confirmed, lead = self.score.losses[CHAMPION], self.score.lead(CHAMPION, BASELINE)
            lines.append(f"  the confirming run: {metric.display(confirmed):.6f}, {_better(lead)}")
        return "\n".join([*lines, *(f"  flag: {flag}" for flag in self.score.flags)])


def load_verified_on_slice(path: Path) -> VerifiedOnSlice | None:
    """Return the saved scores on a slice; None if there are none. Raises JournalError if the file cannot be read."""
    history = History([])
    for event in read_events(path):
        history.add(event)
    last = history.slices[-1] if history.slices else None
    return VerifiedOnSlice(last, again=True) if last is not None and last.has_result else None


def why_not_on_slice(stored: StoredRun) -> str:
    """Return why there is no slice to open for a run's result; empty if there is one."""
    if not has_slices(stored):
        return stored.keeper.why_no_slices or "its gains are not confirmed on unseen text"
    return "" if stored.keeper.result else "no gain is confirmed, and a slice is opened only for a confirmed result"


def verified_on_slice(stored: StoredRun, host: Host) -> VerifiedOnSlice:
    """Score the models of a run's result and the baseline's on one slice, or return the saved scores.

    Raises:
        UsageError: the pool is used up, or another process has the run open.
        AgentError: the slice was burned; the message gives the reason.
        JournalError: a model's file is missing.
    """
    with locked(stored.paths):
        stored = stored.again()
        record = SliceFile(stored.paths.verified, stored.paths, [stored], "verify")
        if record.slices and not needs_another_slice(record.slices):
            last = record.slices[-1]
            if last.has_result:
                return VerifiedOnSlice(last, again=True)
            raise AgentError(f"{_burned(stored, last)}; no other slice is opened")
        result = stored.keeper.result
        assert result, "there is a slice to open"
        models = [baseline_of(stored), *models_of_result(stored, result)]
        first = stored.trial(0).outcome
        with slices_for(stored, host) as slices:
            names = ", ".join(model.name for model in models)
            use = finished(
                show(
                    slices,
                    record,
                    SlicePurpose.VERIFY,
                    models,
                    lambda answers: score_of_result(answers, models, stored.keeper),
                    baseline=first.score if first is not None else None,
                    clock=Clock(),
                    opened=lambda use: host.say(
                        f"opening slice {use.number}, which no job of the run has seen, for {names}"
                    ),
                )
            )
    if use is None:
        raise UsageError(
            f"the pool is used up: {stored.run_id} has opened all {plural(stored.config.n_slices, 'slice')} of it; "
            "make a larger pool for the next run (docs/tasks.md)"
        )
    if not use.has_result:
        raise AgentError(_burned(stored, use))
    return VerifiedOnSlice(use)


def remarks(stored: StoredRun, found: VerifiedOnSlice) -> list[str]:
    """Return notes on the losses: whether they are old or of another trial, and the run's own final result."""
    lines = []
    if found.again:
        lines.append(f"saved in {stored.paths.verified} at {found.use.opened_at}: a run is verified on one slice only")
    if found.trial != stored.keeper.result:
        lines.append(f"trial {found.trial} was the result then; the result is now trial {stored.keeper.result}")
    for use in stored.history.slices:
        if use.purpose is SlicePurpose.FINAL and use.has_result:
            own = VerifiedOnSlice(use)
            lines.append(f"the run's own result, trial {own.trial} on slice {use.number}: {_better(own.lead)}")
    return lines


def _opened_before(use: SliceUse) -> str:
    n = use.n_other_runs
    return f", opened before by {plural(n, 'other run')} of this machine" if n else ""


def _burned(stored: StoredRun, use: SliceUse) -> str:
    assert use.score is not None
    return (
        f"slice {use.number} was burned and gives no result for {stored.run_id}: {use.score.burned_by}: "
        f"{use.score.reason}; its logs are in {stored.paths.slice(use.number)}"
    )


def _better(lead: Lead) -> str:
    """Return a lead over the baseline in words."""
    word = "better" if lead.mean >= 0 else "worse"
    return f"{abs(lead.mean):.6f} ± {lead.error:.2g} {word} than the baseline"
