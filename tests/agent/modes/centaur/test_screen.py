"""The host's model decides between its own point and those that the model offers; chance lets some run unscreened."""

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from agent.edits.edit import Params
from agent.llm.scripted import ScriptedModel
from agent.modes.centaur.proposer import UNSCREENED, CentaurProposer
from agent.modes.centaur.share import LLMTurns, model_weight
from agent.modes.numeric import NumericProposer, SearchHost, host_of
from agent.modes.prompting.trial_digest import LINE_CHARACTERS
from agent.search.cmaes import CMAESearcher
from agent.trials.trial import Origin, Proposal
from tests.agent.modes.run_so_far import BRIEFING, context
from tests.agent.modes.test_centaur import ALWAYS, PROMPTS, SOURCE, SPACE, START, answer, history

FIRST: Params = {**START, "DEPTH": 5, "MATRIX_LR": 0.05}
SECOND: Params = {**START, "DEPTH": 6}
THIRD: Params = {**START, "DEPTH": 7}


def offered(*points: Params) -> str:
    return json.dumps({"configurations": points})


def host() -> SearchHost:
    searcher = CMAESearcher(SPACE, START, seed=0)
    return host_of("CMA-ES", searcher, NumericProposer(searcher))


def rated(own: SearchHost, predictions: Sequence[float]) -> SearchHost:
    """The host, whose model gives these predictions: first its own point's, then those of the offered points."""
    return replace(own, predict=lambda points: predictions[: len(points)])


def decide(own: SearchHost, reply: str, seed: int = 0) -> tuple[Proposal, Params]:
    """Return the proposal on a turn of the model, and the host's point."""
    seen = context(SOURCE, history(20), space=SPACE)
    turns = replace(ALWAYS, seed=seed)
    centaur = CentaurProposer(own, lambda _: ScriptedModel([reply] * 2), PROMPTS, BRIEFING, turns=turns)
    point = NumericProposer(CMAESearcher(SPACE, START, seed=0)).propose(seen).params
    assert point is not None
    return centaur.propose(seen), point


def test_the_first_of_the_offered_points_that_is_rated_no_worse_than_the_hosts_runs() -> None:
    proposal, point = decide(rated(host(), [0.5, 0.7, 0.5, 0.4]), offered(FIRST, SECOND, THIRD))
    assert (proposal.origin, proposal.params, proposal.shown) == (Origin.LLM, SECOND, point)
    assert proposal.offer is not None
    assert proposal.offer.points == (FIRST, SECOND, THIRD)
    assert (proposal.offer.host_prediction, proposal.offer.predictions, proposal.offer.taken) == (
        0.5,
        (0.7, 0.5, 0.4),
        1,
    )
    assert proposal.offer.description == "offered 3, number 2 passed the screen"


def test_the_hosts_point_runs_if_all_are_worse_and_a_first_point_has_a_chance() -> None:
    """Of 100 seeds about a tenth run the first offered point unscreened; which ones depends on the seed only."""
    found = [decide(rated(host(), [0.5, 0.9, 0.6]), offered(FIRST, SECOND), seed)[0] for seed in range(100)]
    unscreened = [proposal for proposal in found if proposal.origin is Origin.LLM]
    assert 0.3 * UNSCREENED * 100 <= len(unscreened) <= 2 * UNSCREENED * 100
    for proposal in found:
        assert proposal.offer is not None
        if proposal.origin is Origin.LLM:
            assert proposal.params == FIRST
            assert proposal.offer.description == "offered 2, number 1 ran unscreened"
        else:
            assert proposal.offer.description == "offered 2, none passed the screen"
            assert (proposal.origin, proposal.shown) == (Origin.SEARCHER, None)
            assert proposal.usage is not None


def test_a_real_host_holds_back_a_point_that_resembles_failures() -> None:
    """The trials of `history` are worse the deeper; the host has seen it."""
    own = host()
    seen = context(SOURCE, history(20), space=SPACE)
    own.proposer.propose(seen)
    losses = [(trial.val_loss, trial.proposal.params) for trial in history(20)[1:] if trial.val_loss is not None]
    (_, best), (_, worst) = min(losses, key=lambda row: row[0]), max(losses, key=lambda row: row[0])
    assert best is not None
    assert worst is not None
    predictions = own.predict([best, worst])
    assert predictions is not None
    assert predictions[0] < predictions[1]


def test_one_configuration_without_a_list_is_an_offer_too() -> None:
    proposal, _ = decide(rated(host(), [0.5, 0.1]), answer())
    assert proposal.params == FIRST
    assert proposal.offer is not None
    assert proposal.offer.points == (FIRST,)


def test_invalid_and_equal_points_are_dropped_and_no_repair_is_asked_for() -> None:
    reply = offered({**FIRST, "DEPTH": 99}, START, SECOND, dict(reversed(SECOND.items())), THIRD)
    proposal, _ = decide(rated(host(), [0.5, 0.4, 0.3]), reply)
    assert proposal.offer is not None
    assert proposal.offer.points == (SECOND,), "the fifth is one more than may be offered"
    assert proposal.usage is not None
    assert proposal.usage.calls == 1


@pytest.mark.parametrize(
    ("reply", "fault"),
    [
        (offered({**FIRST, "DEPTH": 99}, START), "1. DEPTH: 99 is outside 1 to 8"),
        ('{"configurations": []}', '"configurations" is not a list of JSON objects'),
        ('{"configurations": [5]}', '"configurations" is not a list of JSON objects'),
    ],
)
def test_a_reply_without_a_point_that_can_run_gets_one_repair_then_the_hosts_point_runs(reply: str, fault: str) -> None:
    proposal, point = decide(host(), reply)
    assert (proposal.origin, proposal.params, proposal.refused) == (Origin.SEARCHER, point, None)
    assert proposal.usage is not None
    assert proposal.usage.calls == 2
    assert proposal.offer is not None
    assert proposal.offer.fault == fault
    assert proposal.offer.description == f"offered no point that can run: {fault}"


def test_the_record_of_a_faulty_reply_is_short_however_long_the_reply_was() -> None:
    proposal, _ = decide(host(), offered({**FIRST, "X" * 50_000: 1}))
    assert proposal.offer is not None
    assert proposal.offer.fault.startswith("XXX")
    assert len(proposal.offer.fault) <= LINE_CHARACTERS


def test_the_hosts_own_point_among_others_is_left_out() -> None:
    _, point = decide(host(), answer())
    proposal, _ = decide(rated(host(), [0.5, 0.4]), offered(point, FIRST))
    assert proposal.params == FIRST
    assert proposal.offer is not None
    assert proposal.offer.points == (FIRST,)


def test_the_record_says_which_share_the_model_had() -> None:
    seen = context(SOURCE, history(20), space=SPACE)
    turns = LLMTurns(seed=0, share=1.0, warmup=0)
    weight = model_weight(seen.trials)
    number = next(n for n in range(20, 99) if turns.is_llm_turn(n, weight))
    centaur = CentaurProposer(host(), lambda _: ScriptedModel([answer()]), PROMPTS, BRIEFING, turns=turns)
    trials = history(number)
    proposal = centaur.propose(context(SOURCE, trials, space=SPACE))
    assert proposal.offer is not None
    assert proposal.offer.share == pytest.approx(model_weight(trials))
