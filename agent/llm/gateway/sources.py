"""The sources of replies to an agent's requests: the providers' endpoints, each with its key."""

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlencode, urlsplit

from agent.errors import MissingRequirementError, UsageError
from agent.llm.endpoint.address import describe_endpoint
from agent.llm.gateway.dialects import DIALECTS, Dialect
from agent.text import one_line

if TYPE_CHECKING:
    import httpx2

_ENCODINGS = ("", "identity", "gzip", "deflate")


@dataclass(frozen=True)
class Upstream:
    """The real endpoint of a dialect and its key; no key: a server on this machine that needs none."""

    address: str
    key: str = field(repr=False)


@dataclass(frozen=True)
class AgentRequest:
    """One request of an agent, as the gateway relays it."""

    dialect: Dialect
    method: str
    path: str  # below the provider's address
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    document: Mapping[str, Any] | None  # the JSON object in the body; None: no body


@dataclass(frozen=True)
class SourceReply:
    """A reply that is arriving; the iteration over its body may raise NoReplyError."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: Iterator[bytes]


class NoReplyError(Exception):
    """No reply arrives, or not the rest of it; `status` is the HTTP status to send to the agent."""

    def __init__(self, message: str, status: int = 502) -> None:
        super().__init__(message)
        self.status = status


class ReplySource(Protocol):
    """Replies to the requests of an agent, from threads of the gateway."""

    dialects: tuple[Dialect, ...]
    secrets: tuple[str, ...]  # to remove from all that is written or sent on

    def prepare(self) -> None:
        """Load what the first request needs, while the agent starts. Raises nothing."""
        ...

    def send(self, request: AgentRequest) -> AbstractContextManager[SourceReply]:
        """Return the reply to a request as it arrives. Raises NoReplyError if there is none."""
        ...

    def close(self) -> None:
        """Cut the replies that are arriving, and accept no more requests."""
        ...


def upstream_of(dialect: str, variables: Mapping[str, str]) -> Upstream:
    """Return address and key of a dialect, from the environment variables of its provider.

    Raises:
        MissingRequirementError: the key is not set; the message names its variable.
        UsageError: the address is not valid.
    """
    provider = DIALECTS[dialect].provider
    address = (variables.get(provider.address_variable, "").strip() or provider.address).rstrip("/")
    try:
        parts = urlsplit(address)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid or parts.query or parts.fragment or not address.isascii() or not address.isprintable():
        raise UsageError(f"{provider.address_variable} is not an address such as {provider.address}; correct it")
    key = variables.get(provider.key_variable, "").strip()
    if not key and describe_endpoint(address) is not None:
        raise MissingRequirementError(f"{provider.key_variable} is not set; set it to your key for {parts.hostname}")
    if not key.isascii() or not key.isprintable():
        raise UsageError(f"{provider.key_variable} holds characters that no key has; set it again")
    return Upstream(address, key)


@dataclass(frozen=True)
class ReplyLimits:
    """Limits of one reply of an endpoint: its time in seconds and its size in bytes."""

    connect: float = 20.0
    silence: float = 300.0  # between two pieces of a reply, and before its first
    whole: float = 900.0
    most_bytes: int = 32 * 2**20


class Endpoints:
    """The real endpoints, by name of dialect. Follows no redirects and retries nothing: the agent retries."""

    def __init__(self, upstreams: Mapping[str, Upstream], limits: ReplyLimits = ReplyLimits()) -> None:
        self.dialects = tuple(DIALECTS[name] for name in upstreams)
        self.secrets = tuple(upstream.key for upstream in upstreams.values() if upstream.key)
        self._upstreams = dict(upstreams)
        self._limits = limits
        self._lock = threading.Lock()
        self._clients: dict[str, httpx2.Client] = {}
        self._connections: set[_Connection] = set()
        self._closed = False

    def prepare(self) -> None:
        for upstream in self._upstreams.values():
            with suppress(NoReplyError, *_http_faults()):
                self._client(upstream.address)

    @contextmanager
    def send(self, request: AgentRequest) -> Iterator[SourceReply]:
        upstream, provider = self._upstreams[request.dialect.name], request.dialect.provider
        headers = {**request.headers, "accept-encoding": "identity"}
        if upstream.key:
            headers[provider.key_header] = provider.key_prefix + upstream.key
        query = f"?{urlencode(request.query)}" if request.query else ""
        limits = self._limits
        with self._connection() as connection, ExitStack() as held:
            overdue = f"the reply was not complete after {limits.whole:g} s"
            late = threading.Timer(limits.whole, connection.abort, [overdue])
            late.daemon = True
            late.start()
            held.callback(late.cancel)
            try:
                response = held.enter_context(
                    self._client(upstream.address).stream(
                        request.method,
                        upstream.address + request.path + query,
                        content=request.body,
                        headers=headers,
                        extensions={"trace": connection.trace},
                    )
                )
            except _http_faults() as fault:
                raise NoReplyError(connection.aborted or _no_answer(fault, upstream.address)) from None
            _check(response)
            lower = {name.lower(): value for name, value in response.headers.items()}
            yield SourceReply(response.status_code, lower, _body(response, connection, limits.most_bytes))

    def close(self) -> None:
        with self._lock:
            self._closed = True
            connections, clients = list(self._connections), list(self._clients.values())
        for connection in connections:
            connection.abort("the gateway was closed")
        for client in clients:
            client.close()

    @contextmanager
    def _connection(self) -> Iterator["_Connection"]:
        connection = _Connection()
        with self._lock:
            if self._closed:
                raise NoReplyError("the gateway was closed")
            self._connections.add(connection)
        try:
            yield connection
        finally:
            with self._lock:
                self._connections.discard(connection)

    def _client(self, address: str) -> "httpx2.Client":
        import httpx2

        with self._lock:
            if self._closed:
                raise NoReplyError("the gateway was closed")
            if address not in self._clients:
                limits = self._limits
                self._clients[address] = httpx2.Client(
                    # A proxy from the environment would intercept even loopback.
                    trust_env=describe_endpoint(address) is not None,
                    timeout=httpx2.Timeout(limits.silence, connect=limits.connect),
                    follow_redirects=False,
                    # One connection for each request, so that each can be cut.
                    limits=httpx2.Limits(max_connections=None, max_keepalive_connections=0),
                )
            return self._clients[address]


class _Connection:
    """The connection of one request, which another thread may cut."""

    def __init__(self) -> None:
        self.aborted: str | None = None  # why
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Note the socket; the HTTP library calls this with each of its steps."""
        read: Callable[[str], Any] | None = getattr(info.get("return_value"), "get_extra_info", None)
        if read is not None:
            with self._lock:
                self._socket = read("socket")
                if self.aborted is not None:
                    self._cut()

    def abort(self, why: str) -> None:
        with self._lock:
            self.aborted = self.aborted or why
            self._cut()

    def _cut(self) -> None:
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)


