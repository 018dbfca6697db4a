"""The gateway relays four dialects as they are, with the real key, and meters every reply."""

import http.client
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.llm.gateway.sources import Endpoints, Upstream
from agent.llm.model import ModelUsage
from tests.agent.llm.fake_server import Answer, fails, fake_server
from tests.agent.llm.gateway.agents import KEY, SocketConnection, endpoints, opened
from tests.agent.llm.gateway.replies import (
    ALL,
    CACHED,
    CHAT,
    COMPLETION,
    GEMINI,
    GEMINI_STREAM,
    MESSAGES,
    PROMPT,
    RESPONSES,
    says,
    streams,
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "form"), [*((name, form) for name in ALL for form in ("whole", "streamed")), ("gemini", "list")]
)
def test_a_reply_is_passed_on_and_metered(name: str, form: str, tmp_path: Path) -> None:
    spoken = ALL[name]
    answer = says(name) if form == "whole" else streams(name, as_list=form == "list")
    path = GEMINI_STREAM + ("?alt=sse" if form == "streamed" else "") if name == "gemini" and form != "whole" else None
    with fake_server([answer]) as server, opened(endpoints(server, name), tmp_path) as it:
        got = it.call(spoken, path=path, stream=form != "whole")
    assert (got.status, got.body, got.headers["content-type"]) == (200, answer.body, answer.headers["Content-Type"])
    assert server.paths == [f"POST {path or spoken.upstream_path}"]
    assert server.requests == [{**spoken.request, "stream": form != "whole"}]
    assert server.headers[0][spoken.key_header] == spoken.key.replace("worthless", KEY)
    usage = it.gateway.usage
    assert replace(usage, seconds=0.0) == ModelUsage(
        "agent:fake-1", 1, PROMPT, COMPLETION, dollars=pytest.approx(0.0025), cached_tokens=CACHED
    )
    assert usage.seconds > 0
    assert it.gateway.faults == it.gateway.refusals == {}
    assert (it.gateway.stop_reason, it.gateway.unreachable) == (None, None)


def test_a_stream_is_passed_on_as_it_arrives(tmp_path: Path) -> None:
    second_half = threading.Event()
    answer = replace(streams("messages", "x" * 100), waits_for=second_half)
    with fake_server([answer]) as server, opened(endpoints(server, "messages"), tmp_path) as it:
        connection = SocketConnection(it.path)
        connection.request("POST", MESSAGES.path, json.dumps(MESSAGES.request))
        response = connection.getresponse()
        assert response.read(20) == answer.body[:20]
        second_half.set()
        assert response.read() == answer.body[20:]
        connection.close()
    assert it.gateway.usage.prompt_tokens == PROMPT


def test_one_connection_serves_several_requests(tmp_path: Path) -> None:
    with (
        fake_server([says("chat"), streams("chat"), says("chat")]) as server,
        opened(endpoints(server, "chat"), tmp_path) as it,
    ):
        connection = SocketConnection(it.path)
        for _ in range(3):
            connection.request("POST", CHAT.path, json.dumps(CHAT.request))
            kept = connection.sock
            assert connection.getresponse().read()
            assert connection.sock is kept
        connection.close()
    assert it.gateway.usage.calls == 3


def test_a_body_in_chunks_and_a_client_of_http_1_0(tmp_path: Path) -> None:
    with fake_server([streams("chat"), streams("chat")]) as server, opened(endpoints(server, "chat"), tmp_path) as it:
        text = json.dumps(CHAT.request).encode()
        connection = SocketConnection(it.path)
        connection.request("POST", CHAT.path, iter([text[:9], text[9:]]), encode_chunked=True)
        assert connection.getresponse().read() == streams("chat").body
        connection.close()
        plain = SocketConnection(it.path)
        plain.connect()
        plain.sock.sendall(b"POST %s HTTP/1.0\r\nContent-Length: %d\r\n\r\n%s" % (CHAT.path.encode(), len(text), text))
        reply = http.client.HTTPResponse(plain.sock)
        reply.begin()
        assert (reply.getheader("Transfer-Encoding"), reply.read()) == (None, streams("chat").body)
        plain.close()
    assert server.requests == [CHAT.request, CHAT.request]


