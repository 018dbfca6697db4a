"""The prompt for a model on its turn in a Centaur."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from agent.edits.assignments import read_constants
from agent.edits.edit import Params
from agent.llm.model import Message
from agent.llm.prompt_templates import PromptSet
from agent.modes.prompting.axis_effects import effects_and_stretch
from agent.modes.prompting.notes_and_messages import notes_and_messages
from agent.modes.prompting.space_text import as_json, conditions, correlations, derived, shortlist, table
from agent.modes.prompting.trial_digest import Briefing
from agent.modes.proposer import Context
from agent.search.cmaes import CMAState
from agent.search.memory_model import MemoryEstimate
from agent.search.space import SearchSpace

HISTORY_ROWS = ((5, 3, 2), (2, 1, 1))  # best, latest and failed configurations; fewer if the prompt does not fit
COLUMNS = (
    " `mean` and `std` describe what the optimizer draws its points from; a std of x1.3 means times or divided by 1.3."
)


@dataclass(frozen=True)
class Turn:
    """The facts that the prompt of one turn shows."""

    context: Context
    state: CMAState | None  # None: the host has no distribution to show
    point: Params  # the searcher's own
    estimate: MemoryEstimate | None  # of the memory that the point needs; None: not known
    host: str  # the searcher, such as "CMA-ES"
    n_points: int  # that the model may offer

    @property
    def state_json(self) -> dict[str, Any] | None:
        """The state of the host, for the journal."""
        return None if self.state is None else self.state.to_json()

    @property
    def space(self) -> SearchSpace:
        assert self.context.space is not None, "a mode with a searcher needs a search space"
        return self.context.space

    @property
    def best(self) -> Params:
        """The incumbent's values."""
        return read_constants(self.context.source, self.space.names)


def candidate_prompts(turn: Turn, prompts: PromptSet, briefing: Briefing) -> Iterator[Sequence[Message]]:
    """Yield the prompt with fewer and fewer rows of history: at most 2,500 tokens for 14 names."""
    context, state = turn.context, turn.state
    for rows in HISTORY_ROWS:
        n_top, n_recent, n_failed = rows
        values = {
            "metric": briefing.metric,
            "incumbent": str(context.incumbent.number),
            "result": f"{briefing.metric} {briefing.format_loss(context.best_loss)}",
            "table": table(turn.space, turn.best, state),
            "columns": "" if state is None else COLUMNS,
            "state": _state(turn.space, state),
            "derived": derived(turn.space),
            "conditions": conditions(turn.space),
            "budget_left": context.budget_left,
            "n_points": str(turn.n_points),
            "point": as_json(turn.space, turn.point),
            "memory": _fits(turn.estimate),
            "people": notes_and_messages(context, is_short=rows == HISTORY_ROWS[-1]),
            **effects_and_stretch(context, is_short=rows == HISTORY_ROWS[-1]),
            **shortlist(context, briefing, n_top=n_top, n_recent=n_recent, n_failed=n_failed),
        }
        about = {"host": turn.host, "n_points": str(turn.n_points), "goal": briefing.goal, "limits": briefing.limits}
        system = prompts.fill("system", about)
        yield [Message("system", system), Message("user", prompts.fill("user", values))]


def _state(space: SearchSpace, state: CMAState | None) -> str:
    """Return the state of CMA-ES in words, with a space at its end; empty for another host."""
    if state is None:
        return ""
    strong = correlations(space, state)
    return (
        f"Generation {state.generation}, step size {state.sigma:.3g} of the range. Correlated in the search: {strong} "
    )


def _fits(estimate: MemoryEstimate | None) -> str:
    """Return in words whether a point will fit in memory."""
    return "not known" if estimate is None else f"{estimate.description}, fits with a chance of {estimate.chance:.0%}"
