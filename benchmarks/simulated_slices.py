"""Simulated slices: each model's loss on a slice is its true loss plus a sampling error.

The product's own rule decides: the Keeper gets the records that agent.run.confirmations would make, in the same order.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from agent.trials.keeping.confirmations import (
    BASELINE,
    CHALLENGER,
    CHAMPION,
    Entrant,
    SlicePurpose,
    SliceScore,
    SliceUse,
    dead_flag,
    gap_flag,
)
from agent.trials.keeping.keep_rule import KeepPolicy
from agent.trials.keeping.noise import Lead
from agent.trials.repeat import RepeatVerdict

N_SEQUENCES, N_STANDING = 450, 1169  # of a slice and of the validation split of the bundled task
BASELINE_MODEL = (0, 0)  # trial and training seed
Model = tuple[int, int]


@dataclass
class Slices:
    """The slices of one run."""

    error: float  # standard deviation of the difference of two models on one slice, in the unit of the loss
    rng: np.random.Generator
    sees_gaps: bool = True
    answers_worse: dict[int, float] = field(default_factory=dict)  # by trial: loss added once it is the champion
    losses: dict[Model, float] = field(default_factory=dict)  # true loss of each trained model
    counts: Counter[str] = field(default_factory=Counter)

    def decide(self, keeper: KeepPolicy, trial: int, seed: int) -> RepeatVerdict:
        """Open a slice for a challenger whose loss is known, as `agent run` does; return the verdict."""
        objection = keeper.objection(trial, seed)
        if objection is not None:
            self.counts["objections"] += 1
            return objection
        use = self._opened(keeper, trial, seed)
        keeper.tests.take(trial, use)
        self.counts["slices"] += 1
        self.counts["second slices"] += keeper.tests.n_tests(trial) == 2
        return keeper.verdict_on(trial, use)

    def published(self, trial: int, seeds: list[int]) -> float:
        """Return the mean lead of a trial's models over the baseline, on one more slice."""
        answers = self._answers({BASELINE: BASELINE_MODEL, **{str(seed): (trial, seed) for seed in seeds}})
        return answers[BASELINE] - sum(answers[str(seed)] for seed in seeds) / len(seeds)

    def _answers(self, models: Mapping[str, Model]) -> dict[str, float]:
        """Return each model's loss on a slice; the difference of two models has the sampling error `error`."""
        own = self.error / math.sqrt(2)
        return {name: self.losses[model] + own * float(self.rng.standard_normal()) for name, model in models.items()}

    def _opened(self, keeper: KeepPolicy, trial: int, seed: int) -> SliceUse:
        assert keeper.champion is not None
        champion = (keeper.champion, keeper.champion_seed(seed))
        models = {BASELINE: BASELINE_MODEL, CHAMPION: champion, CHALLENGER: (trial, seed)}
        if champion == BASELINE_MODEL:
            del models[CHAMPION]
        answers = self._answers(models)
        if CHAMPION in answers:
            answers[CHAMPION] += self.answers_worse.get(keeper.champion, 0.0)
        entrants = {name: Entrant(*model, artifact="", files="") for name, model in models.items()}
        score = self._scored(keeper, entrants[CHALLENGER], answers, champion[1])
        return SliceUse(keeper.tests.n_opened, SlicePurpose.CONFIRM, entrants, 0, "", score)

    def _scored(
        self, keeper: KeepPolicy, challenger: Entrant, answers: Mapping[str, float], champion_seed: int
    ) -> SliceScore:
        pairs = [
            (CHALLENGER, BASELINE),
            *([(CHAMPION, BASELINE), (CHALLENGER, CHAMPION)] if CHAMPION in answers else []),
        ]
        leads = {f"{better}-{worse}": Lead(answers[worse] - answers[better], self.error) for better, worse in pairs}
        flags: list[str] = []
        had = keeper.tests.champion_had(champion_seed)
        if had is not None and CHAMPION in answers:
            flag = dead_flag(had, leads[f"{CHAMPION}-{BASELINE}"])
            self.counts["champions again"] += 1
            self.counts["dead flags"] += flag is not None
            flags += [flag] if flag else []
        standing = keeper.losses(0)[0] - keeper.losses(challenger.trial)[challenger.seed]
        gap = gap_flag(leads[f"{CHALLENGER}-{BASELINE}"], standing, N_SEQUENCES, N_STANDING) or ""
        self.counts["gaps"] += bool(gap)
        return SliceScore(dict(answers), leads, 0.0, gap=gap if self.sees_gaps else "", flags=tuple(flags))
