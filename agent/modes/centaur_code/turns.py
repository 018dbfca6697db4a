"""Which of the two has the next trial, by their gains: the model (a structure) or the searcher (its numbers).

The rule, in this order:

1. The baseline, and each structure within the margin of the incumbent, gets a trial for each number that is new in it,
   at least N_FEWEST and at most N_MOST, and up to N_MOST while tuning improves it: a new structure with untuned
   numbers cannot be compared with an incumbent whose numbers are tuned, nor can one be judged whose first gain comes
   from numbers that the baseline had. In the baseline all numbers are new.
2. Until one structure has been tried, the model writes one.
3. After a long stretch without a gain (`Stretch.is_long`), the searcher has N_FEWEST trials for the incumbent.
4. Otherwise the turn is drawn, by the gains of each per device second; the searcher tunes the incumbent's script.

The draw is Thompson sampling (Chapelle and Li, 2011) with discounted evidence (Raj and Kalyani, 2017). A gain of k
sigmas counts as k events of a Poisson process in device time, so that its rate has a gamma posterior; the prior is one
event in the time of one trial. The first sigma of each gain does not count, since noise alone gives that much, and no
trial counts for more than MOST_SIGMAS, so that the first easy gains do not decide the night. The trials that tune a new
structure by point 1 are counted for the structure, since they are part of its cost; those of the baseline are not.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from agent.modes.centaur_code.lineage import Credit, Lineage, TunedStructure, counted_loss
from agent.modes.proposer import Context
from agent.trials.hybrid.turn import TurnChoice, TurnKind
from agent.trials.trial import KeepState, Trial

N_FEWEST, N_MOST = 4, 12  # tuning trials of the baseline and of every promising structure
PATIENCE = 4  # tuning improves a structure while its last tuning trials, so many, together gain more than STEP
STEP = 1.0  # sigmas
MARGIN = 3.0
"""Sigmas above the incumbent's loss within which a structure is tuned.