def test_requests_at_the_same_time(tmp_path: Path) -> None:
    both = threading.Barrier(4)

    def answer(_request: object) -> Answer:
        both.wait(30)  # only if all four are in progress together
        return says("responses")

    with (
        fake_server(answer) as server,
        opened(endpoints(server, "responses"), tmp_path) as it,
        ThreadPoolExecutor(4) as pool,
    ):
        got = list(pool.map(lambda _: it.call(RESPONSES).status, range(4)))
    assert got == [200] * 4
    assert (it.gateway.usage.calls, it.gateway.usage.prompt_tokens) == (4, 4 * PROMPT)
    assert len(it.exchanges()) == 4


@pytest.mark.parametrize(
    ("names", "method", "path", "upstream"),
    [
        (["chat"], "GET", "/v1/models", "/v1/models"),
        (["responses"], "GET", "/v1/models?client_version=1.2", "/v1/models?client_version=1.2"),
        (["responses"], "POST", "/v1/responses/input_tokens", "/v1/responses/input_tokens"),
        (["messages"], "POST", "/v1/messages/count_tokens?beta=true", "/v1/messages/count_tokens?beta=true"),
        (["messages"], "GET", "/v1/models/fake-1", "/v1/models/fake-1"),
        (["gemini"], "POST", "/v1beta/models/fake-1:countTokens?key=worthless", "/v1beta/models/fake-1:countTokens"),
        (["gemini"], "GET", "/v1beta/models", "/v1beta/models"),
    ],
)
def test_what_clients_need_besides_is_relayed_and_free(
    names: list[str], method: str, path: str, upstream: str, tmp_path: Path
) -> None:
    with fake_server([Answer(200, b'{"data": []}')]) as server, opened(endpoints(server, *names), tmp_path) as it:
        got = it.ask(method, path, {"a": 1} if method == "POST" else None)
    assert (got.status, got.body) == (200, b'{"data": []}')
    assert server.paths == [f"{method} {upstream}"]
    assert server.headers[0][ALL[names[0]].key_header].endswith(KEY)
    assert it.gateway.usage == ModelUsage("agent:fake-1", dollars=0.0)


def test_whether_anyone_listens_is_answered_here(tmp_path: Path) -> None:
    with fake_server([]) as server, opened(endpoints(server, "messages"), tmp_path) as it:
        assert it.ask("HEAD", "/").status == 200
    assert (server.paths, it.gateway.refusals) == ([], {})


def test_the_header_of_the_key_tells_which_provider_is_meant(tmp_path: Path) -> None:
    with fake_server([Answer(200, b"{}")] * 2) as server:
        source = Endpoints(
            {"chat": Upstream(f"{server.root}/openai/v1", "k1"), "messages": Upstream(f"{server.root}/anthropic", "k2")}
        )
        with opened(source, tmp_path) as it:
            it.ask("GET", "/v1/models", headers={"x-api-key": "w"})
            it.ask("GET", "/v1/models", headers={"authorization": "Bearer w"})
    assert server.paths == ["GET /anthropic/v1/models", "GET /openai/v1/models"]
    assert (server.headers[0]["x-api-key"], server.headers[1]["authorization"]) == ("k2", "Bearer k1")
    assert "authorization" not in server.headers[0]


