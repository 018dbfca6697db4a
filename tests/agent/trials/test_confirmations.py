"""What slices decide: every branch with numbers worked out by hand. Sigma is 1 unless it is given.

With one model each and a sampling error of .5, a lead is divided by √(1 + 1 + .25) = 1.5 standard errors.
"""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from agent.edits.edit import Unchanged
from agent.trials.events import (
    Event,
    RepeatFinished,
    RepeatStarted,
    RepeatTrained,
    SliceOpened,
    SliceScored,
    TrialFinished,
    TrialStarted,
    event_from_json,
)
from agent.trials.history import History
from agent.trials.keeping.confirmations import (
    BASELINE,
    CHALLENGER,
    CHAMPION,
    STEP,
    Decision,
    Entrant,
    SlicePurpose,
    SliceScore,
    SliceTests,
    SliceUse,
    dead_flag,
    gap_flag,
    noise_flag,
    seeds_flag,
)
from agent.trials.keeping.keep_rule import HELD_OUT_SEED, KeepPolicy, KeepRule, RepeatRequest
from agent.trials.keeping.noise import Lead
from agent.trials.repeat import Purpose
from agent.trials.trial import KeepState, Origin, Outcome, Proposal, Score, Status, Trial

ERROR = 0.5
DRIFT = 0.6  # by which each trial of a journaled run is better than the last
UNPAIRED = KeepRule(sigma=1.0, lead=4.0, n_slices=6)
PAIRED = replace(UNPAIRED, paired=True)
CONFIRMED, PROVISIONAL, ROLLED_BACK = KeepState.CONFIRMED, KeepState.PROVISIONAL, KeepState.ROLLED_BACK


def a_slice(
    over_baseline: float, over_champion: float | None = None, *, seed: int = 1, champion_seed: int = 1,
    error: float = ERROR, gap: str = "", burned_by: str = "",
) -> SliceUse:  # fmt: skip
    """Return a scored slice; without a lead over the champion, that is the baseline."""
    seeds = {BASELINE: (0, 0), CHAMPION: (1, champion_seed), CHALLENGER: (2, seed)}
    leads = {f"{CHALLENGER}-{BASELINE}": Lead(over_baseline, error)}
    if over_champion is None:
        del seeds[CHAMPION]
    else:
        leads[f"{CHALLENGER}-{CHAMPION}"] = Lead(over_champion, error)
    entrants = {name: Entrant(*numbers, artifact="a", files="f") for name, numbers in seeds.items()}
    score = SliceScore({}, {} if burned_by else leads, 1.0, burned_by=burned_by, reason="it ended", gap=gap)
    return SliceUse(0, SlicePurpose.CONFIRM, entrants, 0, "t", score)


def after(tests: SliceTests, trial: int, *slices: SliceUse, sigma: float = 1.0) -> Decision:
    """Take in slices of a trial, one after another, each with what follows; return the last decision."""
    for use in slices:
        tests.take(trial, use)
        decision = tests.decide(trial, sigma)
        tests.settle(trial, decision.standing)
    return decision


def with_champion(*over_baseline: float, gain: float = 2.0) -> SliceTests:
    """Return tests in which trial 1 was confirmed over the baseline, with these leads on as many slices."""
    tests = SliceTests(gain)
    decision = after(tests, 1, *[a_slice(lead, seed=seed) for seed, lead in enumerate(over_baseline, start=1)])
    assert decision.standing is CONFIRMED
    return tests


@pytest.mark.parametrize(
    ("lead", "standing"),
    [(3.01, CONFIRMED), (2.99, PROVISIONAL), (0.01, PROVISIONAL), (0.0, ROLLED_BACK), (-3.0, ROLLED_BACK)],
)
def test_where_the_baseline_is_champion_two_standard_errors_confirm(lead: float, standing: KeepState) -> None:
    found = after(SliceTests(2.0), 1, a_slice(lead))
    assert found.standing is standing
    assert found.lead == Lead(lead, ERROR)
    assert found.n_errors == pytest.approx(lead / 1.5)
    assert (found.bar, found.reason) == (2.0, "")


