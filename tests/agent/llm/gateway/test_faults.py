"""What goes wrong on either side of the gateway: each fault is named, and the meter stays right."""

import http.client
import json
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.errors import UsageError
from agent.llm.gateway.gateway import Gateway
from agent.llm.gateway.sources import Endpoints, ReplyLimits, Upstream
from agent.llm.login_proxy.proxy import LoginProxy
from tests.agent.llm.fake_server import BROKEN_JSON, NOT_JSON, STALLS, Answer, fake_server
from tests.agent.llm.gateway.agents import KEY, PRICE, SocketConnection, endpoints, opened
from tests.agent.llm.gateway.replies import ALL, CHAT, GEMINI, MESSAGES, RESPONSES, Spoken, says, streams

EVENTS = {"Content-Type": "text/event-stream"}


def wait_until(holds: Any) -> None:
    until = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)


def error_message(got: Any) -> str:
    return str(got.document["error"]["message"])


@pytest.mark.parametrize("spoken", ALL.values(), ids=ALL)
def test_no_endpoint_is_a_502_in_the_dialect(spoken: Spoken, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        upstream = Upstream(f"http://127.0.0.1:{taken.getsockname()[1]}", KEY)
        with opened(Endpoints({spoken.name: upstream}), tmp_path) as it:
            got = it.call(spoken)
    assert got.status == 502
    assert "127.0.0.1 did not answer" in error_message(got)
    assert list(it.gateway.faults) == [error_message(got)]
    usage = it.gateway.usage
    assert (usage.calls, usage.retries, usage.prompt_tokens, usage.dollars) == (0, 1, 0, 0.0)
    assert it.exchanges()[0]["fault"] == error_message(got)


@pytest.mark.parametrize(
    ("answer", "limits", "expected"),
    [
        (STALLS, ReplyLimits(silence=0.2), "did not answer (nothing arrived for 0.2 s)"),
        (STALLS, ReplyLimits(whole=0.2), "the reply was not complete after 0.2 s"),
        (Answer(dribbles=True), ReplyLimits(whole=0.3), "the reply was not complete after 0.3 s"),
        (Answer(302, b"", {"Location": "http://elsewhere"}), ReplyLimits(), "a redirect"),
        (Answer(200, b"x", {"Content-Encoding": "br"}), ReplyLimits(), "compressed its reply as br"),
        (Answer(200, b"not gzip", {"Content-Encoding": "gzip"}), ReplyLimits(), "the connection was lost"),
        (replace(says("responses"), cut_after=0), ReplyLimits(), "the connection was lost"),
    ],
)
def test_no_reply_is_a_502(answer: Answer, limits: ReplyLimits, expected: str, tmp_path: Path) -> None:
    with fake_server([answer]) as server, opened(endpoints(server, "responses", limits=limits), tmp_path) as it:
        got = it.call(RESPONSES)
    assert got.status == 502
    assert expected in error_message(got)
    assert (it.gateway.usage.calls, it.gateway.usage.retries) == (0, 1)
    assert list(it.gateway.faults.values()) == [1]


@pytest.mark.parametrize(
    ("answer", "limits", "fault"),
    [
        (replace(streams("messages", "x" * 400), cut_after=300), ReplyLimits(), "the connection was lost"),
        (Answer(200, b": ping\n\n", EVENTS, repeats=True), ReplyLimits(whole=3.0), "not complete after 3 s"),
        (Answer(200, b"x" * 4000, EVENTS, repeats=True), ReplyLimits(most_bytes=10_000), "the reply is longer than"),
        (
            replace(streams("messages"), waits_for=threading.Event()),
            ReplyLimits(silence=3.0),
            "nothing arrived for 3 s",
        ),
    ],
)
def test_a_reply_that_ends_too_early_is_cut_and_counted(
    answer: Answer, limits: ReplyLimits, fault: str, tmp_path: Path
) -> None:
    with (
        fake_server([answer, says("messages")]) as server,
        opened(endpoints(server, "messages", limits=limits), tmp_path) as it,
    ):
        connection = SocketConnection(it.path)
        connection.request("POST", MESSAGES.path, json.dumps(MESSAGES.request))
        response = connection.getresponse()
        with pytest.raises((OSError, http.client.HTTPException)):
            response.read()
        connection.close()
        assert it.call(MESSAGES).status == 200, "the next call is served"
        if answer.waits_for:
            answer.waits_for.set()
    assert fault in next(iter(it.gateway.faults))
    assert it.gateway.usage.calls == 2
    line = it.exchanges()[0]
    assert (line["status"], line["usage"]["estimated"]) == (200, True)
    assert fault in line["fault"]


@pytest.mark.parametrize(
    ("answer", "tokens"),
    [
        (BROKEN_JSON, 5),
        (NOT_JSON, 6),
        (Answer(200, b"", {"Content-Type": "application/json"}), 0),
        (Answer(200, b"[[[[" * 50_000, {"Content-Type": "application/json"}), 50_000),
        (Answer(200, b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}", {"Content-Type": "application/json"}), 2502),
        (Answer(200, b"data: {\n\ndata: 7\n\n:\n\n", EVENTS), 6),
        (Answer(200, b"\xff\xfe\x00", {"Content-Type": "application/json"}), 1),
        (says("chat", "x" * 40, usage=None), 10),
        (streams("chat", "x" * 40, usage=None), 10),
        (says("chat", "x" * 40, usage={"prompt_tokens": -5, "completion_tokens": 7}), 10),
        (says("chat", "x" * 40, usage={"prompt_tokens": 10**9, "completion_tokens": 7}), 10),
        (says("chat", "x" * 40, usage={"prompt_tokens": 5.5, "completion_tokens": 7}), 10),
        (says("chat", "x" * 40, usage={"prompt_tokens": True, "completion_tokens": "7"}), 10),
        (says("chat", "x" * 40, usage={"prompt_tokens": 0, "completion_tokens": 0}), 10),
        (says("chat", "x" * 40, usage=[11, 7]), 10),
        (
            says("chat", "x" * 40, usage={"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 6}}),
            10,
        ),
    ],
)
def test_a_reply_without_a_usage_is_counted_by_its_length(answer: Answer, tokens: int, tmp_path: Path) -> None:
    with fake_server([answer]) as server, opened(endpoints(server, "chat"), tmp_path) as it:
        got = it.call(CHAT)
    assert (got.status, got.body) == (200, answer.body)
    usage = it.gateway.usage
    n_request = len(json.dumps(CHAT.request))
    assert (usage.calls, usage.prompt_tokens, usage.completion_tokens) == (1, -(-n_request // 4), tokens)
    assert it.exchanges()[0]["usage"]["estimated"] is True
    assert it.gateway.faults == {}


@pytest.mark.parametrize(
    ("name", "usage"),
    [
        ("messages", {"input_tokens": 7, "cache_read_input_tokens": -3, "output_tokens": 2}),
        ("messages", {"input_tokens": 7, "cache_read_input_tokens": "a", "output_tokens": 2}),
        ("gemini", {"promptTokenCount": 7, "candidatesTokenCount": 2, "thoughtsTokenCount": 1.5}),
        ("responses", {"input_tokens": 7, "output_tokens": None, "input_tokens_details": {"cached_tokens": 8}}),
    ],
)
def test_a_part_of_a_usage_that_is_no_count_spoils_it(name: str, usage: dict[str, Any], tmp_path: Path) -> None:
    with fake_server([says(name, usage=usage)]) as server, opened(endpoints(server, name), tmp_path) as it:
        assert it.call(ALL[name]).status == 200
    assert it.exchanges()[0]["usage"]["estimated"] is True


def test_a_usage_is_read_whatever_the_content_type(tmp_path: Path) -> None:
    wrong = {"Content-Type": "text/plain"}
    answers = [replace(streams("gemini"), headers=wrong), replace(says("gemini"), headers={})]
    with fake_server(answers) as server, opened(endpoints(server, "gemini"), tmp_path) as it:
        got = [it.call(GEMINI) for _ in answers]
    assert [one.headers["content-type"] for one in got] == ["text/plain", "application/octet-stream"]
    assert it.gateway.usage.prompt_tokens == 2000


def test_the_agent_leaves_in_the_middle_of_a_stream(tmp_path: Path) -> None:
    endless = Answer(200, b"data: " + json.dumps({"choices": [{"delta": {"content": "x" * 4000}}]}).encode() + b"\n\n",
                     EVENTS, repeats=True)  # fmt: skip
    with fake_server([endless, says("chat")]) as server, opened(endpoints(server, "chat"), tmp_path) as it:
        connection = SocketConnection(it.path)
        connection.request("POST", CHAT.path, json.dumps(CHAT.request))
        assert connection.getresponse().read(10)
        connection.close()
        wait_until(lambda: it.gateway.usage.calls == 1)
        assert server.left.wait(60), "the endpoint need not go on"
        assert it.call(CHAT).status == 200
    assert it.gateway.faults == {"the agent left before the end of a reply": 1}
    assert it.exchanges()[0]["usage"]["estimated"] is True
    assert it.gateway.usage.completion_tokens > 1000


def test_the_agent_leaves_in_the_middle_of_a_request(tmp_path: Path) -> None:
    with fake_server([says("chat")]) as server, opened(endpoints(server, "chat"), tmp_path) as it:
        for sent in (b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 99\r\n\r\n{", b"POST /v1", b"\0\xff\r\n"):
            raw = socket.socket(socket.AF_UNIX)
            raw.connect(str(it.path))
            raw.sendall(sent)
            raw.close()
        assert it.call(CHAT).status == 200
    assert (it.gateway.faults, it.gateway.refusals, it.gateway.usage.calls) == ({}, {}, 1)


@pytest.mark.parametrize("answer", [STALLS, Answer(200, b": ping\n\n", EVENTS, repeats=True), Answer(dribbles=True)])
def test_closing_cuts_what_is_in_progress_and_counts_it(answer: Answer, tmp_path: Path) -> None:
    with fake_server([answer]) as server:
        with opened(endpoints(server, "messages"), tmp_path) as it:
            connection = SocketConnection(it.path)
            connection.request("POST", MESSAGES.path, json.dumps(MESSAGES.request))
            wait_until(lambda: server.requests)
            time.sleep(0.05)
        connection.close()
    usage = it.gateway.usage
    assert usage.calls + usage.retries == 1
    assert len(it.exchanges()) == 1
    assert next(iter(it.gateway.faults)) in ("the gateway was closed", "the agent left before the end of a reply")


def test_a_file_of_exchanges_that_cannot_be_written_costs_no_reply(tmp_path: Path) -> None:
    (tmp_path / "exchanges.jsonl").symlink_to("/etc/passwd")
    with fake_server([says("chat")]) as server, opened(endpoints(server, "chat"), tmp_path) as it:
        assert it.call(CHAT).status == 200
    assert "an exchange could not be recorded" in next(iter(it.gateway.faults))
    assert it.gateway.usage.calls == 1


def test_a_socket_only_where_no_other_user_reaches_it(tmp_path: Path) -> None:
    shared, private = tmp_path / "shared", tmp_path / ("long" * 30)
    shared.mkdir(mode=0o755)
    private.mkdir(mode=0o700)
    (private / "taken").touch()
    for path, expected in ((shared / "s", "open to other users"), (private / "taken", "no socket can be opened there")):
        source = Endpoints({"chat": Upstream("http://127.0.0.1:9", KEY)})
        with pytest.raises(UsageError, match=expected):
            Gateway(source, path, model="m", price_of=lambda _: PRICE, exchanges=[]).__enter__()
        with pytest.raises(UsageError, match=expected):
            LoginProxy(path, ("api.example.org",)).__enter__()
    source = Endpoints({"chat": Upstream("http://127.0.0.1:9", KEY)})
    with Gateway(source, private / "s", model="m", price_of=lambda _: PRICE, exchanges=[]):
        assert (private / "s").is_socket()  # at a path that is longer than the address of a socket
    assert not (private / "s").exists()
