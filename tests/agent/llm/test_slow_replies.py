"""Replies that arrive slowly: at a useful pace they are waited for, and a trickle is cut and asked for again."""

import threading
from typing import BinaryIO

import pytest

from agent.llm.model import Message
from agent.llm.openai_model import RetryPolicy
from tests.agent.llm.fake_server import Answer, says
from tests.agent.llm.misbehaving import delta, events, head, keeps_writing
from tests.agent.llm.simulated_clock import SimulatedClock
from tests.agent.llm.test_misbehaving import played

ASK = [Message("user", "Which bird?")]
STREAM = head("text/event-stream")
END = events(delta("."), delta(None, "stop")).body
COMMENT = b": still thinking\n\n"


def token(text: str) -> bytes:
    return events(delta(text), done=False).body


def slowly(clock: SimulatedClock, piece: bytes, seconds: float, n_pieces: int | None = None, begin: str = "") -> Answer:
    """Return a stream of a piece each so many seconds, after a first text; see `keeps_writing`."""
    first = STREAM + (token(begin) if begin else b"")
    return keeps_writing(clock, first, piece, seconds, until_read=True, n_pieces=n_pieces, end=END)


@pytest.mark.parametrize(
    ("piece", "seconds", "n_pieces"),
    [
        (token("abcd"), 1.5, 560),  # 14 minutes of a large model on processors
        (token("x" * 1000), 290, 3),  # a server that gathers its tokens
        (COMMENT, 10, 44),  # a long prompt, or reasoning that is not shown
        (token("x"), 4, 110),  # very slow, and short
    ],
)
def test_a_slow_reply_is_waited_for(piece: bytes, seconds: float, n_pieces: int) -> None:
    with played(lambda clock, _: slowly(clock, piece, seconds, n_pieces)) as it:
        reply = it.model.complete(ASK)
    assert reply.text.endswith(".")
    assert (len(it.server.requests), reply.retries) == (1, 0)
    assert it.clock.now >= seconds * n_pieces


@pytest.mark.parametrize(
    ("piece", "seconds", "begin", "cut_at"),
    [
        (token("x"), 1, "", 450),
        (COMMENT, 10, "", 450),
        (token("x"), 1, "x" * 1000, 300),  # it began well
        (token("x" * 100), 60, "", 660),  # 100 characters a minute: the first 600 come in time
    ],
)
def test_a_trickle_is_cut_and_asked_for_again(piece: bytes, seconds: float, begin: str, cut_at: float) -> None:
    with played(lambda clock, n: says("A heron.") if n else slowly(clock, piece, seconds, begin=begin)) as it:
        reply = it.model.complete(ASK)
    assert (reply.text, reply.retries, len(it.server.requests)) == ("A heron.", 1, 2)
    assert "fewer than 600 characters of the reply arrived in" in it.lines[0]
    assert cut_at <= it.clock.now - sum(it.clock.slept) <= cut_at + seconds + 1


def test_a_reply_that_begins_well_and_then_trickles_leaves_time_for_another() -> None:
    def script(clock: SimulatedClock, n: int) -> Answer:
        if n:
            return says("A heron.")
        phases = [
            keeps_writing(clock, STREAM, token("x" * 400), 4, until_read=True, n_pieces=120),  # eight minutes
            keeps_writing(clock, b"", token("x"), 10, until_read=True),
        ]

        def write(file: BinaryIO, ended: threading.Event) -> None:
            for phase in phases:
                assert phase.writes is not None
                phase.writes(file, ended)

        return Answer(writes=write)

    with played(script) as it:
        assert it.model.complete(ASK).text == "A heron."
    assert it.clock.now < RetryPolicy().reply_seconds - 60