@pytest.mark.parametrize(("sigma", "lead", "standing"), [(2.0, 5.8, CONFIRMED), (2.0, 5.7, PROVISIONAL)])
def test_the_bar_is_in_the_noise_of_seeds_and_of_the_text_together(
    sigma: float, lead: float, standing: KeepState
) -> None:
    # 2 √(4 + 4 + .25) = 5.745
    assert after(SliceTests(2.0), 1, a_slice(lead), sigma=sigma).standing is standing


@pytest.mark.parametrize(
    ("champion_seeds", "second", "standing"),
    [
        # One model of the champion: 2 √(1/2 + 1/1 + .25/2) = 2.550, and the means are 2.6 and 2.5.
        ((0, 0), 3.2, CONFIRMED),
        ((0, 0), 3.0, PROVISIONAL),
        # Two models of it: 2 √(1/2 + 1/2 + .25/2) = 2.121, and the means are 2.15 and 2.1.
        ((1, 2), 2.3, CONFIRMED),
        ((1, 2), 2.2, PROVISIONAL),
        ((1, 2), -2.0, ROLLED_BACK),
    ],
)
def test_a_second_seed_on_a_second_slice_is_averaged_with_the_first(
    champion_seeds: tuple[int, int], second: float, standing: KeepState
) -> None:
    tests = SliceTests(2.0)
    first, again = (
        replace(use, entrants={**use.entrants, BASELINE: Entrant(0, own, "a", "f")})
        for use, own in zip((a_slice(2.0), a_slice(second, seed=2)), champion_seeds, strict=True)
    )
    assert after(tests, 1, first).standing is PROVISIONAL
    assert not tests.is_settled(1)
    found = after(tests, 1, again)
    assert found.standing is standing
    assert found.lead.mean == (2.0 + second) / 2
    assert found.lead.error == pytest.approx(math.sqrt(0.125))


@pytest.mark.parametrize(
    ("over_champion", "over_baseline", "standing"),
    [
        # Over the baseline it has to lead by 2 √(1 + 1 + .25 + .25) = 3.162 more than the champion's 5.
        (3.1, 8.2, CONFIRMED),
        (3.1, 8.1, PROVISIONAL),  # the champion answers worse than it did: that is no gain
        (9.0, 5.0, PROVISIONAL),
        (2.9, 9.0, PROVISIONAL),
        (-0.1, 9.0, ROLLED_BACK),
    ],
)
def test_a_gain_is_one_over_the_baseline_too(over_champion: float, over_baseline: float, standing: KeepState) -> None:
    found = after(with_champion(5.0), 2, a_slice(over_baseline, over_champion))
    assert found.standing is standing
    is_third = over_champion > 3 and standing is PROVISIONAL
    assert ("more than the champion's was" in found.reason) is is_third


@pytest.mark.parametrize(("over_baseline", "standing"), [(7.8, CONFIRMED), (7.7, PROVISIONAL)])
def test_what_the_champion_had_is_the_mean_of_all_its_models(over_baseline: float, standing: KeepState) -> None:
    # It was confirmed with 2.5 and 7.5, mean 5 ± √.125: 2 √(1 + 1/2 + .25 + .125) = 2.739.
    assert after(with_champion(2.5, 7.5), 2, a_slice(over_baseline, 4.0)).standing is standing


def test_a_champion_s_lead_is_known_by_the_seed_of_its_model() -> None:
    tests = SliceTests(2.0)
    assert tests.champion_had(0) is None
    after(tests, 1, a_slice(2.5, seed=1), a_slice(7.5, seed=2))
    assert (tests.champion_had(1), tests.champion_had(2)) == (Lead(2.5, ERROR), Lead(7.5, ERROR))
    assert tests.champion_had(3) is None