def test_headers_and_parameters_that_could_move_the_bill_are_left_out(tmp_path: Path) -> None:
    sent = {
        "x-goog-user-project": "other", "openai-organization": "other", "x-http-method-override": "DELETE",
        "cookie": "a=b", "accept-encoding": "br", "anthropic-beta": "one,two", "anthropic-version": "2023-06-01",
    }  # fmt: skip
    with fake_server([says("messages")]) as server, opened(endpoints(server, "messages"), tmp_path) as it:
        it.ask("POST", "/v1/messages?beta=true&key=mine&fields=x", MESSAGES.request, sent)
    assert server.paths == ["POST /v1/messages?beta=true"]
    kept = server.headers[0].keys() & sent.keys()
    assert kept == {"anthropic-beta", "anthropic-version", "accept-encoding"}
    assert server.headers[0]["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/files"),
        ("DELETE", "/v1/models/fake-1"),
        ("HEAD", "/v1/models"),
        ("GET", "/v1/chat/completions"),
        ("POST", "/v1/messages/../files"),
        ("POST", "/v1/messages%2f..%2ffiles"),
        ("POST", "http://elsewhere/v1/messages"),
        ("GET", "/v1beta/models/../../secret"),
        ("POST", "/v1beta/models/fake-1:batchGenerateContent"),
        ("POST", "/check"),
        ("PUT", "/v1/messages"),
    ],
)
def test_any_other_path_is_refused(method: str, path: str, tmp_path: Path) -> None:
    with fake_server([]) as server, opened(endpoints(server), tmp_path) as it:
        assert it.ask(method, path, {} if method == "POST" else None).status == 404
    assert server.paths == []
    assert list(it.gateway.refusals) == [f"the gateway does not relay {method} {path}"]
    assert it.exchanges()[0]["refused"] is True


@pytest.mark.parametrize("spoken", ALL.values(), ids=ALL)
def test_a_refusal_has_the_form_of_the_dialect(spoken, tmp_path: Path) -> None:
    with fake_server([]) as server, opened(endpoints(server, spoken.name), tmp_path) as it:
        error = it.ask("POST", "/v1/files", {}).document["error"]
        assert error["message"] == "the gateway does not relay POST /v1/files"
        bad = it.ask("POST", spoken.path, b'{"model": ')
    assert bad.status == 400
    assert bad.document["error"]["message"] == "the request is not a JSON object"
    kinds = {"chat": "type", "responses": "type", "messages": "type", "gemini": "status"}
    wanted = {"messages": "not_found_error", "gemini": "NOT_FOUND"}.get(spoken.name, "invalid_request_error")
    assert error[kinds[spoken.name]] == wanted
    assert (spoken is MESSAGES) == (bad.document.get("type") == "error")
    assert (spoken is GEMINI) == (bad.document["error"].get("code") == 400)


def test_bodies_that_cannot_be_read(tmp_path: Path) -> None:
    with fake_server([]) as server, opened(endpoints(server, "responses"), tmp_path) as it:
        assert it.ask("POST", RESPONSES.path, b"a" * (16 * 2**20 + 1)).status == 413
        assert it.ask("POST", RESPONSES.path, b"[" * 100_000).status == 400
        assert it.ask("POST", RESPONSES.path, b'{"a":' + b"[" * 300 + b"]" * 300 + b"}").status == 400
        assert it.ask("POST", RESPONSES.path, {}, {"Content-Encoding": "zstd"}).status == 400
        for framing in (
            b"Content-Length: -1\r\n\r\n{}",
            b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
            b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
            b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}",
            b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}0\r\n\r\n",
            b"Transfer-Encoding: gzip\r\n\r\n{}",
            b"Transfer-Encoding: chunked\r\n\r\nfffffff\r\n{}",
        ):
            with socket.socket(socket.AF_UNIX) as raw:
                raw.connect(str(it.path))
                raw.sendall(b"POST /v1/responses HTTP/1.1\r\n" + framing)
                assert raw.recv(12) in (b"HTTP/1.1 400", b"HTTP/1.1 413"), framing
    assert server.requests == []
    assert it.gateway.faults == {}
    assert set(it.gateway.refusals) == {
        "the request is longer than 16 MiB",
        "the request is not a JSON object",
        "the gateway reads no compressed requests",
        "Content-Length is not one number",
        "Transfer-Encoding is not only `chunked`",
        "a chunk of the body has no length",
        "a chunk of the body ends early",
    }


