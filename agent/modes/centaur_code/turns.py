"""Which of the two has the next trial, by their gains: the model (a structure) or the searcher (its numbers).

The rule, in this order:

1. Until one structure has been tried, the model writes one.
2. A structure within the margin of the incumbent gets N_REQUIRED trials that tune it: a new structure with untuned
   numbers cannot be compared with an incumbent whose numbers are tuned.
3. After STRETCH structures in a row without any gain, the searcher has N_REQUIRED trials.
4. Otherwise the turn is drawn, by the gains of each per device second.

In points 3 and 4 the searcher tunes the best structure that tuning still improves, for at most N_MOST trials of each;
if there is none, the incumbent's script.

The draw is Thompson sampling (Chapelle and Li, 2011) with discounted evidence (Raj and Kalyani, 2017). A gain of k
sigmas counts as k events of a Poisson process in device time, so that its rate has a gamma posterior; the prior is one
event in the time of one trial. The first sigma of each gain does not count, since noise alone gives that much, and no
trial counts for more than MOST_SIGMAS, so that the first easy gains do not decide the night. The trials of point 2 are
counted for the structure, since they are part of its cost.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from agent.modes.centaur_code.lineage import Credit, Lineage, TunedStructure, counted_loss
from agent.modes.proposer import Context
from agent.trials.hybrid.turn import TurnChoice, TurnKind
from agent.trials.trial import KeepState, Trial

N_REQUIRED = 4  # tuning trials of every promising structure
N_MOST = 12  # tuning trials of a structure that tuning still improves
PATIENCE = 4  # the last tuning trials, which together must gain more than STEP; otherwise tuning no longer improves it
STEP = 1.0  # sigmas
MARGIN = 3.0
"""Sigmas above the incumbent's loss within which a structure is tuned.

Two runs of equally good scripts differ by 1.4 sigmas (standard deviation), and the incumbent's loss, the lowest of
many, is about one sigma too low: 3 sigmas include 92 % of the structures that are as good as the incumbent. The median
gain of tuning so far is added: a structure that is worse by so much may be better once it is tuned.
"""
STRETCH = 3  # structures in a row without a gain
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
        if not any(number for number in lineage.structures):
            return TurnChoice(TurnKind.STRUCTURE, "the first structure comes before any tuning")
        promising = self._promising(lineage, context)
        if (required := _required(promising)) is not None:
            nth = f"tuning trial {len(required.tuning) + 1} of at least {N_REQUIRED}"
            why = f"trial {required.number} is within the margin of the incumbent: {nth}"
            return TurnChoice(TurnKind.NUMBERS, why, required.number, is_required=True)
        tuned = _still_moving(promising, STEP * context.sigma) or self._incumbents(lineage, context)
        if tuned is None:
            return TurnChoice(TurnKind.STRUCTURE, "the incumbent's script has no number to tune, or no untried value")
        if (n_without := _n_without_gain(lineage)) is not None:
            why = f"{n_without} structures in a row without a gain: the numbers come first"
            return TurnChoice(TurnKind.NUMBERS, why, tuned.number)
        structure, numbers = self.arms(lineage, context)
        rng = random.Random(f"centaur-code {self.seed} {context.number}")
        is_structure = structure.drawn(rng) >= numbers.drawn(rng)
        earned = f"structure earns {structure.rate:.2g} sigmas per trial, numbers {numbers.rate:.2g}"
        if is_structure:
            return TurnChoice(TurnKind.STRUCTURE, f"drawn: {earned}")
        return TurnChoice(TurnKind.NUMBERS, f"drawn: {earned}", tuned.number)

    def arms(self, lineage: Lineage, context: Context) -> tuple[Arm, Arm]:
        """Return the arms of structure and of numbers."""
        found = lineage.credits()
        unit = _charged(context) or 1.0
        of_structure = [credit for credit in found if credit.is_structure]
        of_numbers = [credit for credit in found if not credit.is_structure]
        return _arm(of_structure, found, unit, context.sigma), _arm(of_numbers, found, unit, context.sigma)

    def _promising(self, lineage: Lineage, context: Context) -> list[TunedStructure]:
        """Return the structures within the margin of the incumbent that can be tuned."""
        limit = context.best_loss + margin(lineage, context.sigma)
        near = [
            structure
            for structure in lineage.structures.values()
            if structure.number and structure.best_loss is not None and structure.best_loss <= limit
        ]
        return [
            structure
            for structure in near
            if counted_loss(structure.base) is not None
            and structure.base.standing is not KeepState.ROLLED_BACK
            and not structure.is_exhausted
            and self.has_tunables(structure.base)
        ]

    def _incumbents(self, lineage: Lineage, context: Context) -> TunedStructure | None:
        structure = lineage.structure_of(context.incumbent)
        return structure if not structure.is_exhausted and self.has_tunables(structure.base) else None


def _required(promising: Sequence[TunedStructure]) -> TunedStructure | None:
    """Return the structure that must be tuned next: the best of those with the fewest tuning trials."""
    required = [structure for structure in promising if len(structure.tuning) < N_REQUIRED]
    return min(
        required, key=lambda structure: (len(structure.tuning), structure.best_loss, structure.number), default=None
    )


def _still_moving(promising: Sequence[TunedStructure], step: float) -> TunedStructure | None:
    """Return the best tuned structure whose loss still falls, by more than `step` in PATIENCE trials; None: no such."""
    still = [
        structure
        for structure in promising
        if N_REQUIRED <= len(structure.tuning) < N_MOST and not structure.is_stalled(PATIENCE, step)
    ]
    return min(still, key=lambda structure: (structure.best_loss, structure.number), default=None)


def margin(lineage: Lineage, sigma: float) -> float:
    """Return how far above the incumbent's loss a structure may be and still be tuned."""
    gains = [
        structure.tuning_gain
        for structure in lineage.structures.values()
        if structure.number
        and structure.tuning_gain is not None
        and sum(t.outcome is not None for t in structure.tuning) >= N_REQUIRED
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


def _n_without_gain(lineage: Lineage) -> int | None:
    """Return the number of structures since the last gain, if the numbers come first now; else None."""
    n_structures = n_numbers = 0
    for trial in sorted((*lineage.finished, *lineage.pending), key=lambda each: each.number):
        turn = trial.proposal.turn
        if trial.kept and trial.standing is not KeepState.ROLLED_BACK:
            n_structures = n_numbers = 0
        elif turn is None or turn.kind is TurnKind.STRUCTURE:
            n_structures += trial.outcome is not None
        elif not turn.is_required:
            n_numbers += 1
    return n_structures if n_numbers < N_REQUIRED * (n_structures // STRETCH) else None
