"""The scripted endpoint: each dialect offers tools, plays a plan, and replies in one piece and as a stream."""

import json
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.endpoint import ScriptedEndpoint
from tests.clients.namespace import Namespace
from tests.clients.plans import Call, Say, in_order, value_in

PLAN = in_order(
    Call("submit", {"title": "t"}),
    Call("wait", lambda results: {"submission": value_in(results[-1], "submission")}, until=lambda r: "finished" in r),
    Say("done"),
)
RESULTS = ['{"submission": "a1"}', '{"state": "running", "submission": "a1"}', '{"state": "finished"}']
EXPECTED = [
    ("srv_submit", {"title": "t"}),
    ("srv_wait", {"submission": "a1"}),
    ("srv_wait", {"submission": "a1"}),
    "done",
]


def chat(results: list[str], stream: bool) -> tuple[str, dict[str, Any]]:
    messages: list[dict[str, Any]] = [{"role": "system", "content": "s"}, {"role": "user", "content": "go"}]
    for result in results:
        messages += [{"role": "assistant", "content": None}, {"role": "tool", "tool_call_id": "c", "content": result}]
    tools = [{"type": "function", "function": {"name": name}} for name in ("read", "srv_submit", "srv_wait")]
    return "/v1/chat/completions", {"model": "m", "messages": messages, "tools": tools, "stream": stream}


def responses(results: list[str], stream: bool) -> tuple[str, dict[str, Any]]:
    items: list[dict[str, Any]] = [{"type": "message", "role": "user", "content": []}]
    for result in results:
        items += [{"type": "function_call"}, {"type": "function_call_output", "output": result}]
    inner = [{"name": "srv_submit"}, {"name": "srv_wait"}]
    tools = [{"type": "function", "name": "read"}, {"type": "namespace", "name": "mcp__srv", "tools": inner}]
    return "/v1/responses", {"model": "m", "input": items, "tools": tools, "stream": stream}


def messages(results: list[str], stream: bool) -> tuple[str, dict[str, Any]]:
    turns: list[dict[str, Any]] = [{"role": "user", "content": "go"}]
    for result in results:
        block = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": result}]}
        turns += [{"role": "assistant", "content": []}, {"role": "user", "content": [block]}]
    tools = [{"name": name} for name in ("Read", "srv_submit", "srv_wait")]
    return "/v1/messages?beta=true", {"model": "m", "messages": turns, "tools": tools, "stream": stream}


def gemini(results: list[str], stream: bool) -> tuple[str, dict[str, Any]]:
    contents: list[dict[str, Any]] = [{"role": "user", "parts": [{"text": "go"}]}]
    for result in results:
        answer = {"functionResponse": {"name": "f", "response": {"output": result}}}
        contents += [{"role": "model", "parts": []}, {"role": "user", "parts": [answer]}]
    tools = [{"functionDeclarations": [{"name": name} for name in ("read_file", "srv_submit", "srv_wait")]}]
    verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
    return f"/v1beta/models/m:{verb}", {"contents": contents, "tools": tools}


def said_by(name: str, stream: bool, body: str) -> Any:
    """Return what a reply says, as the clients read it: a text, or the tool and its arguments."""
    events = [json.loads(line[6:]) for line in body.splitlines() if line.startswith("data: {")] if stream else []
    whole = None if stream else json.loads(body)
    if name == "chat":
        message = events[0]["choices"][0]["delta"] if stream else whole["choices"][0]["message"]
        calls = [
            (call["function"]["name"], json.loads(call["function"]["arguments"]))
            for call in message.get("tool_calls", ())
        ]
        assert not stream or (body.endswith("data: [DONE]\n\n") and events[-1]["usage"]["prompt_tokens"] == 1000)
        return calls[0] if calls else message["content"]
    if name == "responses":
        item = (events[-1]["response"] if stream else whole)["output"][0]
        assert not stream or [e["type"] for e in events][:2] == ["response.created", "response.output_item.added"]
        if item["type"] == "message":
            return item["content"][0]["text"]
        assert item["namespace"] == "mcp__srv"
        return item["name"], json.loads(item["arguments"])
    if name == "messages":
        if not stream:
            block = whole["content"][0]
            return block["text"] if block["type"] == "text" else (block["name"], block["input"])
        block, delta = events[1]["content_block"], events[2]["delta"]
        return delta["text"] if block["type"] == "text" else (block["name"], json.loads(delta["partial_json"]))
    part = (events[0] if stream else whole)["candidates"][0]["content"]["parts"][0]
    return part["text"] if "text" in part else (part["functionCall"]["name"], part["functionCall"]["args"])


