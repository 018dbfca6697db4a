"""A real HTTP server on loopback that answers from a script, in any dialect, and misbehaves on request.

Client libraries' mock packages do not intercept openai 3.x (it left httpx), so the real client talks to this.
"""

import json
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, BinaryIO

Writes = Callable[[BinaryIO, threading.Event], None]


@dataclass(frozen=True)
class Answer:
    """One scripted HTTP response."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    stalls: bool = False  # sends nothing until the server ends
    cut_after: int | None = None  # the connection closes after so many bytes of the body
    waits_for: threading.Event | None = None  # sends its body in two halves, the second one after this event
    repeats: bool = False  # sends its body again and again, until the client leaves or the server ends
    dribbles: bool = False  # sends its head a letter at a time, and never its end
    writes: "Writes | None" = None  # writes the whole response, head and all, and may look whether the server ends


def _json(status: int, document: Mapping[str, Any]) -> Answer:
    return Answer(status, json.dumps(document).encode(), {"Content-Type": "application/json"})


def says(text: str | None, **message: Any) -> Answer:
    """Return a proper completion; `finish_reason` and further fields of the message by name."""
    finish_reason = message.pop("finish_reason", "stop")
    return _json(
        200,
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 0,
            "model": "fake-1",
            "choices": [
                {
                    "index": 0,
                    "finish_reason": finish_reason,
                    "message": {"role": "assistant", "content": text, **message},
                }
            ],
            "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
        },
    )


def streams(*pieces: str, ended: bool = True, **delta: Any) -> Answer:
    """Return a completion as server-sent events; `ended` False: the connection is lost before its end."""
    chunks = [{"choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]} for piece in pieces]
    if delta:
        chunks.insert(0, {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
    if ended:
        chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        chunks.append({"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}})
    common = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 0, "model": "fake-1"}
    body = "".join(f"data: {json.dumps({**common, **chunk})}\n\n" for chunk in chunks)
    body += "data: [DONE]\n\n" if ended else ""
    return Answer(200, body.encode(), {"Content-Type": "text/event-stream"}, cut_after=None if ended else len(body) - 1)


def fails(status: int, message: str, headers: Mapping[str, str] | None = None, **error: Any) -> Answer:
    """Return an error response in OpenAI's shape."""
    answer = _json(status, {"error": {"message": message, **error}})
    return Answer(answer.status, answer.body, {**answer.headers, **(headers or {})})


OVERFLOW_OPENAI = fails(
    400,
    "This model's maximum context length is 8192 tokens. However, your messages resulted in 9011 tokens.",
    type="invalid_request_error",
    code="context_length_exceeded",
)
OVERFLOW_LLAMA_CPP = fails(
    400,
    "request (11012 tokens) exceeds the available context size (8192 tokens), try increasing it",
    type="exceed_context_size_error",
    n_prompt_tokens=11012,
    n_ctx=8192,
)
STALLS = Answer(stalls=True)
BROKEN_JSON = Answer(200, b'{"choices": [{"mess', {"Content-Type": "application/json"})
NOT_JSON = Answer(200, b"<html>Bad gateway</html>", {"Content-Type": "text/html"})
CUT = Answer(200, says("never arrives").body, {"Content-Type": "application/json"}, cut_after=20)


@dataclass
class FakeServer:
    """What the tests hold: where it listens, and the requests that it saw."""

    base_url: str
    requests: list[dict[str, Any]] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)  # with method and query
    headers: list[dict[str, str]] = field(default_factory=list)  # names in lower case
    left: threading.Event = field(default_factory=threading.Event)  # a client left in the middle of a reply

    @property
    def root(self) -> str:
        """The address without /v1, from which two of the dialects count their paths."""
        return self.base_url.removesuffix("/v1")


@contextmanager
def fake_server(script: Sequence[Answer] | Callable[[dict[str, Any]], Answer], port: int = 0) -> Iterator[FakeServer]:
    """Serve the answers in order, or what a function makes of each request; `port` 0: any free one.

    A request too many gets a 418, which no client retries.
    """
    remaining = [] if callable(script) else list(script)
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            seen.requests.append(json.loads(body or b"{}"))
            seen.authorizations.append(self.headers.get("Authorization"))
            seen.paths.append(f"{self.command} {self.path}")
            seen.headers.append({name.lower(): value for name, value in self.headers.items()})
            if callable(script):
                answer = script(seen.requests[-1])
            else:
                answer = remaining.pop(0) if remaining else fails(418, "the script has no more answers")
            try:
                self.send(answer)
            except OSError:
                seen.left.set()
                self.close_connection = True

        do_GET = do_POST

        def send(self, answer: Answer) -> None:
            if answer.stalls:
                ended.wait(30)
                self.close_connection = True
                return
            if answer.writes is not None:
                self.close_connection = True
                answer.writes(self.wfile, ended)
                return
            if answer.dribbles:
                self.close_connection = True
                self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                while not ended.wait(0.02):
                    self.wfile.write(b"a")
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if answer.repeats:  # the end of the connection would be the end of the body
                self.close_connection = True
                self.end_headers()
                while not ended.wait(0.002):
                    self.wfile.write(answer.body)
                return
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if answer.waits_for is not None:
                half = len(answer.body) // 2
                self.wfile.write(answer.body[:half])
                answer.waits_for.wait(30)
                self.wfile.write(answer.body[half:])
                return
            self.wfile.write(answer.body[: answer.cut_after])
            self.close_connection = answer.cut_after is not None

        def log_message(self, *arguments: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            if not isinstance(sys.exception(), OSError):  # a client that has cut its connection is no news
                super().handle_error(request, client_address)

    server = Server(("127.0.0.1", port), Handler)
    seen = FakeServer(f"http://127.0.0.1:{server.server_address[1]}/v1")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        server.shutdown()
        server.server_close()
        thread.join()