def test_the_bar_rises_with_each_test_that_confirms_nothing_and_falls_to_gain_at_the_lowest() -> None:
    tests = SliceTests(2.0)
    for trial, bar in ((1, 2.25), (2, 2.5)):
        after(tests, trial, a_slice(-1.0))
        assert tests.bar == bar
    after(tests, 3, a_slice(1.0))
    assert tests.bar == 2.5  # a second slice will decide
    after(tests, 3, a_slice(1.0, seed=2))
    assert tests.bar == 2.75
    assert after(tests, 4, a_slice(4.1)).standing is PROVISIONAL  # 2.75 times 1.5 is 4.125
    assert after(tests, 5, a_slice(4.2)).standing is CONFIRMED
    assert tests.bar == 2.5
    for trial in (6, 7, 8):
        after(tests, trial, a_slice(4.2 * trial, 30.0))
    assert tests.bar == 2.0


def test_the_bar_begins_at_the_task_s_gain() -> None:
    assert after(SliceTests(1.0), 1, a_slice(1.6)).standing is CONFIRMED
    assert with_champion(99.0, gain=1.0).bar == 1.0
    assert STEP == 0.25


def test_a_trial_is_tested_on_two_slices_at_most_and_again_once_the_champion_moved() -> None:
    tests = SliceTests(2.0)
    after(tests, 1, a_slice(1.0))
    assert (tests.n_tests(1), tests.is_settled(1)) == (1, False)
    after(tests, 1, a_slice(1.0, seed=2))
    assert (tests.n_tests(1), tests.is_settled(1)) == (2, True)
    after(tests, 2, a_slice(-1.0))
    assert tests.is_settled(2)
    after(tests, 3, a_slice(9.0))
    assert [tests.n_tests(trial) for trial in (1, 2, 3)] == [0, 0, 0]  # that was beside another champion
    assert not any(tests.is_settled(trial) for trial in (1, 2, 3))


def test_a_burned_slice_is_used_up_and_says_nothing_of_a_lead() -> None:
    tests = SliceTests(2.0)
    tests.take(1, a_slice(9.0, burned_by=BASELINE))
    assert (tests.n_opened, tests.n_tests(1), tests.bar) == (1, 0, 2.25)
    assert after(tests, 1, a_slice(2.9)).standing is PROVISIONAL
    assert (tests.n_opened, tests.n_tests(1), tests.is_settled(1)) == (2, 1, False)


def test_a_trial_whose_last_slice_was_burned_is_settled() -> None:
    first, second = SliceTests(2.0), SliceTests(2.0)
    after(second, 1, a_slice(1.0))
    for tests in (first, second):
        tests.take(1, a_slice(9.0, burned_by=CHAMPION))
        tests.settle(1, PROVISIONAL)
        assert (tests.is_settled(1), tests.bar) == (True, 2.25)


@pytest.mark.parametrize(("has", "is_flagged"), [(3.6, False), (3.4, True), (7.0, False)])
def test_a_champion_whose_lead_fell_by_three_sampling_errors_is_flagged(has: float, is_flagged: bool) -> None:
    # 3 √(.3² + .4²) = 1.5
    flag = dead_flag(Lead(5.0, 0.3), Lead(has, 0.4))
    assert (flag is not None) is is_flagged
    assert flag is None or flag.startswith("the champion's lead over the baseline was 5 ± 0.3")


@pytest.mark.parametrize(
    ("on_slice", "standing", "n_standing", "expected"),
    [
        # 3 √(.3² + .3²) + .5 = 1.773
        (5.0, 3.3, 600, None),
        (5.0, 3.2, 600, "training on leaked slices"),
        (3.3, 5.0, 600, None),
        (3.2, 5.0, 600, "a leaked standing split"),
        (5.0, 3.3, 60_000, None),  # a larger split is not taken to tell better than the slice
        # 3 √(.3² + .6²) + .5 = 2.512: a quarter as many sequences, twice the error
        (5.0, 2.5, 150, None),
        (5.0, 2.4, 150, "training on leaked slices"),
        (-5.0, -3.2, 600, "a leaked standing split"),
    ],
)
def test_another_lead_on_the_standing_split_is_flagged_beyond_chance(
    on_slice: float, standing: float, n_standing: int, expected: str | None
) -> None:
    flag = gap_flag(Lead(on_slice, 0.3), standing, 600, n_standing)
    assert flag is None if expected is None else flag is not None and expected in flag


