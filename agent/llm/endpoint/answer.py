"""The answer of a chat endpoint, in one piece or as events: assembled as it arrives; every field's type is checked."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

from agent.llm.chat_answer import ChatAnswer
from agent.llm.endpoint.faults import A_FEW, AGAIN, ONCE, EndpointFault, error_in, error_of_text, refusal
from agent.llm.model import legible
from agent.text import one_line

MOST_BYTES = 8 * 2**20  # of an answer in one piece, and of one event: parsing takes many times as much memory
MOST_STREAM_BYTES = 64 * 2**20
MOST_CHARACTERS = 4 * 2**20  # of the text and the reasoning of a reply together
MOST_TOKENS = 10**9  # that an endpoint may report for one call
_DEEPEST_PARTS = 4  # a thinking part contains a list of text parts
_FINISHED = {
    **dict.fromkeys(("max_tokens", "model_length", "max_output_tokens"), "length"),
    **dict.fromkeys(("end_turn", "eos", "eos_token", "stop_sequence", "completed"), "stop"),
    **dict.fromkeys(("safety", "recitation", "blocklist", "prohibited_content"), "content_filter"),
}
"""Other spellings of the reasons why a reply ends."""


def read_answer(
    pieces: Iterable[bytes],
    content_type: str = "",
    on_text: Callable[[int, int], None] = lambda _n_pieces, _n_characters: None,
    now: float = 0.0,
) -> ChatAnswer:
    """Return the reply in the body of a successful response. Whether that is a stream is decided by its beginning.

    Args:
        pieces: the body as it arrives.
        content_type: what the endpoint says that the body is.
        on_text: receives how many pieces the reply has so far, about one per token (0: it is not a stream), and how
            many characters; those of JSON that is not complete yet, without white space.
        now: seconds since the epoch, for errors that state a time.

    Raises:
        EndpointFault: there is no reply in it, or not all of it.
    """
    pieces = iter(pieces)
    begin = b""
    for piece in pieces:
        begin += piece
        if len(begin.lstrip(b"\xef\xbb\xbf \t\r\n")) >= 8 or len(begin) > 65_536:
            break
    begin = begin.removeprefix(b"\xef\xbb\xbf")
    starts = begin.lstrip()[:8].lower()
    whole = chain([begin], pieces)
    is_stream = starts.startswith((b"data:", b"event:", b"id:", b"retry:", b":"))
    if is_stream or ("text/event-stream" in content_type and not starts.startswith((b"{", b"[", b"<"))):
        return _read_events(whole, on_text, now)
    body = _joined(whole, on_text)
    if starts.startswith(b"<"):
        page = error_of_text(body[:20_000].decode(errors="replace")).message
        raise EndpointFault(
            f"it answers with a web page ({page})",
            most_attempts=A_FEW,
            remedy="check that --base-url is the whole address, which mostly ends in /v1, and that no network asks for "
            "a login",
        )
    reply = _Reply(now)
    reply.add(_parsed(body, "its answer"), is_whole=True)
    reply.finish_reason = reply.finish_reason or "stop"
    return reply.answer()


def read_error_body(pieces: Iterable[bytes]) -> bytes:
    """Return the beginning of the body of an error response."""
    body = b""
    for piece in pieces:
        body += piece
        if len(body) > 65_536:
            break
    return body[:65_536]


def parsed_or_none(body: bytes) -> Any:
    """Return the JSON document in a body; None if there is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _joined(pieces: Iterable[bytes], on_text: Callable[[int, int], None]) -> bytes:
    """Return a body in one piece. Raises EndpointFault if it is empty or too long."""
    body, n_characters = bytearray(), 0
    for piece in pieces:
        body += piece
        n_characters += sum(map(len, piece.split()))  # some servers send blanks to keep a connection open
        on_text(0, n_characters)
        if len(body) > MOST_BYTES:
            raise EndpointFault(f"its answer is longer than {MOST_BYTES >> 20} MiB", most_attempts=ONCE)
    if not body.strip():
        raise EndpointFault("its answer is empty", most_attempts=A_FEW)
    return bytes(body)


