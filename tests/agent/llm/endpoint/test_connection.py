"""The connection of one request: what cuts it, where redirects lead, and whose errors are whose."""

import time

import pytest

from agent.llm.endpoint.connection import Connection
from agent.llm.endpoint.faults import EndpointFault
from agent.llm.endpoint.watch import SYSTEM_TIMING
from tests.agent.llm.fake_server import STALLS, Answer, fake_server, says, streams

REQUEST = {"model": "fake-1", "messages": []}


def connection(address: str, silence_seconds: float = 60.0) -> Connection:
    return Connection(address, "sk-key", account={}, silence_seconds=silence_seconds, pace=None, timing=SYSTEM_TIMING)


@pytest.mark.parametrize("answer", [STALLS, Answer(dribbles=True), Answer(200, b": ping\n\n", repeats=True)])
def test_a_connection_is_cut_by_the_real_clock_too(answer: Answer) -> None:
    with fake_server([answer]) as server:
        asked = connection(server.base_url, silence_seconds=0.2 if answer is STALLS else 60.0)
        with pytest.raises(EndpointFault, match=r"nothing arrived for 0.2 s|not complete after") as cut:
            asked.ask(REQUEST, time.monotonic() + 0.5, lambda _: None)
        asked.close()
    assert cut.value.connected


def test_a_redirect_on_the_same_server_is_followed() -> None:
    here = Answer(307, b"", {"Location": "/v1/chat/completions/"})
    with fake_server([here, says("A heron.")]) as server:
        assert connection(server.base_url).ask(REQUEST, time.monotonic() + 60, lambda _: None).text == "A heron."
    assert server.paths == ["POST /v1/chat/completions", "POST /v1/chat/completions/"]
    assert server.requests[0] == server.requests[1]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_server_is_not_followed(status: int) -> None:
    with fake_server([says("A heron.")]) as other:
        there = Answer(status, b"", {"Location": f"{other.base_url}/chat/completions?key=SECRET"})
        with fake_server([there]) as server, pytest.raises(EndpointFault) as refused:
            connection(server.base_url).ask(REQUEST, time.monotonic() + 60, lambda _: None)
    assert other.requests == []
    assert f"a redirect to {other.base_url}/chat/completions, which is not followed" in str(refused.value)


def test_an_error_of_the_caller_is_not_the_connections() -> None:
    def print_on_a_closed_terminal(_count: int) -> None:
        raise BrokenPipeError("closed")

    with fake_server([streams("A ", "heron.")]) as server, pytest.raises(BrokenPipeError):
        connection(server.base_url).ask(REQUEST, time.monotonic() + 60, print_on_a_closed_terminal)
