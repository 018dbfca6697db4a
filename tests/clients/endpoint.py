"""A model endpoint that plays a plan, for clients that believe it to be their vendor's."""

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from agent.llm.gateway.scripted import TOKENS_IN, as_stream
from tests.clients.dialects import Dialect, dialect_of
from tests.clients.plans import Call, Plan, Say, Step

_ERROR = {"type": "invalid_request_error", "message": "the scripted endpoint has no such path"}


class ScriptedEndpoint:
    """Serves a plan on a socket that listens already, until the `with` block ends.

    Attributes:
        seen: (path, body) of each request for a reply, in order.
        url: its address, without a path.
        faults: what went wrong, for the test to look at: the client itself only sees an error.
    """

    def __init__(self, plan: Plan, listening: socket.socket) -> None:
        self.plan = plan
        self.seen: list[tuple[str, dict[str, Any]]] = []
        self.faults: list[str] = []
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self), bind_and_activate=False)
        self._server.socket.close()
        self._server.socket = listening
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, bytes, str]:
        """Return status, body and content type of the reply to a request."""
        route = path.partition("?")[0]
        if "count_tokens" in route or "countTokens" in route:
            return _document(200, {"input_tokens": TOKENS_IN, "totalTokens": TOKENS_IN})
        dialect = dialect_of(route)
        if dialect is None:
            return _document(404, {"type": "error", "error": _ERROR})
        self.seen.append((path, body))
        reply = dialect.reply(body, self._step(dialect, body))
        if body.get("stream") or "stream" in route:
            return 200, as_stream(dialect.name, dialect.events(reply)), "text/event-stream"
        return _document(200, reply)

    def _step(self, dialect: Dialect, body: dict[str, Any]) -> Step:
        offered = dialect.offered(body)
        if not offered:  # the client asks for the title of its conversation, or the like
            return Say("A title")
        step = self.plan(dialect.results(body))
        if isinstance(step, Say):
            return step
        names = [name for name in offered if name == step.tool or name.endswith(("_" + step.tool, "::" + step.tool))]
        if len(names) != 1:
            self.faults.append(f"{len(names)} tools are called {step.tool!r}, of {offered}")
            return Say(f"there is no one tool {step.tool}")
        return Call(names[0], step.arguments)


def _document(status: int, document: dict[str, Any]) -> tuple[int, bytes, str]:
    return status, json.dumps(document).encode(), "application/json"


def _handler(endpoint: ScriptedEndpoint) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            try:
                self.send(*endpoint.answer(self.path, json.loads(raw)))
            except Exception as fault:  # noqa: BLE001 - the test shows it
                endpoint.faults.append(f"{self.path}: {fault!r}")
                self.send(*_document(400, {"type": "error", "error": {**_ERROR, "message": repr(fault)}}))

        def do_GET(self) -> None:
            listed = {"object": "list", "data": [{"id": "scripted", "object": "model"}], "models": []}
            self.send(*_document(200, listed))

        do_HEAD = do_GET

        def send(self, status: int, content: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, *arguments: Any) -> None:
            pass

    return Handler
