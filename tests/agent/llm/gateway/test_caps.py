"""Caps on what an agent may use: 400 in its dialect, which no client tries again; a reply in progress is finished."""

import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from agent.errors import UsageError
from agent.llm.gateway.meter import Allowance
from agent.llm.model import ModelUsage
from agent.llm.prices import Price
from tests.agent.llm.fake_server import fails, fake_server
from tests.agent.llm.gateway.agents import SocketConnection, endpoints, opened
from tests.agent.llm.gateway.replies import ALL, CHAT, COMPLETION, MESSAGES, PROMPT, Spoken, says, streams


@pytest.mark.parametrize("spoken", ALL.values(), ids=ALL)
@pytest.mark.parametrize(
    ("allowance", "n_passed", "why"),
    [
        (Allowance("this proposal", calls=2), 2, "this proposal may make 2 model calls, and no more (2 made)"),
        (Allowance("the run", tokens=1051), 2, "the run may use 1051 model tokens, and no more (2100 used)"),
        (Allowance("the run", tokens=1050), 1, "the run may use 1050 model tokens, and no more (1050 used)"),
        (Allowance("the run", dollars=0.005), 2, "the run may cost $0.005, and no more ($0.0050 used)"),
        (Allowance("this proposal", seconds=0.0), 0, "this proposal may take 0 s, and no more"),
    ],
)
def test_at_a_cap_the_gateway_answers_400(
    spoken: Spoken, allowance: Allowance, n_passed: int, why: str, tmp_path: Path
) -> None:
    allowances = [Allowance("unlimited"), allowance]
    with (
        fake_server(lambda _: says(spoken.name)) as server,
        opened(endpoints(server, spoken.name), tmp_path, allowances=allowances) as it,
    ):
        got = [it.call(spoken) for _ in range(n_passed + 2)]
        assert it.gateway.stop_reason == why
    assert [one.status for one in got] == [200] * n_passed + [400] * 2
    assert got[-1].document["error"]["message"] == why
    assert len(server.requests) == it.gateway.usage.calls == n_passed
    assert it.gateway.refusals == {why: 2}
    assert [line["refused"] for line in it.exchanges()] == [False] * n_passed + [True] * 2


def test_a_reply_in_progress_is_finished_and_counted(tmp_path: Path) -> None:
    rest = threading.Event()
    slow = replace(streams("messages", "x" * 400), waits_for=rest)
    answers = {"slow": slow, "fast": says("messages")}
    with (
        fake_server(lambda request: answers[request["model"]]) as server,
        opened(endpoints(server, "messages"), tmp_path, allowances=[Allowance("the run", tokens=1000)]) as it,
    ):
        connection = SocketConnection(it.path)
        connection.request("POST", MESSAGES.path, json.dumps({**MESSAGES.request, "model": "slow"}))
        response = connection.getresponse()
        first = response.read(10)
        assert it.call(MESSAGES, model="fast").status == 200
        assert it.call(MESSAGES, model="fast").status == 400
        rest.set()
        assert first + response.read() == slow.body
        connection.close()
    assert it.gateway.usage.calls == 2
    assert it.gateway.usage.completion_tokens == 2 * COMPLETION


def test_calls_in_progress_count_towards_the_cap(tmp_path: Path) -> None:
    rest = threading.Event()
    with (
        fake_server([replace(streams("chat"), waits_for=rest)]) as server,
        opened(endpoints(server, "chat"), tmp_path, allowances=[Allowance("this proposal", calls=1)]) as it,
    ):
        connection = SocketConnection(it.path)
        connection.request("POST", CHAT.path, json.dumps(CHAT.request))
        response = connection.getresponse()
        assert it.call(CHAT).status == 400
        rest.set()
        assert response.read() == streams("chat").body
        connection.close()
    assert len(server.requests) == 1


def test_failed_calls_count_as_calls(tmp_path: Path) -> None:
    with (
        fake_server(lambda _: fails(500, "broken")) as server,
        opened(endpoints(server, "chat"), tmp_path, allowances=[Allowance("this proposal", calls=3)]) as it,
    ):
        assert [it.call(CHAT).status for _ in range(5)] == [500] * 3 + [400] * 2
    assert (it.gateway.usage.calls, it.gateway.usage.retries) == (0, 3)


