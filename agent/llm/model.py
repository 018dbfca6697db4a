"""The Model protocol of a language model: messages in, one completion out."""

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
    """A JSON schema that the reply should satisfy. Servers may ignore it, so the caller validates the reply."""

    name: str  # letters, digits, underscores
    body: Mapping[str, Any]


@dataclass(frozen=True)
class Completion:
    """One reply and its cost."""

    text: str  # the answer, without reasoning
    model: str
    finish_reason: str = "stop"  # "stop", "length", "content_filter"
    reasoning: str = ""  # a reasoning model's reasoning, if the server returns it
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    dollars: float | None = None  # None: the price is unknown
    retries: int = 0  # failed attempts before this reply


def legible(text: str) -> str:
    """Return a server's text without lone surrogates: JSON may contain \\ud800, a UTF-8 file cannot."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class Model(Protocol):
    """A chat model behind any endpoint."""

    name: str
    context_tokens: int  # context window: prompt and reply together

    def complete(self, messages: Sequence[Message], schema: Schema | None = None) -> Completion:
        """Return one completion.

        Raises:
            PromptTooLongError: the prompt does not fit the context window.
            ModelError: the endpoint failed for good; no retries are left.
        """
        ...

    def close(self) -> None:
        """Release the model's resources, such as a server or a connection. Safe to call twice."""
        ...


@dataclass(frozen=True)
class ModelUsage:
    """The cost of the model calls of one proposal, all attempts together."""

    model: str
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    dollars: float | None = None  # None: the price is unknown
    retries: int = 0  # transient failures of the endpoint
    cached_tokens: int = 0  # of the prompt tokens: those that the endpoint had in its cache, where that is known

    def plus(self, other: "ModelUsage") -> "ModelUsage":
        """Return the sum; its price is unknown if either price is."""
        known = self.dollars is not None and other.dollars is not None
        return ModelUsage(
            self.model,
            self.calls + other.calls,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.seconds + other.seconds,
            (self.dollars or 0.0) + (other.dollars or 0.0) if known else None,
            self.retries + other.retries,
            self.cached_tokens + other.cached_tokens,
        )
