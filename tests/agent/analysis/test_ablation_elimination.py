"""Backward elimination over scripts whose losses are known, with and without noise: nothing is executed here."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest

from agent.analysis.ablation_chain import ChangeChain, ChangeVerdict
from agent.analysis.ablation_elimination import Attribution, BudgetExhaustedError, Elimination
from agent.analysis.ablation_log import AblationRecords, Attributed
from agent.edits.assignments import Assignments, all_constants
from agent.edits.edit import Edit, Unchanged, WholeFile
from agent.report.ablation_text import conclusion, lines, remarks, to_json
from agent.search.constraints.constraint import Constraint, read_constraint
from agent.trials.history import History
from agent.trials.keeping.keep_rule import HELD_OUT_SEED, KeepPolicy, KeepRule
from agent.trials.metric import Metric
from agent.trials.trial import Origin, Outcome, Proposal, Status, Trial

SIGMA = 0.01
Loss = Callable[[str, int], float | None]


def kept(edits: Sequence[Edit], source: str, loss: Loss) -> tuple[list[Trial], list[str]]:
    """Return the trials of a chain, the baseline first, each scored under training seed 0, and their scripts."""
    trials, sources = [], [source]
    for number, edit in enumerate([Unchanged(), *edits]):
        if number:
            sources.append(edit.apply(sources[-1]))
        value = loss(sources[-1], 0)
        assert value is not None
        proposal = Proposal(Origin.LLM if number else Origin.BASELINE, f"edit {number}", edit)
        parent = number - 1 if number else None
        trials.append(Trial(number, parent, proposal, "then", Outcome(Status.OK, value, kept=True), "then"))
    return trials, sources


class Runs:
    """Measures with a known loss, within a budget; remembers what it was asked to run."""

    def __init__(self, loss: Loss, budget: float = math.inf) -> None:
        self.loss = loss
        self.budget = budget
        self.asked: list[tuple[str, int]] = []

    def __call__(self, source: str, seed: int, *, about: str, reserved: int) -> float | None:
        if len(self.asked) + reserved >= self.budget:
            raise BudgetExhaustedError("the budget is spent")
        self.asked.append((about, seed))
        return self.loss(source, seed)


def attributed(
    edits: Sequence[Edit],
    source: str,
    loss: Loss,
    *,
    budget: float = math.inf,
    paired: bool = True,
    seeds: int = 3,
    constraints: tuple[Constraint, ...] = (),
) -> tuple[Attribution, Runs]:
    trials, sources = kept(edits, source, loss)
    runs = Runs(loss, budget)
    keeper = KeepPolicy(KeepRule(paired=paired, sigma=SIGMA), trials)
    chain = replace(ChangeChain.made_of(trials, sources), constraints=constraints)
    return Elimination(chain, keeper, runs, seeds).result(), runs


def verdicts(found: Attribution) -> dict[str, str]:
    return {finding.change.key: finding.verdict.value for finding in found.findings}


def worth(effects: Mapping[str, float], sigma: float = 0.0, of_seed: float = 10 * SIGMA) -> Loss:
    """Return a loss that names lower, if they are set to 1; `of_seed` is what seeds do to all scripts alike."""

    def loss(source: str, seed: int) -> float:
        constants = all_constants(source)
        noise = np.random.default_rng([seed, *map(ord, str(sorted(constants.items())))]).normal() * sigma
        common = of_seed * math.sin(seed)
        return 3.0 + common + noise - sum(value for name, value in effects.items() if constants[name])

    return loss


def script(names: Sequence[str]) -> str:
    return "".join(f"{name} = 0\n" for name in names)


def sets(name: str) -> Edit:
    """An edit of the text, not an assignment of parameters: one change a trial."""
    return Rewrites(name)


class Rewrites:
    """Sets a name to 1 by rewriting its line."""

    kind: ClassVar[str] = "rewrites"

    def __init__(self, name: str) -> None:
        self._name = name

    def apply(self, source: str) -> str:
        return source.replace(f"{self._name} = 0\n", f"{self._name} = 1\n")

    def to_json(self) -> dict[str, object]:
        return {}


def test_what_carries_stays_and_what_does_not_goes() -> None:
    effects = {"A": 0.5, "B": 0.0001, "C": -0.2, "D": 0.3}
    found, _ = attributed([sets(name) for name in effects], script("ABCD"), worth(effects))
    assert verdicts(found) == {"1": "carries", "2": "no effect found", "3": "harmful", "4": "carries"}
    assert found.minimal.source == "A = 1\nB = 0\nC = 0\nD = 1\n"
    assert found.offered
    assert found.difference is not None
    assert math.isclose(found.difference, 0.0001 - 0.2)


def test_the_smallest_recorded_gain_is_taken_out_first_and_stays_out() -> None:
    effects = {"A": 0.5, "B": 0.001, "C": 0.002}
    _, runs = attributed([sets(name) for name in effects], script("ABC"), worth(effects))
    order = list(dict.fromkeys(about for about, seed in runs.asked if seed < HELD_OUT_SEED))
    assert order == ["trial 3", "without 2", "without 2, 3", "without 1, 2, 3"]


def test_a_comment_costs_no_run_and_an_equal_loss_costs_one() -> None:
    effects = {"A": 0.5, "B": 0.0}
    edits = [sets("A"), WholeFile("# better\nA = 1\nB = 0\n"), WholeFile("# better\nA = 1\nB = 1\n")]
    found, runs = attributed(edits, script("AB"), worth(effects))
    assert verdicts(found) == {"1": "carries", "2": "null", "3": "null"}
    assert found.minimal.source == "A = 1\nB = 0\n"
    compared = [about for about, seed in runs.asked if seed < HELD_OUT_SEED]
    assert compared.count("without 2") == 0
    assert [about for about in compared if about.startswith("without") and "1" not in about] in (
        ["without 3"], ["without 2, 3"]
    )  # fmt: skip


def test_an_equal_loss_says_nothing_where_seeds_are_not_paired() -> None:
    found, _ = attributed([sets("A"), sets("B")], script("AB"), worth({"A": 0.5, "B": 0.0}), paired=False)
    assert verdicts(found) == {"1": "carries", "2": "no effect found"}


DIVIDES = read_constraint("WIDTH % HEADS == 0", {"WIDTH": True, "HEADS": True}, {})


def of_sizes(heads: float) -> Loss:
    """Return a loss that 96 instead of 64 of WIDTH lower by 0.5, and 12 instead of 4 of HEADS by `heads`."""

    def loss(source: str, seed: int) -> float:
        constants = all_constants(source)
        assert DIVIDES.holds(constants), "a script that breaks the constraint ran"
        return 3.0 + 0.1 * math.sin(seed) - 0.5 * (constants["WIDTH"] == 96) - heads * (constants["HEADS"] == 12)

    return loss


SIZES = [Assignments({"WIDTH": 96, "HEADS": 12})], "WIDTH = 64\nHEADS = 4\n"


def test_a_mixture_that_breaks_a_constraint_is_tested_once_another_removal_has_mended_it() -> None:
    found, runs = attributed(*SIZES, of_sizes(0.0), constraints=(DIVIDES,))
    assert verdicts(found) == {"WIDTH": "carries", "HEADS": "null"}
    assert found.minimal.source == "WIDTH = 96\nHEADS = 4\n"
    assert next(about for about, _ in runs.asked if about.startswith("without")) == "without HEADS"


def test_a_mixture_that_breaks_a_constraint_does_not_run_and_the_result_says_so() -> None:
    found, runs = attributed(*SIZES, of_sizes(0.3), constraints=(DIVIDES,))
    assert verdicts(found) == {"WIDTH": "not tested", "HEADS": "carries"}
    assert found.findings[0].reason == "without it, WIDTH % HEADS == 0 does not hold with WIDTH = 64, HEADS = 12"
    assert {about for about, _ in runs.asked if about.startswith("without")} == {"without HEADS"}
    result = Attributed(found, AblationRecords(3, {}), None)
    assert conclusion(result, "r", Metric(name="val_loss", goal="minimise")) == [
        "no change was removed; not tested, since the rest would break a constraint: WIDTH"
    ]


def test_parameters_are_taken_out_name_by_name() -> None:
    effects = {"A": 0.5, "B": 0.0001, "C": 0.2}
    edits = [Assignments({"A": 1, "B": 1, "C": 0}), Assignments({"A": 1, "B": 1, "C": 1})]
    found, _ = attributed(edits, script("ABC"), worth(effects))
    assert verdicts(found) == {"A": "carries", "B": "no effect found", "C": "carries"}
    assert found.minimal.source == "A = 1\nB = 0\nC = 1\n"
    assert [finding.change.trials for finding in found.findings] == [(1,), (1,), (2,)]


def test_a_name_that_came_back_to_where_it_began_is_no_change() -> None:
    edits = [Assignments({"A": 1, "B": 1}), Assignments({"A": 1, "B": 0})]
    found, _ = attributed(edits, script("AB"), worth({"A": 0.5, "B": 0.0}))
    assert verdicts(found) == {"A": "carries"}


def test_a_later_change_of_the_same_line_is_taken_out_with_the_earlier_one() -> None:
    def loss(source: str, seed: int) -> float:
        return {"A = 0\n": 3.0, "A = 1\n": 2.0, "A = 2\n": 1.0}[source] + seed / 100

    found, runs = attributed([WholeFile("A = 1\n"), WholeFile("A = 2\n")], "A = 0\n", loss)
    assert verdicts(found) == {"1": "carries", "2": "carries"}
    assert found.findings[0].along == ("2",)
    assert ("without 1, 2", 1) in runs.asked


def test_what_is_taken_out_along_is_not_tested_again() -> None:
    def loss(source: str, seed: int) -> float:
        return {"A = 0\n": 3.0, "A = 1\n": 2.9999, "A = 2\n": 2.9997}[source] + seed / 100

    found, _ = attributed([WholeFile("A = 1\n"), WholeFile("A = 2\n")], "A = 0\n", loss)
    assert verdicts(found) == {"1": "no effect found", "2": "no effect found"}
    assert found.findings[1].reason == "removed with 1"
    assert not found.offered  # nothing is left but the baseline


def test_a_change_without_which_nothing_runs_carries() -> None:
    effects = {"A": 0.001, "B": 0.5}

    def loss(source: str, seed: int) -> float | None:
        return None if "A = 0" in source and "B = 1" in source else worth(effects)(source, seed)

    found, _ = attributed([sets("A"), sets("B")], script("AB"), loss)
    assert verdicts(found) == {"1": "carries", "2": "carries"}
    assert "no loss without it under seed 1" in found.findings[0].reason


def test_small_effects_do_not_leave_one_by_one() -> None:
    names = "ABCDEFGH"
    each = 0.5 * SIGMA  # singly lost in the noise, together four sigma
    found, _ = attributed([sets(name) for name in names], script(names), worth(dict.fromkeys(names, each)))
    n_out = len(found.minimal.without)
    assert 0 < n_out < len(names)
    assert n_out * each <= 2 * SIGMA * math.sqrt(2 / 3)
    assert any("with the earlier removals" in finding.reason for finding in found.findings)


def test_a_clear_loss_is_not_measured_thrice() -> None:
    _, runs = attributed([sets("A"), sets("B")], script("AB"), worth({"A": 0.5, "B": 0.3}))
    assert [seed for about, seed in runs.asked if about == "without 2"] == [1]


def test_when_the_budget_ends_the_rest_is_not_tested_and_the_comparison_still_runs() -> None:
    effects = {"A": 0.5, "B": 0.0001, "C": 0.3, "D": 0.2}
    edits = [sets(name) for name in effects]
    whole, runs = attributed(edits, script("ABCD"), worth(effects))
    assert not whole.stopped
    for budget in range(len(runs.asked)):
        found, less = attributed(edits, script("ABCD"), worth(effects), budget=budget)
        assert len(less.asked) <= budget
        assert found.stopped
        decided = [f for f in found.findings if f.verdict is not ChangeVerdict.NOT_TESTED]
        assert all(finding in whole.findings for finding in decided)
        assert bool(found.minimal.without) == found.offered  # what was taken out was compared under held-out seeds


def test_seeds_under_which_the_result_fails_decide_nothing() -> None:
    effects = {"A": 0.5, "B": 0.0001}

    def loss(source: str, seed: int) -> float | None:
        return None if seed == 1 else worth(effects)(source, seed)

    found, _ = attributed([sets("A"), sets("B")], script("AB"), loss)
    assert found.findings[1].seeds == (2, 3, 4)


@pytest.mark.parametrize("paired", [True, False])
def test_noise_is_not_taken_for_an_effect_nor_an_effect_for_noise(paired: bool) -> None:
    """One change is worth 6 sigma, three nothing; where seeds are paired, they matter more than the noise."""
    n_chains, effects = 40, {"A": 0.0, "B": 6 * SIGMA, "C": 0.0, "D": 0.0}
    carried, n_offered, n_runs = dict.fromkeys(effects, 0), 0, 0
    for repetition in range(n_chains):
        source = script([*effects, f"RUN_{repetition}"])
        loss = worth({**effects, f"RUN_{repetition}": 0.0}, sigma=SIGMA, of_seed=10 * SIGMA if paired else 0.0)
        found, runs = attributed([sets(name) for name in effects], source, loss, paired=paired)
        n_runs += len(runs.asked)
        n_offered += found.offered
        for name, finding in zip(effects, found.findings, strict=True):
            carried[name] += finding.verdict is ChangeVerdict.CARRIES
    print(f"carries: {carried}, offered {n_offered} of {n_chains}, {n_runs / n_chains:.1f} runs each")
    assert carried.pop("B") == n_chains
    assert sum(carried.values()) <= 0.1 * 3 * n_chains
    assert n_offered >= 0.9 * n_chains


def test_repeats_of_a_script_that_follows_no_seed_give_no_error_bar() -> None:
    effects = {"A": 0.5, "B": 0.001}
    found, _ = attributed([sets("A"), sets("B")], script("AB"), worth(effects, of_seed=0.0), paired=False)
    assert found.noise.is_unobservable
    assert found.noise.sigma == SIGMA  # a guess as before, whatever the number of repeats
    assert verdicts(found) == {"1": "carries", "2": "no effect found"}
    result = Attributed(found, AblationRecords(3, {}), None)
    output = lines(result, "r", Metric())
    assert not any(" ± " in line for line in output)
    assert any("no ±, and verdicts use a guess" in line and "TRAIN_SEED" in line for line in output)
    document = to_json(result, "r", History([]))
    assert not document["repeats_tell_noise"]
    assert (document["difference_error"], document["held_out"]["whole"]["error"]) == (None, None)
    assert [change["error"] for change in document["changes"]] == [None, None]


def test_noise_that_seeds_show_gives_an_error_bar() -> None:
    found, _ = attributed([sets("A"), sets("B")], script("AB"), worth({"A": 0.5, "B": 0.001}, sigma=SIGMA))
    output = lines(Attributed(found, AblationRecords(3, {}), None), "r", Metric())
    assert sum(" ± " in line for line in output) == 3
    assert not any("TRAIN_SEED" in line for line in output)


def test_an_equal_share_of_a_gain_is_called_one() -> None:
    together: list[Edit] = [Assignments({"A": 1, "B": 1})]
    found, _ = attributed(together, script("AB"), worth({"A": 0.5, "B": 0.5}))
    assert "each gets an equal share of the trial's gain" in " ".join(remarks(found))
    alone, _ = attributed([Assignments({"A": 1})], script("AB"), worth({"A": 0.5}))
    assert "share" not in " ".join(remarks(alone))
