"""The example fits the bundled script: its replies come to what its README says, up to the sandbox."""

from pathlib import Path

from agent.edits.formats import FORMATS
from agent.edits.guard import Guard
from agent.execution.smoke_test import SmokeResult
from agent.llm.prompt_templates import PromptSet
from agent.llm.recording import RecordedModel
from agent.modes.code_edit import CodeEditProposer, OutOfMemoryRetry
from agent.resources import folder
from agent.trials.trial import Origin, Outcome, Status, Trial
from tests.agent.modes.run_so_far import BRIEFING, baseline, context

REPLIES = Path(__file__).parents[3] / "examples" / "scripted-night" / "replies.jsonl"


def rehearse(source: str, number: int) -> SmokeResult:
    """Stands in for the smoke job, which finds that there is no such function: see execution/test_smoke_test.py."""
    failed = Status.CRASHED if "softcap(" in source else None
    return SmokeResult(1.0, failed, "NameError" if failed else "")


def finished(number: int, would_be: Status, proposer: OutOfMemoryRetry, trials: list[Trial], source: str) -> Trial:
    """Return trial `number` as the proposer makes it; it comes to `would_be` if it runs."""
    proposal = proposer.propose(context(source, trials))
    status = proposal.refused or would_be
    loss = 2.2 if status is Status.OK else None
    return Trial(number, 0, proposal, "2026-01-01T00:00:00Z", Outcome(status, loss), "2026-01-01T00:01:00Z")


def test_each_reply_comes_to_what_the_readme_says() -> None:
    source = (folder("train_template") / "train.py").read_text()
    model = RecordedModel(REPLIES)
    prompts = PromptSet.load("code_edit", answer_format="search-replace")
    proposer = OutOfMemoryRetry(
        CodeEditProposer(
            lambda _: model, prompts, BRIEFING, Guard(required=("load",)), form=FORMATS["search-replace"],
            rehearse=rehearse,
        )
    )  # fmt: skip
    trials: list[Trial] = [baseline()]
    # What the sandbox and the score would say of what runs: made up here, and no part of the example.
    would_be = {6: Status.OUT_OF_MEMORY, 8: Status.REJECTED_SCORE}
    for number in range(1, 10):
        trials.append(finished(number, would_be.get(number, Status.OK), proposer, trials, source))
    came_to = [(trial.proposal.usage.calls if trial.proposal.usage else 0, trial.status) for trial in trials[1:]]
    assert came_to == [
        (1, Status.OK), (2, Status.CRASHED), (2, Status.OK), (3, Status.DUPLICATE), (2, Status.OK),
        (1, Status.OUT_OF_MEMORY), (0, Status.OK), (1, Status.REJECTED_SCORE), (2, Status.OK),
    ]  # fmt: skip
    assert trials[7].proposal.origin is Origin.MEND
    assert trials[3].proposal.edit.apply(source).count(".bias") == 3  # blocks of two replies, together
