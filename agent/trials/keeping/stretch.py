"""Stretches without a gain: how many trials have run since the last one, and whether chance explains so many."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from agent.trials.history import stands
from agent.trials.keeping.keep_rule import REPEAT_LEAD
from agent.trials.trial import Trial

LEVEL = 0.05  # a stretch is long if chance explains it with a smaller probability
FEWEST_TRIALS = 5  # of a long stretch


@dataclass(frozen=True)
class Stretch:
    """The trials since the last gain of a run."""

    since: int  # number of the trial with the last gain; 0: no trial has gained yet
    n_trials: int  # that have run since
    limit: int  # the number from which the stretch is long

    @property
    def period(self) -> str:
        """The time of the stretch in words: "since trial 7", or "so far" before the first gain."""
        return f"since trial {self.since}" if self.since else "so far"

    @property
    def is_long(self) -> bool:
        """Whether so many trials without a gain are not explained by chance, so that the search should change."""
        return self.n_trials >= self.limit


def stretch_without_gain(trials: Sequence[Trial], sigma: float) -> Stretch:
    """Return the stretch at the end of a run.

    What counts as a gain follows from the noise. The lowest of many losses is low by luck, so the incumbent must be
    below that at the last gain (first: the baseline) by more than the keep rule's lead, REPEAT_LEAD sigma, from which
    a lead is worth a test: of 150 simulated runs of 60 trials that differ by noise alone, 12 % then show a gain (51 %
    with the 2.33 sigma that two single runs seldom differ by). Small steps add up until their sum is a gain. A trial
    that was rolled back gained nothing.

    How long a stretch must be follows from the rate of gains: it is long once a run with the rate so far would have
    no gain in so many trials with a chance below LEVEL (`chance_of_none`). So a run that gains with every third trial
    is at its end after fewer trials than one that gains with every tenth. Since rates fall as a search goes on, no
    stretch of fewer than FEWEST_TRIALS is long.

    Args:
        trials: all finished trials, in the order in which they finished, with their present standing. Those that never
            ran do not count.
        sigma: standard deviation of the loss of one script over training seeds; 0: any lower loss is a gain.
    """
    n_trials = n_gains = n_at_gain = since = 0
    best: float | None = None
    for trial in trials:
        if trial.status is None or not trial.status.ran:
            continue
        n_trials += trial.number != 0
        if not stands(trial) or trial.val_loss is None:
            continue
        if best is None:  # the baseline
            best = trial.val_loss
        elif best - trial.val_loss > REPEAT_LEAD * sigma:
            best, since, n_at_gain, n_gains = trial.val_loss, trial.number, n_trials, n_gains + 1
    return Stretch(since, n_trials - n_at_gain, _limit(n_gains, n_at_gain))


def chance_of_none(n_next: int, n_gains: int, n_trials: int) -> float:
    """Return the chance that none of the next `n_next` trials gains, after `n_gains` gains in `n_trials` trials.

    It is the posterior predictive probability of a rate with a uniform prior (Laplace's rule of succession): before any
    gain it is 1 / (1 + n_next).
    """
    n_others = n_trials - n_gains
    return math.exp(
        math.lgamma(n_others + 1 + n_next)
        - math.lgamma(n_others + 1)
        + math.lgamma(n_trials + 2)
        - math.lgamma(n_trials + 2 + n_next)
    )


def _limit(n_gains: int, n_trials: int) -> int:
    """Return the least number of trials without a gain that is not explained by chance, at least FEWEST_TRIALS."""
    n_next = FEWEST_TRIALS
    while chance_of_none(n_next, n_gains, n_trials) >= LEVEL:
        n_next += 1
    return n_next
