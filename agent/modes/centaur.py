"""The Centaur and its control: an optimizer proposes every point, and on some turns another point runs instead.

The Centaur asks a model for that point; the control takes the incumbent's, which shows what the model contributes.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from agent.edits.assignments import Assignments, read_constants
from agent.edits.guard import fingerprint
from agent.llm.model import Model
from agent.llm.prompt_templates import PromptSet
from agent.modes.mode import ModeInputs, briefing_of
from agent.modes.numeric import NumericProposer, cma_host
from agent.modes.prompting.centaur_prompt import Turn, candidate_prompts
from agent.modes.prompting.configuration_reply import ConfigurationCheck, propose_configuration
from agent.modes.prompting.trial_digest import Briefing
from agent.modes.proposer import Context, Proposer
from agent.search.cmaes import CMAState
from agent.store.run_config import RunConfig
from agent.trials.trial import Origin, Proposal


@dataclass(frozen=True)
class LLMTurns:
    """The model's turns: a share of the trials, drawn, or every k-th one; none during the warm-up."""

    seed: int
    share: float = 0.3
    warmup: int = 10  # trials, the baseline not counted
    every: int | None = None  # every k-th trial instead of a share

    def is_llm_turn(self, number: int) -> bool:
        """Whether the model decides trial `number`. It depends on seed and number only, so a resume changes nothing."""
        if number <= self.warmup:
            return False
        if self.every is not None:
            return number % self.every == 0
        return random.Random(f"centaur {self.seed} {number}").random() < self.share


class CentaurProposer:
    """The host's optimizer proposes; on the model's turns the model's answer runs instead of the optimizer's point.

    The host replays the journal to its searcher. The searcher learns the loss of the model's answer as a loss at the
    answer, under the number of the point that the model was shown. If nothing ran, it proposes that point again.
    """

    def __init__(
        self,
        host: NumericProposer,
        state: Callable[[], CMAState],
        model_for: Callable[[int], Model],
        prompts: PromptSet,
        briefing: Briefing,
        *,
        turns: LLMTurns,
    ) -> None:
        """`state` returns the state of the host's searcher; `model_for` the model of trial n, with its transcript."""
        self._host = host
        self._state = state
        self._model_for = model_for
        self._prompts = prompts
        self._briefing = briefing
        self._turns = turns

    def propose(self, context: Context) -> Proposal:
        proposal = self._host.propose(context)
        point = proposal.params
        if proposal.refused is not None or point is None or not self._turns.is_llm_turn(context.number):
            return proposal
        turn = Turn(context, self._state(), point, self._host.estimate(point))
        check = ConfigurationCheck(context, self._briefing, self._host.estimate, point)
        prompts = candidate_prompts(turn, self._prompts, self._briefing)
        answer = propose_configuration(self._model_for(context.number), self._prompts, prompts, check)
        return replace(answer, shown=point, searcher_state=turn.state.to_json())


class EchoProposer:
    """Proposes what `host` does, but on the model's turns the incumbent again.

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
    """Return the proposer of centaur."""
    host, state = cma_host(inputs.config, inputs.task)
    prompts, briefing = PromptSet.load("centaur"), briefing_of(inputs.task)
    return CentaurProposer(host, state, inputs.model_for, prompts, briefing, turns=_turns(inputs.config))


def build_control(inputs: ModeInputs) -> Proposer:
    """Return the proposer of the control of centaur."""
    host, _ = cma_host(inputs.config, inputs.task)
    return EchoProposer(host, _turns(inputs.config))


def _turns(config: RunConfig) -> LLMTurns:
    return LLMTurns(config.seed, config.llm_share, config.llm_warmup, config.llm_every)
