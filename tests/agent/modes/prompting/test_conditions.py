"""Constraints of the space are in every prompt, and a reply that breaks one is sent back with its values."""

from agent.edits.guard import Guard
from agent.llm.prompt_templates import PromptSet
from agent.llm.scripted import ScriptedModel
from agent.modes.code_edit import CodeEditProposer
from agent.modes.fixed import FixedProposer
from agent.modes.prompting.space_text import as_json
from agent.search.space import SearchSpace
from agent.trials.trial import Status
from tests.agent.modes.run_so_far import BRIEFING, baseline, context

TABLES = {"WIDTH": {"type": "int", "low": 8, "high": 512}, "HEADS": {"type": "int", "low": 1, "high": 16}}
SPACE = SearchSpace.from_tables(TABLES, constraints=["WIDTH % HEADS == 0"])
SOURCE = "WIDTH = 64\nHEADS = 4\n"
SHOWN = "must meet, or the script fails:\n\n```text\nWIDTH % HEADS == 0\n```\n"
SEEN = context(SOURCE, [baseline({"WIDTH": 64, "HEADS": 4})], space=SPACE)


def test_a_configuration_that_breaks_one_is_repaired_or_refused() -> None:
    bad, good = '{"WIDTH": 64, "HEADS": 5}', '{"WIDTH": 65, "HEADS": 5}'
    model = ScriptedModel([bad, good])
    proposal = FixedProposer(lambda _: model, PromptSet.load("fixed"), BRIEFING).propose(SEEN)
    assert SHOWN in model.requests[0][1].content
    assert "WIDTH % HEADS == 0 does not hold with WIDTH = 64, HEADS = 5" in model.requests[1][-1].content
    assert proposal.params == {"WIDTH": 65, "HEADS": 5}
    model = ScriptedModel([bad, bad])
    proposal = FixedProposer(lambda _: model, PromptSet.load("fixed"), BRIEFING).propose(SEEN)
    assert (proposal.refused, proposal.reason) == (
        Status.NO_PROPOSAL,
        "WIDTH % HEADS == 0 does not hold with WIDTH = 64, HEADS = 5",
    )


def test_a_model_that_edits_the_script_sees_them() -> None:
    model = ScriptedModel(["TITLE: none"])
    prompts = PromptSet.load("code_edit", answer_format="search-replace")
    CodeEditProposer(lambda _: model, prompts, BRIEFING, Guard(), attempts=1).propose(SEEN)
    assert SHOWN in model.requests[0][1].content


def test_a_point_is_shown_in_all_digits_where_few_would_break_a_constraint() -> None:
    tables = {name: {"type": "float", "low": 0.0, "high": 1.0} for name in ("LR", "MIN_LR")}
    space = SearchSpace.from_tables(tables, constraints=["MIN_LR < LR"])
    assert as_json(space, {"LR": 0.123432, "MIN_LR": 0.123431}) == '{"LR":0.123432,"MIN_LR":0.123431}'
    assert as_json(space, {"LR": 0.123432, "MIN_LR": 0.023431}) == '{"LR":0.123,"MIN_LR":0.0234}'
