"""Caps on the cost of a run's model calls, checked before each call."""

from collections.abc import Sequence
from dataclasses import dataclass

from agent.errors import ModelBudgetSpentError
from agent.llm.model import Completion, Message, Model, Schema


@dataclass(frozen=True)
class Caps:
    """Upper limits for all model calls of a run; None: no cap."""

    tokens: int | None = None  # prompts and replies together
    dollars: float | None = None

    def spent(self, tokens: int, dollars: float | None) -> str | None:
        """Return a phrase that names the cap that is reached; None if none is."""
        if self.tokens is not None and tokens >= self.tokens:
            return f"the cap of {self.tokens} model tokens is reached ({tokens} used)"
        if self.dollars is not None and dollars is not None and dollars >= self.dollars:
            return f"the cap of ${self.dollars:g} for model calls is reached (${dollars:.2f} used)"
        return None


class CappedModel:
    """A model that is not called any more once a cap is reached."""

    def __init__(self, model: Model, caps: Caps, *, tokens: int = 0, dollars: float = 0.0) -> None:
        """`tokens` and `dollars`: spent already, according to the journal of a resumed run."""
        self.name = model.name
        self.context_tokens = model.context_tokens
        self._model = model
        self._caps = caps
        self._tokens = tokens
        self._dollars = dollars

    def complete(self, messages: Sequence[Message], schema: Schema | None = None) -> Completion:
        reached = self._caps.spent(self._tokens, self._dollars)
        if reached is not None:
            raise ModelBudgetSpentError(reached)
        completion = self._model.complete(messages, schema)
        self._tokens += completion.prompt_tokens + completion.completion_tokens
        self._dollars += completion.dollars or 0.0
        return completion

    def close(self) -> None:
        self._model.close()
