"""What the refusals and broken answers of an OpenAI-compatible endpoint mean."""

from typing import Any

from agent.errors import ModelError

TRANSIENT_STATUS = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
OVERFLOW_CODES = frozenset({"context_length_exceeded", "exceed_context_size_error"})  # OpenAI, llama.cpp
OVERFLOW_PHRASES = ("maximum context length", "context size", "context window", "prompt is too long")
OUT_OF_MONEY = "insufficient_quota"  # a 429 that no waiting mends


class RequestRefusedError(ModelError):
    """The endpoint understood the request and will not serve it."""


class MalformedAnswerError(Exception):
    """The endpoint answered with something that is no completion: a proxy's page, a cut body."""


def is_overflow(fault: Any) -> bool:
    """Whether a refused request was too long, in the words of OpenAI or of llama.cpp."""
    if fault.status_code not in (400, 413, 422):
        return False
    return error_code(fault) in OVERFLOW_CODES or any(phrase in str(fault).lower() for phrase in OVERFLOW_PHRASES)


def error_code(fault: Any) -> str | None:
    body = fault.body if isinstance(fault.body, dict) else {}
    code = body.get("code")
    return code if isinstance(code, str) else body.get("type")
