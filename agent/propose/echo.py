"""The control of a hybrid: no model at all, the incumbent's values handed back on the model's turns."""

from agent.edits.assignments import Assignments, read_constants
from agent.edits.guard import fingerprint
from agent.propose.proposer import Context, Proposer
from agent.propose.turns import Turns
from agent.trial import Origin, Proposal


class EchoProposer:
    """`host`, but on the turns of a model the incumbent runs again.

    Small models mostly copy what they are shown, and the searcher that is told the incumbent's loss again is drawn
    towards it. What a model is worth is what it gains over this.
    """

    def __init__(self, host: Proposer, turns: Turns) -> None:
        self._host = host
        self._turns = turns

    def propose(self, context: Context) -> Proposal:
        point = self._host.propose(context)
        if point.refused is not None or not self._turns.has(context.number):
            return point
        assert context.space is not None, "a mode with a searcher needs a search space"
        values = read_constants(context.source, context.space.names)
        edit = Assignments(values)
        return Proposal(
            origin=Origin.ECHO,
            title=f"trial {context.incumbent.number} again",
            edit=edit,
            params=values,
            copied_from="incumbent",
            fingerprint=fingerprint(edit.apply(context.source)),
            shown=point.params,
        )
