"""What a server refuses, and a request can do without, is left out from then on and said once."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from agent.errors import ModelError
from agent.llm.model import Message, Schema
from agent.llm.openai_model import OpenAIModel, RetryPolicy
from tests.agent.llm.fake_server import Answer, FakeServer, fails, fake_server, says
from tests.agent.llm.simulated_clock import SimulatedClock

Request = Mapping[str, Any]
ASK = [Message("system", "Be brief."), Message("user", "Which bird?")]
SCHEMA = Schema("bird", {"type": "object"})
OPTIONS = {"temperature": 0.7, "seed": 3, "max_tokens": 50}
HERON = says('{"word": "heron"}')


def serves(*refusals: tuple[Callable[[Request], bool], Answer]) -> Callable[[dict[str, Any]], Answer]:
    """Return a server that refuses some requests, and obeys a schema."""

    def answer(request: dict[str, Any]) -> Answer:
        for refuses, refusal in refusals:
            if refuses(request):
                return refusal
        return HERON if "response_format" in request else says("A bird.")

    return answer


def model(server: FakeServer, lines: list[str], **settings: Any) -> OpenAIModel:
    policy = RetryPolicy(timing=SimulatedClock().timing, report=lines.append)
    return OpenAIModel("fake-1", base_url=server.base_url, patience=policy, on_tokens=lambda _: None, **settings)


def has_system(request: Request) -> bool:
    return any(message["role"] == "system" for message in request["messages"])


def has(name: str) -> Callable[[Request], bool]:
    return lambda request: name in request


NO_TOKENS = "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead."
WARM = "Unsupported value: 'temperature' does not support 0.7"
UNKNOWN = {"detail": [{"loc": ["body", "stream_options"], "msg": "Extra inputs are not permitted"}]}
CASES: list[tuple[str, Callable[[Request], bool], Answer]] = [
    ("stream_options", has("stream_options"), fails(422, "Extra inputs are not permitted: stream_options")),
    ("stream_options", has("stream_options"), Answer(422, json.dumps(UNKNOWN).encode())),
    ("stream_options", has("stream_options"), fails(400, "Unrecognized argument", param="stream_options")),
    ("stream_options", has("stream_options"), Answer(400)),
    ("stream_options", has("stream_options"), fails(500, "oops")),
    ("response_format", has("response_format"), fails(400, "response_format is not supported")),
    ("response_format", has("response_format"), fails(500, "failed to initialize sampler: failed to parse grammar")),
    ("response_format", has("response_format"), fails(500, "Internal Server Error")),
    ("response_format", has("response_format"), fails(501, "not implemented")),
    ("response_format", has("response_format"), fails(404, "No endpoints found that support structured outputs")),
    ("response_format", has("response_format"), Answer(200, b'{"error": {"message": "Invalid schema", "code": 400}}')),
    ("the system role", has_system, fails(400, "System role not supported")),
    ("the system role", has_system, fails(500, "Conversation roles must alternate user/assistant/user/assistant/...")),
    ("the system role", has_system, fails(400, "Bad Request")),
    ("temperature", has("temperature"), fails(400, WARM, param="temperature")),
    ("temperature", has("temperature"), fails(400, "Bad Request")),
    ("seed", has("seed"), fails(400, "Unknown field: seed")),
    ("stream", has("stream"), fails(400, "Streaming is not supported for this model")),
    ("stream", has("stream"), fails(400, "Bad Request")),
    ("max_tokens", has("max_tokens"), fails(400, NO_TOKENS, param="max_tokens")),
]  # fmt: skip


@pytest.mark.parametrize(("feature", "refuses", "refusal"), CASES)
def test_the_probe_finds_what_is_refused_and_only_that(
    feature: str, refuses: Callable[[Request], bool], refusal: Answer
) -> None:
    lines: list[str] = []
    with fake_server(serves((refuses, refusal))) as server:
        asked = model(server, lines, options=OPTIONS)
        assert asked.probe() is (feature != "response_format")
        n_requests = len(server.requests)
        asked.complete(ASK, SCHEMA)
        asked.complete(ASK, SCHEMA)
    assert n_requests <= 16
    assert len(server.requests) == n_requests + 2  # nothing is refused any more
    sent = server.requests[-1]
    absent = [name for name in ("stream", "stream_options", "response_format", *OPTIONS) if name not in sent]
    with_it = {"stream": ["stream", "stream_options"], "the system role": []}
    assert absent == with_it.get(feature, [feature])
    if feature == "max_tokens":
        assert sent["max_completion_tokens"] == 50
    first = sent["messages"][0]
    whole = {"role": "user", "content": "Be brief.\n\nWhich bird?"}
    assert first == (whole if feature == "the system role" else {"role": "system", "content": "Be brief."})
    assert [line for line in lines if "left out" in line] == [
        line for line in lines if f"refuses {feature}: left out" in line
    ]
    assert len([line for line in lines if "left out" in line]) == 1


def test_several_refusals_are_found_together() -> None:
    lines: list[str] = []
    refusals = [(refuses, refusal) for _, refuses, refusal in (CASES[0], CASES[5], CASES[11], CASES[-1])]
    with fake_server(serves(*refusals)) as server:
        asked = model(server, lines, options=OPTIONS)
        assert not asked.probe()
        n_requests = len(server.requests)
        asked.complete(ASK, SCHEMA)
    assert len(server.requests) == n_requests + 1
    assert n_requests <= 12
    assert {"seed", "temperature", "max_completion_tokens", "stream"} <= server.requests[-1].keys()
    assert len(lines) == 1


def test_both_names_of_the_longest_reply_may_be_refused() -> None:
    unknown = [(has(name), fails(400, f"Unknown field {name}")) for name in ("max_tokens", "max_completion_tokens")]
    with fake_server(serves(*unknown)) as server:
        asked = model(server, [], options=OPTIONS)
        assert asked.probe()
        asked.complete(ASK)
        assert not {"max_tokens", "max_completion_tokens"} & server.requests[-1].keys()


def test_a_schema_that_the_endpoint_ignores_is_not_sent() -> None:
    with fake_server([says("Sure! A sparrow."), says("{}")]) as server:
        asked = model(server, [])
        assert not asked.probe()
        asked.complete(ASK, SCHEMA)
    assert "response_format" not in server.requests[-1]


def test_the_probe_asks_as_the_run_will() -> None:
    with fake_server([HERON, says("{}")]) as server:
        asked = model(server, [], options=OPTIONS)
        assert asked.probe()
        asked.complete(ASK, SCHEMA)
    probe, sent = server.requests
    assert probe.keys() == sent.keys()
    assert [message["role"] for message in probe["messages"]] == ["system", "user"]


@pytest.mark.parametrize(
    "refusal", [fails(400, "Invalid grammar in schema"), fails(500, "oops"), fails(422, "invalid")]
)
def test_a_schema_that_is_refused_in_the_run_is_left_out(refusal: Answer) -> None:
    lines: list[str] = []
    with fake_server(serves((lambda request: "bird" in json.dumps(request.get("response_format")), refusal))) as server:
        asked = model(server, lines)
        assert asked.probe()
        assert asked.complete(ASK, SCHEMA).text == "A bird."
        n_requests = len(server.requests)
        asked.complete(ASK, SCHEMA)
        assert len(server.requests) == n_requests + 1
    assert len([line for line in lines if "refuses response_format: left out from now on" in line]) == 1


def test_a_request_that_is_refused_for_another_reason_loses_nothing() -> None:
    with fake_server([HERON, *[fails(400, "Content policy")] * 2, says("{}")]) as server:
        asked = model(server, [])
        asked.probe()
        with pytest.raises(ModelError, match="refuses the request: 400 Content policy"):
            asked.complete(ASK, SCHEMA)
        asked.complete(ASK, SCHEMA)
    assert "response_format" in server.requests[-1]
    assert has_system(server.requests[-1])


def test_a_wrong_model_is_asked_for_once() -> None:
    with fake_server(lambda _: fails(404, "model 'fake-1' not found")) as server:
        with pytest.raises(ModelError, match="has no model 'fake-1'"):
            model(server, []).probe()
        assert len(server.requests) == 1


def test_without_numbers_of_tokens_they_are_estimated() -> None:
    lines: list[str] = []
    with fake_server(serves((has("stream_options"), fails(400, "stream_options")))) as server:
        asked = model(server, lines)
        asked.probe()
    answer = Answer(
        200, b'{"choices": [{"message": {"content": "A heron, which is grey."}}], "usage": {"prompt_tokens": -4}}'
    )
    with fake_server([answer, answer]) as server:
        asked = model(server, lines)
        completion = asked.complete(ASK)
        asked.complete(ASK)
    assert (completion.prompt_tokens, completion.completion_tokens) == (7, 8)
    assert len([line for line in lines if "reports no numbers of tokens" in line]) == 1
