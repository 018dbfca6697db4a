"""Who found what: the trials of a run by the origin of their proposals."""

from collections.abc import Sequence
from dataclasses import dataclass

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
    gain: float  # by which its kept trials lowered the loss, each against the incumbent of its moment
    best: float | None  # lowest loss, minimised


def finders(trials: Sequence[Trial]) -> list[Finder]:
    """Return one row an origin that proposed anything, the baseline left out, in the order of first appearance."""
    gains: dict[int, float] = {}
    incumbent: float | None = None
    for trial in trials:
        if trial.kept and trial.val_loss is not None:
            gains[trial.number] = 0.0 if incumbent is None else incumbent - trial.val_loss
            incumbent = trial.val_loss
    origins = dict.fromkeys(trial.proposal.origin for trial in trials if trial.proposal.origin is not Origin.BASELINE)
    return [_row(origin, [t for t in trials if t.proposal.origin is origin], gains) for origin in origins]


def _row(origin: Origin, trials: list[Trial], gains: dict[int, float]) -> Finder:
    losses = [trial.val_loss for trial in trials if trial.val_loss is not None]
    return Finder(
        origin=origin,
        n_proposed=len(trials),
        n_ran=sum(trial.status is not None and trial.status.ran for trial in trials),
        n_scored=len(losses),
        n_kept=sum(trial.kept for trial in trials),
        n_copies=sum(trial.proposal.copied_from is not None for trial in trials),
        gain=sum(gains.get(trial.number, 0.0) for trial in trials),
        best=min(losses, default=None),
    )
