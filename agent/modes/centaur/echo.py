"""The control of the Centaur: on the model's turns the incumbent runs again, and no model is asked."""

from agent.edits.assignments import Assignments, read_constants
from agent.edits.guard import fingerprint
from agent.modes.centaur.share import LLMTurns
from agent.modes.mode import ModeInputs
from agent.modes.numeric import build_host
from agent.modes.proposer import Context, Proposer
from agent.trials.trial import Origin, Proposal


class EchoProposer:
    """Proposes what `host` does, but on a fixed share of the trials the incumbent again.

    Small models mostly copy what they are shown, and a searcher that learns the incumbent's loss again is drawn towards
    it. A model is worth what it gains over this control.
    """

    def __init__(self, host: Proposer, turns: LLMTurns) -> None:
        self._host = host
        self._turns = turns

    def propose(self, context: Context) -> Proposal:
        point = self._host.propose(context)
        if point.refused is not None or not self._turns.is_llm_turn(context.number):
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


def build(inputs: ModeInputs) -> Proposer:
    """Return the proposer of the control of centaur."""
    config = inputs.config
    turns = LLMTurns(config.seed, config.llm_share, config.llm_warmup, config.llm_every)
    return EchoProposer(build_host(config, inputs.task).proposer, turns)
