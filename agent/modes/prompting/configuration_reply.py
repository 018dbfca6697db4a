"""Gets a configuration from a model, and turns it into a proposal or a refusal with its reason."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from agent.edits.assignments import Assignments, read_constants
from agent.edits.edit import Params, Unchanged
from agent.edits.guard import fingerprint
from agent.edits.replies.json_object import json_object
from agent.errors import EditError
from agent.llm.model import Message, Model, Schema
from agent.llm.prompt_templates import PromptSet
from agent.modes.prompting.dialogue import Exchange, ReplyError, ask_until_valid
from agent.modes.prompting.space_text import changes, ran, running, same, unapproved
from agent.modes.prompting.trial_digest import Briefing
from agent.modes.proposer import Context
from agent.search.memory_model import MemoryEstimate
from agent.search.space import SearchSpace
from agent.trials.trial import Origin, Proposal, Status

ATTEMPTS = 2  # one repair: a second faulty reply is refused
OFFERED = "configurations"  # the key of a list of them in a reply


class ConfigurationCheck:
    """Parses a reply into a configuration that is new and can run, and explains what is wrong with any other.

    Nothing is clamped, rounded into range or filled in: the answer runs unchanged or not at all.
    """

    def __init__(
        self,
        context: Context,
        briefing: Briefing,
        estimate: Callable[[Params], MemoryEstimate | None],
        point: Params | None = None,
    ) -> None:
        """`point`: the searcher's, which the model may return unchanged; `estimate`: the memory that values need."""
        assert context.space is not None, "a model that chooses values needs a search space"
        self.context = context
        self.space: SearchSpace = context.space
        self.point = point
        self._briefing = briefing
        self._estimate = estimate

    def __call__(self, reply: str) -> Params:
        """Return the configuration that `reply` states. Raises ReplyError if it states none that can run and is new."""
        return self.checked(stated_values(reply))

    def checked(self, answer: dict[str, object]) -> Params:
        """Return the configuration of these values. Raises ReplyError if it cannot run or is not new."""
        names = self.space.plain()
        if faults := names.validate(answer):
            raise ReplyError(Status.NO_PROPOSAL, "\n".join(faults))
        params = names.canonical(answer)
        # A name's range can keep the searcher outside a product's range; the model may return such a point.
        if not self.is_own_point(params) and (faults := self.space.validate(params)):
            raise ReplyError(Status.NO_PROPOSAL, "\n".join(faults), params=params)
        self._refuse_repeated(params)
        self._refuse_hopeless(params)
        return params

    def is_own_point(self, params: Params) -> bool:
        """Whether `params` are the searcher's point in the digits that the model was shown."""
        return self.point is not None and same(self.space, params, self.point)

    def _refuse_repeated(self, params: Params) -> None:
        vetoed = [(trial, values) for trial, values in unapproved(self.context) if trial.is_vetoed]
        earlier = {trial.number: values for trial, values in (*ran(self.context), *running(self.context), *vetoed)}
        repeats = [number for number, configuration in earlier.items() if configuration == params]
        if not repeats and self.is_own_point(params):
            return
        repeats += [number for number, configuration in earlier.items() if same(self.space, configuration, params)]
        if not repeats:
            return
        incumbent = self.context.incumbent.number
        number = incumbent if incumbent in repeats else repeats[0]
        known = (*self.context.trials, *self.context.pending)
        trial = next(trial for trial in known if trial.number == number)
        raise ReplyError(
            Status.DUPLICATE,
            f"this is the configuration of trial {number} again ({self._briefing.result(trial)}); "
            "change at least one value",
            copied_from="incumbent" if number == incumbent else f"trial {number}",
            params=params,
        )

    def _refuse_hopeless(self, params: Params) -> None:
        estimate = self._estimate(params)
        if estimate is not None and estimate.hopeless:
            problem = f"this will not fit in memory: it {estimate.description}; make the model or the batch smaller"
            raise ReplyError(Status.NO_PROPOSAL, problem, params=params)


