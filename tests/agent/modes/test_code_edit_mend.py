"""What ran out of memory is tried once more in smaller pieces, by nobody's invention."""

import pytest

from agent.edits.codec import decode, encode
from agent.edits.edit import Unchanged
from agent.edits.search_replace import Block, SearchReplace
from agent.modes.code_edit import OutOfMemoryRetry
from agent.modes.proposer import Context
from agent.trials.trial import Origin, Proposal, Status, Trial
from tests.agent.modes.run_so_far import baseline, context, trial

SOURCE = "DEPTH = 4\nDEVICE_BATCH_SIZE = 8  # sequences\nTOTAL_BATCH_SIZE = 512\n"
DEEPER = SearchReplace((Block("DEPTH = 4\n", "DEPTH = 9\n"),))


class Inner:
    """Stands for the model: whether it was asked is what the tests look at."""

    def propose(self, context: Context) -> Proposal:
        return Proposal(Origin.LLM, "another idea", Unchanged())


def failed(status: Status = Status.OUT_OF_MEMORY, origin: Origin = Origin.LLM, number: int = 1) -> Trial:
    made = trial(number, "deeper", status=status, origin=origin, params={"DEPTH": 9, "DEVICE_BATCH_SIZE": 8})
    proposal = Proposal(origin, "deeper", DEEPER, params=made.proposal.params)
    return Trial(made.number, made.parent, proposal, made.started_at, made.outcome, made.finished_at)


def test_the_same_change_comes_again_with_half_the_sequences() -> None:
    proposal = OutOfMemoryRetry(Inner()).propose(context(SOURCE, [baseline(), failed()]))
    assert (proposal.origin, proposal.usage) == (Origin.MEND, None)
    assert proposal.title == "deeper (trial 1 with DEVICE_BATCH_SIZE 4)"
    edited = "DEPTH = 9\nDEVICE_BATCH_SIZE = 4  # sequences\nTOTAL_BATCH_SIZE = 512\n"
    assert proposal.edit.apply(SOURCE) == edited
    assert proposal.params == {"DEPTH": 9, "DEVICE_BATCH_SIZE": 4}
    assert decode(encode(proposal.edit)) == proposal.edit


@pytest.mark.parametrize(
    ("source", "last"),
    [
        (SOURCE, failed(Status.CRASHED)),
        (SOURCE, failed(origin=Origin.MEND)),
        (SOURCE.replace("= 8", "= 1"), failed()),
        (SOURCE.replace("DEVICE_BATCH_SIZE", "ROWS"), failed()),
        (SOURCE.replace("= 8", "= min(8, 4)"), failed()),
    ],
)
def test_anything_else_is_for_the_model(source: str, last: Trial) -> None:
    proposal = OutOfMemoryRetry(Inner()).propose(context(source, [baseline(), last]))
    assert proposal.title == "another idea"


def test_a_change_to_another_parent_is_not_mended() -> None:
    kept = trial(2, "kept since", loss=2.0, kept=True)
    proposal = OutOfMemoryRetry(Inner()).propose(context(SOURCE, [baseline(), kept, failed(number=3)]))
    assert proposal.title == "another idea"
