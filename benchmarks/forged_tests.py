"""Runs whose every test is forged: how often does an heir that is no better become champion?

Each run has a champion whose lead is real, 6 sigma over the baseline. Then scripts with the champion's own true loss
forge what is scored on the standing split, so that each is put to the test, until the slices are used up. Losses are
in sigma. `python -m benchmarks.keep_rule --attacks 2000` prints the table.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from agent.trials.keep_rule import SLICE_LEAD, Keeper, KeepRule
from agent.trials.repeat import Purpose
from benchmarks.simulated_slices import Slices

CHAMPION_LEAD = 6.0  # over the baseline, true
SAME = 0.02  # between two losses that are forged to be the same: just enough not to be said to fix their seed


@dataclass(frozen=True)
class Attack:
    """What the scripts do. The first loss is always forged."""

    name: str
    dead: float = 0.0  # by how much the champion answers worse once it is confirmed
    sees_gaps: bool = True  # whether a lead that is another one on the standing split is held against an heir
    forges_again: bool = False  # the second run's loss by as much as the first one's, so that sigma is learned right
    n_same: float = 0.0  # tests before that, of which both losses are forged to be the same: sigma is learned too low
    n_slices: int = 20  # left when the champion has been confirmed


ATTACKS = tuple(
    Attack(f"{told}{', the champion plays dead' if dead else ''}", dead, **how)
    for told, how in (
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
    """What came of one run."""

    is_fooled: bool  # an heir that is no better was confirmed
    is_flagged: bool  # the champion was said to play dead, before that
    n_tests: int  # forged ones
    sigma: float  # as it was thought to be at last; 1 is right


@dataclass
class Run:
    """A run under attack, from its first trial on."""

    keeper: Keeper
    slices: Slices
    true: dict[int, float] = field(default_factory=dict)  # loss by trial

    def trained(self, trial: int, seed: int) -> float:
        """Return the loss of a training, which slices may ask about."""
        loss = self.true[trial] + float(self.slices.rng.standard_normal())
        self.slices.losses[trial, seed] = loss
        return loss

    def first(self, trial: int, true: float, forged_by: Callable[[float], float] = lambda loss: loss) -> None:
        """Have a trial's first run scored and kept."""
        self.true[trial] = true
        self.keeper.read(trial, 0, forged_by(self.trained(trial, 0)))
        self.keeper.keep(trial)

    def test(self, forged_by: Callable[[float], float] = lambda loss: loss) -> None:
        """Run all that the Keeper asks for before the next trial; forge what is scored of confirmations."""
        while (wanted := self.keeper.wants()) is not None:
            loss = self.trained(wanted.trial, wanted.seed)
            is_test = wanted.purpose is Purpose.CONFIRM
            self.keeper.read(wanted.trial, wanted.seed, forged_by(loss) if is_test else loss)
            if is_test:
                verdict = self.slices.decide(self.keeper, wanted.trial, wanted.seed)
                self.keeper.move(wanted.trial, verdict.standing)


def attacked(attack: Attack, error: float, seed: int) -> Attacked:
    """Play one run; `error` is the standard deviation of the difference of two models on one slice, in sigma."""
    run = _with_champion(attack, error, np.random.default_rng(seed))
    keeper, slices = run.keeper, run.slices
    slices.counts.clear()
    slices.answers_worse[1] = attack.dead
    trial = 1
    while not keeper.is_used_up and keeper.champion == 1:
        trial += 1
        champion, to_beat = keeper.losses(1).values(), keeper.to_beat(0)
        assert to_beat is not None
        forged = min(sum(champion) / len(champion) - (SLICE_LEAD + 0.01) * keeper.sigma, to_beat - 0.01)
        run.first(trial, -CHAMPION_LEAD, lambda _, forged=forged: forged)  # type: ignore[misc]
        if trial - 2 < attack.n_same:
            run.test(lambda _, forged=forged: forged + SAME * keeper.sigma)  # type: ignore[misc]
        elif attack.forges_again:
            by = forged - slices.losses[trial, 0]
            run.test(lambda loss, by=by: loss + by)  # type: ignore[misc]
        else:
            run.test()
    return Attacked(keeper.champion != 1, slices.counts["dead flags"] > 0, trial - 1, keeper.sigma)


def _with_champion(attack: Attack, error: float, rng: np.random.Generator) -> Run:
    """Return a run whose first trial was confirmed on its first slice: nearly every one with such a lead is."""
    while True:
        rule = KeepRule(lead=SLICE_LEAD, n_slices=attack.n_slices + 1, sigma=1.0)
        run = Run(Keeper(rule), Slices(error, rng, sees_gaps=attack.sees_gaps))
        run.first(0, 0.0)
        run.first(1, -CHAMPION_LEAD)
        run.test()
        if run.keeper.champion == 1 and run.keeper.tests.n_opened == 1:
            return run
