"""Answers of endpoints that misbehave, played by a real server on loopback.

What takes time moves a simulated clock on.
"""

import json
import math
import threading
from collections.abc import Mapping
from typing import Any, BinaryIO

from tests.agent.llm.fake_server import Answer
from tests.agent.llm.simulated_clock import SimulatedClock

JSON = {"Content-Type": "application/json"}
EVENTS = {"Content-Type": "text/event-stream"}


def document(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(status, json.dumps(body).encode(), {**JSON, **(headers or {})})


def events(*chunks: Any, done: bool = True, separator: str = "\n\n", headers: Mapping[str, str] = EVENTS) -> Answer:
    """Return server-sent events, one for each document or text."""
    lines = [chunk if isinstance(chunk, str) else json.dumps(chunk) for chunk in [*chunks, *(["[DONE]"] * done)]]
    return Answer(200, "".join(f"data: {line}{separator}" for line in lines).encode(), headers)


def delta(content: Any = None, finish_reason: Any = None, **fields: Any) -> dict[str, Any]:
    return {
        "model": "fake-1",
        "choices": [{"index": 0, "delta": {"content": content, **fields}, "finish_reason": finish_reason}],
    }


def whole(message: Any, **fields: Any) -> Answer:
    return document({"model": "fake-1", "choices": [{"message": message, "finish_reason": "stop"}], **fields})


def keeps_writing(
    clock: SimulatedClock,
    head: bytes,
    piece: bytes,
    seconds: float,
    *,
    until_read: bool = False,
    n_pieces: int | None = None,
    end: bytes = b"",
) -> Answer:
    """Return an answer of one piece each so many seconds, which goes on until the client cuts it.

    With `until_read`, the time stands still until the client has read a piece of the body. With `n_pieces`, there are
    so many, and then `end`.
    """

    def write(file: BinaryIO, ended: threading.Event) -> None:
        file.write(head)
        n_left = math.inf if n_pieces is None else n_pieces
        while n_left > 0 and clock.is_watched and not ended.is_set():
            n_left -= 1
            clock.advance(seconds)
            clock.was_read.clear()
            file.write(piece)
            while until_read and clock.is_watched and not clock.was_read.wait(0.01):
                pass
        file.write(end)

    return Answer(writes=write)


def writes(content: bytes) -> Answer:
    """Return an answer that is no proper HTTP; the connection ends after it."""

    def write(file: BinaryIO, ended: threading.Event) -> None:
        file.write(content)

    return Answer(writes=write)


def stalls(clock: SimulatedClock, head: bytes = b"") -> Answer:
    def write(file: BinaryIO, ended: threading.Event) -> None:
        file.write(head)
        file.flush()
        clock.advance(301)  # longer than the silence that a client bears
        ended.wait(30)

    return Answer(writes=write)


def head(content_type: str, more: str = "") -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\n{more}\r\n".encode()
