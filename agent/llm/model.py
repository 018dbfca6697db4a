"""The contract of a language model: messages in, one completion out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class Schema:
    """A JSON schema that the reply should satisfy. Servers may ignore it: the caller validates."""

    name: str  # letters, digits, underscores
    body: Mapping[str, Any]


@dataclass(frozen=True)
class Completion:
    """One reply and what it cost."""

    text: str  # the answer, without reasoning
    model: str
    finish_reason: str = "stop"  # "stop", "length", "content_filter"
    reasoning: str = ""  # what a reasoning model thought, if the server tells
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    dollars: float | None = None  # None: the price is not known
    retries: int = 0  # tries before it that failed and passed


def legible(said: str) -> str:
    """Return what a server has said without halves of characters: its JSON may hold \\ud800, and no file can."""
    return said.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class Model(Protocol):
    """A chat model behind any endpoint."""

    name: str
    context_tokens: int  # window: prompt and reply together

    def complete(self, messages: Sequence[Message], schema: Schema | None = None) -> Completion:
        """Return one completion.

        Raises:
            PromptTooLongError: the prompt does not fit the window.
            ModelError: the endpoint failed for good, all retries spent.
        """
        ...

    def close(self) -> None:
        """Give back what the model holds (a server, a connection). Safe to call twice."""
        ...
