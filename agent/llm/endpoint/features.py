"""Optional parts of a request, which some servers refuse: what each is, and the request without it."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from agent.llm.endpoint.faults import ApiError

SYSTEM = "the system role"
SCHEMA = "response_format"
USAGE = "stream_options"
STREAM = "stream"
_LENGTHS = {"max_completion_tokens": "max_tokens", "max_tokens": "max_completion_tokens"}
"""Two names of one option: where a server refuses one, the other is sent."""
_WORDS = {
    USAGE: r"stream_options|include_usage",
    SCHEMA: r"response_format|schema|grammar|structured|guided|json_object|json mode",
    SYSTEM: r"system|roles? must alternate|only user and assistant",
    STREAM: r"stream|streaming",
}
"""How servers name a part, as a regular expression; any other part by its own name."""
_REQUIRED = ("model", "messages")


def features_of(request: Mapping[str, Any]) -> list[str]:
    """Return the names of the optional parts of a request, the least useful first."""
    has_system = any(message["role"] == "system" for message in request["messages"])
    options = [name for name in request if name not in (*_REQUIRED, *_WORDS)]
    found = [name for name in (USAGE, SCHEMA) if name in request]
    return [*found, *([SYSTEM] if has_system else []), *options, *([STREAM] if STREAM in request else [])]


def named_in(error: ApiError, features: Sequence[str]) -> list[str]:
    """Return the features that an error names, the most likely cause first."""
    parameter = error.parameter.lower()
    places = {name: re.search(rf"\b(?:{_WORDS.get(name, re.escape(name))})\b", error.words) for name in features}
    found = [name for name, place in places.items() if place is not None]
    # A message may name an accepted option too: "Unsupported: 'max_tokens'. Use 'max_completion_tokens' instead."
    return sorted(found, key=lambda name: (name != parameter, places[name].start()))  # type: ignore[union-attr]


def without(request: Mapping[str, Any], features: Collection[str]) -> dict[str, Any]:
    """Return the request without some of its features; a system message moves into the first message of the user."""
    kept = {name: value for name, value in request.items() if name not in features}
    if STREAM in features:
        kept.pop(USAGE, None)
    for name, other in _LENGTHS.items():
        if name in features and name in request and other not in features:
            kept[other] = request[name]
    if SYSTEM in features:
        kept["messages"] = _without_system(request["messages"])
    return kept


def _without_system(messages: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    instructions = [message["content"] for message in messages if message["role"] == "system"]
    rest = [dict(message) for message in messages if message["role"] != "system"]
    if not rest or rest[0]["role"] != "user":
        rest.insert(0, {"role": "user", "content": ""})
    rest[0]["content"] = "\n\n".join(part for part in (*instructions, rest[0]["content"]) if part)
    return rest
