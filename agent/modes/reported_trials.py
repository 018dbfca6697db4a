"""The losses of a run as its proposer sees them: rounded, since a loss at full precision can reveal labels.

If a script changes its answer about one example, the change in loss reveals that example's label. So where the host
compares predictions with labels, searchers and models see rounded losses, in steps of at most a tenth of sigma, which
is less than the noise. Each loss is rounded once, by sigma as estimated when the trial ended, so a resumed run shows
the same digits.

The full loss decides whether a trial is kept, and the proposer sees that decision: one bit per trial. docs/security.md
describes the consequences.
"""

import math
from collections.abc import Iterable
from dataclasses import replace

from agent.trials.keeping.keep_rule import KeepPolicy, KeepRule
from agent.trials.repeat import Repeat
from agent.trials.trial import Outcome, Status, Trial

SHARE = 0.1  # of sigma: the largest step


class ReportedTrials:
    """The finished trials of a run as its proposer sees them."""

    def __init__(self, *, is_rounded: bool) -> None:
        """`is_rounded`: the proposer sees rounded losses; otherwise it sees the exact ones."""
        self._is_rounded = is_rounded
        self._outcomes: dict[int, Outcome] = {}  # by trial

    def observe(self, trial: Trial, sigma: float) -> None:
        """Take a trial that has just finished; `sigma`: the noise of one run, as estimated now."""
        outcome = trial.outcome
        if self._is_rounded and outcome is not None and outcome.val_loss is not None:
            self._outcomes[trial.number] = _with_rounded_loss(outcome, step_for(sigma))

    def trial(self, trial: Trial) -> Trial:
        """Return a trial as the proposer sees it, with its present standing."""
        outcome = self._outcomes.get(trial.number, trial.outcome)
        if outcome is not None and outcome.val_loss is not None and outcome.counted_loss is None:
            outcome = _without_loss(outcome)
        return trial if outcome is trial.outcome else replace(trial, outcome=outcome)


def followed(
    rule: KeepRule, results: Iterable[Trial | Repeat], *, is_rounded: bool
) -> tuple[KeepPolicy, ReportedTrials]:
    """Return the keep rule of a run with these `results`, and its trials as the proposer sees them."""
    keeper, reported = KeepPolicy(rule), ReportedTrials(is_rounded=is_rounded)
    for result in results:
        keeper.observe(result)
        if isinstance(result, Trial) and result.val_loss is not None:
            reported.observe(result, keeper.sigma)
    return keeper, reported


def step_for(sigma: float) -> float:
    """Return the largest step of 1, 2 or 5 times a power of ten that is at most a tenth of `sigma`.

    A step of exactly a tenth would itself reveal digits: sigma is computed from losses at full precision.
    """
    largest = SHARE * sigma
    power = 10.0 ** math.floor(math.log10(largest))
    return next(power * digit for digit in (5, 2, 1) if power * digit <= largest * (1 + 1e-9))


def _without_loss(outcome: Outcome) -> Outcome:
    """Return an outcome whose loss decides nothing as a failure, so that no search pursues such scripts."""
    if outcome.metric_edit:
        reason = f"{outcome.flags[0]}; put it back: such a change is never kept"
        return replace(outcome, status=Status.REJECTED_SCORE, val_loss=None, score=None, reason=reason, flags=())
    assert outcome.compute is not None
    reason = f"over budget: {outcome.compute.description}"
    return replace(outcome, status=Status.TIMED_OUT, val_loss=None, score=None, reason=reason, flags=())


def _with_rounded_loss(outcome: Outcome, step: float) -> Outcome:
    """Return the outcome with a rounded loss, without all that reveals more of the exact one."""
    assert outcome.val_loss is not None
    n_digits = max(0, -math.floor(math.log10(step)))
    loss = round(round(outcome.val_loss / step) * step, n_digits)
    score = replace(outcome.score, val_loss=loss, evidence={}) if outcome.score is not None else None
    reason = "" if outcome.status is Status.OK else outcome.reason
    return replace(outcome, val_loss=loss, score=score, reason=reason, flags=())
