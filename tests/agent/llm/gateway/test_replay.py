"""Exchanges recorded and served again: in order, to requests that differ only in what varies from run to run."""

import http.client
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from agent.errors import MissingRequirementError, UsageError
from agent.llm.gateway.exchanges import RecordedExchanges, cut_exchanges
from agent.llm.gateway.normal_form import first_difference, normal_form
from agent.llm.recording import RecordedModel
from tests.agent.llm.fake_server import Answer, fails, fake_server
from tests.agent.llm.gateway.agents import KEY, endpoints, opened
from tests.agent.llm.gateway.replies import ALL, CHAT, MESSAGES, PROMPT, Spoken, says, streams


def recorded(tmp_path: Path, spoken: Spoken, answers: list[Answer], requests: list[dict[str, Any]]) -> Path:
    """Record calls that differ from the usual one by the given fields; return the recording."""
    recording = tmp_path / "recordings" / "agent.jsonl"
    with (
        fake_server(answers) as server,
        opened(endpoints(server, spoken.name), tmp_path, exchanges=[tmp_path / "exchanges.jsonl", recording]) as it,
    ):
        for fields in requests:
            it.call(spoken, **fields)
    return recording


@pytest.mark.parametrize("spoken", ALL.values(), ids=ALL)
def test_what_is_recorded_is_served_again(spoken: Spoken, tmp_path: Path) -> None:
    answers = [streams(spoken.name, "eins"), fails(500, "broken"), says(spoken.name, f"zwei, {KEY}")]
    path = recorded(tmp_path, spoken, answers, [{}, {}, {"step": "two"}])
    (tmp_path / "exchanges.jsonl").unlink()
    with opened(RecordedExchanges(path), tmp_path) as it:
        got = [it.call(spoken, **fields) for fields in ({}, {}, {"step": "two"})]
    assert [one.status for one in got] == [200, 500, 200]
    assert [one.headers["content-type"] for one in got] == ["text/event-stream", *["application/json"] * 2]
    assert (got[0].body, got[1].body) == (answers[0].body, answers[1].body)
    assert got[2].body == answers[2].body.replace(KEY.encode(), b"[secret]")
    assert (it.gateway.usage.calls, it.gateway.usage.retries) == (2, 1)
    assert it.gateway.usage.prompt_tokens == 2 * PROMPT
    assert it.gateway.faults == {}
    lines = it.exchanges()
    assert lines[0]["request"] == spoken.request
    assert {line["dialect"] for line in lines} == {spoken.name}


def test_a_deeply_nested_request_is_recorded_and_served_again(tmp_path: Path) -> None:
    deep: Any = "end"
    for _ in range(190):
        deep = {"a": [deep]} if len(str(deep)) % 2 else [deep]
    deep = {"input": [deep]}
    path = recorded(tmp_path, CHAT, [says("chat")], [deep])
    with opened(RecordedExchanges(path), tmp_path) as it:
        assert it.call(CHAT, input=[]).status == 400
        assert it.call(CHAT, **deep).status == 200


def test_the_first_that_fits_is_served_whatever_came_between(tmp_path: Path) -> None:
    requests = [{"title": True}, {"step": "a"}, {"step": "a"}, {"step": "b"}]
    path = recorded(tmp_path, CHAT, [says("chat", word) for word in ("t", "a1", "a2", "b")], requests)
    with opened(RecordedExchanges(path), tmp_path) as it:
        order = [1, 0, 3, 2]
        words = [it.call(CHAT, **requests[n]).document["choices"][0]["message"]["content"] for n in order]
    assert words == ["a1", "t", "b", "a2"]


def test_another_request_is_a_named_error(tmp_path: Path) -> None:
    path = recorded(tmp_path, MESSAGES, [says("messages")], [{"system": [{"text": "be brief"}]}])
    with opened(RecordedExchanges(path), tmp_path) as it:
        other = it.call(MESSAGES, system=[{"text": "be long"}])
        count = it.ask("POST", "/v1/messages/count_tokens", {})
        right = it.call(MESSAGES, system=[{"text": "be brief"}])
        again = it.call(MESSAGES, system=[{"text": "be brief"}])
    assert [one.status for one in (other, count, right, again)] == [400, 400, 200, 400]
    messages = [one.document["error"]["message"] for one in (other, count, again)]
    assert messages == [
        "the request is none of those that agent.jsonl records; it differs from the next one at system[0].text",
        "agent.jsonl records no further POST of /v1/messages/count_tokens",
        "agent.jsonl records no further POST of /v1/messages",
    ]
    assert other.document["type"] == "error"
    assert it.gateway.faults == dict.fromkeys(messages, 1)
    assert (it.gateway.usage.calls, it.gateway.usage.retries) == (1, 2)


def test_faults_are_served_again_too(tmp_path: Path) -> None:
    cut = Answer(200, streams("chat", "x" * 100).body, {"Content-Type": "text/event-stream"}, cut_after=50)
    path = recorded(tmp_path, CHAT, [Answer(302), says("chat")], [{"n": "a"}, {"n": "b"}])
    with opened(RecordedExchanges(path), tmp_path) as it:
        assert [it.call(CHAT, n=n).status for n in "ab"] == [502, 200]
    assert "redirect" in next(iter(it.gateway.faults))
    with (
        fake_server([cut]) as server,
        opened(endpoints(server, "chat"), tmp_path, exchanges=[path]) as it,
        pytest.raises(http.client.IncompleteRead),
    ):
        it.call(CHAT)
    with opened(RecordedExchanges(path, used=1), tmp_path) as it, pytest.raises(http.client.IncompleteRead):
        it.call(CHAT)


