"""The dialogue of a proposer with a model: ask, check, ask again."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from agent.edits.edit import Params
from agent.errors import ModelBudgetSpentError, PromptTooLongError
from agent.llm.model import Completion, Message, Model, ModelUsage, Schema
from agent.llm.prompt_templates import PromptSet
from agent.llm.replies.reasoning import split_reasoning
from agent.trials.trial import Status

T = TypeVar("T")

CHARACTERS_PER_TOKEN = 2.5
"""A low value for scripts and tables of numbers: 1.5 for digits, 3 to 4 for code (SmolLM2's tokenizer)."""
_BEGINS_AS_ANSWER = re.compile(r"\W{0,20}title\b|\s*(?:\{|`{3}|~{3}|<{5,9}\s*SEARCH\b|--- )", re.IGNORECASE)
REPLY_SHARE = 0.25  # of the context window, kept free for the reply


class ReplyError(Exception):
    """A reply that cannot be used. The model is shown `problem`; the trial gets `status` if no reply repairs it."""

    def __init__(
        self,
        status: Status,
        problem: str,
        *,
        title: str = "",
        copied_from: str | None = None,
        params: Params | None = None,
        final: bool = False,
    ) -> None:
        """`final`: the model is not asked again."""
        super().__init__(problem)
        self.status = status
        self.problem = problem
        self.title = title
        self.copied_from = copied_from
        self.params = params
        self.final = final

    @property
    def reason(self) -> str:
        """The problem's first line, for the journal."""
        return self.problem.partition("\n")[0]


@dataclass(frozen=True)
class Exchange(Generic[T]):
    """The result of a dialogue: an answer, or what was wrong with the last reply."""

    answer: T | None
    rejected: ReplyError | None  # None exactly if there is an answer
    usage: ModelUsage  # of all attempts


def ask_until_valid(
    model: Model,
    prompts: PromptSet,
    openings: Iterable[Sequence[Message]],
    check: Callable[[str], T],
    *,
    attempts: int,
    schema: Schema | None = None,
) -> Exchange[T]:
    """Return the first answer that `check` accepts among at most `attempts` replies.

    `openings` are versions of the prompt, longest first: the next one is used if a prompt or its reply did not fit.
    `check` parses a reply, or raises ReplyError, which the repair template puts to the model.

    Raises:
        PromptTooLongError: not even the shortest opening fits.
        ModelBudgetSpentError: a cap was reached before the first reply.
        ModelError: the endpoint failed for good.
    """
    dialogue = _Dialogue(iter(openings), model.context_tokens)
    usage = ModelUsage(model.name, dollars=0.0)
    rejected: ReplyError | None = None
    for attempts_left in reversed(range(attempts)):
        try:
            completion = dialogue.ask(model, schema)
        except (ModelBudgetSpentError, PromptTooLongError):
            if rejected is None:
                raise
            break  # the ledger must count what was paid so far
        usage = usage.plus(_cost(completion))
        try:
            return Exchange(check(_whole_reply(completion)), None, usage)
        except ReplyError as problem:
            rejected = problem
        if rejected.final:
            break
        if completion.finish_reason == "length":
            dialogue.shorten_opening()
        repair = prompts.fill("repair", {"problem": rejected.problem, "attempts_left": str(attempts_left)})
        dialogue.repairs += [Message("assistant", completion.text), Message("user", repair)]
    assert rejected is not None, "attempts must be at least 1"
    return Exchange(None, rejected, usage)


class _Dialogue:
    """The messages to send: an opening, which shorter ones may replace, and the dialogue since."""

    def __init__(self, openings: Iterator[Sequence[Message]], context_tokens: int) -> None:
        self.repairs: list[Message] = []  # earlier replies, each with its fault
        self._openings = openings
        self._opening = next(openings)
        # Some servers silently truncate a prompt that is too long, so a shorter opening is used if one is left.
        while _tokens(self._opening) > (1 - REPLY_SHARE) * context_tokens and self.shorten_opening():
            pass

    def ask(self, model: Model, schema: Schema | None) -> Completion:
        """Return the next reply, dropping what does not fit. Raises PromptTooLongError if nothing fits."""
        while True:
            try:
                return model.complete([*self._opening, *self.repairs], schema)
            except PromptTooLongError:
                if len(self.repairs) > 2:
                    self.repairs = self.repairs[-2:]
                elif not self.shorten_opening():
                    raise

    def shorten_opening(self) -> bool:
        """Use the next shorter opening; return whether there was one."""
        shorter = next(self._openings, None)
        self._opening = shorter or self._opening
        return shorter is not None


def _tokens(messages: Sequence[Message]) -> float:
    """Return the approximate number of tokens of a prompt."""
    return sum(len(message.content) for message in messages) / CHARACTERS_PER_TOKEN


def _whole_reply(completion: Completion) -> str:
    """Return the text to check. Raises ReplyError if it is missing or incomplete."""
    if completion.finish_reason == "length":
        raise ReplyError(Status.NO_PROPOSAL, "the reply was cut off before its end; answer more briefly")
    if completion.finish_reason == "content_filter":
        raise ReplyError(Status.NO_PROPOSAL, "the reply was withheld by the endpoint's content filter")
    if completion.text.strip():
        return completion.text
    if not completion.reasoning.strip():
        raise ReplyError(Status.NO_PROPOSAL, "the reply is empty")
    _, text = split_reasoning(completion.reasoning)
    if _BEGINS_AS_ANSWER.match(text):  # some servers put a whole reply there
        return text
    raise ReplyError(Status.NO_PROPOSAL, "the reply has only reasoning; write the answer after it, in the given form")


def _cost(completion: Completion) -> ModelUsage:
    return ModelUsage(
        completion.model,
        1,
        completion.prompt_tokens,
        completion.completion_tokens,
        completion.seconds,
        completion.dollars,
        completion.retries,
    )