Two runs of equally good scripts differ by 1.4 sigmas (standard deviation), and the incumbent's loss, the lowest of
many, is about one sigma too low: 3 sigmas include 92 % of the structures that are as good as the incumbent. The median
gain that tuning has brought to structures is added: one that is worse by so much may be better once it is tuned.
"""
DISCOUNT = 0.9  # of the evidence, for each trial that has ended since
MOST_SIGMAS = 5.0  # of one gain
PRIOR_SIGMAS, PRIOR_TRIALS = 1.0, 1.0
LEAST_COST = 0.1  # trials: of a proposal that never ran, for which the device waited


@dataclass(frozen=True)
class Arm:
    """An arm of the bandit: the gains and the cost of one kind of turn, discounted."""

    sigmas: float = 0.0
    trials: float = 0.0  # cost, in trials of the baseline's length

    @property
    def rate(self) -> float:
        """Sigmas per trial, the prior included."""
        return (PRIOR_SIGMAS + self.sigmas) / (PRIOR_TRIALS + self.trials)

    def drawn(self, rng: random.Random) -> float:
        """Return a rate drawn from the posterior."""
        return rng.gammavariate(PRIOR_SIGMAS + self.sigmas, 1 / (PRIOR_TRIALS + self.trials))


@dataclass(frozen=True)
class TurnRule:
    """Chooses the turn of the next trial, as a function of the journal and the run's seed."""

    seed: int
    tunables: Callable[[Trial], frozenset[str]]  # names of the numbers to tune in the script of a finished trial

    def turn(self, context: Context) -> TurnChoice:
        """Return the turn of the context's trial."""
        lineage = Lineage.of(context)
        if (due := self._due(lineage, context)) is not None:
            return due
        if not any(number for number in lineage.structures):
            return TurnChoice(TurnKind.STRUCTURE, "no structure has been tried yet")
        incumbent = lineage.structure_of(context.incumbent)
        if not self._can_tune(incumbent):
            return TurnChoice(TurnKind.STRUCTURE, "the incumbent's script has no number to tune, or no untried value")
        if (stretch := context.stretch).is_long and _n_chosen_since(lineage, stretch.since) < N_FEWEST:
            why = f"{stretch.n_trials} trials without a gain: the numbers come first"
            return TurnChoice(TurnKind.NUMBERS, why, incumbent.number)
        structure, numbers = self.arms(lineage, context)
        rng = random.Random(f"centaur-code {self.seed} {context.number}")
        is_structure = structure.drawn(rng) >= numbers.drawn(rng)
        earned = f"structure earns {structure.rate:.2g} sigmas per trial, numbers {numbers.rate:.2g}"
        if is_structure:
            return TurnChoice(TurnKind.STRUCTURE, f"drawn: {earned}")
        return TurnChoice(TurnKind.NUMBERS, f"drawn: {earned}", incumbent.number)

    def arms(self, lineage: Lineage, context: Context) -> tuple[Arm, Arm]:
        """Return the arms of structure and of numbers."""
        found = lineage.credits()
        unit = _charged(context) or 1.0
        of_structure = [credit for credit in found if credit.is_structure]
        of_numbers = [credit for credit in found if not credit.is_structure]
        return _arm(of_structure, found, unit, context.sigma), _arm(of_numbers, found, unit, context.sigma)

    def _promising(self, lineage: Lineage, context: Context) -> list[TunedStructure]:
        """Return the baseline, and the structures within the margin of the incumbent, if they can be tuned."""
        limit = context.best_loss + margin(lineage, context.sigma)
        near = [
            structure
            for structure in lineage.structures.values()
            if structure.best_loss is not None and (structure.number == 0 or structure.best_loss <= limit)
        ]
        return [
            structure
            for structure in near
            if counted_loss(structure.base) is not None
            and structure.base.standing is not KeepState.ROLLED_BACK
            and self._can_tune(structure)
        ]

    def _can_tune(self, structure: TunedStructure) -> bool:
        return not structure.is_exhausted and bool(self.tunables(structure.base))

    def _due(self, lineage: Lineage, context: Context) -> TurnChoice | None:
        """Return the turn that tunes the structure that must be tuned next; None if there is none.

        First come those that lack trials, by the number of trials that they have; then the best whose loss still falls.
        """
        promising = self._promising(lineage, context)
        if lacking := [each for each in promising if self._lacks_trials(lineage, each)]:
            due = min(lacking, key=lambda each: (len(each.tuning), each.best_loss, each.number))
            which = (
                f"trial {due.number} is within the margin of the incumbent"
                if due.number
                else "the baseline comes first"
            )
            why = f"{which}: tuning trial {len(due.tuning) + 1} of at least {self._n_required(lineage, due)}"
            return TurnChoice(TurnKind.NUMBERS, why, due.number, is_required=True)
        falling = [
            each
            for each in promising
            if len(each.tuning) < N_MOST and not each.n_chosen and each.is_moving(PATIENCE, STEP * context.sigma)
        ]
        if not falling:
            return None
        due = min(falling, key=lambda each: (each.best_loss, each.number))
        which = f"trial {due.number}" if due.number else "the baseline"
        why = f"tuning still improves {which}: tuning trial {len(due.tuning) + 1} of at most {N_MOST}"
        return TurnChoice(TurnKind.NUMBERS, why, due.number, is_required=True)

    def _lacks_trials(self, lineage: Lineage, structure: TunedStructure) -> bool:
        n_trials = len(structure.tuning)
        if n_trials < self._n_required(lineage, structure):
            return True
        # With several workers, the first results come before the first structure.
        return structure.number == 0 and structure.n_tuned < N_FEWEST and n_trials < N_MOST

    def _n_required(self, lineage: Lineage, structure: TunedStructure) -> int:
        """Return the number of tuning trials that a promising structure gets in any case."""
        names, edited = self.tunables(structure.base), lineage.edited_by(structure)
        if edited is not None:
            names -= self.tunables(edited.base)
        return min(max(len(names), N_FEWEST), N_MOST)


def margin(lineage: Lineage, sigma: float) -> float:
    """Return how far above the incumbent's loss a structure may be and still be tuned."""
    gains = [
        structure.tuning_gain
        for structure in lineage.structures.values()
        if structure.number and structure.tuning_gain is not None and structure.n_tuned >= N_FEWEST
    ]
    return MARGIN * sigma + (median(gains) if gains else 0.0)


def _charged(context: Context) -> float:
    """Return the device seconds of the baseline."""
    first = context.trials[0].outcome
    return first.train_seconds if first is not None else 0.0


def _arm(own: list[Credit], everything: list[Credit], unit: float, sigma: float) -> Arm:
    """Return the arm of the trials `own`; `unit`: device seconds of one trial; `sigma`: noise of one run's loss."""
    ages = {credit.trial.number: age for age, credit in enumerate(reversed(everything))}
    sigmas = trials = 0.0
    for credit in own:
        weight = DISCOUNT ** ages[credit.trial.number]
        counted = credit.gain / sigma - STEP if sigma > 0 else float(credit.gain > 0)
        sigmas += weight * min(max(counted, 0.0), MOST_SIGMAS)
        trials += weight * max(credit.seconds / unit, LEAST_COST)
    return Arm(sigmas, trials)


def _n_chosen_since(lineage: Lineage, number: int) -> int:
    """Return the number of tuning trials after trial `number` that were chosen, not required."""
    return sum(
        trial.number > number and trial.proposal.turn is not None and trial.proposal.turn.is_chosen_tuning
        for trial in (*lineage.finished, *lineage.pending)
    )
