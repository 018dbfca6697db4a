"""Replies of a model in the four dialects, whole or streamed, as their endpoints send them, and requests for them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.agent.llm.fake_server import Answer

PROMPT, CACHED, COMPLETION = 1000, 400, 50
"""The tokens of each reply; those of the prompt include the cached ones."""


@dataclass(frozen=True)
class Spoken:
    """How one dialect is spoken in these tests."""

    name: str
    path: str  # of a call, as an agent sends it
    upstream_path: str  # as the endpoint sees it
    request: Mapping[str, Any]
    key_header: str
    key: str  # the agent's worthless one, as it sends it
    usage: Mapping[str, Any]


CHAT = Spoken(
    "chat",
    "/v1/chat/completions",
    "/v1/chat/completions",
    {"model": "fake-1", "messages": [{"role": "user", "content": "edit it"}]},
    "authorization",
    "Bearer worthless",
    {
        "prompt_tokens": PROMPT,
        "completion_tokens": COMPLETION,
        "total_tokens": PROMPT + COMPLETION,
        "prompt_tokens_details": {"cached_tokens": CACHED},
    },
)
RESPONSES = Spoken(
    "responses",
    "/v1/responses",
    "/v1/responses",
    {"model": "fake-1", "input": [{"role": "user", "content": "edit it"}]},
    "authorization",
    "Bearer worthless",
    {
        "input_tokens": PROMPT,
        "input_tokens_details": {"cached_tokens": CACHED},
        "output_tokens": COMPLETION,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": PROMPT + COMPLETION,
    },
)
MESSAGES = Spoken(
    "messages",
    "/v1/messages?beta=true",
    "/v1/messages?beta=true",
    {"model": "fake-1", "max_tokens": 9, "messages": [{"role": "user", "content": "edit it"}]},
    "x-api-key",
    "worthless",
    {
        "input_tokens": PROMPT - CACHED - 100,
        "cache_read_input_tokens": CACHED,
        "cache_creation_input_tokens": 100,
        "output_tokens": COMPLETION,
    },
)
GEMINI = Spoken(
    "gemini",
    "/v1beta/models/fake-1:generateContent",
    "/v1beta/models/fake-1:generateContent",
    {"contents": [{"role": "user", "parts": [{"text": "edit it"}]}]},
    "x-goog-api-key",
    "worthless",
    {
        "promptTokenCount": PROMPT,
        "cachedContentTokenCount": CACHED,
        "candidatesTokenCount": COMPLETION - 20,
        "thoughtsTokenCount": 20,
        "totalTokenCount": PROMPT + COMPLETION,
    },
)
ALL = {spoken.name: spoken for spoken in (CHAT, RESPONSES, MESSAGES, GEMINI)}
GEMINI_STREAM = "/v1beta/models/fake-1:streamGenerateContent"


def says(dialect: str, text: str = "done", usage: Any = ...) -> Answer:
    """Return a whole reply; `usage` None: without one; by default the usual one."""
    used = ALL[dialect].usage if usage is ... else usage
    return Answer(200, json.dumps(_whole(dialect, text, used)).encode(), {"Content-Type": "application/json"})


def streams(dialect: str, text: str = "done", usage: Any = ..., *, as_list: bool = False) -> Answer:
    """Return a streamed reply; `as_list`: Gemini's form without server-sent events."""
    used = ALL[dialect].usage if usage is ... else usage
    events = _events(dialect, text, used)
    if as_list:
        body = "[" + ",\r\n".join(json.dumps(data) for _, data in events) + "]"
        return Answer(200, body.encode(), {"Content-Type": "application/json"})
    body = "".join((f"event: {name}\n" if name else "") + f"data: {json.dumps(data)}\n\n" for name, data in events)
    body += "data: [DONE]\n\n" if dialect == "chat" else ""
    return Answer(200, body.encode(), {"Content-Type": "text/event-stream"})


def _whole(dialect: str, text: str, usage: Any) -> dict[str, Any]:
    match dialect:
        case "chat":
            message = {"role": "assistant", "content": text}
            return {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage}
        case "responses":
            content = [{"type": "output_text", "text": text}]
            return {"status": "completed", "output": [{"type": "message", "content": content}], "usage": usage}
        case "messages":
            return {"type": "message", "content": [{"type": "text", "text": text}], "usage": usage}
        case _:
            parts = [{"text": text}]
            return {"candidates": [{"content": {"role": "model", "parts": parts}}], "usageMetadata": usage}


def _events(dialect: str, text: str, usage: Any) -> list[tuple[str | None, dict[str, Any]]]:
    whole = _whole(dialect, text, usage)
    match dialect:
        case "chat":
            delta = {"choices": [{"index": 0, "delta": {"content": text}}], "usage": None}
            return [(None, delta), (None, {"choices": [], "usage": usage})]
        case "responses":
            started = {**whole, "status": "in_progress", "output": [], "usage": None}
            return [
                ("response.created", {"type": "response.created", "response": started}),
                ("response.output_text.delta", {"type": "response.output_text.delta", "delta": text}),
                ("response.completed", {"type": "response.completed", "response": whole}),
            ]
        case "messages":
            began = {**whole, "content": [], "usage": usage and {**usage, "output_tokens": 1}}
            ended = {"output_tokens": usage["output_tokens"]} if usage else None
            return [
                ("message_start", {"type": "message_start", "message": began}),
                ("content_block_delta", {"type": "content_block_delta", "delta": {"type": "text_delta", "text": text}}),
                ("message_delta", {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": ended}),
                ("message_stop", {"type": "message_stop"}),
            ]
        case _:
            first = {**whole, "usageMetadata": usage and {**usage, "candidatesTokenCount": 1}}
            return [(None, first), (None, {"candidates": [{"finishReason": "STOP"}], "usageMetadata": usage})]
