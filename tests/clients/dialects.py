"""Four protocols of language models, as a server speaks them: what a request holds, and how a reply looks."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any, Protocol

from tests.clients.plans import Call, Say, Step

Json = dict[str, Any]
Event = tuple[str | None, Json]  # name, data

TOKENS_IN, TOKENS_OUT, TOKENS_CACHED = 1000, 50, 400  # what every reply claims to have used
_numbers = count(1)


class Dialect(Protocol):
    """One protocol. All methods are functions of a request's body."""

    def offered(self, body: Json) -> list[str]:
        """Return the names of the tools that the model may call."""

    def results(self, body: Json) -> list[str]:
        """Return the texts of all tool results since the user's last message, oldest first."""

    def reply(self, body: Json, step: Step) -> Json:
        """Return the whole reply as a document; a Call has one of the names that are offered."""

    def events(self, reply: Json) -> list[Event]:
        """Return the same reply as the events of a stream."""


def _text_of(content: Any) -> str:
    """Return the text of a tool's result: a string, or blocks with texts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(_text_of(block) for block in content)
    if isinstance(content, Mapping) and isinstance(content.get("text"), str):
        return str(content["text"])
    return json.dumps(content)


def _since_user(items: Sequence[Json], results_of: Any) -> list[str]:
    """Return the results in the items after the last one of the user's own; `results_of` returns None for that one."""
    found: list[list[str]] = []
    for item in reversed(items):
        results = results_of(item)
        if results is None:
            break
        found.append(results)
    return [result for results in reversed(found) for result in results]