@pytest.mark.parametrize(
    ("losses", "sigma", "expected"),
    [
        ({0: 2.0, 1: 2.011}, 1.0, None),
        ({0: 2.0, 1: 2.009}, 1.0, "under training seeds 0 and 1 differ by only 0.009, and sigma is 1"),
        ({0: 2.0, 1: 2.005, 2: 2.02}, 1.0, None),
        ({0: 2.0}, 1.0, None),
        ({0: 2.0, 3: 2.0}, 0.0, "under training seeds 0 and 3 are the same"),
        ({0: 2.0, 1: math.nextafter(2.0, 3.0)}, 0.0, None),
    ],
)
def test_losses_that_do_not_depend_on_the_seed_are_flagged(
    losses: dict[int, float], sigma: float, expected: str | None
) -> None:
    flag = seeds_flag(losses, sigma)
    assert flag is None if expected is None else flag is not None and expected in flag


# --------------------------------------------------------------------------------------------- the Keeper on slices


def kept(rule: KeepRule, *losses: float) -> KeepPolicy:
    """Return a keeper whose trials had these first losses, each lower than the one before."""
    keeper = KeepPolicy(rule)
    for trial, loss in enumerate(losses):
        keep(keeper, trial, loss)
    return keeper


def keep(keeper: KeepPolicy, trial: int, loss: float) -> None:
    assert keeper.improves(0, loss)
    keeper.read(trial, 0, loss)
    keeper.keep(trial)


def answered(keeper: KeepPolicy, wanted: RepeatRequest, loss: float, use: SliceUse) -> KeepState:
    """Have a challenger trained with this loss, and compared on a slice."""
    assert keeper.next_repeat() == wanted
    keeper.read(wanted.trial, wanted.seed, loss)
    assert keeper.objection(wanted.trial, wanted.seed) is None
    keeper.tests.take(wanted.trial, use)
    verdict = keeper.verdict_on(wanted.trial, use)
    keeper.move(wanted.trial, verdict.standing)
    return verdict.standing


def test_unpaired_it_is_tested_under_two_seeds_at_most() -> None:
    keeper = kept(UNPAIRED, 20.0, 15.0)
    assert keeper.next_repeat() == RepeatRequest(0, 1, Purpose.BASELINE)
    keeper.read(0, 1, 20.5)
    assert answered(keeper, RepeatRequest(1, 1, Purpose.CONFIRM), 16.0, a_slice(1.0)) is PROVISIONAL
    assert answered(keeper, RepeatRequest(1, 2, Purpose.CONFIRM), 15.5, a_slice(1.0, seed=2)) is PROVISIONAL
    assert keeper.next_repeat() is None
    assert keeper.final(1) is None  # a last test is for what no test has decided about
    keep(keeper, 2, 14.0)  # the incumbent moved
    assert answered(keeper, RepeatRequest(2, 1, Purpose.CONFIRM), 14.5, a_slice(6.0)) is CONFIRMED
    assert (keeper.champion, keeper.champion_seed(1), keeper.next_repeat()) == (2, 1, None)


def test_paired_the_champion_runs_under_each_seed_first() -> None:
    keeper = kept(PAIRED, 20.0, 15.0)
    for seed in (1, 2):
        assert keeper.next_repeat() == RepeatRequest(0, seed, Purpose.CHAMPION)
        keeper.read(0, seed, 20.0 + seed)
        wanted = RepeatRequest(1, seed, Purpose.CONFIRM)
        assert answered(keeper, wanted, 16.0 + seed, a_slice(1.0, 1.0, seed=seed)) is PROVISIONAL
        assert keeper.champion_seed(seed) == seed
    assert keeper.next_repeat() is None


def test_the_lead_that_puts_a_trial_to_the_test_is_the_apparent_one() -> None:
    assert kept(PAIRED, 20.0, 16.1).next_repeat() is None
    assert kept(PAIRED, 20.0, 15.9).next_repeat() == RepeatRequest(0, 1, Purpose.CHAMPION)


