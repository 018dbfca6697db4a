"""What counts as progress, in two tiers: the search moves on any decrease, and only a fresh run confirms a gain.

An edit that seems better becomes the incumbent at once, provisionally: to ask for proof of each small gain would lose
more than it saves. When the incumbent has come well ahead of the champion, it is run again under another seed. If it
holds its lead it is the new champion; if it has none, the search goes back to the champion. docs/keep-rule.md has the
measurements behind the rule.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from agent.trials.history import Position
from agent.trials.noise import Noise
from agent.trials.repeat import Purpose, Repeat, Verdict
from agent.trials.trial import Outcome, Standing, Trial

HELD_OUT_SEED = 100
"""The first of the training seeds that decide nothing: results are published on them."""
FINAL_RUNS = 3
FEWEST_TRIALS = 20  # of a run that ends with final runs unless told otherwise
CPU_SIGMA_SHARE = 0.01  # of the loss: small models, short runs
GPU_SIGMA_SHARE = 5e-4  # minutes on a GPU: 890 runs of one script in the published logs
SPREAD_TRIALS = 10  # between repeats of the baseline: runs back to back do not see a machine drift
LAST_LEAD = 1.0  # sigmas that the incumbent must seem ahead to be put to the test when the search is over
MAX_FAILED_RUNS = 3  # of the champion's script under further seeds, after which nothing is confirmed any more


@dataclass(frozen=True)
class KeepRule:
    """How a run decides. Sigma is the standard deviation of the loss of one script over training seeds."""

    kind: Literal["two-tier", "any", "baseline"] = "two-tier"  # any: no repeats; baseline: nothing else is kept
    lead: float = 3.5  # sigmas that the incumbent must seem ahead of the champion to be run again
    gain: float = 2.0  # sigmas that it must be ahead after that, to be confirmed
    paired: bool = False  # the same seed gives the same loss, so that losses are compared seed by seed
    sigma: float | None = None  # what is known of it beforehand
    sigma_source: str | None = None  # who says so
    sigma_share: float = CPU_SIGMA_SHARE  # of the baseline's loss: the first guess where nothing is known


@dataclass(frozen=True)
class Wanted:
    """A repeat that should be run before the next trial."""

    trial: int
    seed: int
    purpose: Purpose


@dataclass(frozen=True)
class Reading:
    """A loss as it may be published."""

    mean: float  # minimised
    error: float | None  # standard error of the mean; None: repeats cannot tell
    n_runs: int
    selected: bool  # the one run that was chosen for being low: it flatters


class Keeper:
    """The two-tier rule over all losses read so far. It is a fold of the journal: built anew, it decides the same."""

    def __init__(self, rule: KeepRule, results: Iterable[Trial | Repeat] = ()) -> None:
        """Follow the decisions of a run that has come to `results`."""
        self.rule = rule
        self._position = Position()
        self._readings: dict[int, dict[int, float | None]] = {}  # trial → seed → loss; None: that run failed
        self.noise = Noise(0.0)  # until the baseline has a loss
        self._n_ran = 0  # trials with a loss
        for result in results:
            self.take(result)

    def take(self, result: Trial | Repeat) -> None:
        """Take in a finished trial or repeat, with the decision that the journal holds."""
        if isinstance(result, Repeat):
            if result.purpose is Purpose.SLOPE:
                return  # of a shorter training: no loss of the script
            self.read(result.trial, result.seed, result.val_loss)
            if result.verdict is not None:
                self.move(result.trial, result.verdict.standing)
        elif result.val_loss is not None:
            self.read(result.number, result.proposal.train_seed, result.val_loss)
            if result.kept:
                self.keep(result.number)

    @property
    def incumbent(self) -> int | None:
        """The trial that the next one has to beat."""
        return self._position.incumbent

    @property
    def champion(self) -> int | None:
        """The last incumbent that a fresh run confirmed; the baseline at first."""
        return self._position.champion

    @property
    def sigma(self) -> float:
        """Standard deviation of one run, as far as is known by now; includes the first guess."""
        return self.noise.sigma

    @property
    def result(self) -> int | None:
        """The trial that stands for the run: the champion, or the incumbent where nothing is ever confirmed."""
        return self.incumbent if self.rule.kind == "any" else self.champion

    def to_beat(self, seed: int) -> float | None:
        """Return the loss below which a first run under `seed` moves the incumbent; None: any does."""
        if self.incumbent is None:
            return None
        losses = self._losses(self.incumbent)
        if self.rule.paired and seed in losses:
            return losses[seed]
        return _mean(losses.values())

    def lowers(self, seed: int, loss: float) -> bool:
        """Return whether a first run with this loss moves the incumbent. Equal to the last digit changes nothing."""
        bar = self.to_beat(seed)
        return bar is None or (loss < bar and self.rule.kind != "baseline")

    def judged(self, outcome: Outcome, seed: int) -> Outcome:
        """Return the outcome of a first run under `seed` with `kept` decided."""
        if outcome.val_loss is None:
            return outcome
        if self.lowers(seed, outcome.val_loss):
            return replace(outcome, kept=True)
        if self.rule.paired and outcome.val_loss == self.to_beat(seed):
            return replace(outcome, reason="no effect: the incumbent's loss to the last digit")
        return outcome

    def compared(self, trial: int) -> tuple[list[float], list[float]]:
        """Return the losses of the champion, and those of a trial beside them; of the seeds that both ran if paired."""
        assert self.champion is not None
        champion, own = self._losses(self.champion), self._losses(trial)
        if not self.rule.paired:
            return list(champion.values()), list(own.values())
        seeds = [seed for seed in champion if seed in own]
        return [champion[seed] for seed in seeds], [own[seed] for seed in seeds]

    def lead(self, trial: int) -> float:
        """Return by how much a trial's loss lies below the champion's; over the seeds that both ran if paired."""
        champion, own = self.compared(trial)
        if not self.rule.paired:
            return _mean(champion) - _mean(own)
        return _mean([theirs - ours for theirs, ours in zip(champion, own, strict=True)])

    def wants(self) -> Wanted | None:
        """Return the repeat that should run now: of the baseline, or what it takes to confirm the incumbent."""
        if self.rule.kind != "two-tier" or self.champion is None or self.incumbent is None:
            return None
        in_question = self.incumbent != self.champion and self.lead(self.incumbent) > self.rule.lead * self.sigma
        n_baseline = len(self._readings[0])
        due = (in_question and n_baseline == 1) or self._n_ran > SPREAD_TRIALS * n_baseline
        if due and not self.rule.paired and n_baseline < (2 if self.rule.sigma else 3):
            return Wanted(0, self._fresh_seed(0), Purpose.BASELINE)
        return self._test(self.incumbent) if in_question else None

    def _test(self, trial: int) -> Wanted | None:
        """Return what it takes next to confirm a trial; None if the champion fails under too many seeds."""
        assert self.champion is not None
        known = self._readings[self.champion]
        if list(known.values()).count(None) >= MAX_FAILED_RUNS:
            return None
        seed = self._fresh_seed(trial)
        if self.rule.paired and seed not in known:
            return Wanted(self.champion, seed, Purpose.CHAMPION)
        return Wanted(trial, seed, Purpose.CONFIRM)

    def final(self, n_runs: int) -> Wanted | None:
        """Return the next repeat after the search; None when they are done, or `n_runs` is 0.

        First the incumbent is put to the test, if it never was and its lead is no less than a sigma: what was kept
        since the last confirmation would be lost with it. Then the run's result is run `n_runs` times under held-out
        seeds; where that is the baseline there is nothing to publish.
        """
        if n_runs and self._is_untested() and self.incumbent is not None:
            wanted = self._test(self.incumbent)
            if wanted is not None:
                return wanted
        if not self.result:
            return None
        seeds = range(HELD_OUT_SEED, HELD_OUT_SEED + n_runs)
        left = [seed for seed in seeds if seed not in self._readings[self.result]]
        return Wanted(self.result, left[0], Purpose.FINAL) if left else None

    def _is_untested(self) -> bool:
        """Return whether the incumbent has a lead that no fresh run has ever put to the test."""
        if self.rule.kind != "two-tier" or self.incumbent is None or self.incumbent == self.champion:
            return False
        return len(self._readings[self.incumbent]) == 1 and self.lead(self.incumbent) > LAST_LEAD * self.sigma

    def read(self, trial: int, seed: int, loss: float | None) -> None:
        """Take in one more loss. What differs between runs of the same script teaches sigma."""
        own = self._losses(trial)
        self._readings.setdefault(trial, {})[seed] = loss
        if loss is None:
            return
        if trial == 0 and not own:
            guess = self.rule.sigma or self.rule.sigma_share * abs(loss) or self.rule.sigma_share
            self.noise = Noise(guess)
        self.noise.see(loss, own.values())
        if not own:
            self._n_ran += 1
            return
        champion: dict[int, float] = {}
        if self.rule.paired and self.champion is not None and trial != self.champion:
            champion = self._losses(self.champion)
            own = {at: value for at, value in own.items() if at in champion}
            if seed not in champion or not own:
                return
        before = _mean([value - champion.get(at, 0.0) for at, value in own.items()])
        difference = loss - champion.get(seed, 0.0) - before
        n_before, runs_each = len(own), 2 if champion else 1  # a difference of pairs has twice the variance of a run
        self.noise.learn(difference**2 * n_before / (n_before + 1) / runs_each)

    def keep(self, trial: int) -> None:
        """Make a trial the incumbent; the baseline is the first champion too."""
        self._position = self._position.kept(trial)

    def move(self, trial: int, standing: Standing) -> None:
        """Move champion or incumbent as a verdict says."""
        self._position = self._position.judged(trial, standing)

    def verdict(self, trial: int, seed: int) -> Verdict:
        """Return what a confirmation, already read, decides about a trial."""
        loss = self._readings[trial][seed]
        if loss is None:
            return Verdict(Standing.ROLLED_BACK, None, f"it has no loss under training seed {seed}")
        twin = self._seed_without_effect(trial, seed, loss)
        if twin is not None:
            why = f"the same loss under training seeds {twin} and {seed}, unlike the champion's: it fixes its own seed"
            return Verdict(Standing.ROLLED_BACK, None, why)
        lead = self.lead(trial) / self.sigma
        if lead > self.rule.gain:
            return Verdict(Standing.CONFIRMED, lead)
        return Verdict(Standing.PROVISIONAL if lead > 0 else Standing.ROLLED_BACK, lead)

    def reading(self, trial: int) -> Reading:
        """Return a trial's loss as it may be published: over held-out seeds, else over all runs but the first.

        The first run of a kept trial was kept for being low. The baseline's was not chosen, and counts.
        """
        losses = self._losses(trial)
        held_out = [loss for seed, loss in losses.items() if seed >= HELD_OUT_SEED]
        fresh = held_out or list(losses.values())[0 if trial == 0 else 1 :]
        values = fresh or list(losses.values())
        error = None if self.noise.is_hidden else self.sigma / math.sqrt(len(values))
        return Reading(_mean(values), error, len(values), selected=not fresh)

    def readings(self, trial: int) -> dict[int, float]:
        """Return the losses of a trial by training seed, in the order in which they were read."""
        return self._losses(trial)

    def _losses(self, trial: int) -> dict[int, float]:
        return {seed: loss for seed, loss in self._readings.get(trial, {}).items() if loss is not None}

    def _fresh_seed(self, trial: int) -> int:
        """Return the lowest training seed above 0 that the trial has not run under, nor the champion failed under."""
        assert self.champion is not None
        unusable = {seed for seed, loss in self._readings[self.champion].items() if loss is None}
        taken = self._readings[trial].keys() | unusable
        return next(seed for seed in range(1, HELD_OUT_SEED) if seed not in taken)

    def _seed_without_effect(self, trial: int, seed: int, loss: float) -> int | None:
        """Return another seed of the same loss to the last digit, where the champion's losses differ."""
        assert self.champion is not None
        champion = self._losses(self.champion)
        for other, value in self._losses(trial).items():
            differ = champion.get(other) != champion.get(seed)
            if self.rule.paired and other != seed and value == loss and differ:
                return other
        return None


def closing_runs(rule: KeepRule, final_runs: int) -> int:
    """Return how many repeats may follow on the search: the last test of the incumbent, and the final runs."""
    tests = 0 if rule.kind != "two-tier" else 2 if rule.paired else 1
    return tests + final_runs if final_runs else 0


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed)
