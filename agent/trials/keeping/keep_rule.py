"""The keep rule, in two tiers: any lower loss moves the incumbent, but only a fresh run confirms a gain.

An edit that seems better becomes the incumbent at once, provisionally: proof of each small gain would cost more than
it saves. Once the incumbent leads the champion by enough, it runs again under another seed. If it keeps its lead, it
becomes the champion; if it has no lead, the search returns to the champion.

There are two leads. The apparent lead, in losses on the standing split, determines which trial to test. The lead on
slices of unseen text (agent.trials.keeping.confirmations) decides; if the task has no pool, the apparent lead decides
too, and the gain is called repeated. docs/keep-rule.md has the measurements behind the rule.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from agent.trials.keeping.confirmations import CHALLENGER, SliceTests, SliceUse, seeds_flag
from agent.trials.keeping.noise import LossEstimate, Noise, SeedLosses, mean_of
from agent.trials.repeat import Position, Purpose, Repeat, RepeatVerdict
from agent.trials.trial import KeepState, Outcome, Trial

HELD_OUT_SEED = 100
"""The first held-out training seed. Held-out seeds decide nothing; published results use them."""
FINAL_RUNS = 3
FEWEST_TRIALS = 20  # a run with fewer has no final runs by default
CPU_SIGMA_SHARE = 0.01  # of the loss; for small models and short runs
GPU_SIGMA_SHARE = 5e-4  # of the loss; for minutes on a GPU: 890 runs of one script in the published logs
SPREAD_TRIALS = 10  # trials between repeats of the baseline: consecutive runs would miss a drift of the machine
REPEAT_LEAD = 3.5  # sigmas; default of `lead` if the standing split decides
SLICE_LEAD = 4.0  # sigmas; default of `lead` if slices decide
LAST_LEAD = 1.0  # sigmas of apparent lead from which the incumbent is tested at the end of the search
MAX_FAILED_RUNS = 3  # failures of the champion's script under further seeds after which nothing is confirmed any more


@dataclass(frozen=True)
class KeepRule:
    """Settings of the rule. Sigma is the standard deviation of the loss of one script over training seeds."""

    kind: Literal["two-tier", "any", "baseline"] = "two-tier"  # any: no repeats; baseline: only the baseline is kept
    lead: float = REPEAT_LEAD  # sigmas of apparent lead over the champion from which the incumbent is tested
    gain: float = 2.0  # lead that the test must show to confirm it: sigmas, or standard errors on slices
    n_slices: int = 0  # slices of unseen text that confirmations may open; 0: the standing split decides
    paired: bool = False  # the same seed gives the same loss, so that losses are compared seed by seed
    sigma: float | None = None  # given in advance; None: guessed
    sigma_source: str | None = None  # where `sigma` is from
    sigma_share: float = CPU_SIGMA_SHARE  # of the baseline's loss: the first guess if `sigma` is None
    why_no_slices: str = "the task has no pool"  # in words, if n_slices is 0
    accept_metric_edits: bool = False  # edits of the code that prints a self-reported score may be kept


@dataclass(frozen=True)
class RepeatRequest:
    """A repeat that should run before the next trial."""

    trial: int
    seed: int
    purpose: Purpose


class KeepPolicy:
    """The keep rule applied to a run. It is a fold of the journal, so a rebuilt one makes the same decisions."""

    def __init__(self, rule: KeepRule, results: Iterable[Trial | Repeat] = ()) -> None:
        """`results`: finished trials and repeats of the run, in order, with the decisions on them."""
        self.rule = rule
        self._position = Position()
        self._readings = SeedLosses()
        self.tests = SliceTests(rule.gain)
        self.why_no_slices = ""  # why nothing can be confirmed on the run's pool
        for result in results:
            self.observe(result)

    def observe(self, result: Trial | Repeat) -> None:
        """Record a finished trial or repeat, with the decision in the journal."""
        if isinstance(result, Repeat):
            if result.purpose is Purpose.SLOPE:
                return  # trained for less time, so not comparable
            self.read(result.trial, result.seed, result.val_loss)
            for use in result.slices:
                self.tests.take(result.trial, use)
            if result.verdict is not None:
                self.move(result.trial, result.verdict.standing)
        elif result.val_loss is not None:
            self.read(result.number, result.proposal.train_seed, result.val_loss)
            score = result.outcome.score if result.outcome is not None else None
            self.why_no_slices = self.why_no_slices or (score.why_no_slices if score is not None else "")
            if result.kept:
                self.keep(result.number)

    @property
    def noise(self) -> Noise:
        """The noise of one run as measured so far; nothing before the baseline has a loss."""
        return self._readings.noise

    @property
    def incumbent(self) -> int | None:
        """The trial that the next one must beat."""
        return self._position.incumbent

    @property
    def champion(self) -> int | None:
        """The last confirmed incumbent; the baseline at first."""
        return self._position.champion

    @property
    def sigma(self) -> float:
        """Standard deviation of one run, from the measurements so far and the first guess."""
        return self.noise.sigma

    @property
    def deciding_sigma(self) -> float:
        """The sigma for decisions on slices. A searched script may forge its losses, so these never lower it."""
        return max(self.sigma, self._readings.baseline_noise.sigma)

    @property
    def on_slices(self) -> bool:
        """Whether slices of unseen text decide."""
        return self.rule.n_slices > 0 and not self.why_no_slices

    @property
    def is_used_up(self) -> bool:
        """Whether no slice is left for a confirmation."""
        return self.on_slices and self.tests.n_opened >= self.rule.n_slices

    @property
    def result(self) -> int | None:
        """The trial that is the run's result: the champion, or the incumbent if the rule confirms nothing."""
        return self.incumbent if self.rule.kind == "any" else self.champion

    def to_beat(self, seed: int) -> float | None:
        """Return the loss below which a first run under `seed` becomes the incumbent; None: any loss does."""
        if self.incumbent is None:
            return None
        losses = self.losses(self.incumbent)
        if self.rule.paired and seed in losses:
            return losses[seed]
        return mean_of(losses.values())

    def improves(self, seed: int, loss: float) -> bool:
        """Return whether a first run with this loss becomes the incumbent; an equal loss does not."""
        to_beat = self.to_beat(seed)
        return to_beat is None or (loss < to_beat and self.rule.kind != "baseline")

    def decide(self, outcome: Outcome, seed: int) -> Outcome:
        """Return the outcome of a first run under `seed` with `kept` decided."""
        if outcome.counted_loss is None:
            return outcome
        if self.improves(seed, outcome.counted_loss):
            return replace(outcome, kept=True)
        if self.rule.paired and outcome.val_loss == self.to_beat(seed):
            return replace(outcome, reason="no effect: the loss equals the incumbent's to the last digit")
        return outcome

    def compared(self, trial: int) -> tuple[list[float], list[float]]:
        """Return the losses of the champion and of a trial; if paired, only those of seeds that both ran under."""
        assert self.champion is not None
        champion, own = self.losses(self.champion), self.losses(trial)
        if not self.rule.paired:
            return list(champion.values()), list(own.values())
        seeds = [seed for seed in champion if seed in own]
        return [champion[seed] for seed in seeds], [own[seed] for seed in seeds]

    def gain_over_champion(self, trial: int) -> float:
        """Return how far a trial's loss is below the champion's; if paired, over the seeds that both ran under."""
        champion, own = self.compared(trial)
        if not self.rule.paired:
            return mean_of(champion) - mean_of(own)
        return mean_of([theirs - ours for theirs, ours in zip(champion, own, strict=True)])

    def next_repeat(self) -> RepeatRequest | None:
        """Return the repeat that should run now, of the baseline or to confirm the incumbent; None if none should."""
        if self.rule.kind != "two-tier" or self.champion is None or self.incumbent is None:
            return None
        in_question = self._is_in_question(self.incumbent)
        n_baseline = len(self._readings.of(0))
        due = (in_question and n_baseline == 1) or self._readings.n_scripts > SPREAD_TRIALS * n_baseline
        if due and not self.rule.paired and n_baseline < (2 if self.rule.sigma else 3):
            return RepeatRequest(0, self._fresh_seed(0), Purpose.BASELINE)
        return self._test(self.incumbent) if in_question else None

    def _is_in_question(self, trial: int) -> bool:
        """Return whether a trial should be tested now. On slices it is tested once, with two slices at most."""
        if trial == self.champion or self.is_used_up:
            return False
        if self.on_slices and (self.tests.is_settled(trial) or self.tests.n_tests(trial)):
            return not self.tests.is_settled(trial)
        return self.gain_over_champion(trial) > self.rule.lead * self.sigma

    def champion_seed(self, seed: int) -> int:
        """Return the training seed of the champion's model with which a model under `seed` is compared on a slice.

        Unpaired, it is the seed of the champion's confirmation; for the baseline, that of its first run.
        """
        assert self.champion is not None
        own = [other for other in self.losses(self.champion) if other < HELD_OUT_SEED]
        return seed if self.rule.paired else own[0 if self.champion == 0 else -1]

    def _test(self, trial: int) -> RepeatRequest | None:
        """Return the next repeat that a confirmation needs; None if the champion failed under too many seeds."""
        assert self.champion is not None
        known = self._readings.of(self.champion)
        if list(known.values()).count(None) >= MAX_FAILED_RUNS:
            return None
        seed = self._fresh_seed(trial)
        if self.rule.paired and seed not in known:
            return RepeatRequest(self.champion, seed, Purpose.CHAMPION)
        return RepeatRequest(trial, seed, Purpose.CONFIRM)

    def final(self, n_runs: int) -> RepeatRequest | None:
        """Return the next repeat after the search; None when all are done, or `n_runs` is 0.

        First the incumbent is tested if its test is unfinished, or if it has none and leads by LAST_LEAD: else the
        trials kept since the last confirmation would be lost. Then the result runs `n_runs` times under held-out
        seeds, unless it is the baseline.
        """
        wanted = self._test(self.incumbent) if n_runs and self._is_untested() and self.incumbent is not None else None
        if wanted is not None:
            return wanted
        known = self._readings.of(self.result) if self.result else {}
        left = [seed for seed in range(HELD_OUT_SEED, HELD_OUT_SEED + n_runs) if seed not in known]
        return RepeatRequest(self.result, left[0], Purpose.FINAL) if self.result and left else None

    def _is_untested(self) -> bool:
        """Return whether the incumbent has a lead on which no test has decided."""
        trial = self.incumbent
        if self.rule.kind != "two-tier" or trial is None or trial == self.champion or self.is_used_up:
            return False
        if self.on_slices and self.tests.n_tests(trial):
            return not self.tests.is_settled(trial)
        return len(self._readings.of(trial)) == 1 and self.gain_over_champion(trial) > LAST_LEAD * self.sigma

    def read(self, trial: int, seed: int, loss: float | None) -> None:
        """Record one more loss. Differences between runs of the same script update sigma."""
        if loss is not None and trial == 0 and not self.losses(0):
            self._readings.guess(self.rule.sigma or self.rule.sigma_share * abs(loss) or self.rule.sigma_share)
        is_paired = self.rule.paired and self.champion is not None and trial != self.champion
        self._readings.observe(trial, seed, loss, beside=self.champion if is_paired else None)

    def keep(self, trial: int) -> None:
        """Make a trial the incumbent; the baseline becomes the first champion as well."""
        self._position = self._position.kept(trial)

    def move(self, trial: int, standing: KeepState) -> None:
        """Update champion or incumbent according to a verdict."""
        self._position = self._position.judged(trial, standing)
        if self.on_slices:
            self.tests.settle(trial, standing)

    def objection(self, trial: int, seed: int) -> RepeatVerdict | None:
        """Return the verdict on a trial that fails under a fresh seed or ignores its seed; None if neither holds."""
        if self._readings.of(trial)[seed] is None:
            return RepeatVerdict(KeepState.ROLLED_BACK, None, f"it has no loss under training seed {seed}")
        is_measured = self.rule.sigma is not None or self.noise.n_learned > 0
        flag = seeds_flag(self.losses(trial), self.sigma if is_measured else 0.0)
        if flag is None or self.noise.is_unobservable:  # or no script's loss has ever changed with the seed
            return None
        return RepeatVerdict(KeepState.ROLLED_BACK, None, flag)

    def verdict(self, trial: int, seed: int) -> RepeatVerdict:
        """Return the verdict on a trial of a confirmation on the standing split, whose loss has been recorded."""
        if (objection := self.objection(trial, seed)) is not None:
            return objection
        lead = self.gain_over_champion(trial) / self.sigma
        if lead > self.rule.gain:
            return RepeatVerdict(KeepState.REPEATED, lead, self.why_no_slices)
        return RepeatVerdict(KeepState.PROVISIONAL if lead > 0 else KeepState.ROLLED_BACK, lead)

    def verdict_on(self, trial: int, use: SliceUse) -> RepeatVerdict:
        """Return the verdict on a trial of a scored slice, which has been recorded."""
        assert use.score is not None
        if use.score.burned_by == CHALLENGER:
            return RepeatVerdict(KeepState.ROLLED_BACK, None, f"it did not answer on unseen text: {use.score.reason}")
        if use.score.is_burned:
            why = f"the {use.score.burned_by} did not answer on unseen text: {use.score.reason}"
            return RepeatVerdict(KeepState.PROVISIONAL, None, why)
        found = self.tests.decide(trial, sigma := self.deciding_sigma)
        verdict = RepeatVerdict(found.standing, found.lead.mean / sigma, found.reason, found.n_errors, found.bar)
        if use.score.gap:
            return replace(verdict, standing=KeepState.ROLLED_BACK, reason=use.score.gap)
        return verdict

    def reading(self, trial: int) -> LossEstimate:
        """Return a trial's loss for publication: over held-out seeds, else over all runs but the first."""
        return self._readings.published(trial, HELD_OUT_SEED)

    def losses(self, trial: int) -> dict[int, float]:
        """Return the losses of a trial by training seed, in the order in which they were recorded."""
        return self._readings.losses(trial)

    def _fresh_seed(self, trial: int) -> int:
        """Return the lowest training seed above 0 under which the trial has not run and the champion has not failed."""
        assert self.champion is not None
        unusable = {seed for seed, loss in self._readings.of(self.champion).items() if loss is None}
        taken = self._readings.of(trial).keys() | unusable
        return next(seed for seed in range(1, HELD_OUT_SEED) if seed not in taken)


def closing_runs(rule: KeepRule, final_runs: int) -> int:
    """Return how many repeats may follow the search: the last test of the incumbent, and the final runs."""
    tests = 0 if rule.kind != "two-tier" else 2 if rule.paired else 1
    return tests + final_runs if final_runs else 0
