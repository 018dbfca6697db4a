"""Scripts that have whatever loss they want on the standing split: what they cannot do to the test on slices."""

import math

import pytest

from agent.trials.keeping.confirmations import BASELINE, CHALLENGER, Entrant, SlicePurpose, SliceScore, SliceUse
from agent.trials.keeping.keep_rule import KeepPolicy, KeepRule
from agent.trials.keeping.noise import Lead
from agent.trials.trial import KeepState

SIGMA = 0.01
RULE = KeepRule(sigma=SIGMA, lead=4.0, n_slices=40)


def put_to_the_test(keeper: KeepPolicy, trial: int, losses: tuple[float, float], lead: Lead) -> float:
    """Let a trial have these losses under two seeds and that lead on a slice; return the lead in standard errors."""
    for seed, loss in enumerate(losses):
        keeper.read(trial, seed, loss)
    keeper.keep(trial)
    leads = {f"{CHALLENGER}-{BASELINE}": lead}
    entrants = {name: Entrant(n, 1, "", "") for name, n in ((BASELINE, 0), (CHALLENGER, trial))}
    score = SliceScore({}, leads, 1.0)
    use = SliceUse(trial, SlicePurpose.CONFIRM, entrants, 0, "", score)
    keeper.tests.take(trial, use)
    verdict = keeper.verdict_on(trial, use)
    keeper.move(trial, KeepState.ROLLED_BACK)
    assert verdict.n_errors is not None
    return verdict.n_errors


@pytest.fixture
def keeper() -> KeepPolicy:
    keeper = KeepPolicy(RULE)
    keeper.read(0, 0, 3.70)
    keeper.keep(0)
    keeper.read(0, 1, 3.71)
    return keeper


def test_losses_that_hardly_differ_between_seeds_make_no_lead_larger(keeper: KeepPolicy) -> None:
    lead = Lead(0.03, 0.002)
    honest = 0.03 / math.hypot(keeper.deciding_sigma * math.sqrt(2), 0.002)
    for trial in range(1, 20):
        forged = (3.6, 3.6 + 0.02 * SIGMA)  # 2 % of sigma: more than what is flagged as the same loss
        assert put_to_the_test(keeper, trial, forged, lead) == pytest.approx(honest)
    assert keeper.sigma < 0.5 * SIGMA  # what they taught


def test_losses_that_differ_by_more_make_every_lead_smaller(keeper: KeepPolicy) -> None:
    lead = Lead(0.03, 0.002)
    before = put_to_the_test(keeper, 1, (3.6, 3.61), lead)
    assert put_to_the_test(keeper, 2, (3.5, 3.6), lead) < before / 2