class ChatCompletions:
    """OpenAI's chat completions."""

    def offered(self, body: Json) -> list[str]:
        return [tool["function"]["name"] for tool in body.get("tools") or ()]

    def results(self, body: Json) -> list[str]:
        def of(message: Json) -> list[str] | None:
            if message["role"] == "user":
                return None
            return [_text_of(message.get("content"))] if message["role"] == "tool" else []

        return _since_user(body["messages"], of)

    def reply(self, body: Json, step: Step) -> Json:
        message: Json = {"role": "assistant", "content": step.text if isinstance(step, Say) else None}
        if isinstance(step, Call):
            called = {"name": step.tool, "arguments": json.dumps(step.arguments)}
            message["tool_calls"] = [
                {"index": 0, "id": f"call_{next(_numbers)}", "type": "function", "function": called}
            ]
        ending = "tool_calls" if isinstance(step, Call) else "stop"
        return {
            "id": f"chatcmpl-{next(_numbers)}",
            "object": "chat.completion",
            "created": 1_700_000_000,
            "model": body.get("model"),
            "choices": [{"index": 0, "message": message, "finish_reason": ending}],
            "usage": {
                "prompt_tokens": TOKENS_IN,
                "completion_tokens": TOKENS_OUT,
                "total_tokens": TOKENS_IN + TOKENS_OUT,
                "prompt_tokens_details": {"cached_tokens": TOKENS_CACHED},
            },
        }

    def events(self, reply: Json) -> list[Event]:
        chunk = {**reply, "object": "chat.completion.chunk"}
        (choice,), usage = chunk.pop("choices"), chunk.pop("usage")
        begun = {"index": 0, "delta": choice["message"], "finish_reason": None}
        ended = {"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}
        return [
            (None, {**chunk, "choices": [begun]}),
            (None, {**chunk, "choices": [ended]}),
            (None, {**chunk, "choices": [], "usage": usage}),
        ]


class Responses:
    """OpenAI's Responses. A tool within a namespace, such as an MCP server, is offered as NAMESPACE::TOOL."""

    def offered(self, body: Json) -> list[str]:
        names = []
        for tool in body.get("tools") or ():
            within = tool.get("tools", ()) if tool["type"] == "namespace" else ()
            names += [f"{tool['name']}::{inner['name']}" for inner in within] or [tool.get("name", tool["type"])]
        return names

    def results(self, body: Json) -> list[str]:
        def of(item: Json) -> list[str] | None:
            if item.get("role") == "user":
                return None
            return [_text_of(item.get("output"))] if item.get("type", "").endswith("call_output") else []

        items = body["input"]
        return _since_user(items, of) if isinstance(items, list) else []

    def reply(self, body: Json, step: Step) -> Json:
        if isinstance(step, Say):
            text = {"type": "output_text", "text": step.text, "annotations": []}
            item: Json = {"type": "message", "id": f"msg_{next(_numbers)}", "role": "assistant", "content": [text]}
        else:
            space, _, name = step.tool.rpartition("::")
            called = {"name": name, "arguments": json.dumps(step.arguments), "call_id": f"call_{next(_numbers)}"}
            item = {"type": "function_call", "id": f"fc_{next(_numbers)}", **called}
            item |= {"namespace": space} if space else {}
        return {
            "id": f"resp_{next(_numbers)}",
            "object": "response",
            "model": body.get("model"),
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

    def events(self, reply: Json) -> list[Event]:
        (item,) = reply["output"]
        place = {"output_index": 0, "item": item}
        events: list[Json] = [
            {"type": "response.created", "response": {**reply, "status": "in_progress", "output": [], "usage": None}},
            {"type": "response.output_item.added", **place},
        ]
        if item["type"] == "message":
            where = {"item_id": item["id"], "output_index": 0, "content_index": 0}
            events.append({"type": "response.output_text.delta", **where, "delta": item["content"][0]["text"]})
        events += [
            {"type": "response.output_item.done", **place},
            {"type": "response.completed", "response": reply},
        ]
        return [(event["type"], event) for event in events]


class Messages:
    """Anthropic's Messages."""

    def offered(self, body: Json) -> list[str]:
        return [tool["name"] for tool in body.get("tools") or ()]

    def results(self, body: Json) -> list[str]:
        def of(message: Json) -> list[str] | None:
            blocks = message["content"] if isinstance(message["content"], list) else []
            found = [_text_of(block.get("content")) for block in blocks if block["type"] == "tool_result"]
            return found if found or message["role"] != "user" else None

        return _since_user(body["messages"], of)

    def reply(self, body: Json, step: Step) -> Json:
        if isinstance(step, Say):
            block: Json = {"type": "text", "text": step.text}
        else:
            block = {"type": "tool_use", "id": f"toolu_{next(_numbers)}", "name": step.tool, "input": step.arguments}
        return {
            "id": f"msg_{next(_numbers)}",
            "type": "message",
            "role": "assistant",
            "model": body.get("model"),
            "content": [block],
            "stop_reason": "end_turn" if isinstance(step, Say) else "tool_use",
            "stop_sequence": None,
            "usage": {
                "input_tokens": TOKENS_IN - TOKENS_CACHED,
                "cache_read_input_tokens": TOKENS_CACHED,
                "cache_creation_input_tokens": 0,
                "output_tokens": TOKENS_OUT,
            },
        }

    def events(self, reply: Json) -> list[Event]:
        (block,) = reply["content"]
        if block["type"] == "text":
            empty, delta = {**block, "text": ""}, {"type": "text_delta", "text": block["text"]}
        else:
            empty = {**block, "input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        begun = {**reply, "content": [], "stop_reason": None, "usage": {**reply["usage"], "output_tokens": 1}}
        ended = {"stop_reason": reply["stop_reason"], "stop_sequence": None}
        events: list[Json] = [
            {"type": "message_start", "message": begun},
            {"type": "content_block_start", "index": 0, "content_block": empty},
            {"type": "content_block_delta", "index": 0, "delta": delta},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": ended, "usage": {"output_tokens": TOKENS_OUT}},
            {"type": "message_stop"},
        ]
        return [(event["type"], event) for event in events]


class GenerateContent:
    """Gemini's generateContent."""

    def offered(self, body: Json) -> list[str]:
        return [each["name"] for tool in body.get("tools") or () for each in tool.get("functionDeclarations", ())]

    def results(self, body: Json) -> list[str]:
        def of(message: Json) -> list[str] | None:
            answers = [part["functionResponse"]["response"] for part in message["parts"] if "functionResponse" in part]
            texts = [_text_of(answer.get("output", answer)) for answer in answers]
            return texts if texts or message.get("role") != "user" else None

        return _since_user(body["contents"], of)

    def reply(self, body: Json, step: Step) -> Json:
        if isinstance(step, Say):
            part: Json = {"text": step.text}
        else:
            part = {"functionCall": {"name": step.tool, "args": step.arguments}}
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

    def events(self, reply: Json) -> list[Event]:
        return [(None, reply)]


def dialect_of(path: str) -> Dialect | None:
    """Return the dialect of a request by its path; None if none has such a path."""
    ends: dict[str, Dialect] = {
        "/chat/completions": ChatCompletions(),
        "/responses": Responses(),
        "/messages": Messages(),
        ":generateContent": GenerateContent(),
        ":streamGenerateContent": GenerateContent(),
    }
    return next((dialect for end, dialect in ends.items() if path.endswith(end)), None)


def as_stream(dialect: Dialect, events: Iterable[Event]) -> bytes:
    """Return events as the body of a stream of server-sent events."""

    def lines() -> Iterator[str]:
        for name, data in events:
            yield f"event: {name}\n" if name else ""
            yield f"data: {json.dumps(data)}\n\n"
        if isinstance(dialect, ChatCompletions):
            yield "data: [DONE]\n\n"

    return "".join(lines()).encode()
