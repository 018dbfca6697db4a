"""A run's result on a slice of unseen text, beside the baseline: `agent best --verify` where the task has a pool.

One slice a run: asked again, it tells what is known.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agent.analysis.unseen.slice_file import SliceFile, has_slices, read_events, slices_for
from agent.errors import AgentError, UsageError
from agent.execution.host import Clock, Host
from agent.run.one_slice import baseline_of, is_to_be_asked_again, models_of_result, score_of_result, show
from agent.store.run_lock import locked
from agent.store.stored_run import StoredRun
from agent.text import counted
from agent.trials.confirmations import BASELINE, CHAMPION, RESULT, SlicePurpose, SliceScore, SliceUse
from agent.trials.history import History
from agent.trials.metric import Metric
from agent.trials.noise import Lead, mean_of


@dataclass(frozen=True)
class VerifiedOnSlice:
    """What a slice says of a result and of the baseline. Losses are minimised."""

    use: SliceUse  # scored, and not burned
    again: bool = False  # an earlier call has opened it

    @property
    def trial(self) -> int:
        """The trial whose models were asked."""
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
        """The losses of the final runs' models; none without final runs."""
        return [loss for name, loss in self.score.losses.items() if name.startswith(RESULT)]

    @property
    def loss(self) -> float:
        """The result's loss: the mean of its final runs, else that of the run that confirmed it."""
        return mean_of(self.held_out or [self.score.losses[CHAMPION]])

    @property
    def lead(self) -> Lead:
        """Of the result over the baseline, paired, with the error of sampling the text."""
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

    def told(self, metric: Metric, unseen: str) -> str:
        """Return the numbers as lines for people; `unseen` says in words what slices are of."""
        made = f"mean of {counted(len(self.held_out), 'final run')}" if self.held_out else "the run that confirmed it"
        lines = [
            f"on {unseen}, slice {self.use.number} of the pool{_opened_before(self.use)}:",
            f"  {metric.name} {metric.shown(self.loss):.6f} (trial {self.trial}, {made}), "
            f"the baseline's {metric.shown(self.baseline):.6f}: {_better(self.lead)}",
            "  ± is the standard error of sampling; the noise of training seeds is not in it",
        ]
        if self.held_out and CHAMPION in self.score.losses:
            confirmed, lead = self.score.losses[CHAMPION], self.score.lead(CHAMPION, BASELINE)
            lines.append(f"  the run that confirmed it: {metric.shown(confirmed):.6f}, {_better(lead)}")
        return "\n".join([*lines, *(f"  flag: {flag}" for flag in self.score.flags)])


def load_verified_on_slice(path: Path) -> VerifiedOnSlice | None:
    """Return what a slice has said, None if none was opened or has said anything. Raises JournalError."""
    history = History([])
    for event in read_events(path):
        history.add(event)
    last = history.slices[-1] if history.slices else None
    return VerifiedOnSlice(last, again=True) if last is not None and last.tells else None


def why_not_on_slice(stored: StoredRun) -> str:
    """Return why there is no slice to open for a run's result, as a sentence; empty if there is one."""
    if not has_slices(stored):
        return stored.keeper.why_no_slices or "its gains are not confirmed on unseen text"
    return "" if stored.keeper.result else "no gain is confirmed, and the one slice is for a confirmed result"


def verified_on_slice(stored: StoredRun, host: Host) -> VerifiedOnSlice:
    """Open one slice of the pool for the models of a run's result and the baseline's, or return what it has said.

    Raises:
        UsageError: the pool is used up, or another process has the run open.
        AgentError: the slice was burned; the message says by what.
        JournalError: a model's file is gone.
    """
    with locked(stored.paths):
        stored = stored.again()
        record = SliceFile(stored.paths.verified, stored.paths, [stored], "verify")
        if record.slices and not is_to_be_asked_again(record.slices):
            last = record.slices[-1]
            if last.tells:
                return VerifiedOnSlice(last, again=True)
            raise AgentError(f"{_burned(stored, last)}; no other one is opened")
        result = stored.keeper.result
        assert result, "there is a slice to open"
        models = [baseline_of(stored), *models_of_result(stored, result)]
        first = stored.trial(0).outcome
        with slices_for(stored, host) as slices:
            names = ", ".join(model.name for model in models)
            use = show(
                slices,
                record,
                SlicePurpose.VERIFY,
                models,
                lambda answers: score_of_result(answers, models, stored.keeper),
                baseline=first.score if first is not None else None,
                clock=Clock(),
                opened=lambda use: host.say(
                    f"slice {use.number}, which no job of the run has seen, is opened for {names}"
                ),
            )
    if use is None:
        raise UsageError(
            f"the pool is used up: {stored.run_id} has opened all {counted(stored.config.n_slices, 'slice')} of it; "
            "make a larger pool for the next run (docs/tasks.md)"
        )
    if not use.tells:
        raise AgentError(_burned(stored, use))
    return VerifiedOnSlice(use)


def remarks(stored: StoredRun, found: VerifiedOnSlice) -> list[str]:
    """Return what a reader has to know beside the numbers: that they are old, or of another trial; the run's own."""
    lines = []
    if found.again:
        lines.append(f"as saved in {stored.paths.verified} at {found.use.opened_at}: a run is verified on one slice")
    if found.trial != stored.keeper.result:
        lines.append(f"trial {found.trial} was the result then; now it is trial {stored.keeper.result}")
    for use in stored.history.slices:
        if use.purpose is SlicePurpose.FINAL and use.tells:
            own = VerifiedOnSlice(use)
            lines.append(f"the run itself has published trial {own.trial} on slice {use.number}: {_better(own.lead)}")
    return lines


def _opened_before(use: SliceUse) -> str:
    n = use.n_other_runs
    return f", which {counted(n, 'other run')} of this machine had opened before" if n else ""


def _burned(stored: StoredRun, use: SliceUse) -> str:
    assert use.score is not None
    return (
        f"slice {use.number} was burned for {stored.run_id}, and says nothing: {use.score.burned_by}: "
        f"{use.score.reason}; its logs are in {stored.paths.slice(use.number)}"
    )


def _better(lead: Lead) -> str:
    """Return a lead over the baseline in words."""
    word = "better" if lead.mean >= 0 else "worse"
    return f"{abs(lead.mean):.6f} ± {lead.error:.2g} {word} than the baseline"
