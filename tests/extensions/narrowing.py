"""A mode as somebody would add it, in one file: every trial makes WIDTH a tenth smaller than the incumbent's."""

from agent.edits.assignments import Assignments, read_constants
from agent.edits.guard import fingerprint
from agent.modes.mode import Mode, ModeInputs
from agent.modes.proposer import Context
from agent.trials.trial import Origin, Proposal


class NarrowingProposer:
    def propose(self, context: Context) -> Proposal:
        assert context.space is not None, "the row of this mode says that it searches"
        values = read_constants(context.source, context.space.names)
        width = values["WIDTH"]
        assert isinstance(width, float)
        values["WIDTH"] = width * 0.9 ** (context.number - context.incumbent.number)
        edit = Assignments(values)
        return Proposal(
            origin=Origin.SEARCHER,
            title=f"WIDTH {values['WIDTH']:.3g}",
            edit=edit,
            params=values,
            fingerprint=fingerprint(edit.apply(context.source)),
        )


def build(_inputs: ModeInputs) -> NarrowingProposer:
    return NarrowingProposer()


ROW = Mode("narrowing", "makes WIDTH a tenth smaller in every trial", build, options=frozenset({"derived"}))
