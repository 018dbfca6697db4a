"""Who found what: the trials of a run by the origin of their proposals."""

from dataclasses import dataclass

from agent.history import History
from agent.trial import Origin, Trial


@dataclass(frozen=True)
class Finder:
    """What the proposals of one origin came to."""

    origin: Origin
    n_proposed: int
    n_ran: int  # in a sandbox, whatever came of it
    n_scored: int
    n_kept: int
    n_copies: int  # values that somebody else had proposed before
    gain: float  # sum of what its trials lowered the loss by; what was rolled back lowered nothing
    best: float | None  # lowest loss, minimised


def finders(history: History) -> list[Finder]:
    """Return one row an origin that proposed anything, the baseline left out, in the order of first appearance."""
    trials: dict[Origin, list[Trial]] = {}
    for trial in history.trials:
        if trial.proposal.origin is not Origin.BASELINE:
            trials.setdefault(trial.proposal.origin, []).append(trial)
    return [_row(history, origin, those) for origin, those in trials.items()]


def _row(history: History, origin: Origin, trials: list[Trial]) -> Finder:
    losses = [trial.val_loss for trial in trials if trial.val_loss is not None]
    return Finder(
        origin=origin,
        n_proposed=len(trials),
        n_ran=sum(trial.status is not None and trial.status.ran for trial in trials),
        n_scored=len(losses),
        n_kept=sum(trial.kept for trial in trials),
        n_copies=sum(trial.proposal.copied_from is not None for trial in trials),
        gain=sum(history.gain(trial.number) for trial in trials),
        best=min(losses, default=None),
    )
