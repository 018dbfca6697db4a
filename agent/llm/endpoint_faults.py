"""Classification of the refusals and malformed answers of an OpenAI-compatible endpoint."""

from typing import Any

from agent.errors import ModelError

TRANSIENT_STATUS = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
OVERFLOW_CODES = frozenset({"context_length_exceeded", "exceed_context_size_error"})  # OpenAI, llama.cpp
OVERFLOW_PHRASES = ("maximum context length", "context size", "context window", "prompt is too long")
OUT_OF_MONEY = "insufficient_quota"  # a 429 that waiting does not resolve


class RequestRefusedError(ModelError):
    """The endpoint understood the request and refuses it."""


class MalformedAnswerError(Exception):
    """The endpoint's answer is not a completion, e.g. a proxy's error page or a truncated body."""


def is_overflow(fault: Any) -> bool:
    """Whether a request was refused as too long; knows the messages of OpenAI and llama.cpp."""
    if fault.status_code not in (400, 413, 422):
        return False
    return error_code(fault) in OVERFLOW_CODES or any(phrase in str(fault).lower() for phrase in OVERFLOW_PHRASES)


def error_code(fault: Any) -> str | None:
    body = fault.body if isinstance(fault.body, dict) else {}
    code = body.get("code")
    return code if isinstance(code, str) else body.get("type")
