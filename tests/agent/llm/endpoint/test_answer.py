"""Answers of every kind, whole, in pieces and mutated: a reply of the right types, or a named fault."""

import json
import random
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from agent.llm.chat_answer import ChatAnswer
from agent.llm.endpoint.answer import MOST_TOKENS, parsed_or_none, read_answer
from agent.llm.endpoint.faults import EndpointFault, error_in, error_of_text, refusal, retry_after
from tests.agent.llm.behaviours import BEHAVIOURS
from tests.agent.llm.fake_server import Answer, fails, says, streams
from tests.agent.llm.misbehaving import delta, events, whole
from tests.agent.llm.simulated_clock import NOON, SimulatedClock

PARTS = [{"type": "thinking", "thinking": [{"type": "text", "text": "grey"}]}, {"type": "text", "text": "A heron."}]
DETAILS = [{"type": "reasoning.text", "text": "grey"}]


def read(answer: Answer) -> ChatAnswer:
    return read_answer([answer.body], answer.headers.get("Content-Type", ""))


@pytest.mark.parametrize(
    "answer",
    [
        says("A heron.", reasoning_content="grey"),
        says("A heron.", reasoning="grey"),
        says("A heron.", reasoning=DETAILS),
        whole({"content": PARTS}),
        whole({"content": "A heron.", "thinking": "grey"}),
        whole({"content": "A heron.", "reasoning_details": DETAILS}),
        whole({"content": None, "refusal": "A heron.", "reasoning_content": "grey"}),
        streams("A ", "heron.", reasoning_content="grey"),
        events(*(delta([part]) for part in PARTS)),
        events(delta("A heron.", "STOP", reasoning_details=DETAILS)),
        events({"choices": [{"message": {"content": PARTS}, "finish_reason": "end_turn"}]}),
    ],
)
def test_answer_and_reasoning_are_separated_in_every_spelling(answer: Answer) -> None:
    reply = read(answer)
    assert (reply.text, reply.reasoning, reply.finish_reason) == ("A heron.", "grey", "stop")


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ({"prompt_tokens": 11, "completion_tokens": 7.0}, (11, 7)),
        ({"prompt_tokens": -5, "completion_tokens": 10**400}, (None, None)),
        ({"prompt_tokens": "11", "completion_tokens": True}, (None, None)),
        ({"prompt_tokens": 1.5, "completion_tokens": None}, (None, None)),
        ([], (None, None)),
        ("many", (None, None)),
        (None, (None, None)),
    ],
)
def test_only_numbers_of_tokens_are_counted(usage: Any, counts: tuple[int | None, int | None]) -> None:
    for answer in (whole({"content": "x"}, usage=usage), events(delta("x", "stop"), {"choices": [], "usage": usage})):
        reply = read(answer)
        assert (reply.prompt_tokens, reply.completion_tokens) == counts


@pytest.mark.parametrize(
    ("reason", "finished"),
    [("length", "length"), ("MAX_TOKENS", "length"), ("SAFETY", "content_filter"), (["stop"], "stop"), (None, "stop")],
)
def test_other_spellings_of_the_end_are_known(reason: Any, finished: str) -> None:
    assert read(events(delta("x", reason))).finish_reason == finished


def test_an_object_as_content_is_the_answer_under_a_schema() -> None:
    assert json.loads(read(whole({"content": {"word": "heron", "n": 1}})).text) == {"word": "heron", "n": 1}


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("name", [name for name, row in BEHAVIOURS.items() if row.kind == "unusual"])
def test_where_an_answer_is_divided_makes_no_difference(name: str, size: int) -> None:
    answer = BEHAVIOURS[name].answer(SimulatedClock(), "TITLE: é €\n```\nA heron.\n```\n")
    if answer.writes is not None or "Content-Encoding" in answer.headers:
        return  # more than a body
    pieces = [answer.body[at : at + size] for at in range(0, len(answer.body), size)]
    assert read_answer(pieces, answer.headers.get("Content-Type", "")) == read(answer)