def test_unpaired_the_baseline_answers_with_its_first_model_and_a_champion_with_its_confirmed_one() -> None:
    keeper = kept(UNPAIRED, 20.0, 15.0)
    keeper.read(0, 1, 20.5)
    assert keeper.champion_seed(1) == 0
    answered(keeper, RepeatRequest(1, 1, Purpose.CONFIRM), 16.0, a_slice(1.0))
    answered(keeper, RepeatRequest(1, 2, Purpose.CONFIRM), 16.0, a_slice(9.0, seed=2))
    keeper.read(1, HELD_OUT_SEED, 15.5)
    assert (keeper.champion, keeper.champion_seed(1)) == (1, 2)


def test_nothing_is_tested_once_the_slices_are_used_up() -> None:
    keeper = kept(replace(PAIRED, n_slices=1), 20.0, 15.0)
    keeper.read(0, 1, 20.0)
    assert answered(keeper, RepeatRequest(1, 1, Purpose.CONFIRM), 15.5, a_slice(1.0, 1.0)) is PROVISIONAL
    assert (keeper.is_used_up, keeper.next_repeat(), keeper.final(3)) == (True, None, None)


@pytest.mark.parametrize(
    ("use", "standing", "why"),
    [
        (a_slice(9.0, burned_by=CHALLENGER), ROLLED_BACK, "it did not answer on unseen text: it ended"),
        (a_slice(9.0, burned_by=BASELINE), PROVISIONAL, "the baseline did not answer on unseen text: it ended"),
        (a_slice(9.0, gap="leaked"), ROLLED_BACK, "leaked"),
        (a_slice(9.0), CONFIRMED, ""),
    ],
)
def test_what_a_slice_says_becomes_a_verdict(use: SliceUse, standing: KeepState, why: str) -> None:
    keeper = kept(PAIRED, 20.0, 15.0)
    keeper.read(0, 1, 21.0)
    keeper.read(1, 1, 15.5)
    keeper.tests.take(1, use)
    verdict = keeper.verdict_on(1, use)
    assert (verdict.standing, verdict.reason) == (standing, why)


def test_losses_of_the_search_s_scripts_never_lower_the_sigma_that_decides() -> None:
    keeper = kept(UNPAIRED, 20.0, 15.0)
    for seed in range(1, 9):
        keeper.read(1, seed, 15.0 + seed / 50)  # as alike as a script likes that forges them
    assert keeper.sigma < 0.5
    assert keeper.deciding_sigma == 1.0
    use = a_slice(2.9)
    keeper.tests.take(1, use)
    verdict = keeper.verdict_on(1, use)
    assert verdict.standing is PROVISIONAL
    assert verdict.n_errors == pytest.approx(2.9 / 1.5)


def test_noisy_scripts_raise_the_sigma_that_decides_and_the_baseline_s_repeats_lower_it() -> None:
    noisy = kept(UNPAIRED, 20.0, 15.0)
    noisy.read(1, 1, 25.0)
    assert noisy.deciding_sigma == noisy.sigma > 4.0
    calm = kept(UNPAIRED, 20.0)
    for seed in range(1, 9):
        calm.read(0, seed, 20.0 + 0.01 * (-1) ** seed)
    assert calm.deciding_sigma == calm.sigma < 0.5


def test_where_nothing_can_be_asked_on_slices_the_standing_split_decides() -> None:
    keeper = KeepPolicy(PAIRED)
    first = Outcome(Status.OK, 20.0, kept=True, score=Score(20.0, "audited", why_no_slices="no rounds are answered"))
    keeper.observe(Trial(0, None, Proposal(Origin.BASELINE, "", Unchanged()), "t").finished(first, "t"))
    keep(keeper, 1, 15.0)
    keeper.read(0, 1, 20.5)
    keeper.read(1, 1, 15.5)
    verdict = keeper.verdict(1, 1)
    assert (verdict.standing, verdict.reason) == (KeepState.REPEATED, "no rounds are answered")


# ---------------------------------------------------------------------------------------------------- from the journal