def propose_configuration(
    model: Model, prompts: PromptSet, openings: Iterable[Sequence[Message]], check: ConfigurationCheck
) -> Proposal:
    """Return the model's proposal for the trial of `check`.

    Raises:
        ModelError: as `ask_until_valid` does.
    """
    schema = Schema("configuration", check.space.json_schema())
    exchange = ask_until_valid(model, prompts, openings, check, attempts=ATTEMPTS, schema=schema)
    if exchange.answer is None:
        return _refused(exchange, prompts)
    return replace(proposal_of(check, exchange.answer), usage=exchange.usage, prompt=prompts.hash)


def proposal_of(check: ConfigurationCheck, params: Params) -> Proposal:
    """Return the proposal of a model's configuration that `check` accepted."""
    edit, source = Assignments(params), check.context.source
    return Proposal(
        origin=Origin.LLM,
        title=changes(check.space, read_constants(source, list(params)), params),
        edit=edit,
        params=params,
        copied_from="searcher" if check.is_own_point(params) else None,
        fingerprint=fingerprint(edit.apply(source)),
    )


def offered_configurations(
    model: Model, prompts: PromptSet, openings: Iterable[Sequence[Message]], check: ConfigurationCheck, n_points: int
) -> Exchange[list[Params]]:
    """Return up to `n_points` different configurations that a model offers in one reply, in its order.

    Those that cannot run are dropped; only if none is left is the model asked once more. The searcher's own point is
    left out, so that the list is empty if the model offers nothing else.

    Raises:
        ModelError: as `ask_until_valid` does.
    """
    one = check.space.json_schema()
    several = {"type": "array", "items": one, "minItems": 1, "maxItems": n_points}
    body = {"type": "object", "properties": {OFFERED: several}, "required": [OFFERED], "additionalProperties": False}

    def offered(reply: str) -> list[Params]:
        found: list[Params] = []
        faults: list[ReplyError] = []
        for answer in _stated_configurations(reply)[:n_points]:
            try:
                params = check.checked(answer)
            except ReplyError as fault:
                faults.append(fault)
            else:
                if not any(same(check.space, params, other) for other in found):
                    found.append(params)
        if not found:
            raise _all_of(faults)
        return [params for params in found if not check.is_own_point(params)]

    return ask_until_valid(model, prompts, openings, offered, attempts=ATTEMPTS, schema=Schema(OFFERED, body))


def _stated_configurations(reply: str) -> list[dict[str, object]]:
    """Return the configurations in a reply: those of its list, or the one that it is. Raises ReplyError for neither."""
    answer = stated_values(reply)
    if OFFERED not in answer:
        return [answer]
    listed = answer[OFFERED]
    if not isinstance(listed, list) or not listed or not all(isinstance(each, dict) for each in listed):
        raise ReplyError(Status.NO_PROPOSAL, f'"{OFFERED}" is not a list of JSON objects')
    return listed


def _all_of(faults: Sequence[ReplyError]) -> ReplyError:
    """Return the faults of all configurations of a reply as one."""
    if len(faults) == 1:
        return faults[0]
    problem = "\n".join(f"{number}. {fault.problem}" for number, fault in enumerate(faults, 1))
    return ReplyError(faults[0].status, problem, copied_from=faults[0].copied_from, params=faults[0].params)


def _refused(exchange: Exchange[Params], prompts: PromptSet) -> Proposal:
    assert exchange.rejected is not None
    return Proposal(
        origin=Origin.LLM,
        title="no usable configuration",
        edit=Unchanged(),
        params=exchange.rejected.params,
        copied_from=exchange.rejected.copied_from,
        refused=exchange.rejected.status,
        reason=exchange.rejected.reason,
        usage=exchange.usage,
        prompt=prompts.hash,
    )


def stated_values(reply: str) -> dict[str, object]:
    """Return the JSON object in a reply, prose and fences around it ignored. Raises ReplyError if there is none."""
    try:
        return json_object(reply)
    except EditError as fault:
        raise ReplyError(Status.NO_PROPOSAL, str(fault)) from None