DIALECTS = {"chat": chat, "responses": responses, "messages": messages, "gemini": gemini}


@pytest.fixture
def endpoint() -> Iterator[ScriptedEndpoint]:
    listening = socket.create_server(("127.0.0.1", 0))
    with ScriptedEndpoint(PLAN, listening) as served:
        yield served


def post(endpoint: ScriptedEndpoint, path: str, body: dict[str, Any]) -> str:
    request = urllib.request.Request(endpoint.url + path, json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=60) as reply:
        return str(reply.read().decode())


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", DIALECTS)
def test_a_plan_is_played_in_each_dialect(name: str, stream: bool, endpoint: ScriptedEndpoint) -> None:
    for n_results, expected in enumerate(EXPECTED):
        path, body = DIALECTS[name](RESULTS[:n_results], stream)
        assert said_by(name, stream, post(endpoint, path, body)) == expected
    assert endpoint.faults == []
    assert len(endpoint.seen) == len(EXPECTED)


@pytest.mark.parametrize("name", DIALECTS)
def test_a_tool_that_is_not_offered_is_a_fault(name: str, endpoint: ScriptedEndpoint) -> None:
    path, body = DIALECTS[name]([], False)
    (body["tools"] if name != "gemini" else body["tools"][0]["functionDeclarations"]).pop()
    if name != "responses":
        (body["tools"] if name != "gemini" else body["tools"][0]["functionDeclarations"]).pop()
    post(endpoint, path, body)
    assert len(endpoint.faults) == 1
    assert "'submit'" in endpoint.faults[0]


def test_another_path_is_refused(endpoint: ScriptedEndpoint) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404"):
        post(endpoint, "/v1/elsewhere", {})


def test_a_plan_that_fails_is_a_fault(endpoint: ScriptedEndpoint) -> None:
    path, body = chat(["no number"], False)
    with pytest.raises(urllib.error.HTTPError, match="400"):
        post(endpoint, path, body)
    assert "LookupError" in endpoint.faults[0]


def test_a_value_is_found_in_whatever_a_client_makes_of_a_result() -> None:
    for result in ('{"a": {"n": 3}}', 'Wall time: 1 s\nOutput:\n{"n":3}', '[{"type": "text", "text": "{\\"n\\": 3}"}]'):
        assert value_in(result, "n") == 3
    with pytest.raises(LookupError):
        value_in("{}", "n")


def test_within_the_namespace_there_is_the_endpoint_and_no_other_way_out(tmp_path: Path) -> None:
    program = (
        "import sys, socket, urllib.request\n"
        "print(urllib.request.urlopen(sys.argv[1] + '/v1/models').status)\n"
        "try:\n    socket.create_connection(('192.0.2.1', 80))\nexcept OSError as error:\n    print(error.strerror)\n"
    )
    try:
        inside = Namespace()
    except OSError as fault:
        pytest.skip(str(fault))
    with inside, ScriptedEndpoint(PLAN, inside.listening) as served:
        ended = inside.run([sys.executable, "-c", program, served.url], tmp_path, {"A": "1"}, 60)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines() == ["200", "Network is unreachable"]