def _check(response: "httpx2.Response") -> None:
    """Raise NoReplyError for a redirect, an upgrade, or a compressed reply."""
    if response.status_code < 200 or 300 <= response.status_code < 400:
        raise NoReplyError(
            f"the endpoint answered {response.status_code}, a redirect or an upgrade; give the address where it ends"
        )
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding not in _ENCODINGS:
        raise NoReplyError(
            f"the endpoint compressed its reply as {one_line(encoding)[:40]}, though it was asked not to"
        )


def _http_faults() -> tuple[type[Exception], ...]:
    """Return what the HTTP library raises when a connection fails or is cut, or the environment's proxy is unusable."""
    import httpx2

    return httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError, RuntimeError, ImportError


def _body(response: "httpx2.Response", connection: _Connection, most_bytes: int) -> Iterator[bytes]:
    n_bytes = 0
    try:
        for piece in response.iter_bytes():
            n_bytes += len(piece)
            if n_bytes > most_bytes:
                raise NoReplyError(f"the reply is longer than {most_bytes / 2**20:g} MiB")
            yield piece
    except _http_faults() as fault:
        raise NoReplyError(connection.aborted or f"the connection was lost ({one_line(str(fault))[:200]})") from None
    if connection.aborted is not None:  # without a length, the end of a connection is the end of a reply
        raise NoReplyError(connection.aborted)


def _no_answer(fault: Exception, address: str) -> str:
    kind = type(fault).__name__ if not str(fault) else str(fault)
    return f"the model endpoint {urlsplit(address).hostname} did not answer ({one_line(kind)[:200]})"
