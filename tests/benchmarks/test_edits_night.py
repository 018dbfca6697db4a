"""The benchmark of hand-written edits: what its stand-in for a model answers, and how its tables compare runs."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from agent.edits.assignments import Assignments, read_constants
from agent.edits.guard import Guard
from agent.llm.openai_model import OpenAIModel
from agent.llm.prompt_templates import PromptSet
from agent.modes.code_edit import CodeEditProposer
from agent.resources import folder
from agent.task.task import Task
from agent.trials.trial import Outcome, Status, Trial
from benchmarks.edits_night.__main__ import PROFILE, Finished, make_task, tables
from benchmarks.edits_night.edits import read_edits, shuffled
from benchmarks.edits_night.stand_in import StandIn, serving
from tests.agent.modes.run_so_far import BRIEFING, baseline, context

SOURCE = (folder("train_template") / "train.py").read_text()
EDITS = read_edits()


def prompt(source: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": "Improve it."}, {"role": "user", "content": f"```python\n{source}\n```\nGo."}]


def test_code_edit_gets_each_edit_once_in_the_order_of_the_seed() -> None:
    """Over the real endpoint; none is kept, so each is proposed to the same script."""
    prompts = PromptSet.load("code_edit", answer_format="search-replace")
    trials: list[Trial] = [baseline()]
    with serving() as (url, stand_in):
        model = OpenAIModel("stand-in-code-edit-s7", base_url=url)
        model.probe()
        proposer = CodeEditProposer(lambda _: model, prompts, BRIEFING, Guard(required=("load",)))
        for number in range(1, 25):
            proposal = proposer.propose(context(SOURCE, trials))
            assert proposal.refused is None
            trials.append(Trial(number, 0, proposal, "then", Outcome(Status.OK, 9.0), "later"))
        model.close()
    order = shuffled(EDITS, 7)
    assert [trial.proposal.title for trial in trials[1:]] == [edit.title for edit in order]
    assert [trial.proposal.edit for trial in trials[1:]] == [edit.blocks for edit in order]
    assert stand_in.calls == {"stand-in-code-edit-s7": 24}


def test_an_edit_that_the_script_has_is_skipped_also_with_other_values() -> None:
    first, second, third = shuffled(EDITS, 0)[:3]
    source = second.blocks.apply(SOURCE)
    source = Assignments({name: 0.123 for name in second.constants()}).apply(source)
    stand_in = StandIn(EDITS)
    assert stand_in.reply("x-s0", prompt(source)) == first.reply
    assert stand_in.reply("x-s0", prompt(source)) == third.reply
    assert stand_in.reply("y-s0", prompt(source)) == first.reply  # another run


def test_after_the_last_edit_those_that_the_script_lacks_come_again() -> None:
    order = shuffled(EDITS, 0)
    source = SOURCE
    for edit in order[2:]:
        source = edit.blocks.apply(source)
    stand_in = StandIn(EDITS)
    replies = [stand_in.reply("x-s0", prompt(source)) for _ in range(4)]
    assert replies == [order[0].reply, order[1].reply] * 2
    for edit in order[:2]:
        source = edit.blocks.apply(source)
    assert stand_in.reply("x-s0", prompt(source)) == "TITLE: nothing is left to try\n"


@pytest.mark.parametrize(("start", "depth", "sigma"), [("untuned", 2, 0.0186), ("tuned", 1, 0.0142)])
def test_the_baseline_has_the_numbers_to_start_from(tmp_path: Path, start: str, depth: int, sigma: float) -> None:
    task = Task.load(make_task(tmp_path, start, None), PROFILE)
    assert task.space is not None
    assert read_constants(task.source, ["DEPTH"]) == {"DEPTH": depth}
    assert task.noise.sigma == sigma


def finished(losses: Sequence[float]) -> list[Finished]:
    return [Finished(seed, loss, loss, 7, 2, 1, 3.0) for seed, loss in enumerate(losses)]


def test_differences_are_paired_by_seed() -> None:
    found = {"code-edit": finished([2.0, 3.0, 4.0]), "centaur-code": finished([1.9, 2.8, 3.7])}
    lines = tables(found, baseline=5.0).splitlines()
    assert "| `code-edit` | 3.0000 | 2.0000 | 3.0000 | 4.0000 | 7, 7, 7 | 2 (1), 2 (1), 2 (1) | 3, 3, 3 |" in lines
    assert "| `centaur-code` minus `code-edit` | -0.2000 | -0.4484 to +0.0484 |" in lines  # t = 4.303, sd = 0.1
    alone = tables({"a": finished([2.0]), "b": finished([1.5])}, baseline=5.0)
    assert "| `b` minus `a` | -0.5000 | one seed |" in alone
