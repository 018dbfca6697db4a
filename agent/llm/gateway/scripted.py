"""Scripted replies in each dialect, to try an agent without an endpoint."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

from agent.llm.gateway.dialects import DIALECTS
from agent.llm.gateway.sources import AgentRequest, SourceReply

Document = dict[str, Any]
Event = tuple[str | None, Document]  # name, data
TOKENS_IN, TOKENS_OUT, TOKENS_CACHED = 1000, 50, 400
"""The usage in every scripted reply."""

_numbers = count(1)


@dataclass(frozen=True)
class ToolCall:
    """A reply that calls one tool. A tool within a namespace is named NAMESPACE::TOOL."""

    tool: str
    arguments: Mapping[str, Any]


ScriptedStep = str | ToolCall
"""One reply: a text, or a tool's call."""


class ScriptedReplies:
    """A source that answers requests with tools by its steps, in order, and any other request by a short text."""

    def __init__(self, steps: Sequence[ScriptedStep], dialects: Sequence[str] = tuple(DIALECTS)) -> None:
        """After the last step, that step is repeated."""
        self.dialects = tuple(DIALECTS[name] for name in dialects)
        self.secrets: tuple[str, ...] = ()
        self._steps = list(steps)
        self._lock = threading.Lock()

    @contextmanager
    def send(self, request: AgentRequest) -> Iterator[SourceReply]:
        document = request.document
        if document is None or not request.dialect.call.fullmatch(request.path):  # a list of models, a count of tokens
            free = {"data": [], "models": [], "input_tokens": TOKENS_IN, "totalTokens": TOKENS_IN}
            yield _json_reply(free)
            return
        reply = reply_document(
            request.dialect.name, str(document.get("model")), self._step(bool(document.get("tools")))
        )
        if not document.get("stream") and ":stream" not in request.path:
            yield _json_reply(reply)
            return
        body = as_stream(request.dialect.name, reply_events(request.dialect.name, reply))
        yield SourceReply(200, {"content-type": "text/event-stream"}, iter([body]))

    def prepare(self) -> None:
        pass

    def close(self) -> None:
        pass

    def _step(self, has_tools: bool) -> ScriptedStep:
        with self._lock:
            if not has_tools:
                return "A title"
            return self._steps.pop(0) if len(self._steps) > 1 else self._steps[0]


def reply_document(dialect: str, model: str | None, step: ScriptedStep) -> Document:
    """Return the reply of a model in a dialect, as one document."""
    return _WRITERS[dialect][0](model, step)


def reply_events(dialect: str, reply: Document) -> list[Event]:
    """Return the same reply as the events of a stream."""
    return _WRITERS[dialect][1](reply)


def as_stream(dialect: str, events: Sequence[Event]) -> bytes:
    """Return events as the body of a stream of server-sent events."""
    lines = [f"event: {name}\ndata: {json.dumps(data)}\n\n" if name else f"data: {json.dumps(data)}\n\n"
             for name, data in events]  # fmt: skip
    return "".join([*lines, "data: [DONE]\n\n" if dialect == "chat" else ""]).encode()


def _json_reply(document: Document) -> SourceReply:
    return SourceReply(200, {"content-type": "application/json"}, iter([json.dumps(document).encode()]))


def _chat(model: str | None, step: ScriptedStep) -> Document:
    message: Document = {"role": "assistant", "content": step if isinstance(step, str) else None}
    if isinstance(step, ToolCall):
        called = {"name": step.tool, "arguments": json.dumps(step.arguments)}
        message["tool_calls"] = [{"index": 0, "id": f"call_{next(_numbers)}", "type": "function", "function": called}]
    ending = "tool_calls" if isinstance(step, ToolCall) else "stop"
    return {
        "id": f"chatcmpl-{next(_numbers)}",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": ending}],
        "usage": {
            "prompt_tokens": TOKENS_IN,
            "completion_tokens": TOKENS_OUT,
            "total_tokens": TOKENS_IN + TOKENS_OUT,
            "prompt_tokens_details": {"cached_tokens": TOKENS_CACHED},
        },
    }


