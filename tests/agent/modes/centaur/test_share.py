"""The model's share falls with trials that bring nothing, and rises with what its points bring against the host's."""

import itertools

import pytest

from agent.edits.edit import Unchanged
from agent.modes.centaur.share import FIRST, LEAST, LLMTurns, model_weight
from agent.trials.trial import Origin, Outcome, Proposal, Status, Trial
from tests.agent.modes.run_so_far import baseline, trial


def run_of(*entries: tuple[Origin, float | None]) -> list[Trial]:
    """Return a run with these trials after a baseline of 2.5; a trial with a lower loss than all before is kept."""
    trials, best = [baseline()], 2.5
    for number, (origin, loss) in enumerate(entries, 1):
        kept = loss is not None and loss < best
        best = loss if kept and loss is not None else best
        status = Status.OK if loss is not None else Status.OUT_OF_MEMORY
        trials.append(trial(number, loss=loss, status=status, kept=kept, origin=origin))
    return trials


HOST, MODEL = Origin.SEARCHER, Origin.LLM
WARMUP = [(HOST, 2.6), (HOST, 2.48), (HOST, 2.52), (HOST, 2.46), (HOST, None), (HOST, 2.5), (HOST, 2.49)]


def test_a_model_begins_with_the_same_weight_whatever_the_host_did() -> None:
    assert model_weight([baseline()]) == pytest.approx(FIRST)
    assert model_weight(run_of(*WARMUP)) == pytest.approx(FIRST)


def test_each_point_that_brings_nothing_lowers_the_weight_down_to_the_least() -> None:
    weights = [model_weight(run_of(*WARMUP, *[(MODEL, 2.7)] * n)) for n in range(12)]
    assert all(after < before or after == pytest.approx(LEAST) for before, after in itertools.pairwise(weights))
    assert weights[3] == pytest.approx(LEAST)
    assert weights[-1] == pytest.approx(LEAST)


def test_a_gain_of_the_hosts_usual_size_raises_the_weight_and_a_tiny_one_does_not() -> None:
    """The host's improvements are .02: a model that is lower by .02 gains, one that is lower by the noise does not."""
    failed = [*WARMUP, *[(MODEL, 2.7)] * 5]
    assert model_weight(run_of(*failed, (MODEL, 2.44))) > 10 * LEAST * 0.9
    assert model_weight(run_of(*failed, (MODEL, 2.4599))) == pytest.approx(LEAST)


def test_the_weight_follows_what_the_host_gains_at_the_same_time() -> None:
    """The same points of a model are worth less beside a host that improves in every trial."""
    idle = [(HOST, 2.6)] * 20
    busy = [(HOST, 2.45 - 0.01 * n) for n in range(20)]
    assert model_weight(run_of(*WARMUP, *busy, (MODEL, 2.7))) < model_weight(run_of(*WARMUP, *idle, (MODEL, 2.7)))


def test_what_did_not_run_and_what_is_the_hosts_own_point_do_not_count() -> None:
    known = run_of(*WARMUP)
    refused = Trial(8, 0, Proposal(MODEL, "", Unchanged(), refused=Status.NO_PROPOSAL), "t")
    refused = refused.finished(Outcome(Status.NO_PROPOSAL, None), "t")
    returned = trial(8, loss=2.7, copied_from="searcher")
    assert model_weight([*known, refused]) == model_weight([*known, returned]) == model_weight(known)


def test_an_adversary_has_few_of_three_hundred_trials() -> None:
    """Every point of it runs and brings nothing, while the host gains in one trial of ten."""
    counts = []
    for seed in range(5):
        turns, trials, best = LLMTurns(seed), [baseline()], 2.5
        for number in range(1, 300):
            is_model = turns.is_llm_turn(number, model_weight(trials))
            kept = not is_model and number % 10 == 0
            best -= 0.01 * kept
            loss = 3.0 if is_model else best if kept else 2.6
            trials.append(trial(number, loss=loss, kept=kept, origin=MODEL if is_model else HOST))
        counts.append(sum(each.proposal.origin is MODEL for each in trials))
    assert max(counts) <= 20
    assert min(counts) >= 4, "the model can still come back"


def test_turns_of_a_lower_weight_are_among_those_of_a_higher_one() -> None:
    turns = LLMTurns(seed=3)
    few, many = ({n for n in range(1, 1001) if turns.is_llm_turn(n, weight)} for weight in (0.2, 1.0))
    assert few < many
    assert 30 < len(few) < 90
    assert turns.share_at(0.2) == pytest.approx(0.06)


def test_every_kth_trial_is_the_models_whatever_its_weight() -> None:
    turns = LLMTurns(0, warmup=10, every=4)
    assert [n for n in range(1, 31) if turns.is_llm_turn(n, LEAST)] == [12, 16, 20, 24, 28]
