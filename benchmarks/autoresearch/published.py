"""The Centaur as published (arXiv 2603.24647): CMA-ES, a fixed share of the trials, one point of the model, which runs.

Nothing screens the point, and CMA-ES learns its loss in the place of its own point's. The answer is checked as in
`agent run`; one that cannot run ends the trial without a training.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from agent.edits.assignments import read_constants
from agent.llm.model import Message, Model
from agent.llm.prompt_templates import PromptSet
from agent.modes.centaur.share import LLMTurns
from agent.modes.numeric import NumericProposer
from agent.modes.prompting.configuration_reply import ConfigurationCheck, propose_configuration
from agent.modes.prompting.space_text import as_json, correlations, derived, shortlist, table
from agent.modes.prompting.trial_digest import Briefing
from agent.modes.proposer import Context
from agent.search.cmaes import CMAState
from agent.trials.trial import Proposal

PROMPTS = Path(__file__).parent / "prompts"


class PublishedCentaur:
    """CMA-ES proposes; on the model's turns the model's answer runs instead of CMA-ES's point."""

    def __init__(
        self,
        host: NumericProposer,
        state: Callable[[], CMAState],
        model_for: Callable[[int], Model],
        briefing: Briefing,
        *,
        turns: LLMTurns,
    ) -> None:
        """`state` returns the state of the host's CMA-ES."""
        self._host = host
        self._state = state
        self._model_for = model_for
        self._prompts = PromptSet.load("centaur", PROMPTS)
        self._briefing = briefing
        self._turns = turns

    def propose(self, context: Context) -> Proposal:
        proposal = self._host.propose(context)
        if proposal.refused is not None or proposal.params is None or not self._turns.is_llm_turn(context.number):
            return proposal
        check = ConfigurationCheck(context, self._briefing, self._host.estimate, proposal.params)
        opening = self._opening(context, check, self._state())
        answer = propose_configuration(self._model_for(context.number), self._prompts, opening, check)
        return replace(answer, shown=proposal.params)

    def _opening(self, context: Context, check: ConfigurationCheck, state: CMAState) -> Iterator[Sequence[Message]]:
        """Yield the prompt, in one length."""
        space, briefing, point = check.space, self._briefing, check.point
        assert point is not None
        values = {
            "metric": briefing.metric,
            "incumbent": str(context.incumbent.number),
            "result": f"{briefing.metric} {briefing.format_loss(context.best_loss)}",
            "table": table(space, read_constants(context.source, space.names), state),
            "generation": str(state.generation),
            "sigma": f"{state.sigma:.3g}",
            "correlations": correlations(space, state),
            "derived": derived(space),
            "budget_left": context.budget_left,
            "point": as_json(space, point),
            **shortlist(context, briefing),
        }
        system = self._prompts.fill("system", {"goal": briefing.goal, "limits": briefing.limits})
        yield [Message("system", system), Message("user", self._prompts.fill("user", values))]
