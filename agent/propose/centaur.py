"""The Centaur: an optimizer proposes every point, and on some turns a model decides what runs in its place."""

from collections.abc import Callable
from dataclasses import replace

from agent.llm.model import Model
from agent.prompts import PromptSet
from agent.propose.briefing import Briefing
from agent.propose.centaur_prompts import Turn, compact
from agent.propose.decision import ConfigurationCheck, decided
from agent.propose.numeric import NumericProposer
from agent.propose.proposer import Context
from agent.propose.turns import Turns
from agent.search.cmaes import CMAState
from agent.trial import Proposal


class CentaurProposer:
    """`host` proposes; on the model's turns its answer runs, and is told to the host's searcher.

    The host re-drives its searcher from the journal, where an answer of the model stands with the number of the
    point that was shown to it: it is told in that point's place. If nothing ran, the point is released.
    """

    def __init__(
        self,
        host: NumericProposer,
        state: Callable[[], CMAState],
        model_for: Callable[[int], Model],
        prompts: PromptSet,
        briefing: Briefing,
        *,
        turns: Turns,
    ) -> None:
        """`state` is that of the host's searcher; `model_for` gives the model of trial n, with its transcript."""
        self._host = host
        self._state = state
        self._model_for = model_for
        self._prompts = prompts
        self._briefing = briefing
        self._turns = turns

    def propose(self, context: Context) -> Proposal:
        proposal = self._host.propose(context)
        point = proposal.params
        if proposal.refused is not None or point is None or not self._turns.has(context.number):
            return proposal
        turn = Turn(context, self._state(), point, self._host.estimate(point))
        check = ConfigurationCheck(context, self._briefing, self._host.estimate, point)
        openings = compact(turn, self._prompts, self._briefing)
        answer = decided(self._model_for(context.number), self._prompts, openings, check)
        return replace(answer, shown=point, searcher_state=turn.state.to_json())
