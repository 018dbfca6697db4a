"""What endpoints do wrong: one table. `misbehaving` plays a row on a real server."""

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tests.agent.llm.fake_server import BROKEN_JSON, CUT, NOT_JSON, Answer, fails, says, streams
from tests.agent.llm.misbehaving import (
    EVENTS,
    JSON,
    delta,
    document,
    events,
    head,
    keeps_writing,
    stalls,
    whole,
    writes,
)
from tests.agent.llm.simulated_clock import SimulatedClock

Kind = Literal["unusual", "transient", "doubtful", "lasting"]
"""What it is to a client: no fault; or a fault that is tried again as long as there is time, a few times, or never."""
Makes = Callable[[SimulatedClock, str], Answer]
"""Makes an answer of the clock and of the text of a good reply."""


@dataclass(frozen=True)
class Behaviour:
    """One row of the table."""

    kind: Kind
    answer: Makes
    said: str = ""  # the message of the error contains it, as a regular expression


PARTS = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]
USAGE_OF_TEXT = {"prompt_tokens": "many", "completion_tokens": None, "total_tokens": []}
RPD = "Rate limit reached on requests per day (RPD): Limit 200, Used 200."

BOMB = gzip.compress(b" " * (64 << 20))
PAGE = b"<!DOCTYPE html><html><head><title>Log in to\nthe hotel</title></head><body>\x1b[2J</body></html>"
HINTS = b"HTTP/1.1 103 Early Hints\r\n\r\n"
LATE = "was not complete after|nothing arrived for|fewer than 600 characters"
LOST = "the connection was lost"

