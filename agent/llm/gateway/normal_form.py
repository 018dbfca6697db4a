"""The normal form of an agent's request: equal for two requests that differ only in dates, identifiers and times."""

import re
from collections.abc import Mapping
from typing import Any

_VARYING_FIELDS = frozenset(
    {
        *("metadata", "client_metadata", "user", "safety_identifier", "prompt_cache_key", "session_id", "sessionId"),
        *("id", "call_id", "tool_call_id", "tool_use_id", "thoughtSignature", "signature", "encrypted_content"),
    }
)
_LINES = re.compile(r"x-anthropic-billing-header:[^\n]*")  # Claude Code: a checksum of each request
_IN_TMP = re.compile(r"(?<=/tmp/)[^/\s\"']+")
_WORDS = re.compile(r"[A-Za-z0-9_.:+-]+")
_DATES = re.compile(
    r"\b(?:Mon|Tues?|Wed(?:nes)?|Thu(?:rs)?|Fri|Sat(?:ur)?|Sun)(?:day)?\b"
    r"|\b(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?"
    r"|Sep(?:t(?:ember)?)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)\b"
    r"|\b[AP]M\b"
)


def normal_form(value: Any) -> Any:
    """Return a request without its identifiers. In its texts, each word with a digit, each date and each name in /tmp
    is replaced by `#`, and white space by one space, since these differ between two runs of an agent on the same task.
    """  # fmt: skip
    if isinstance(value, str):
        return _normal_text(value)
    if isinstance(value, Mapping):
        return {name: normal_form(item) for name, item in value.items() if name not in _VARYING_FIELDS}
    if isinstance(value, list):
        return [normal_form(item) for item in value]
    return value


def first_difference(one: Any, other: Any, place: str = "") -> str:
    """Return where two normal forms first differ, such as `messages[3].content`."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for name in [*one, *(name for name in other if name not in one)]:
            if name not in one or name not in other or one[name] != other[name]:
                return first_difference(one.get(name), other.get(name), f"{place}.{name}".lstrip("."))
    if isinstance(one, list) and isinstance(other, list):
        for number, (left, right) in enumerate(zip(one, other, strict=False)):
            if left != right:
                return first_difference(left, right, f"{place}[{number}]")
        return f"{place}[{min(len(one), len(other))}]"
    return place or "its body"


def _normal_text(text: str) -> str:
    text = _DATES.sub("#", _IN_TMP.sub("#", _LINES.sub("#", text)))
    text = _WORDS.sub(lambda word: "#" if any(c.isdigit() for c in word[0]) else word[0], text)
    return " ".join(text.split())