@pytest.mark.parametrize(
    ("document", "message", "code", "status"),
    [
        ({"error": {"message": "busy", "code": 503}}, "busy", "", 503),
        ({"error": {"message": "busy", "code": "503", "type": "server_error"}}, "busy", "server_error", 503),
        ({"error": "busy"}, "busy", "", None),
        ([{"error": {"message": "busy", "status": "UNAVAILABLE", "code": 503}}], "busy", "UNAVAILABLE", 503),
        ({"detail": "busy"}, "busy", "", None),
        ({"detail": [{"loc": ["body", "seed"], "msg": "busy"}]}, "body.seed: busy", "", None),
        (
            {"object": "error", "message": "busy", "type": "BadRequestError", "code": 400},
            "busy",
            "BadRequestError",
            400,
        ),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}, "busy", "overloaded_error", None),
        ({"error": {"message": "Provider", "code": 502, "metadata": {"raw": "busy"}}}, "Provider (busy)", "", 502),
        ({"error": {"message": {"detail": "busy"}}}, "busy", "", None),
        ({"error": {"code": 10**400, "message": None}}, "no further words", "", None),
    ],
)
def test_errors_are_read_in_every_spelling(document: Any, message: str, code: str, status: int | None) -> None:
    error = error_in(document)
    assert error is not None
    assert (error.message, error.code, error.status) == (message, code, status)


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        ('{"error": {"message": ', "}}"),
        ('{"detail": [{"msg": ', "}]}"),
        ('{"detail": [{"msg": "x", "loc": [', "]}]}"),
        ('{"choices": [{"message": {"content": ', "}}]}"),
        ('{"choices": [{"message": {"content": "x", "reasoning": ', '}, "finish_reason": "stop"}]}'),
    ],
)
@pytest.mark.parametrize(
    ("opened", "closed"), [('{"message": ', "}"), ('{"a": ', "}"), ("[", "]"), ('{"error": ', "}")]
)
def test_no_depth_is_too_deep(begin: str, end: str, opened: str, closed: str) -> None:
    for depth in (100, *range(850, 960), 5_000):  # at some of them, only just as deep as the parser goes
        body = f"{begin}{opened * depth}1{closed * depth}{end}".encode()
        error_in(parsed_or_none(body))
        with suppress(EndpointFault):
            assert read_answer([body]).finish_reason == "stop"