def _parsed(text: bytes | str, what: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as fault:
        why = "it is nested too deeply" if isinstance(fault, RecursionError) else one_line(str(fault))[:120]
        raise EndpointFault(f"{what} is not JSON ({why})", most_attempts=A_FEW) from None


def _read_events(pieces: Iterable[bytes], on_text: Callable[[int, int], None], now: float) -> ChatAnswer:
    reply, is_done = _Reply(now), False

    def needed() -> Iterator[bytes]:
        try:
            yield from pieces
        except EndpointFault:  # after the end of the reply, only its usage may be missing
            if reply.finish_reason is None:
                raise

    for kind, data in _events(needed()):
        if data.startswith("[DONE]"):
            is_done = True
            break
        for document in _documents(data, kind):
            reply.add(document, is_whole=False)
        on_text(reply.n_pieces, reply.n_characters)
    if reply.finish_reason is None:
        if not is_done:
            raise EndpointFault("its stream ended before the reply did")
        if reply.is_empty:
            raise EndpointFault("its stream contains no reply", most_attempts=A_FEW)
        reply.finish_reason = "stop"  # some servers never say why a reply ends
    return reply.answer()


def _events(pieces: Iterable[bytes]) -> Iterator[tuple[str, str]]:
    """Yield kind and data of each server-sent event. Raises EndpointFault for an event or a stream that is too long."""
    import httpx2

    def bounded() -> Iterator[bytes]:
        n_bytes = 0
        for piece in pieces:
            n_bytes += len(piece)
            if n_bytes > MOST_STREAM_BYTES:
                raise EndpointFault(f"its stream is longer than {MOST_STREAM_BYTES >> 20} MiB", most_attempts=ONCE)
            yield piece
        yield b"\n\n"  # some servers end without the blank line that ends an event

    response = httpx2.Response(
        200,
        headers={"content-type": "text/event-stream; charset=utf-8"},
        content=bounded(),
        request=httpx2.Request("POST", "http://endpoint"),  # the library wants one
    )
    try:
        for event in httpx2.EventSource(response, MOST_BYTES):
            if event.data:
                yield event.event, event.data
    except httpx2.SSEError:
        raise EndpointFault(
            f"an event of its stream is longer than {MOST_BYTES >> 20} MiB", most_attempts=ONCE
        ) from None


def _documents(data: str, kind: str) -> Iterator[Any]:
    """Yield the JSON document of an event, or of each of its lines if a server forgets the blank lines between."""
    if kind == "error" and not data.lstrip().startswith("{"):
        raise EndpointFault(f"it ends its stream with an error: {data[:300]}", most_attempts=A_FEW)
    try:
        yield _parsed(data, "an event of its stream")
    except EndpointFault:
        if "\n" not in data:
            raise
        for line in data.split("\n"):
            if not line.startswith("[DONE]"):
                yield _parsed(line, "an event of its stream")


class _Reply:
    """A reply that is arriving, in any number of documents."""

    def __init__(self, now: float) -> None:
        self.finish_reason: str | None = None
        self.n_pieces = 0
        self.n_characters = 0  # of text and reasoning
        self._now = now
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._model = ""
        self._usage: Mapping[str, Any] = {}

    @property
    def is_empty(self) -> bool:
        return not self.n_characters

    def add(self, document: Any, *, is_whole: bool) -> None:
        """Add a document. Raises EndpointFault if it states an error, is no part of a reply, or makes it too long."""
        error = error_in(document)
        if error is not None:
            fault = refusal(200, error, {}, self._now)
            if not is_whole and fault.most_attempts == A_FEW:
                fault.most_attempts = AGAIN  # the request itself was accepted
            elif not is_whole and error.status is None and not error.code:
                fault.most_attempts = A_FEW
            raise fault
        if not isinstance(document, dict):
            raise EndpointFault("its answer is not a JSON object", most_attempts=A_FEW)
        choices, model, usage = document.get("choices"), document.get("model"), document.get("usage")
        self._model = model if isinstance(model, str) and model else self._model
        self._usage = usage if isinstance(usage, dict) else self._usage
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, dict):
            if is_whole:
                raise EndpointFault("its answer contains no completion", most_attempts=ONCE)
            return
        finished = choice.get("finish_reason")
        if isinstance(finished, str) and finished:
            reason = _FINISHED.get(finished.lower(), one_line(finished.lower())[:40])
            if reason == "error":
                raise EndpointFault("it ended the reply with an error")
            self.finish_reason = reason
        part = choice.get("delta") or choice.get("message")
        if isinstance(part, dict):
            self._add_part(part)
        elif is_whole:
            raise EndpointFault("its answer contains no message", most_attempts=ONCE)

    def answer(self) -> ChatAnswer:
        return ChatAnswer(
            text=legible("".join(self._text)),
            reasoning=legible("".join(self._reasoning)),
            model=one_line(legible(self._model))[:200],
            finish_reason=self.finish_reason or "stop",
            prompt_tokens=_count(self._usage.get("prompt_tokens")),
            completion_tokens=_count(self._usage.get("completion_tokens")),
        )

    def _add_part(self, part: Mapping[str, Any]) -> None:
        text, reasoning = _texts(part.get("content"))
        for name in ("reasoning_content", "reasoning", "thinking", "reasoning_details"):
            if not reasoning and part.get(name):
                reasoning = "".join(_texts(part[name]))
        if not text and isinstance(part.get("refusal"), str):
            text = part["refusal"]
        self.n_pieces += 1
        self.n_characters += len(text) + len(reasoning)
        if self.n_characters > MOST_CHARACTERS:
            raise EndpointFault(f"its reply is longer than {MOST_CHARACTERS >> 20} Mi characters", most_attempts=ONCE)
        self._text.append(text)
        self._reasoning.append(reasoning)


def _texts(content: Any, depth: int = 0) -> tuple[str, str]:
    """Return (answer, reasoning) of the content of a message: a text, or parts of which some are reasoning."""
    if isinstance(content, str):
        return content, ""
    if isinstance(content, list) and depth < _DEEPEST_PARTS:
        pairs = [_texts(item, depth + 1) for item in content]
        return "".join(text for text, _ in pairs), "".join(reasoning for _, reasoning in pairs)
    if not isinstance(content, dict) or depth >= _DEEPEST_PARTS:
        return "", ""
    kind = content.get("type")
    inner = next((content[name] for name in ("text", "thinking", "reasoning", "content") if content.get(name)), None)
    if inner is None and not isinstance(kind, str):  # the answer under a schema, parsed by the server
        try:
            return json.dumps(content, ensure_ascii=False), ""
        except RecursionError:
            return "", ""
    text, reasoning = _texts(inner, depth + 1)
    is_reasoning = isinstance(kind, str) and re.match(r"thinking|reasoning|thought", kind)
    return ("", text + reasoning) if is_reasoning else (text, reasoning)


def _count(value: Any) -> int | None:
    """Return a number of tokens; None if it is none, such as a text, a negative or an absurd number."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value <= MOST_TOKENS else None
