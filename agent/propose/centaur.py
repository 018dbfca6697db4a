"""The Centaur: an optimizer proposes every point, and on some turns a model decides what runs in its place."""

import json
import random
from collections.abc import Callable
from dataclasses import replace

from agent.edits.assignments import Assignments, read_constants
from agent.edits.edit import Params, Unchanged
from agent.edits.guard import fingerprint
from agent.llm.model import Message, Model, Schema
from agent.prompts import PromptSet
from agent.propose.briefing import Briefing
from agent.propose.configurations import as_json, changes, correlations, ran, same, shortlist, shown, table
from agent.propose.conversation import Exchange, ReplyError, converse
from agent.propose.proposer import Context, Proposer
from agent.search.cmaes import CMAState
from agent.search.space import SearchSpace
from agent.trial import Origin, Proposal, Status

HISTORY_ROWS = ((5, 3, 2), (2, 1, 1))  # best, latest and failed configurations; fewer where the prompt does not fit
ATTEMPTS = 2  # one repair: what is wrong twice is no proposal


class CentaurProposer:
    """`host` proposes; on the model's share of the turns its answer runs, and is told to the host's searcher.

    The host re-drives its searcher from the journal, where an answer of the model stands with the number of the
    point that was shown to it: it is told in that point's place. If nothing ran, the point is released.
    """

    def __init__(
        self,
        host: Proposer,
        state: Callable[[], CMAState],
        model_for: Callable[[int], Model],
        prompts: PromptSet,
        briefing: Briefing,
        *,
        seed: int,
        llm_share: float = 0.3,
        warmup: int = 10,
    ) -> None:
        """`state` is that of the host's searcher; `model_for` gives the model of trial n, with its transcript."""
        self._host = host
        self._state = state
        self._model_for = model_for
        self._prompts = prompts
        self._briefing = briefing
        self._seed = seed
        self._llm_share = llm_share
        self._warmup = warmup

    def propose(self, context: Context) -> Proposal:
        point = self._host.propose(context)
        if point.refused is not None or not self.is_llm_turn(context.number):
            return point
        assert context.space is not None, "a mode with a searcher needs a search space"
        assert point.params is not None, "a searcher's proposal has params"
        return self._decided(context, context.space, point.params)

    def is_llm_turn(self, number: int) -> bool:
        """Whether the model decides trial `number`: drawn from seed and number, so a resumed run draws alike."""
        return number > self._warmup and random.Random(f"centaur {self._seed} {number}").random() < self._llm_share

    def _decided(self, context: Context, space: SearchSpace, point: Params) -> Proposal:
        """Return what the model makes of the searcher's `point`."""
        state = self._state()
        exchange = converse(
            self._model_for(context.number),
            self._prompts,
            (self._opening(context, space, state, point, n_rows) for n_rows in HISTORY_ROWS),
            lambda reply: self._check(reply, context, space, point),
            attempts=ATTEMPTS,
            schema=Schema("configuration", space.json_schema()),
        )
        proposal = _refused(exchange) if exchange.answer is None else _accepted(exchange.answer, context, point)
        return replace(
            proposal,
            usage=exchange.usage,
            prompt=self._prompts.hash,
            shown=point,
            searcher_state=state.to_json(),
        )

    def _opening(
        self, context: Context, space: SearchSpace, state: CMAState, point: Params, n_rows: tuple[int, int, int]
    ) -> list[Message]:
        """Return the prompt with at most `n_rows` of the best, of the latest and of failed configurations."""
        n_top, n_recent, n_failed = n_rows
        briefing = self._briefing
        best = read_constants(context.source, space.names)
        values = {
            "metric": briefing.metric,
            "incumbent": str(context.incumbent.number),
            "result": f"{briefing.metric} {briefing.shown(context.best_loss)}",
            "table": table(space, state, best),
            "generation": str(state.generation),
            "sigma": shown(state.sigma),
            "correlations": correlations(space, state),
            "budget_left": context.budget_left,
            "point": as_json(point),
            **shortlist(context, briefing, n_top=n_top, n_recent=n_recent, n_failed=n_failed),
        }
        system = self._prompts.fill("system", {"goal": briefing.goal, "limits": briefing.limits})
        return [Message("system", system), Message("user", self._prompts.fill("user", values))]

    def _check(self, reply: str, context: Context, space: SearchSpace, point: Params) -> Params:
        """Return the configuration that `reply` states. Raises ReplyError if it is none, or one that ran before.

        Nothing is clamped, rounded into range or filled in: the answer runs as it is or not at all.
        """
        answer = _json_object(reply)
        if faults := space.validate(answer):
            raise ReplyError(Status.NO_PROPOSAL, "\n".join(faults))
        params = space.canonical(answer)
        earlier = {trial.number: configuration for trial, configuration in ran(context)}
        repeats = [number for number, configuration in earlier.items() if configuration == params]
        if not repeats and same(params, point):
            return params
        repeats += [number for number, configuration in earlier.items() if same(configuration, params)]
        if not repeats:
            return params
        number = context.incumbent.number if context.incumbent.number in repeats else repeats[0]
        trial = next(trial for trial in context.trials if trial.number == number)
        raise ReplyError(
            Status.DUPLICATE,
            f"this is the configuration of trial {number} again ({self._briefing.result(trial)}); "
            "change at least one value",
            copied_from="incumbent" if number == context.incumbent.number else f"trial {number}",
            params=params,
        )


def _accepted(answer: Params, context: Context, point: Params) -> Proposal:
    edit = Assignments(answer)
    return Proposal(
        origin=Origin.LLM,
        title=changes(read_constants(context.source, list(answer)), answer),
        edit=edit,
        params=answer,
        copied_from="searcher" if same(answer, point) else None,
        fingerprint=fingerprint(edit.apply(context.source)),
    )


def _refused(exchange: Exchange[Params]) -> Proposal:
    assert exchange.rejected is not None
    return Proposal(
        origin=Origin.LLM,
        title="no usable configuration",
        edit=Unchanged(),
        params=exchange.rejected.params,
        copied_from=exchange.rejected.copied_from,
        refused=exchange.rejected.status,
        reason=exchange.rejected.reason,
    )


def _json_object(reply: str) -> dict[str, object]:
    """Return the JSON object in a reply, prose and fences around it ignored. Raises ReplyError if there is none."""
    start, end = reply.find("{"), reply.rfind("}")
    if start < 0 or end < start:
        raise ReplyError(Status.NO_PROPOSAL, "the answer holds no JSON object")
    try:
        answer = json.loads(reply[start : end + 1])
    except (ValueError, RecursionError) as fault:
        raise ReplyError(Status.NO_PROPOSAL, f"the answer is not one JSON object: {fault}") from None
    assert isinstance(answer, dict)
    return answer
