"""The model's share of the trials: which trials it has, and how the gains of its points change the share.

The rule is that of exponential weights (Littlestone and Warmuth, 1994; Auer et al., 2002) for two authors, the model
and the host. Each trial has a gain between 0 and 1: how much it lowered the best loss, in units of the host's usual
improvement. A trial of the model changes the logarithm of its weight by RATE times its gain minus the host's recent
mean gain. The weight stays between LEAST and 1, so that neither a long good time nor a long bad one has to be undone.

The worst case: a model whose points never lower the loss. Each of its trials multiplies the weight by at most
exp(-RATE * LEAST_MEAN) = 0.45, so that 2 of them bring it from FIRST to LEAST, and from then on it has LEAST of the
largest share: 3 % of the trials where that is 30 %. Of 300 trials it has about 10, even if all its points pass the
screen.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from agent.trials.trial import Origin, Trial

RATE = 4.0
FIRST, LEAST = 0.5, 0.1  # weights: before a trial of the model, and the least one, with which it can come back
LEAST_MEAN = 0.2  # of the host's gains: where nobody gains any more, the trials go to the host
FIRST_MEAN, MEMORY = 0.2, 0.1  # of the host's gains: before its first trial, and the part that each trial replaces


@dataclass(frozen=True)
class LLMTurns:
    """The model's turns: a share of the trials, drawn, or every k-th one; none during the warm-up."""

    seed: int
    share: float = 0.3
    warmup: int = 10  # trials, the baseline not counted
    every: int | None = None  # every k-th trial instead of a share

    def share_at(self, weight: float) -> float:
        """Return the share of the trials for a model of that weight, 0 to 1."""
        return 1 / self.every if self.every is not None else self.share * weight

    def is_llm_turn(self, number: int, weight: float = 1.0) -> bool:
        """Whether the model has trial `number`. It depends on the arguments only, so a resume changes nothing."""
        if number <= self.warmup:
            return False
        if self.every is not None:
            return number % self.every == 0
        return random.Random(f"centaur {self.seed} {number}").random() < self.share_at(weight)


def model_weight(trials: Sequence[Trial]) -> float:
    """Return the weight of the model after `trials`, the finished ones in the order in which they finished: LEAST to 1.

    A trial with the host's own point is the host's, whoever returned it.
    """
    best, log_weight, host_mean, unit = math.inf, math.log(FIRST), FIRST_MEAN, None
    for trial in trials:
        loss = trial.outcome.counted_loss if trial.outcome is not None else None
        improvement = max(0.0, best - loss) if loss is not None and math.isfinite(best) else 0.0
        best = best if loss is None else min(best, loss)
        if trial.number == 0 or trial.status is None or not trial.status.ran:
            continue
        gain = 0.0 if improvement == 0 else 1.0 if unit is None else min(1.0, improvement / unit)
        if is_of_model(trial):
            log_weight += RATE * (gain - max(host_mean, LEAST_MEAN))
            log_weight = min(0.0, max(math.log(LEAST), log_weight))
        else:
            host_mean += MEMORY * (gain - host_mean)
            if improvement > 0:
                unit = improvement if unit is None else (unit + improvement) / 2
    return math.exp(log_weight)


def is_of_model(trial: Trial) -> bool:
    """Whether a trial of a hybrid mode ran a point of the model's own."""
    return trial.proposal.origin is Origin.LLM and trial.proposal.copied_from != "searcher"
