"""Which of the two has the next trial, by their gains: the model (a structure) or the searcher (its numbers).

The rule, in this order:

1. The baseline, and each structure within the margin of the incumbent, gets N_REQUIRED trials that tune it, and more,
   up to N_MOST, while tuning improves it: a new structure with untuned numbers cannot be compared with an incumbent
   whose numbers are tuned, nor can one be judged whose first gain comes from numbers that the baseline had.
2. Until one structure has been tried, the model writes one.
3. After a long stretch without a gain (`Stretch.is_long`), the searcher has N_REQUIRED trials for the incumbent.
4. Otherwise the turn is drawn, by the gains of each per device second; the searcher tunes the incumbent's script.

The draw is Thompson sampling (Chapelle and Li, 2011) with discounted evidence (Raj and Kalyani, 2017). A gain of k
sigmas counts as k events of a Poisson process in device time, so that its rate has a gamma posterior; the prior is one
event in the time of one trial. The first sigma of each gain does not count, since noise alone gives that much, and no
trial counts for more than MOST_SIGMAS, so that the first easy gains do not decide the night. The trials that tune a new
structure by point 1 are counted for the structure, since they are part of its cost; those of the baseline are not.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from agent.modes.centaur_code.lineage import Credit, Lineage, TunedStructure, counted_loss
from agent.modes.proposer import Context
from agent.trials.hybrid.turn import TurnChoice, TurnKind
from agent.trials.trial import KeepState, Trial

N_REQUIRED = 4  # tuning trials of the baseline and of every promising structure
N_MOST = 12  # tuning trials while tuning improves it
PATIENCE = 4  # tuning improves a structure while its last tuning trials, so many, together gain more than STEP
STEP = 1.0  # sigmas
MARGIN = 3.0
"""Sigmas above the incumbent's loss within which a structure is tuned.

Two runs of equally good scripts differ by 1.4 sigmas (standard deviation), and the incumbent's loss, the lowest of
many, is about one sigma too low: 3 sigmas include 92 % of the structures that are as good as the incumbent. The median
gain of tuning so far is added: a structure that is worse by so much may be better once it is tuned.
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
    has_tunables: Callable[[Trial], bool]  # whether the script of a finished trial has numbers to tune

    def turn(self, context: Context) -> TurnChoice:
        """Return the turn of the context's trial."""
        lineage = Lineage.of(context)
        if (due := _due(self._promising(lineage, context), STEP * context.sigma)) is not None:
            return TurnChoice(TurnKind.NUMBERS, _why_due(due), due.number, is_required=True)
        if not any(number for number in lineage.structures):
            return TurnChoice(TurnKind.STRUCTURE, "no structure has been tried yet")
        incumbent = lineage.structure_of(context.incumbent)
        if not self._can_tune(incumbent):
            return TurnChoice(TurnKind.STRUCTURE, "the incumbent's script has no number to tune, or no untried value")
        if (stretch := context.stretch).is_long and _n_chosen_since(lineage, stretch.since) < N_REQUIRED:
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
        return not structure.is_exhausted and self.has_tunables(structure.base)


def _due(promising: Sequence[TunedStructure], step: float) -> TunedStructure | None:
    """Return the structure that must be tuned next; None if there is none.

    First, each gets N_REQUIRED trials; then the best whose loss still falls, by more than `step` in PATIENCE trials.
    """
    due = [structure for structure in promising if _is_due(structure, step)]
    return min(
        due,
        key=lambda structure: (min(len(structure.tuning), N_REQUIRED), structure.best_loss, structure.number),
        default=None,
    )


def _is_due(structure: TunedStructure, step: float) -> bool:
    n = len(structure.tuning)
    if n < N_REQUIRED:
        return True
    if n >= N_MOST or structure.n_chosen:
        return False
    if (
        structure.number == 0 and structure.n_tuned < N_REQUIRED
    ):  # with several workers: results come before a structure
        return True
    return structure.is_moving(PATIENCE, step)


def _why_due(due: TunedStructure) -> str:
    which = f"trial {due.number} is within the margin of the incumbent" if due.number else "the baseline comes first"
    n = len(due.tuning)
    if n < N_REQUIRED:
        return f"{which}: tuning trial {n + 1} of at least {N_REQUIRED}"
    whose = f"trial {due.number}" if due.number else "the baseline"
    return f"tuning still improves {whose}: tuning trial {n + 1} of at most {N_MOST}"


def margin(lineage: Lineage, sigma: float) -> float:
    """Return how far above the incumbent's loss a structure may be and still be tuned."""
    gains = [
        structure.tuning_gain
        for structure in lineage.structures.values()
        if structure.number and structure.tuning_gain is not None and structure.n_tuned >= N_REQUIRED
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
