"""HTTP on a Unix socket: the server, and the connection of an agent, which reads requests and sends replies."""

import os
import re
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Self

from agent.errors import UsageError

MOST_BODY_BYTES = 16 * 2**20
MOST_CONNECTIONS = 64
IDLE_SECONDS = 300.0  # of a connection, and for the agent to take or to send a piece
_DRAINED_BYTES = 64 * 2**20  # of a body that is too long: a client reads the refusal only after it has sent the body
_PIECE = 65536


class BadRequestError(Exception):
    """A request that cannot be read; `status` is the HTTP status to send."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class AgentConnection(BaseHTTPRequestHandler):
    """One connection of an agent. `serve` of its server answers each request."""

    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    server: "AgentServer"

    is_answered = False  # whether a reply to the current request was begun

    def _serve(self) -> None:
        self.is_answered = False
        self.server.serve(self)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_CONNECT = _serve

    def read_body(self) -> bytes:
        """Return the body, at most 16 MiB. Raises BadRequestError; the connection can then serve no other request."""
        try:
            return self._read_chunks() if "Transfer-Encoding" in self.headers else self._read_length()
        except BadRequestError:
            self.close_connection = True
            raise

    def send_whole(self, status: int, content_type: str, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Send a reply in one piece."""
        self._send_head(status, {"Content-Type": content_type, **(headers or {}), "Content-Length": str(len(body))})
        if self.command != "HEAD":
            self.wfile.write(body)

    def begin_tunnel(self) -> None:
        """Accept a CONNECT request: the bytes that follow belong to the tunnel."""
        self.is_answered = True
        self.send_response(200, "Connection established")
        self.end_headers()
        self.wfile.flush()

    def begin_reply(self, status: int, content_type: str, headers: Mapping[str, str]) -> None:
        """Send the head of a reply whose length is not known yet."""
        self._is_chunked = self.request_version == "HTTP/1.1"
        self.close_connection |= not self._is_chunked
        framing = {"Transfer-Encoding": "chunked"} if self._is_chunked else {}
        self._send_head(status, {"Content-Type": content_type, **headers, **framing})

    def send_piece(self, piece: bytes) -> None:
        """Send a part of the reply that was begun."""
        if piece:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if self._is_chunked else piece)

    def end_reply(self) -> None:
        """End the reply that was begun; a client can detect a reply without this end."""
        if self._is_chunked:
            self.wfile.write(b"0\r\n\r\n")

    def version_string(self) -> str:
        return "gateway"

    def log_message(self, *arguments: Any) -> None:
        pass

    def _send_head(self, status: int, headers: Mapping[str, str]) -> None:
        self.is_answered = True
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def _read_length(self) -> bytes:
        lengths = self.headers.get_all("Content-Length") or ["0"]
        if len(lengths) > 1 or not (lengths[0].isascii() and lengths[0].isdigit() and len(lengths[0]) < 16):
            raise BadRequestError(400, "Content-Length is not one number")
        length = int(lengths[0])
        if length > MOST_BODY_BYTES:
            left = min(length, _DRAINED_BYTES)
            while left > 0 and (piece := self.rfile.read(min(left, _PIECE))):
                left -= len(piece)
            raise BadRequestError(413, f"the request is longer than {MOST_BODY_BYTES >> 20} MiB")
        body = self.rfile.read(length)
        if len(body) < length:
            raise ConnectionError("the agent disconnected in the middle of its request")
        return body

    def _read_chunks(self) -> bytes:
        if self.headers["Transfer-Encoding"].strip().lower() != "chunked" or "Content-Length" in self.headers:
            raise BadRequestError(400, "Transfer-Encoding is not only `chunked`")
        body, n_bytes = bytearray(), 0
        while True:
            size = re.fullmatch(rb"([0-9a-fA-F]{1,8})[ \t]*(?:;[^\r\n]*)?\r?\n", self.rfile.readline(1024))
            if size is None:
                raise BadRequestError(400, "a chunk of the body has no length")
            left = int(size[1], 16)
            if left == 0:
                break
            n_bytes += left
            if n_bytes > _DRAINED_BYTES:
                raise BadRequestError(413, f"the request is longer than {MOST_BODY_BYTES >> 20} MiB")
            chunk = self.rfile.read(left)
            body += chunk if n_bytes <= MOST_BODY_BYTES else b""
            if len(chunk) < left or self.rfile.readline(3) not in (b"\r\n", b"\n"):
                raise BadRequestError(400, "a chunk of the body ends early")
        while self.rfile.readline(8192) not in (b"\r\n", b"\n", b""):
            pass  # trailers
        if n_bytes > MOST_BODY_BYTES:
            raise BadRequestError(413, f"the request is longer than {MOST_BODY_BYTES >> 20} MiB")
        return bytes(body)


class AgentServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Calls `serve` for each request, in a thread for each connection; at most 64 connections at a time."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self,
        path: Path,
        serve: Callable[[AgentConnection], None],
        report: Callable[[BaseException], None],
    ) -> None:
        """`report` receives what a thread raises, unless the agent's end of the connection is the cause."""
        self.serve = serve
        self._report = report
        self._sockets: set[socket.socket] = set()
        self._changed = threading.Condition()
        folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
        try:  # by this path, since a longer one than 107 bytes cannot be bound
            super().__init__(f"/proc/self/fd/{folder}/{path.name}", AgentConnection)
        finally:
            os.close(folder)

    @classmethod
    def start(
        cls, path: Path, serve: Callable[[AgentConnection], None], report: Callable[[BaseException], None]
    ) -> Self:
        """Serve in a thread. Raises UsageError unless `path` is free, in a folder that only this user can enter."""
        if path.parent.stat().st_mode & 0o077:
            raise UsageError(f"{path.parent} is open to other users, who could spend the key; use a private folder")
        try:
            server = cls(path, serve, report)
        except OSError as error:
            raise UsageError(f"{path}: no socket can be opened there ({error}); use another path") from None
        os.chmod(path, 0o666)  # an agent may run as another user
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return server

    def verify_request(self, request: Any, client_address: Any) -> bool:
        with self._changed:
            return len(self._sockets) < MOST_CONNECTIONS

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._changed:
            self._sockets.add(request)
        super().process_request(request, client_address)

    def close_request(self, request: Any) -> None:
        super().close_request(request)
        with self._changed:
            self._sockets.discard(request)
            self._changed.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exception()
        if error is not None and not isinstance(error, OSError):
            self._report(error)

    def cut(self, seconds: float) -> None:
        """Cut all connections and wait for their threads to end, at most so long."""
        with self._changed:
            for open_socket in self._sockets:
                with suppress(OSError):
                    open_socket.shutdown(socket.SHUT_RDWR)
            until = time.monotonic() + seconds
            while self._sockets and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)
