"""Simulated runs in which every test is forged: how often does a challenger that is no better become champion?

Each run has a champion with a true lead of 6 sigma over the baseline. Then scripts with the champion's own true loss
forge their losses on the validation split, so that each is tested, until the slices are used up. Losses are in sigma.
`python -m benchmarks.keep_rule --attacks 2000` prints the table.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from agent.trials.keeping.keep_rule import SLICE_LEAD, KeepPolicy, KeepRule
from agent.trials.repeat import Purpose, RepeatVerdict
from agent.trials.trial import KeepState
from benchmarks.simulated_slices import Slices

CHAMPION_LEAD = 6.0  # over the baseline, true
SAME = 0.02  # between two losses forged to be equal: just enough that the script does not seem to ignore its seed


@dataclass(frozen=True)
class Attack:
    """A strategy of the scripts. The first loss is always forged."""

    name: str
    dead: float = 0.0  # by how much the champion answers worse once it is confirmed
    sees_gaps: bool = True  # whether the rule rejects a lead that differs from the one on the validation split
    forges_again: bool = False  # forge the second loss by the same amount, so that the estimate of sigma stays right
    n_same: float = 0.0  # tests before that, with two equal forged losses, which make the estimate of sigma too low
    n_slices: int = 20  # left after the champion's confirmation


ATTACKS = tuple(
    Attack(f"{name}{', the champion answers worse' if dead else ''}", dead, **how)
    for name, how in (
        ("both losses forged alike, gaps ignored", {"sees_gaps": False, "forges_again": True}),
        ("both losses forged alike", {"forges_again": True}),
        ("the first loss forged, the second honest", {}),
        ("two tests given away to lower sigma", {"n_same": 2}),
        ("four tests given away to lower sigma", {"n_same": 4}),
        ("all forged to lower sigma, gaps ignored", {"sees_gaps": False, "n_same": math.inf}),
    )
    for dead in (0.0, 3.0)
)


@dataclass(frozen=True)
class Attacked:
    """The result of one run."""

    is_fooled: bool  # a challenger that is no better was confirmed
    is_flagged: bool  # the champion was flagged for answering worse, before that
    n_tests: int  # forged tests
    sigma: float  # final estimate; the true value is 1


@dataclass
class Run:
    """A run under attack."""

    keeper: KeepPolicy
    slices: Slices
    slice_noise: float = 1.0  # of training seeds, on slices; on the validation split it is 1
    true: dict[int, float] = field(default_factory=dict)  # loss by trial

    def trained(self, trial: int, seed: int) -> float:
        """Train a trial's script; return its loss on the validation split, and store its loss on slices."""
        noise = float(self.slices.rng.standard_normal())
        self.slices.losses[trial, seed] = self.true[trial] + self.slice_noise * noise
        return self.true[trial] + noise

    def first(self, trial: int, true: float, forged_by: Callable[[float], float] = lambda loss: loss) -> None:
        """Score a trial's first run and keep the trial."""
        self.true[trial] = true
        self.keeper.read(trial, 0, forged_by(self.trained(trial, 0)))
        self.keeper.keep(trial)

    def test(self, forged_by: Callable[[float], float] = lambda loss: loss) -> RepeatVerdict | None:
        """Run all repeats that the Keeper requests before the next trial; forge the losses of confirmations.

        Returns:
            the last verdict; None if there was no test.
        """
        verdict = None
        while (wanted := self.keeper.next_repeat()) is not None:
            loss = self.trained(wanted.trial, wanted.seed)
            is_test = wanted.purpose is Purpose.CONFIRM
            self.keeper.read(wanted.trial, wanted.seed, forged_by(loss) if is_test else loss)
            if is_test:
                verdict = self.slices.decide(self.keeper, wanted.trial, wanted.seed)
                self.keeper.move(wanted.trial, verdict.standing)
        return verdict

    def forged(self) -> float:
        """Return a first loss just low enough for the script to be tested."""
        champion, to_beat = self.keeper.losses(self.keeper.champion or 0).values(), self.keeper.to_beat(0)
        assert to_beat is not None
        return min(sum(champion) / len(champion) - (SLICE_LEAD + 0.01) * self.keeper.sigma, to_beat - 0.01)


def attacked(attack: Attack, error: float, seed: int) -> Attacked:
    """Simulate one run; `error` is the standard deviation of the difference of two models on one slice, in sigma."""
    run = _with_champion(attack, error, np.random.default_rng(seed))
    keeper, slices = run.keeper, run.slices
    slices.counts.clear()
    slices.answers_worse[1] = attack.dead
    trial = 1
    while not keeper.is_used_up and keeper.champion == 1:
        trial += 1
        forged = run.forged()
        run.first(trial, -CHAMPION_LEAD, lambda _, forged=forged: forged)  # type: ignore[misc]
        if trial - 2 < attack.n_same:
            run.test(lambda _, forged=forged: forged + SAME * keeper.sigma)  # type: ignore[misc]
        elif attack.forges_again:
            by = forged - slices.losses[trial, 0]
            run.test(lambda loss, by=by: loss + by)  # type: ignore[misc]
        else:
            run.test()
    return Attacked(keeper.champion != 1, slices.counts["dead flags"] > 0, trial - 1, keeper.sigma)


def heir_leads(error: float, n_runs: int, *, dead: float | None, slice_noise: float = 1.0) -> list[float]:
    """Return the leads of scripts that are no better but were confirmed in the first test of a run, in sigma.

    Args:
        dead: how much worse a champion of 6 sigma answers than before; None: the baseline is the champion.
        slice_noise: of training seeds on slices, in sigma.

    Returns:
        One number per run: 0 if nothing was confirmed.
    """
    leads = []
    for seed in range(n_runs):
        attack, rng = Attack("", sees_gaps=False), np.random.default_rng(seed)
        if dead is None:
            run = _begun(attack, error, rng, slice_noise)
            run.first(0, 0.0)
        else:
            run = _with_champion(attack, error, rng, slice_noise)
            run.slices.answers_worse[1] = dead
        forged = run.forged()
        trial = len(run.true)
        run.first(trial, run.true[run.keeper.champion or 0], lambda _, forged=forged: forged)  # type: ignore[misc]
        by = forged - run.true[trial]
        verdict = run.test(lambda loss, by=by: loss + by)  # type: ignore[misc]
        is_confirmed = verdict is not None and verdict.standing is KeepState.CONFIRMED
        leads.append(verdict.lead or 0.0 if verdict is not None and is_confirmed else 0.0)
    return leads


def _begun(attack: Attack, error: float, rng: np.random.Generator, slice_noise: float) -> Run:
    rule = KeepRule(lead=SLICE_LEAD, n_slices=attack.n_slices + 1, sigma=1.0)
    return Run(KeepPolicy(rule), Slices(error, rng, sees_gaps=attack.sees_gaps), slice_noise)


def _with_champion(attack: Attack, error: float, rng: np.random.Generator, slice_noise: float = 1.0) -> Run:
    """Return a run whose first trial was confirmed on its first slice, as nearly all with such a lead are."""
    while True:
        run = _begun(attack, error, rng, slice_noise)
        run.first(0, 0.0)
        run.first(1, -CHAMPION_LEAD)
        run.test()
        if run.keeper.champion == 1 and run.keeper.tests.n_opened == 1:
            return run
