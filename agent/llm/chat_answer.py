"""The answer of a chat endpoint: assembled as it arrives, and parsed."""

from dataclasses import dataclass
from typing import Any

from agent.llm.endpoint_faults import MalformedAnswerError


@dataclass
class ChatAnswer:
    """One reply, which may still be arriving in pieces."""

    text: str = ""
    reasoning: str = ""
    model: str = ""
    finish_reason: str | None = None  # None: not finished yet
    prompt_tokens: int | None = None  # None: the endpoint did not report it
    completion_tokens: int | None = None


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


def split_reasoning(content: str) -> tuple[str, str]:
    """Return (reasoning, answer) of a reply that may begin with a <think> block."""
    opened, tag, rest = content.partition("<think>")
    if not tag or opened.strip():
        return "", content
    reasoning, closed, answer = rest.partition("</think>")
    return (reasoning.strip(), answer.lstrip()) if closed else (reasoning.strip(), "")