@pytest.mark.parametrize(
    ("name", "fields", "expected"),
    [
        ("responses", {"background": True}, "`background`, whose reply does not state its cost"),
        ("responses", {"prompt": {"id": "pmpt_1"}}, "`prompt`, whose tools the gateway cannot see"),
        ("responses", {"tools": [{"type": "function", "name": "f"}, {"type": "web_search"}]}, "the tool `web_search`"),
        ("responses", {"tools": [{"type": "mcp", "server_url": "http://a"}]}, "the tool `mcp`"),
        ("chat", {"web_search_options": {"a": 1}}, "`web_search_options`"),
        ("messages", {"tools": [{"type": "web_fetch_20250910", "name": "web_fetch"}]}, "the tool `web_fetch_20250910`"),
        ("messages", {"mcp_servers": [{"url": "http://a"}]}, "`mcp_servers`"),
        ("gemini", {"tools": [{"functionDeclarations": []}, {"googleSearch": {}}]}, "the tool `googleSearch`"),
        ("gemini", {"tools": {"url_context": {}}}, "the tool `url_context`"),
    ],
)
def test_what_the_provider_would_run_is_not_relayed(
    name: str, fields: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    with fake_server([]) as server, opened(endpoints(server, name), tmp_path) as it:
        got = it.call(ALL[name], **fields)
    assert got.status == 400
    assert expected in got.document["error"]["message"]
    assert server.requests == []


@pytest.mark.parametrize(
    ("name", "tools"),
    [
        ("chat", [{"type": "function", "function": {"name": "web_search"}}]),
        ("responses", [{"type": "namespace", "name": "mcp__trials", "tools": []}, {"type": "custom", "name": "mcp"}]),
        ("messages", [{"name": "WebSearch", "input_schema": {}}, {"type": "bash_20250124", "name": "bash"}]),
        ("gemini", [{"functionDeclarations": [{"name": "google_web_search"}]}]),
    ],
)
def test_tools_that_the_agent_runs_are_relayed(name: str, tools: list[dict[str, Any]], tmp_path: Path) -> None:
    with fake_server([says(name)]) as server, opened(endpoints(server, name), tmp_path) as it:
        assert it.call(ALL[name], tools=tools).status == 200


def test_an_error_of_the_endpoint_is_passed_on_without_the_key(tmp_path: Path) -> None:
    script = [
        fails(429, "slow down", {"Retry-After": "7", "X-Internal": "a"}),
        fails(500, f"config: {KEY} or {json.dumps(KEY)}"),
    ]
    with fake_server(script) as server, opened(endpoints(server, "chat"), tmp_path) as it:
        first, second = it.call(CHAT), it.call(CHAT)
    assert (first.status, first.document["error"]["message"]) == (429, "slow down")
    assert first.headers["retry-after"] == "7"
    assert "x-internal" not in first.headers
    assert second.status == 500
    assert second.document["error"]["message"] == 'config: [secret] or "[secret]"'
    usage = it.gateway.usage
    assert (usage.calls, usage.retries, usage.prompt_tokens, usage.dollars) == (0, 2, 0, 0.0)
    assert KEY not in it.file.read_text()


@pytest.mark.parametrize("status", [401, 403])
def test_a_rejected_key_shuts_the_gateway(status: int, tmp_path: Path) -> None:
    with (
        fake_server([fails(status, f"bad key {KEY}\nreally")]) as server,
        opened(endpoints(server, "chat"), tmp_path) as it,
    ):
        assert it.call(CHAT).status == status
        again = it.call(CHAT)
    assert (again.status, again.document["error"]["message"]) == (400, "the endpoint refuses the key")
    assert it.gateway.unreachable == f"{status}: bad key [secret] really"
    assert it.gateway.stop_reason == "the endpoint refuses the key"


def test_a_refusal_of_one_model_is_no_rejected_key(tmp_path: Path) -> None:
    script = [says("chat"), fails(403, "no access to this model"), says("chat")]
    with fake_server(script) as server, opened(endpoints(server, "chat"), tmp_path) as it:
        assert [it.call(CHAT).status for _ in script] == [200, 403, 200]
    assert it.gateway.unreachable is None


def test_a_key_in_a_stream_is_masked(tmp_path: Path) -> None:
    answer = streams("messages", f"it is {KEY}, and the beginning of it is {KEY[:9]}")
    with (
        fake_server([answer]) as server,
        opened(endpoints(server, "messages"), tmp_path, secrets=["edit it"]) as it,
    ):
        got = it.call(MESSAGES)
    assert b"it is [secret], and the beginning of it is sk-the-re" in got.body
    assert KEY.encode() not in got.body
    text = it.file.read_text()
    assert KEY not in text
    assert "edit it" not in text
