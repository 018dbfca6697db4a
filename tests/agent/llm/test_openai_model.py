"""The client against a real server on loopback that misbehaves on request."""

import base64
from collections.abc import Callable

import pytest

from agent.errors import MissingRequirementError, ModelError, PromptTooLongError
from agent.llm.model import Message, Schema
from agent.llm.openai_model import OpenAIModel, RetryPolicy
from agent.llm.prices import Price
from tests.agent.llm.fake_server import (
    BROKEN_JSON,
    CUT,
    NOT_JSON,
    OVERFLOW_LLAMA_CPP,
    OVERFLOW_OPENAI,
    Answer,
    FakeServer,
    fails,
    fake_server,
    says,
    streams,
)
from tests.agent.llm.simulated_clock import SimulatedClock

ASK = [Message("system", "Be brief."), Message("user", "Which bird?")]
KEY = "sk-do-not-tell"


class Waits:
    """A simulated clock, and what was reported."""

    def __init__(self) -> None:
        self.clock = SimulatedClock()
        self.seconds = self.clock.slept
        self.lines: list[str] = []

    @property
    def patience(self) -> RetryPolicy:
        return RetryPolicy(timing=self.clock.timing, report=self.lines.append)


def model(server: FakeServer, waits: Waits | None = None, **settings: object) -> OpenAIModel:
    patience = (waits or Waits()).patience
    return OpenAIModel("fake-1", base_url=server.base_url, api_key=KEY, patience=patience, **settings)  # type: ignore[arg-type]


def test_completion_carries_text_usage_and_price() -> None:
    with fake_server([says("A heron.")]) as server:
        completion = model(server, price=Price(prompt=2.0, completion=10.0)).complete(ASK)
    assert (completion.text, completion.finish_reason, completion.model) == ("A heron.", "stop", "fake-1")
    assert (completion.prompt_tokens, completion.completion_tokens) == (11, 7)
    assert completion.dollars == pytest.approx((11 * 2.0 + 7 * 10.0) / 1e6)
    assert server.requests[0]["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Which bird?"},
    ]
    assert server.authorizations == [f"Bearer {KEY}"]


def test_half_a_character_reaches_no_file() -> None:
    refusal = fails(404, "no such \ud800 model")
    with fake_server([says("A \ud83d\ude00 \udcff heron.", reasoning="\ud800 legs"), refusal]) as server:
        asked = model(server)
        completion = asked.complete(ASK)
        with pytest.raises(ModelError) as refused:
            asked.complete(ASK)
    assert (completion.text, completion.reasoning) == ("A \U0001f600 \ufffd heron.", "\ufffd legs")
    assert "no such \ufffd model" in str(refused.value)


def test_unknown_price_stays_unknown() -> None:
    with fake_server([says("A heron.")]) as server:
        assert model(server).complete(ASK).dollars is None


def test_options_and_schema_reach_the_server() -> None:
    schema = Schema("bird", {"type": "object"})
    with fake_server([says("{}")]) as server:
        model(server, options={"temperature": 0.7, "max_completion_tokens": 50}).complete(ASK, schema)
    sent = server.requests[0]
    assert (sent["temperature"], sent["max_completion_tokens"]) == (0.7, 50)
    assert sent["response_format"]["json_schema"] == {"name": "bird", "schema": {"type": "object"}, "strict": True}


def test_too_many_requests_waits_as_long_as_the_server_asks() -> None:
    waits = Waits()
    with fake_server([fails(429, "slow down", {"Retry-After": "17"}), says("A heron.")]) as server:
        assert model(server, waits).complete(ASK).text == "A heron."
    assert waits.seconds == [17.0]
    assert "trying again in 17 s" in waits.lines[0]


@pytest.mark.parametrize("trouble", [fails(500, "oops"), fails(503, "Loading model"), BROKEN_JSON, NOT_JSON, CUT])
def test_passing_trouble_is_waited_out_with_jitter(trouble: Answer) -> None:
    waits = Waits()
    with fake_server([trouble, trouble, says("A heron.")]) as server:
        assert model(server, waits).complete(ASK).text == "A heron."
    assert len(waits.seconds) == 2
    assert 0 <= waits.seconds[0] <= 2
    assert 0 <= waits.seconds[1] <= 4


def test_a_wait_longer_than_patience_ends_the_call_at_once() -> None:
    waits = Waits()
    with (
        fake_server([fails(429, "come back tomorrow", {"Retry-After": "86400"})]) as server,
        pytest.raises(ModelError, match="come back tomorrow"),
    ):
        model(server, waits).complete(ASK)
    assert waits.seconds == []


