"""The example fits the bundled script: its replies come to what its README says, up to the sandbox."""

from pathlib import Path

from agent.edits.guard import Guard
from agent.llm.recorded import RecordedModel
from agent.prompts import PromptSet
from agent.propose.code_edit import CodeEditProposer
from agent.resources import folder
from agent.trial import Status, Trial

from .run_so_far import BRIEFING, baseline, context, trial

REPLIES = Path(__file__).parents[3] / "examples" / "scripted-night" / "replies.jsonl"


def test_each_reply_comes_to_what_the_readme_says() -> None:
    source = (folder("train_template") / "train.py").read_text()
    parent, original = source, source
    model = RecordedModel(REPLIES)
    proposer = CodeEditProposer(
        lambda _: model,
        PromptSet.load("code_edit", answer_format="search-replace"),
        BRIEFING,
        Guard(required=("load",)),
    )
    trials: list[Trial] = [baseline()]
    came_to: list[tuple[int, Status | None]] = []
    # What the sandbox and the score would say: made up here, and no part of the example.
    for number, status in enumerate((Status.OK, Status.CRASHED, Status.OK, Status.DUPLICATE, Status.OK), start=1):
        proposal = proposer.propose(context(parent, trials, baseline_source=original))
        assert proposal.usage is not None
        came_to.append((proposal.usage.calls, proposal.refused))
        kept = number == 1
        if kept:
            parent = proposal.edit.apply(parent)
        loss = (2.0 if kept else 2.2) if status is Status.OK else None
        trials.append(
            trial(number, proposal.title, loss=loss, status=status, kept=kept, fingerprint=proposal.fingerprint)
        )
    assert came_to == [(1, None), (1, None), (2, None), (3, Status.DUPLICATE), (2, None)]
    assert trials[4].proposal.title == "an output bias learns the frequencies of tokens"
