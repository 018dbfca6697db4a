"""The Centaur: a searcher proposes every point; on its turns a model offers others, which the searcher screens."""

import random
from collections.abc import Callable
from dataclasses import replace

from agent.edits.edit import Params
from agent.llm.model import Model
from agent.llm.prompt_templates import PromptSet
from agent.modes.centaur.share import LLMTurns, model_weight
from agent.modes.mode import ModeInputs, briefing_of
from agent.modes.numeric import SearchHost, build_host
from agent.modes.prompting.centaur_prompt import Turn, candidate_prompts
from agent.modes.prompting.configuration_reply import ConfigurationCheck, offered_configurations, proposal_of
from agent.modes.prompting.trial_digest import Briefing, quoted_line
from agent.modes.proposer import Context, Proposer
from agent.trials.hybrid.offer import Offer
from agent.trials.trial import Proposal

N_OFFERED = 4  # points in one reply, at most
UNSCREENED = 0.1  # chance that the first point of an offer runs although none passed the screen


class CentaurProposer:
    """The host proposes; on its turns a model offers up to N_OFFERED points, and one of them may run first.

    The host's Gaussian process predicts their losses. The first, in the model's order, with a prediction at least as
    good as that of the host's point runs. If there is none, the host's point runs, or with the chance UNSCREENED the
    model's first point, since the process may be wrong. The model's order decides among those that pass:
    the best-rated is mostly the most cautious one (measured in docs/benchmark.md). How often the model has a turn
    follows from the gains of its points.
    """

    def __init__(
        self,
        host: SearchHost,
        model_for: Callable[[int], Model],
        prompts: PromptSet,
        briefing: Briefing,
        *,
        turns: LLMTurns,
    ) -> None:
        """`model_for` returns the model of trial n, with its transcript."""
        self._host = host
        self._model_for = model_for
        self._prompts = prompts
        self._briefing = briefing
        self._turns = turns

    def propose(self, context: Context) -> Proposal:
        proposal = self._host.proposer.propose(context)
        point, weight = proposal.params, model_weight(context.trials)
        if proposal.refused is not None or point is None or not self._turns.is_llm_turn(context.number, weight):
            return proposal
        estimate = self._host.proposer.estimate
        turn = Turn(context, self._host.state(), point, estimate(point), self._host.name, N_OFFERED)
        check = ConfigurationCheck(context, self._briefing, estimate, point)
        prompts = candidate_prompts(turn, self._prompts, self._briefing)
        exchange = offered_configurations(self._model_for(context.number), self._prompts, prompts, check, N_OFFERED)
        offer = Offer(share=self._turns.share_at(weight), points=tuple(exchange.answer or ()))
        if exchange.rejected is not None:
            offer = replace(offer, fault=quoted_line(exchange.rejected.reason))
        offer = self._screened(offer, point, context.number)
        if offer.taken is None:
            chosen = proposal
        else:
            chosen = replace(proposal_of(check, offer.points[offer.taken]), shown=point, searcher_state=turn.state_json)
        return replace(chosen, usage=exchange.usage, prompt=self._prompts.hash, offer=offer)

    def _screened(self, offer: Offer, point: Params, number: int) -> Offer:
        """Return the offer with the host's predictions and with the point that runs."""
        if not offer.points:
            return offer
        predictions = self._host.predict([point, *offer.points])
        if predictions is None:
            return replace(offer, taken=0, is_screened=False)
        host_prediction, *own = predictions
        rated = replace(offer, predictions=tuple(own), host_prediction=host_prediction)
        passed = next((index for index, predicted in enumerate(own) if predicted <= host_prediction), None)
        if passed is not None:
            return replace(rated, taken=passed)
        if random.Random(f"screen {self._turns.seed} {number}").random() < UNSCREENED:
            return replace(rated, taken=0, is_screened=False)
        return rated


def build(inputs: ModeInputs) -> Proposer:
    """Return the proposer of centaur."""
    config = inputs.config
    host = build_host(config, inputs.task)
    turns = LLMTurns(config.seed, config.llm_share, config.llm_warmup, config.llm_every)
    return CentaurProposer(host, inputs.model_for, PromptSet.load("centaur"), briefing_of(inputs.task), turns=turns)
