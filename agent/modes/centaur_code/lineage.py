"""The lineage of the trials: which trial wrote each script's structure, and which trials tuned its numbers.

A pure function of the journal: a trial that tunes another one names it; every other trial is a structure of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from agent.modes.proposer import Context
from agent.trials.hybrid.turn import TurnKind
from agent.trials.hybrid.turn_shares import device_seconds, tuned_by
from agent.trials.trial import KeepState, Status, Trial


@dataclass(frozen=True)
class TunedStructure:
    """A structure and the trials that tuned it."""

    base: Trial  # the trial that wrote the structure; it has finished
    tuning: tuple[Trial, ...] = ()  # all that tuned it, those in flight too, by number

    @property
    def number(self) -> int:
        return self.base.number

    @property
    def losses(self) -> list[float]:
        """The losses that count, of the base and its tuning trials, in the order of their numbers."""
        counted = (trial.outcome.counted_loss for trial in (self.base, *self.tuning) if trial.outcome is not None)
        return [loss for loss in counted if loss is not None]

    @property
    def best_loss(self) -> float | None:
        """The lowest of these losses; None if there is none."""
        return min(self.losses, default=None)

    @property
    def tuning_gain(self) -> float | None:
        """By how much tuning lowered the loss of the base; None if the base has no loss."""
        loss = counted_loss(self.base)
        return None if loss is None or self.best_loss is None else loss - self.best_loss

    @property
    def is_exhausted(self) -> bool:
        """Whether the searcher has found no further point, or the last try to tune it could not run."""
        refused = [trial.proposal.refused for trial in self.tuning]
        return bool(refused) and refused[-1] in (Status.DUPLICATE, Status.NO_PROPOSAL, Status.INVALID_EDIT)

    @property
    def n_tuned(self) -> int:
        """Number of its tuning trials that have finished."""
        return sum(trial.outcome is not None for trial in self.tuning)

    @property
    def n_chosen(self) -> int:
        """Number of its tuning trials that were chosen by a draw or after a stretch, not required."""
        return sum(trial.proposal.turn is not None and trial.proposal.turn.is_chosen_tuning for trial in self.tuning)

    def is_moving(self, patience: int, step: float) -> bool:
        """Return whether the last `patience` finished tuning trials lowered the best loss by more than `step`.

        False as long as fewer have finished.
        """
        finished = [trial for trial in self.tuning if trial.outcome is not None]
        if len(finished) < patience:
            return False
        before = TunedStructure(self.base, tuple(finished[:-patience])).best_loss
        return before is not None and self.best_loss is not None and before - self.best_loss > step


@dataclass(frozen=True)
class Credit:
    """The gain and the cost of one finished trial."""

    trial: Trial
    is_structure: bool  # it, or the trial that it must tune, changed the structure; the baseline did not
    gain: float  # decrease of the incumbent's loss; 0 if it was not kept or was rolled back
    seconds: float  # of the device: training as charged, and rehearsals


@dataclass(frozen=True)
class Lineage:
    """The trials of a run, as one proposer sees them."""

    finished: Sequence[Trial]  # in the order in which they finished
    pending: Sequence[Trial] = ()

    @classmethod
    def of(cls, context: Context) -> "Lineage":
        return cls(context.trials, context.pending)

    @cached_property
    def structures(self) -> dict[int, TunedStructure]:
        """The structures whose base has finished, by the number of the base."""
        tuning: dict[int, list[Trial]] = {}
        for trial in sorted((*self.finished, *self.pending), key=lambda each: each.number):
            if (base := tuned_by(trial)) is not None:
                tuning.setdefault(base, []).append(trial)
        bases = [trial for trial in self.finished if tuned_by(trial) is None]
        return {base.number: TunedStructure(base, tuple(tuning.get(base.number, ()))) for base in bases}

    def structure_of(self, trial: Trial) -> TunedStructure:
        """Return the structure that a finished trial belongs to."""
        base = tuned_by(trial)
        return self.structures[trial.number if base is None else base]

    def edited_by(self, structure: TunedStructure) -> TunedStructure | None:
        """Return the structure whose script, as written or tuned, a structure edited; None for the baseline."""
        parent = structure.base.parent
        return None if parent is None else self.structure_of(next(t for t in self.finished if t.number == parent))

    def credits(self) -> list[Credit]:
        """Return the gain and cost of each finished trial but the baseline, in the order in which they finished."""
        found, bar = [], None
        for trial in self.finished:
            loss, gain = counted_loss(trial), 0.0
            if trial.kept and loss is not None and trial.standing is not KeepState.ROLLED_BACK:
                gain = 0.0 if bar is None else max(0.0, bar - loss)
                bar = loss
            turn = trial.proposal.turn
            is_structure = turn is None or turn.kind is TurnKind.STRUCTURE or (turn.is_required and bool(turn.tunes))
            if trial.number:
                found.append(Credit(trial, is_structure, gain, device_seconds(trial)))
        return found


def counted_loss(trial: Trial) -> float | None:
    """Return the loss of a trial, if it has finished and its loss may decide anything."""
    return trial.outcome.counted_loss if trial.outcome is not None else None