def _chat_events(reply: Document) -> list[Event]:
    chunk = {**reply, "object": "chat.completion.chunk"}
    (choice,), usage = chunk.pop("choices"), chunk.pop("usage")
    begun = {"index": 0, "delta": choice["message"], "finish_reason": None}
    ended = {"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}
    return [
        (None, {**chunk, "choices": [begun]}),
        (None, {**chunk, "choices": [ended]}),
        (None, {**chunk, "choices": [], "usage": usage}),
    ]


def _responses(model: str | None, step: ScriptedStep) -> Document:
    if isinstance(step, str):
        text = {"type": "output_text", "text": step, "annotations": []}
        item: Document = {"type": "message", "id": f"msg_{next(_numbers)}", "role": "assistant", "content": [text]}
    else:
        space, _, name = step.tool.rpartition("::")
        called = {"name": name, "arguments": json.dumps(step.arguments), "call_id": f"call_{next(_numbers)}"}
        item = {"type": "function_call", "id": f"fc_{next(_numbers)}", **called}
        item |= {"namespace": space} if space else {}
    return {
        "id": f"resp_{next(_numbers)}",
        "object": "response",
        "model": model,
        "status": "completed",
        "output": [{**item, "status": "completed"}],
        "usage": {
            "input_tokens": TOKENS_IN,
            "input_tokens_details": {"cached_tokens": TOKENS_CACHED},
            "output_tokens": TOKENS_OUT,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": TOKENS_IN + TOKENS_OUT,
        },
    }


def _responses_events(reply: Document) -> list[Event]:
    (item,) = reply["output"]
    place = {"output_index": 0, "item": item}
    events: list[Document] = [
        {"type": "response.created", "response": {**reply, "status": "in_progress", "output": [], "usage": None}},
        {"type": "response.output_item.added", **place},
    ]
    if item["type"] == "message":
        where = {"item_id": item["id"], "output_index": 0, "content_index": 0}
        events.append({"type": "response.output_text.delta", **where, "delta": item["content"][0]["text"]})
    events += [{"type": "response.output_item.done", **place}, {"type": "response.completed", "response": reply}]
    return [(event["type"], event) for event in events]


def _messages(model: str | None, step: ScriptedStep) -> Document:
    if isinstance(step, str):
        block: Document = {"type": "text", "text": step}
    else:
        block = {"type": "tool_use", "id": f"toolu_{next(_numbers)}", "name": step.tool, "input": dict(step.arguments)}
    return {
        "id": f"msg_{next(_numbers)}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [block],
        "stop_reason": "end_turn" if isinstance(step, str) else "tool_use",
        "stop_sequence": None,
        "usage": {
            "input_tokens": TOKENS_IN - TOKENS_CACHED,
            "cache_read_input_tokens": TOKENS_CACHED,
            "cache_creation_input_tokens": 0,
            "output_tokens": TOKENS_OUT,
        },
    }


def _messages_events(reply: Document) -> list[Event]:
    (block,) = reply["content"]
    if block["type"] == "text":
        empty, delta = {**block, "text": ""}, {"type": "text_delta", "text": block["text"]}
    else:
        empty = {**block, "input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
    begun = {**reply, "content": [], "stop_reason": None, "usage": {**reply["usage"], "output_tokens": 1}}
    ended = {"stop_reason": reply["stop_reason"], "stop_sequence": None}
    events: list[Document] = [
        {"type": "message_start", "message": begun},
        {"type": "content_block_start", "index": 0, "content_block": empty},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": ended, "usage": {"output_tokens": TOKENS_OUT}},
        {"type": "message_stop"},
    ]
    return [(event["type"], event) for event in events]


def _gemini(_model: str | None, step: ScriptedStep) -> Document:
    called = {"functionCall": {"name": step.tool, "args": dict(step.arguments)}} if isinstance(step, ToolCall) else {}
    part: Document = called or {"text": step}
    return {
        "candidates": [{"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0}],
        "usageMetadata": {
            "promptTokenCount": TOKENS_IN,
            "cachedContentTokenCount": TOKENS_CACHED,
            "candidatesTokenCount": TOKENS_OUT,
            "totalTokenCount": TOKENS_IN + TOKENS_OUT,
        },
        "modelVersion": "scripted",
    }


_WRITERS: dict[str, tuple[Callable[[str | None, ScriptedStep], Document], Callable[[Document], list[Event]]]] = {
    "chat": (_chat, _chat_events),
    "responses": (_responses, _responses_events),
    "messages": (_messages, _messages_events),
    "gemini": (_gemini, lambda reply: [(None, reply)]),
}