def test_a_resumed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    answers = [says("chat", "1"), Answer(200, b'{"data": []}'), fails(500, "broken"), says("chat", "2"), says("chat")]
    recording = tmp_path / "agent.jsonl"
    with fake_server(answers) as server, opened(endpoints(server, "chat"), tmp_path, exchanges=[recording]) as it:
        it.call(CHAT)
        it.ask("GET", "/v1/models")
        it.ask("GET", "/v1/elsewhere")
        for _ in range(3):
            it.call(CHAT)
    lines = recording.read_text().splitlines()
    assert len(lines) == 6
    with opened(RecordedExchanges(recording, used=1), tmp_path) as it:
        assert it.ask("GET", "/v1/models").document == {"data": []}
        assert [it.call(CHAT).status for _ in range(4)] == [500, 200, 200, 400]
    cut_exchanges(recording, 9)
    assert recording.read_text().splitlines() == lines
    with recording.open("a") as file:
        file.write(lines[0][:50])  # torn by a kill
    assert len(RecordedExchanges(recording).dialects) == 1
    cut_exchanges(recording, 9)
    assert recording.read_text().splitlines() == lines
    cut_exchanges(recording, 2)
    assert recording.read_text().splitlines() == lines[:5]
    cut_exchanges(recording, 0)
    assert recording.read_text() == ""


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        '{"reply": "a recorded completion", "messages": []}',
        '{"dialect": "klingon"}',
        '{"dialect": ["chat"]}',
        '{"dialect": "chat", "method": "POST", "path": "/v1", "reply": {"type": "", "text": ""}, "status": 99}',
        '{"dialect": "chat", "method": "POST", "path": "/v1", "reply": {"type": 7, "text": ""}, "status": 200}',
        '{"dialect": "chat", "method": "POST", "path": "/v1", "reply": "text", "status": 200}',
        '{"dialect": "chat", "method": "POST", "path": 7, "reply": {"type": "", "text": ""}, "status": 200}',
        '{"a":' + "[" * 300 + "]" * 300 + "}",
        "[" * 100_000,
    ],
)
def test_what_is_no_recording_is_refused_by_line(line: str, tmp_path: Path) -> None:
    path = tmp_path / "agent.jsonl"
    path.write_text(f"\n{line}\n")
    with pytest.raises(UsageError, match=r"agent\.jsonl:2: not a"):
        RecordedExchanges(path)
    with pytest.raises(MissingRequirementError, match="there is no recording"):
        RecordedExchanges(tmp_path / "other")


def test_the_two_kinds_of_recordings_are_distinguished(tmp_path: Path) -> None:
    path = recorded(tmp_path, CHAT, [says("chat")], [{}])
    with pytest.raises(UsageError, match="an exchange of a coding agent"):
        RecordedModel(path)


FIRST_RUN = {
    "model": "m",
    "metadata": {"user_id": "user_1_session_2f"},
    "prompt_cache_key": "0199c0de-aaaa-bbbb-cccc-123456789abc",
    "system": "x-anthropic-billing-header: cc_version=2.1.197.48f; cch=faced;\nToday's date: Sun Nov 29 2026, 9:05 AM",
    "input": [
        {
            "type": "function_call_output",
            "call_id": "call_1",
            "output": "Wall time: 0.0512 seconds\nin /tmp/tmpabcdef/x",
        },
        {"role": "user", "content": "trial 0007  2.31 nats, 41.5 s"},
    ],
}


def test_the_normal_form_leaves_out_what_varies() -> None:
    second = deepcopy(FIRST_RUN)
    second |= {
        "metadata": {"user_id": "other"},
        "prompt_cache_key": "else",
        "system": "x-anthropic-billing-header: cc_version=2.1.197.77a; cch=abcde;\n"
        "Today's date: Tuesday December 1 2026, 10:15 PM",
    }
    second["input"][0] |= {"call_id": "call_9", "output": "Wall time: 12.1 seconds\nin /tmp/tmpghijkl/x"}
    second["input"][1]["content"] = "trial 0007 2.29 nats, 140 s"
    assert normal_form(second) == normal_form(FIRST_RUN)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda run: run.update(model="n"), "model"),
        (lambda run: run.update(stream=True), "stream"),
        (lambda run: run["input"].append({}), "input[2]"),
        (lambda run: run["input"].reverse(), "input[0].type"),
        (lambda run: run["input"][1].update(content="another trial"), "input[1].content"),
        (lambda run: run.update(input="text"), "input"),
    ],
)
def test_the_first_difference_is_named(change: Any, where: str) -> None:
    other = deepcopy(FIRST_RUN)
    change(other)
    assert first_difference(normal_form(FIRST_RUN), normal_form(other)) == where


def test_the_normal_form_of_long_texts_takes_no_time() -> None:
    for text in ("a" * 1_000_000, "1" * 1_000_000, "/tmp/" * 200_000, "x-anthropic-billing-header:" * 40_000):
        assert len(normal_form(text)) <= len(text)  # a quadratic expression would need hours