def test_a_model_without_a_price_is_refused_only_under_a_cap_in_dollars(tmp_path: Path) -> None:
    prices = {"fake-1": Price(2.0, 10.0)}.get
    with fake_server(lambda _: says("chat")) as server:
        with opened(
            endpoints(server, "chat"), tmp_path, allowances=[Allowance("the run", dollars=1.0)], price_of=prices
        ) as it:
            assert [it.call(CHAT, model=name).status for name in ("fake-1", "dear\n-1", "fake-1")] == [200, 400, 200]
            assert it.gateway.stop_reason is None
        assert list(it.gateway.refusals) == [
            "the cost of model calls is capped, and the price of the model 'dear -1' is unknown"
        ]
        with opened(endpoints(server, "chat"), tmp_path, price_of=prices) as it:
            assert it.call(CHAT, model="dear-1").status == 200
        assert it.gateway.usage.dollars is None


def test_a_table_of_prices_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    def price_of(_name: str) -> Price | None:
        raise UsageError("prices.toml cannot be read")

    with fake_server([]) as server, opened(endpoints(server, "chat"), tmp_path, price_of=price_of) as it:
        assert it.call(CHAT).status == 400
    assert (it.gateway.refusals, it.gateway.faults) == ({"prices.toml cannot be read": 1}, {})


def test_a_name_of_a_model_is_no_place_for_a_text(tmp_path: Path) -> None:
    with fake_server([says("chat")]) as server, opened(endpoints(server, "chat"), tmp_path) as it:
        assert it.call(CHAT, model="x" * 1000).status == 200
    assert it.gateway.usage.dollars is None


def test_nothing_is_relayed_for_free_once_it_is_shut(tmp_path: Path) -> None:
    with (
        fake_server([says("messages")]) as server,
        opened(endpoints(server, "messages"), tmp_path, allowances=[Allowance("this proposal", calls=1)]) as it,
    ):
        it.call(MESSAGES)
        it.call(MESSAGES)
        assert it.ask("POST", "/v1/messages/count_tokens", MESSAGES.request).status == 400
    assert len(server.requests) == 1


def test_requests_that_cost_nothing_are_counted_too(tmp_path: Path) -> None:
    count_tokens = "/v1/messages/count_tokens"
    with (
        fake_server(lambda _: says("messages")) as server,
        opened(endpoints(server, "messages"), tmp_path, max_free_requests=2) as it,
    ):
        assert [it.ask("POST", count_tokens, MESSAGES.request).status for _ in range(4)] == [200] * 2 + [400] * 2
        assert it.call(MESSAGES).status == 200
    assert it.gateway.refusals == {"the gateway relays 2 requests that call no model, and no more": 2}
    assert len(server.requests) == 3


def test_many_refusals_leave_a_short_record(tmp_path: Path) -> None:
    with fake_server([]) as server, opened(endpoints(server, "chat"), tmp_path) as it:
        connection = SocketConnection(it.path)
        for number in range(120):
            connection.request("POST", f"/v1/{number}", b"{}")
            assert connection.getresponse().read()
        connection.close()
    assert sum(it.gateway.refusals.values()) == 120
    assert (len(it.gateway.refusals), it.gateway.refusals["others"]) == (51, 70)
    assert len(it.exchanges()) == 100


def test_an_allowance_names_what_is_spent() -> None:
    used = ModelUsage("m", 3, PROMPT, COMPLETION, retries=1, dollars=None)
    assert Allowance("it").spent(used, 1e9) is None
    assert Allowance("it", calls=4).spent(used, 0) == "it may make 4 model calls, and no more (4 made)"
    assert Allowance("it", dollars=0.0).spent(used, 0) is None, "a price that is unknown reaches no cap"
    assert Allowance("it", seconds=60).spent(used, 60) == "it may take 60 s, and no more"