@pytest.mark.parametrize(
    ("answer", "remedy"),
    [
        (fails(401, f"Incorrect API key provided: {KEY}"), "set OPENAI_API_KEY"),
        (fails(404, "no such model"), "check --model and --base-url"),
        (fails(402, "Payment required"), "quota is used up"),
        (fails(429, "You exceeded your current quota", code="insufficient_quota"), "quota is used up"),
        (fails(400, "temperature is not supported"), "temperature is not supported"),
    ],
)
def test_lasting_trouble_stops_at_once_with_the_remedy(answer: Answer, remedy: str) -> None:
    waits = Waits()
    with fake_server([answer]) as server, pytest.raises(ModelError, match=remedy) as stopped:
        model(server, waits).complete(ASK)
    assert len(server.requests) == 1
    assert waits.seconds == []
    assert KEY not in str(stopped.value)
    assert "\n" not in str(stopped.value)


@pytest.mark.parametrize("overflow", [OVERFLOW_OPENAI, OVERFLOW_LLAMA_CPP])
def test_a_prompt_past_the_window_has_an_error_of_its_own(overflow: Answer) -> None:
    with fake_server([overflow]) as server, pytest.raises(PromptTooLongError):
        model(server).complete(ASK)


def test_reasoning_is_kept_apart_from_the_answer() -> None:
    answers = [says("A heron.", reasoning_content="grey, long legs"), says("<think>grey</think>\nA heron.")]
    with fake_server(answers) as server:
        asked = model(server)
        first, second = asked.complete(ASK), asked.complete(ASK)
    assert (first.text, first.reasoning) == ("A heron.", "grey, long legs")
    assert (second.text, second.reasoning) == ("A heron.", "grey")


def test_empty_content_is_an_empty_answer_and_no_failure() -> None:
    with fake_server([says(None, finish_reason="length")]) as server:
        completion = model(server).complete(ASK)
    assert (completion.text, completion.finish_reason) == ("", "length")


def test_loopback_is_reached_past_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with fake_server([says("A heron.")]) as server:
        assert model(server).complete(ASK).text == "A heron."


def test_a_missing_key_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(MissingRequirementError, match="OPENAI_API_KEY"):
        OpenAIModel("gpt")


def test_a_stream_is_counted_and_joined() -> None:
    seen: list[int] = []
    with fake_server([streams("A ", "heron", ".", reasoning_content="grey")]) as server:
        completion = model(server, on_tokens=seen.append, price=Price(2.0, 10.0)).complete(ASK)
    assert (completion.text, completion.reasoning, completion.finish_reason) == ("A heron.", "grey", "stop")
    assert (completion.prompt_tokens, completion.completion_tokens) == (11, 7)
    assert completion.dollars is not None
    assert seen == sorted(seen)
    assert seen[-1] >= 4
    assert server.requests[0]["stream_options"] == {"include_usage": True}


def test_a_stream_that_breaks_off_is_asked_for_again() -> None:
    waits = Waits()
    with fake_server([streams("A ", "her", ended=False), streams("A ", "heron.")]) as server:
        completion = model(server, waits, on_tokens=lambda _: None).complete(ASK)
    assert completion.text == "A heron."
    assert completion.retries == 1
    assert len(waits.lines) == 1


def test_an_endpoint_that_does_not_stream_is_understood() -> None:
    with fake_server([says("A heron.")]) as server:
        assert model(server, on_tokens=lambda _: None).complete(ASK).text == "A heron."


@pytest.mark.parametrize("shape", [lambda t: says(t, reasoning_content=t), lambda t: streams(t, reasoning_content=t)])
def test_a_reply_that_repeats_a_secret_is_masked(shape: Callable[[str], Answer]) -> None:
    pair = base64.b64encode(b"user:pass-word").decode()
    repeated = f"your key is {KEY}, your password pass-word or pass-word, {pair}, QUERY-KEY"
    with fake_server([shape(repeated)]) as server:
        address = server.base_url.replace("://", "://user:pass-word@") + "?key=QUERY-KEY"
        asked = OpenAIModel("fake-1", base_url=address, api_key=KEY, on_tokens=lambda _: None)
        completion = asked.complete(ASK)
    for text in (completion.text, completion.reasoning):
        assert text == "your key is [secret], your password [secret] or [secret], [secret], [secret]"


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500])
def test_an_error_that_repeats_a_secret_is_masked_even_where_it_is_cut(status: int) -> None:
    waits = Waits()
    with fake_server(lambda _: fails(status, "x" * 285 + KEY + " pass-word QUERY-KEY")) as server:
        address = server.base_url.replace("://", "://user:pass-word@") + "?key=QUERY-KEY"
        asked = OpenAIModel("fake-1", base_url=address, api_key=KEY, patience=waits.patience)
        with pytest.raises(ModelError) as stopped:
            asked.complete(ASK)
    for line in (*waits.lines, str(stopped.value)):
        assert not any(secret in line for secret in (KEY, KEY[:6], "pass-word", "QUERY-KEY"))
