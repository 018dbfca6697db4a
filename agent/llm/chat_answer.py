"""One whole reply of a chat endpoint."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ChatAnswer:
    """A reply, with its reasoning where the endpoint returns that separately."""

    text: str
    reasoning: str
    model: str  # empty: the endpoint does not say
    finish_reason: str
    prompt_tokens: int | None  # None: the endpoint reports no valid number
    completion_tokens: int | None
