"""A model with given replies, for tests without patching."""

from collections.abc import Callable, Sequence

from agent.errors import ModelError
from agent.llm.model import Completion, Message, Schema

Reply = str | Completion | Callable[[Sequence[Message]], str]


class ScriptedModel:
    """Returns `replies` in order: texts, completions, or functions of the messages, which may raise."""

    def __init__(self, replies: Sequence[Reply], *, name: str = "scripted", context_tokens: int = 1_000_000) -> None:
        self.name = name
        self.context_tokens = context_tokens
        self.requests: list[tuple[Message, ...]] = []  # the messages of each call, for tests
        self.schemas: list[Schema | None] = []
        self._replies = list(replies)

    def complete(self, messages: Sequence[Message], schema: Schema | None = None) -> Completion:
        self.requests.append(tuple(messages))
        self.schemas.append(schema)
        if not self._replies:
            raise ModelError(f"{self.name}: all its replies are used up; write more of them")
        reply = self._replies.pop(0)
        if isinstance(reply, Completion):
            return reply
        return Completion(text=reply if isinstance(reply, str) else reply(messages), model=self.name)

    def close(self) -> None:
        pass
