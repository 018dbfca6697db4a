"""The numeric modes: a searcher's point, written into the script."""

from agent.edits.assignments import Assignments, read_constants
from agent.edits.edit import Params
from agent.edits.guard import fingerprint
from agent.propose.catch_up import CatchUp
from agent.propose.notation import changes
from agent.propose.proposer import Context
from agent.search.feasible import Estimate, Memory
from agent.search.searcher import Searcher
from agent.trial import Origin, Proposal


class NumericProposer:
    """Proposes what `searcher` asks for. It needs a task with a search space."""

    def __init__(self, searcher: Searcher, memory: Memory | None = None) -> None:
        """`searcher` and `memory`: fresh; they are brought up to date from the journal."""
        self._catch_up = CatchUp(searcher, memory)

    def propose(self, context: Context) -> Proposal:
        assert context.space is not None, "a mode with a searcher needs a search space"
        found = self._catch_up.find(context)
        point, edit = found.point, Assignments(found.point)
        return Proposal(
            origin=Origin.SEARCHER,
            title=changes(context.space, read_constants(context.source, list(point)), point),
            edit=edit,
            params=point,
            refused=found.refused,
            reason=found.reason,
            fingerprint=fingerprint(edit.apply(context.source)),
        )

    def estimate(self, params: Params) -> Estimate | None:
        """Return the memory that `params` will need, as far as the last proposal knew; None if that cannot be told."""
        return self._catch_up.estimate(params)