def test_an_answer_states_no_error() -> None:
    for document in ({"choices": [], "error": None}, {"choices": [{}], "detail": "x"}, {}, [], None, 3, "error"):
        assert error_in(document) is None


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("17", 17.0), ("1.5", 1.5), ("-3", 0.0), ("1e9", 400 * 86400.0), ("nan", None), ("inf", None), ("-inf", None),
        ("", None), ("soon", None), ("Mon, 30 Nov 2026 12:02:00 GMT", 120.0), ("Mon, 30 Nov 2026 11:02:00 GMT", 0.0),
        ("Mon, 30 Nov 99999 12:02:00 GMT", None), ("Mon, 30 Nov 2026 12:02:00", 120.0), ("9" * 400, None),
    ],
)  # fmt: skip
def test_a_wait_is_finite_and_not_negative(header: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": header}, NOON)[1] == seconds


TOKENS = [
    b"null", b"true", b"-1", b"1e999", b"NaN", b"9" * 5000, b'"', b"\\ud800", b"\xff", b"\xed\xa0\x80", b"\n\n", b"\r",
    b"data: ", b"event: error\n", b"[DONE]", b"data: [DONE]\n\n", b'{"error": ', b'{"error": {"code": 503}}',
    b"[" * 3000, b'{"a":' * 3000, b"}", b"]", b",", b":", b"<html>", b"<think>", b"\x00", b"\x1b]0;x\x07",
    b'"content": [', b'"usage": -5', b'"choices": null',
]  # fmt: skip
VALUES: list[Any] = [
    None, True, -1, 10**30, 1.5, float("nan"), "", "x", "\ud800", "503", [], [[]], {}, {"text": None}, [{"type": 3}],
    {"type": "thinking", "thinking": [[["x"]]]}, "9" * 6000, {"message": [{}]},
]  # fmt: skip


def mutated_document(document: Any, chance: random.Random) -> Any:
    """Return a JSON document with values replaced, at any depth."""
    if chance.random() < 0.03:
        return chance.choice(VALUES)
    if isinstance(document, dict):
        return {name: mutated_document(value, chance) for name, value in document.items() if chance.random() > 0.01}
    if isinstance(document, list):
        return [mutated_document(item, chance) for item in document for _ in range(chance.choice((1,) * 20 + (0, 2)))]
    return document


def mutated(body: bytes, other: bytes, chance: random.Random) -> bytes:
    """Return a body with some bytes replaced, repeated, left out, or taken from another one."""
    for _ in range(chance.choice((0, 0, 1, 2, 4))):
        begin, end = sorted(chance.randint(0, len(body)) for _ in range(2))
        end = min(end, begin + chance.choice((0, 1, 5, 40, len(body))))
        inserted = chance.choice(
            (b"", body[begin:end] * 2, chance.choice(TOKENS), other[begin:end], bytes([chance.randrange(256)]))
        )
        body = body[:begin] + inserted + body[end:]
    return body


def mutated_bodies(n: int, seed: int) -> Iterator[tuple[bytes, str]]:
    """Yield mutated answers and event streams, each with a content type that may be wrong."""
    chance = random.Random(seed)
    made = [row.answer(SimulatedClock(), "TITLE: a\n```\nx = 1\n```\n") for row in BEHAVIOURS.values()]
    made += 3 * [row.answer(SimulatedClock(), "A heron.") for row in BEHAVIOURS.values() if row.kind == "unusual"]
    made += [fails(400, "no", code=503), says("x", reasoning="y"), streams("a", "b", reasoning_content="c")]
    bodies = [answer.body for answer in made if 0 < len(answer.body) < 10_000]
    for _ in range(n):
        body, other = chance.choice(bodies), chance.choice(bodies)
        lines = body.split(b"\n\n")
        for at, line in enumerate(lines):
            prefix, text = (line[:6], line[6:]) if line.startswith(b"data: ") else (b"", line)
            try:
                lines[at] = prefix + json.dumps(mutated_document(json.loads(text), chance)).encode()
            except ValueError:
                continue
        yield mutated(b"\n\n".join(lines), other, chance), chance.choice(("application/json", "text/event-stream", ""))


def check_mutated(n: int, seed: int) -> tuple[int, int]:
    """Read mutated answers. Return how many held a reply, and how many a named fault; all else fails."""
    n_replies, n_faults, chance = 0, 0, random.Random(seed)
    for body, content_type in mutated_bodies(n, seed):
        cuts = sorted(chance.randint(0, len(body)) for _ in range(chance.randint(0, 5)))
        pieces = [body[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]
        try:
            reply = read_answer(pieces, content_type)
        except EndpointFault as fault:
            n_faults += bool(str(fault)) and fault.most_attempts >= 1
        else:
            n_replies += 1
            texts = (reply.text, reply.reasoning, reply.model, reply.finish_reason)
            assert all(text.encode() is not None for text in texts)
            for count in (reply.prompt_tokens, reply.completion_tokens):
                assert count is None or (type(count) is int and 0 <= count <= MOST_TOKENS)
        # The same body with an error status.
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            document = None
        error = error_in(document) or error_of_text(body.decode(errors="replace"))
        headers = {"retry-after": body[:20].decode(errors="replace")}
        fault = refusal(chance.choice((400, 429, 500)), error, headers, NOON)
        assert fault.wait is None or 0 <= fault.wait < float("inf")
        assert fault.is_overflow in (True, False)
        assert fault.may_be_a_feature in (True, False)
    assert n_replies + n_faults == n
    return n_replies, n_faults


def test_mutated_answers_give_replies_or_named_faults(alarm: None) -> None:
    n_replies, n_faults = check_mutated(1_000, seed=0)
    assert min(n_replies, n_faults) > 100


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1, 11))
def test_many_mutated_answers(seed: int) -> None:
    n_replies, n_faults = check_mutated(10_000, seed)
    assert min(n_replies, n_faults) > 1_000
