"""Four protocols of language models, as a server speaks them: what a request holds, and how a reply looks."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from agent.llm.gateway.scripted import Event, ToolCall, reply_document, reply_events
from tests.clients.plans import Say, Step

Json = dict[str, Any]


class Dialect(Protocol):
    """One protocol. All methods are functions of a request's body."""

    name: str

    def offered(self, body: Json) -> list[str]:
        """Return the names of the tools that the model may call."""

    def results(self, body: Json) -> list[str]:
        """Return the texts of all tool results since the user's last message, oldest first."""

    def reply(self, body: Json, step: Step) -> Json:
        """Return the whole reply as a document; a Call has one of the names that are offered."""

    def events(self, reply: Json) -> list[Event]:
        """Return the same reply as the events of a stream."""


class _Scripted:
    """The replies of a dialect, which `agent doctor` gives too."""

    name: str

    def reply(self, body: Json, step: Step) -> Json:
        content = step.text if isinstance(step, Say) else ToolCall(step.tool, step.arguments)
        return reply_document(self.name, body.get("model"), content)

    def events(self, reply: Json) -> list[Event]:
        return reply_events(self.name, reply)


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


class ChatCompletions(_Scripted):
    """OpenAI's chat completions."""

    name = "chat"

    def offered(self, body: Json) -> list[str]:
        return [tool["function"]["name"] for tool in body.get("tools") or ()]

    def results(self, body: Json) -> list[str]:
        def of(message: Json) -> list[str] | None:
            if message["role"] == "user":
                return None
            return [_text_of(message.get("content"))] if message["role"] == "tool" else []

        return _since_user(body["messages"], of)


class Responses(_Scripted):
    """OpenAI's Responses. A tool within a namespace, such as an MCP server, is offered as NAMESPACE::TOOL."""

    name = "responses"

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


class Messages(_Scripted):
    """Anthropic's Messages."""

    name = "messages"

    def offered(self, body: Json) -> list[str]:
        return [tool["name"] for tool in body.get("tools") or ()]

    def results(self, body: Json) -> list[str]:
        def of(message: Json) -> list[str] | None:
            blocks = message["content"] if isinstance(message["content"], list) else []
            found = [_text_of(block.get("content")) for block in blocks if block["type"] == "tool_result"]
            return found if found or message["role"] != "user" else None

        return _since_user(body["messages"], of)


class GenerateContent(_Scripted):
    """Gemini's generateContent."""

    name = "gemini"

    def offered(self, body: Json) -> list[str]:
        return [each["name"] for tool in body.get("tools") or () for each in tool.get("functionDeclarations", ())]

    def results(self, body: Json) -> list[str]:
        def of(message: Json) -> list[str] | None:
            answers = [part["functionResponse"]["response"] for part in message["parts"] if "functionResponse" in part]
            texts = [_text_of(answer.get("output", answer)) for answer in answers]
            return texts if texts or message.get("role") != "user" else None

        return _since_user(body["contents"], of)


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
