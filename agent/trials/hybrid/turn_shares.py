"""The parts of structure and of numbers in the gain of a run of mode centaur-code, and the cost of each.

A gain of a tuned script has two parts. The step from the incumbent's loss to that of the structure as it was written
belongs to the structure, and may be a loss; the step from there to the tuned loss belongs to the numbers. Their sum is
the gain that `agent log` shows.
"""

from dataclasses import dataclass

from agent.trials.history import History, stands
from agent.trials.hybrid.turn import TurnKind
from agent.trials.trial import Trial


def tuned_by(trial: Trial) -> int | None:
    """Return the number of the trial whose script a trial tunes; None if it changes the structure."""
    return trial.proposal.turn.tunes if trial.proposal.turn is not None else None


def device_seconds(trial: Trial) -> float:
    """Return the seconds for which a trial used the device: its training as charged, and its rehearsals."""
    return (trial.outcome.train_seconds if trial.outcome is not None else 0.0) + trial.proposal.smoke_seconds


@dataclass(frozen=True)
class TurnShare:
    """The part of one kind of turn in a run."""

    kind: TurnKind
    n_trials: int  # finished, the baseline not counted
    n_kept: int  # and not rolled back
    gain: float  # decrease of the loss, of all kept trials; a part of it may be negative
    seconds: float  # of the device


def turn_shares(history: History) -> list[TurnShare]:
    """Return the parts of structure and numbers; nothing for a run of another mode."""
    trials = [trial for trial in history.trials if trial.number]
    if not any(trial.proposal.turn is not None for trial in trials):
        return []
    of_structure = sum(_structures_part(history, trial) for trial in trials)
    whole = sum(history.gain(trial.number) for trial in trials)
    gains = {TurnKind.STRUCTURE: of_structure, TurnKind.NUMBERS: whole - of_structure}
    found = []
    for kind, gain in gains.items():
        own = [trial for trial in trials if (tuned_by(trial) is None) == (kind is TurnKind.STRUCTURE)]
        found.append(TurnShare(kind, len(own), sum(map(stands, own)), gain, sum(map(device_seconds, own))))
    return found


def _structures_part(history: History, trial: Trial) -> float:
    """Return the part of a finished trial's gain that its structure has."""
    gain, base, before = history.gain(trial.number), tuned_by(trial), history.incumbent_before(trial.number)
    if not gain or base is None or before is None:
        return gain
    written = history.trial(base).val_loss
    if base in (before.number, tuned_by(before)) or written is None or before.val_loss is None:
        return 0.0  # the structure was the incumbent's already
    return before.val_loss - written