UNUSUAL: dict[str, Makes] = {
    "content in parts": lambda _, t: whole({"content": [*PARTS, {"type": "text", "text": t}]}),
    "parts in a stream": lambda _, t: events(delta(PARTS), delta([{"type": "text", "text": t}], "stop")),
    "nothing says why it ends": lambda _, t: events(delta(t)),
    "no blank line at the end": lambda _, t: Answer(
        200, events(delta(t), delta(None, "stop"), done=False).body[:-1], EVENTS
    ),
    "no blank lines at all": lambda _, t: events(delta(t), delta(None, "stop"), separator="\n"),
    "stream called text/plain": lambda _, t: events(delta(t, "stop"), headers={"Content-Type": "text/plain"}),
    "document called a stream": lambda _, t: Answer(200, says(t).body, EVENTS),
    "byte order mark": lambda _, t: Answer(200, b"\xef\xbb\xbf" + says(t).body, JSON),
    "usage of text and lists": lambda _, t: whole({"content": t}, usage=USAGE_OF_TEXT),
    "negative usage": lambda _, t: whole({"content": t}, usage={"prompt_tokens": -5, "completion_tokens": 10**400}),
    "usage is a list": lambda _, t: whole({"content": t}, usage=[1, 2], model=["m"]),
    "usage and model are null": lambda _, t: whole({"content": t, "reasoning_content": None}, usage=None, model=None),
    "finish reason is a list": lambda _, t: document(
        {"choices": [{"message": {"content": t}, "finish_reason": ["\x1b[2J"]}]}
    ),
    "model with escapes": lambda _, t: whole({"content": t}, model="m\x1b]0;OWNED\x07\x1b[2J"),
    "events without choices": lambda _, t: events(
        {"choices": None},
        {"choices": []},
        delta(t),
        {"choices": [{"delta": None}]},
        delta(None, "stop"),
        {"choices": [], "usage": None},
    ),
    "comments and other events": lambda _, t: Answer(
        200, b": ping\n\nretry: 5\nid: 1\n\nevent: ping\ndata: {}\n\n" + events(delta(t, "stop")).body, EVENTS
    ),
    "comments for ever after the end": lambda clock, t: keeps_writing(
        clock,
        head("text/event-stream") + events(delta(t), delta(None, "stop"), done=False).body,
        b": ping\n\n",
        10,
        until_read=True,
    ),
    "early hints": lambda _, t: writes(HINTS + head("application/json", "Connection: close\r\n") + says(t).body),
    "gzip unasked": lambda _, t: Answer(200, gzip.compress(says(t).body), {**JSON, "Content-Encoding": "gzip"}),
}
TRANSIENT: dict[str, tuple[Answer | Makes, str]] = {
    "429": (fails(429, "slow down"), "slow down"),
    "429, Retry-After 17": (fails(429, "slow down", {"Retry-After": "17"}), "slow down"),
    "429, Retry-After 0": (fails(429, "slow down", {"Retry-After": "0"}), "slow down"),
    "429, Retry-After nan": (fails(429, "slow down", {"Retry-After": "nan"}), "slow down"),
    "503, Retry-After inf": (fails(503, "busy", {"Retry-After": "inf"}), "busy"),
    "429, Retry-After negative": (fails(429, "slow down", {"Retry-After": "-1e9"}), "slow down"),
    "429, Retry-After a past date": (
        fails(429, "slow down", {"Retry-After": "Mon, 30 Nov 2026 11:59:00 GMT"}),
        "slow down",
    ),
    "429, Retry-After no date": (fails(429, "slow down", {"Retry-After": "Mon, 99 Foo 2026"}), "slow down"),
    "429, try again in 2.5s": (fails(429, "Limit reached. Please try again in 2.5s."), "Limit reached"),
    "500": (fails(500, "oops"), "oops"),
    "502, a page": (
        Answer(502, b"<html><title>502 Bad\x1b Gateway</title>", {"Content-Type": "text/html"}),
        "502 Bad Gateway",
    ),
    "503 while loading": (fails(503, "Loading model"), "Loading model"),
    "504, empty": (Answer(504), "504"),
    "529": (
        document({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, 529),
        "Overloaded",
    ),
    "body cut": (CUT, LOST),
    "stream cut": (lambda _, t: streams(t[:9], ended=False), "the connection was lost|ended before"),
    "stream ends early": (lambda _, t: events(delta(t), done=False), "its stream ended before the reply did"),
    "503 in a stream": (
        lambda _, t: events(delta(t[:3]), {"error": {"message": "upstream overloaded", "code": 503}}, done=False),
        "upstream overloaded",
    ),
    "finish reason error": (lambda _, t: events(delta(t[:3], "error")), "ended the reply with an error"),
    "connection closed at once": (writes(b""), LOST),
    "not HTTP": (writes(b"SSH-2.0-OpenSSH_9.2p1\r\n"), LOST),
    "no end of headers": (writes(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000), LOST),
    "another protocol": (Answer(101, b"", {"Upgrade": "websocket", "Connection": "Upgrade"}), LOST),
    "silence": (lambda clock, _: stalls(clock), LATE),
    "silence after the head": (lambda clock, _: stalls(clock, head("application/json")), LATE),
    "silence in a stream": (
        lambda clock, t: stalls(clock, head("text/event-stream") + events(delta(t[:3]), done=False).body),
        LATE,
    ),
    "head a byte a second": (lambda clock, _: keeps_writing(clock, b"HTTP/1.1 200 OK\r\nX-Slow: ", b"a", 1), LATE),
    "body a byte a second": (
        lambda clock, _: keeps_writing(clock, head("application/json"), b" ", 1, until_read=True),
        LATE,
    ),
    "comments for ever": (
        lambda clock, _: keeps_writing(clock, head("text/event-stream"), b": ping\n\n", 10, until_read=True),
        LATE,
    ),
    "tokens for ever": (
        lambda clock, _: keeps_writing(
            clock, head("text/event-stream"), events(delta("x"), done=False).body, 1, until_read=True
        ),
        LATE,
    ),
    "early hints for ever": (lambda clock, _: keeps_writing(clock, b"", HINTS, 1), LATE),
}
DOUBTFUL: dict[str, tuple[Answer | Makes, str]] = {
    "a page": (
        Answer(200, PAGE, {"Content-Type": "text/html"}),
        r"a web page \(Log in to the hotel\); check that --base-url",
    ),
    "not JSON": (NOT_JSON, "a web page"),
    "plain words": (Answer(200, b"It works! This is the default page.", {"Content-Type": "text/plain"}), "not JSON"),
    "truncated JSON": (BROKEN_JSON, "not JSON"),
    "empty": (Answer(200, b"", JSON), "its answer is empty"),
    "204": (Answer(204), "its answer is empty"),
    "a list": (document([1, 2]), "not a JSON object"),
    "deep JSON": (Answer(200, b'{"choices": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", JSON), "nested too deeply"),
    "5,000 digits": (Answer(200, says("x").body.replace(b"11", b"1" * 5_000), JSON), "not JSON"),
    "Latin-1": (Answer(200, '{"choices": "é"}'.encode("latin-1"), JSON), "not JSON"),
    "event without JSON": (events('{"choices": ['), "an event of its stream is not JSON"),
    "only [DONE]": (events(), "its stream contains no reply"),
    "error event of words": (Answer(200, b"event: error\ndata: upstream gone\n\n", EVENTS), "upstream gone"),
    "error in a stream, no code": (lambda _, t: events(delta(t[:3]), {"error": "boom"}), "boom"),
    "overloaded in a 200": (document({"error": {"message": "upstream busy", "code": 502}}), "upstream busy"),
    "brotli": (Answer(200, b"x", {**JSON, "Content-Encoding": "br"}), "compresses its answer as br"),
}
LASTING: dict[str, tuple[Answer | Makes, str]] = {
    "400": (Answer(400), "refuses the request"),
    "401": (fails(401, "bad key \x1b]0;OWNED\x07"), "refuses the key"),
    "402": (fails(402, "Insufficient credits"), "quota is used up"),
    "403": (document({"detail": "Forbidden"}, 403), r"refuses the key \(403 Forbidden\)"),
    "404": (Answer(404, b"404 page not found"), "has no model 'fake-1'"),
    "407": (Answer(407), "refuses the request: 407"),
    "422": (
        document({"detail": [{"loc": ["body", "messages"], "msg": "Field required"}]}, 422),
        "body.messages: Field required",
    ),
    "insufficient quota": (
        fails(429, "You exceeded your current quota", code="insufficient_quota"),
        "quota is used up",
    ),
    "quota of the day": (fails(429, RPD), "a quota is used up"),
    "quota until tomorrow": (fails(429, RPD, {"Retry-After": "43200"}), "asks to wait until 2026-12-01 00:0. UTC"),
    "quota until a date": (
        fails(429, RPD, {"Retry-After": "Mon, 30 Nov 2026 18:30:00 GMT"}),
        "asks to wait until 18:30 UTC",
    ),
    "quota for five hours": (fails(429, f"{RPD} Please try again in 5h2m3.5s."), "asks to wait until 17:0. UTC"),
    "Google's quota": (
        document(
            [
                {
                    "error": {
                        "code": 429,
                        "message": "Quota exceeded",
                        "status": "RESOURCE_EXHAUSTED",
                        "details": [{"@type": "QuotaFailure"}, {"@type": "RetryInfo", "retryDelay": "7200s"}],
                    }
                }
            ],
            429,
        ),
        "asks to wait until 14:0. UTC",
    ),
    "429, Retry-After 1e9": (fails(429, "slow down", {"Retry-After": "1e9"}), "asks to wait until 2028-01-0"),
    "error in a 200": (document({"error": {"message": "model is not loaded", "code": 400}}), "model is not loaded"),
    "error of words in a 200": (document({"error": "model 'x' not found"}), "model 'x' not found"),
    "no choices": (document({"choices": []}), "contains no completion"),
    "choices are null": (document({"choices": None, "usage": {}}), "contains no completion"),
    "choice is null": (document({"choices": [None]}), "contains no completion"),
    "message is null": (whole(None), "contains no message"),
    "long JSON": (Answer(200, b" " * (9 << 20), JSON), "longer than 8 MiB"),
    "gzip bomb": (Answer(200, BOMB, {**JSON, "Content-Encoding": "gzip"}), "longer than 8 MiB"),
    "long event": (Answer(200, b"data: " + b"x" * (9 << 20), EVENTS), "an event of its stream is longer than 8 MiB"),
    "long reply": (
        lambda clock, _: keeps_writing(
            clock, head("text/event-stream"), events(delta("x" * 100_000), done=False).body, 0
        ),
        "its reply is longer than 4 Mi",
    ),
    "redirect to another host": (
        Answer(307, b"", {"Location": "http://localhost:1/v1?key=1"}),
        "a redirect to http://localhost:1/v1, which is not followed",
    ),
    "redirect to a file": (Answer(302, b"", {"Location": "file:///etc/passwd"}), "a redirect to file:///etc/passwd"),
    "redirect for ever": (Answer(308, b"", {"Location": "/v1/chat/completions/"}), "redirects more than 3 times"),
}


def _behaviour(kind: Kind, answer: Answer | Makes, said: str = "") -> Behaviour:
    return Behaviour(kind, (lambda _clock, _text: answer) if isinstance(answer, Answer) else answer, said)


BEHAVIOURS: dict[str, Behaviour] = {
    **{name: _behaviour("unusual", make) for name, make in UNUSUAL.items()},
    **{name: _behaviour("transient", *row) for name, row in TRANSIENT.items()},
    **{name: _behaviour("doubtful", *row) for name, row in DOUBTFUL.items()},
    **{name: _behaviour("lasting", *row) for name, row in LASTING.items()},
}
