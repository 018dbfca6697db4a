"""The answer of a chat endpoint: assembled as it arrives, and parsed."""

from dataclasses import dataclass
from typing import Any

from agent.llm.endpoint_faults import MalformedAnswerError
from agent.llm.model import legible
from agent.llm.replies.reasoning import split_reasoning


@dataclass
class ChatAnswer:
    """One reply, which may still be arriving in pieces."""

    text: str = ""
    reasoning: str = ""
    model: str = ""
    finish_reason: str | None = None  # None: not finished yet
    prompt_tokens: int | None = None  # None: the endpoint did not report it
    completion_tokens: int | None = None

    def parts(self) -> tuple[str, str]:
        """Return (reasoning, answer). Reasoning within the text counts where the endpoint did not separate it."""
        inline, answer = split_reasoning(legible(self.text))
        return legible(self.reasoning) or inline, answer


def answer_in_one_piece(document: Any) -> ChatAnswer:
    """Return the answer in a response without streaming. Raises MalformedAnswerError if it contains none."""
    try:
        choice = document["choices"][0]
        message, usage = choice["message"], document.get("usage") or {}
        return ChatAnswer(
            text=message.get("content") or "",
            reasoning=message.get("reasoning_content") or message.get("reasoning") or "",
            model=document.get("model") or "",
            finish_reason=choice.get("finish_reason") or "stop",
            prompt_tokens=usage.get("prompt_tokens"),
            completion_tokens=usage.get("completion_tokens"),
        )
    except (LookupError, TypeError, AttributeError):
        raise MalformedAnswerError("its answer contains no completion; is the address OpenAI-compatible?") from None