class Journaled:
    """A run without jobs: draws losses and leads, writes what `agent run` would, and asks a keeper as it does."""

    def __init__(self, rule: KeepRule, seed: int) -> None:
        self.keeper = KeepPolicy(rule)
        self.events: list[Event] = []
        self.rng = np.random.default_rng(seed)
        self.n_slices = 0

    def trial(self, number: int) -> None:
        proposal = Proposal(Origin.BASELINE if not number else Origin.LLM, "idea", Unchanged())
        loss = 20.0 - DRIFT * number + float(self.rng.normal())
        outcome = self.keeper.decide(Outcome(Status.OK, loss), 0)
        self.events += [TrialStarted(number, None, proposal, "t"), TrialFinished(number, outcome, "t")]
        self.keeper.read(number, 0, loss)
        if outcome.kept:
            self.keeper.keep(number)

    def repeat(self, wanted: RepeatRequest) -> None:
        outcome = Outcome(Status.OK, 20.0 - DRIFT * wanted.trial + float(self.rng.normal()))
        keeper, at = self.keeper, (wanted.trial, wanted.seed)
        self.events.append(RepeatStarted(*at, wanted.purpose, "t"))
        keeper.read(*at, outcome.val_loss)
        verdict = None
        if wanted.purpose is Purpose.CONFIRM and (verdict := keeper.objection(*at)) is None:
            self.events.append(RepeatTrained(*at, outcome, "t"))
            use = self.opened(wanted)
            keeper.tests.take(wanted.trial, use)
            verdict = keeper.verdict_on(wanted.trial, use)
        if verdict is not None:
            keeper.move(wanted.trial, verdict.standing)
        self.events.append(RepeatFinished(*at, outcome, verdict, "t"))

    def opened(self, wanted: RepeatRequest) -> SliceUse:
        assert self.keeper.champion is not None
        lead = DRIFT * (wanted.trial - self.keeper.champion) + float(self.rng.normal(0, 3.0))
        burned_by = str(self.rng.choice([CHALLENGER, BASELINE, ""], p=[0.1, 0.1, 0.8]))
        over_champion = lead if self.keeper.champion else None
        seeds = {"seed": wanted.seed, "champion_seed": self.keeper.champion_seed(wanted.seed)}
        use = a_slice(DRIFT * wanted.trial, over_champion, burned_by=burned_by, **seeds)  # type: ignore[arg-type]
        use = replace(use, number=self.n_slices)
        self.n_slices += 1
        assert use.score is not None
        self.events.append(SliceOpened(use.number, use.purpose, use.entrants, 0, "t"))
        self.events.append(SliceScored(use.number, use.score, "t"))
        return use


@pytest.mark.parametrize("rule", [replace(UNPAIRED, n_slices=12), replace(PAIRED, n_slices=12)])
def test_read_again_from_the_journal_it_decides_the_same(rule: KeepRule) -> None:
    run = Journaled(rule, 4)
    for number in range(60):
        run.trial(number)
        while True:
            history = History([])
            for event in run.events:
                history.add(event_from_json(json.loads(json.dumps(event.to_json()))))  # type: ignore[arg-type]
            again = KeepPolicy(rule, history.results)
            assert (again.champion, again.incumbent) == (run.keeper.champion, run.keeper.incumbent)
            assert (again.deciding_sigma, again.tests.bar) == (run.keeper.deciding_sigma, run.keeper.tests.bar)
            assert vars(again.tests) == vars(run.keeper.tests)
            assert again.final(3) == run.keeper.final(3)
            wanted = run.keeper.next_repeat()
            assert again.next_repeat() == wanted
            if wanted is None:
                break
            run.repeat(wanted)
    verdicts = [repeat.verdict for repeat in history.repeats if repeat.verdict is not None]
    assert {verdict.standing for verdict in verdicts} == {CONFIRMED, PROVISIONAL, ROLLED_BACK}
    assert run.keeper.is_used_up


@pytest.mark.parametrize(("lead", "is_flagged"), [(1.4, False), (-1.4, False), (1.6, True), (-1.6, True)])
def test_seeds_of_the_baseline_that_differ_by_more_on_unseen_text_are_flagged(lead: float, is_flagged: bool) -> None:
    # 3 √(2 · .3² + .265²) = 1.5
    flag = noise_flag(Lead(lead, 0.2646), 0.3)
    assert (flag is not None) is is_flagged
