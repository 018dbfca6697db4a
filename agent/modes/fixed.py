"""Mode fixed: a model chooses every configuration of the space by itself, from the results so far."""

from collections.abc import Callable, Iterator, Sequence

from agent.edits.assignments import read_constants
from agent.llm.model import Message, Model
from agent.llm.prompt_templates import PromptSet
from agent.modes.mode import ModeInputs, briefing_of
from agent.modes.numeric import TriedConfigurations
from agent.modes.prompting.axis_effects import effects_and_stretch
from agent.modes.prompting.configuration_reply import ConfigurationCheck, propose_configuration
from agent.modes.prompting.notes_and_messages import notes_and_messages
from agent.modes.prompting.space_text import as_json, conditions, products, shortlist, table
from agent.modes.prompting.trial_digest import Briefing
from agent.modes.proposer import Context
from agent.search.memory_model import MemoryEstimator
from agent.trials.trial import Proposal

# Best, latest and failed configurations: more than in a Centaur, since no searcher remembers the rest.
HISTORY_ROWS = ((8, 6, 3), (5, 3, 2), (2, 1, 1))


class FixedProposer:
    """Shows the model the space, the history and the incumbent; its answer runs as it is, or not at all."""

    def __init__(
        self,
        model_for: Callable[[int], Model],
        prompts: PromptSet,
        briefing: Briefing,
        memory: Callable[[], MemoryEstimator | None] = lambda: None,
    ) -> None:
        """`model_for` returns the model of trial n, with its transcript; `memory` a new memory model."""
        self._model_for = model_for
        self._prompts = prompts
        self._briefing = briefing
        self._memory = memory

    def propose(self, context: Context) -> Proposal:
        experience = TriedConfigurations(self._memory())
        for trial in context.trials:
            experience.observe(trial, context)
        check = ConfigurationCheck(context, self._briefing, experience.estimate)
        return propose_configuration(self._model_for(context.number), self._prompts, self._openings(context), check)

    def _openings(self, context: Context) -> Iterator[Sequence[Message]]:
        """Yield the prompt with fewer and fewer rows of history."""
        assert context.space is not None, "a model that chooses values needs a search space"
        briefing = self._briefing
        best = read_constants(context.source, context.space.names)
        for rows in HISTORY_ROWS:
            n_top, n_recent, n_failed = rows
            values = {
                "metric": briefing.metric,
                "incumbent": str(context.incumbent.number),
                "result": f"{briefing.metric} {briefing.format_loss(context.best_loss)}",
                "table": table(context.space, best),
                "products": products(context.space),
                "conditions": conditions(context.space),
                "budget_left": context.budget_left,
                "best": as_json(context.space, best),
                "people": notes_and_messages(context, is_short=rows == HISTORY_ROWS[-1]),
                **effects_and_stretch(context, is_short=rows == HISTORY_ROWS[-1]),
                **shortlist(context, briefing, n_top=n_top, n_recent=n_recent, n_failed=n_failed),
            }
            system = self._prompts.fill("system", {"goal": briefing.goal, "limits": briefing.limits})
            yield [Message("system", system), Message("user", self._prompts.fill("user", values))]


def build(inputs: ModeInputs) -> FixedProposer:
    """Return the proposer of this mode."""
    task = inputs.task
    return FixedProposer(inputs.model_for, PromptSet.load("fixed"), briefing_of(task), task.memory_model)
