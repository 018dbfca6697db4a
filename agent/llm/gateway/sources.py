"""The sources of replies to an agent's requests: the providers' endpoints, each with its key."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlencode, urlsplit

from agent.errors import MissingRequirementError
from agent.llm.endpoint.address import account_headers, checked_address, checked_key, describe_endpoint, secrets_of
from agent.llm.endpoint.faults import EndpointFault
from agent.llm.endpoint.route import http_faults, open_client, unwanted_encoding
from agent.llm.endpoint.watch import SYSTEM_TIMING, ConnectionWatch
from agent.llm.gateway.dialects import DIALECTS, Dialect
from agent.text import one_line

if TYPE_CHECKING:
    import httpx2

_CLOSED = "the gateway was closed"


@dataclass(frozen=True)
class Upstream:
    """The real endpoint of a dialect and its key; no key: a server on this machine that needs none."""

    address: str
    key: str = field(repr=False)
    account: Mapping[str, str] = field(default_factory=dict)  # headers, from `account_headers`


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
    """Return address, key and account of a dialect, from the environment variables of its provider.

    Raises:
        MissingRequirementError: the key is not set, or a variable cannot be used; the message names it.
    """
    provider = DIALECTS[dialect].provider
    given = variables.get(provider.address_variable, "").strip() or provider.address
    address = checked_address(given, provider.address_variable, provider.address)
    if urlsplit(address).query:
        raise MissingRequirementError(f"{provider.address_variable}: leave out the `?` and what follows it")
    key = checked_key(variables.get(provider.key_variable), provider.key_variable)
    if key is None and (host := describe_endpoint(address)) is not None:
        raise MissingRequirementError(f"{provider.key_variable} is not set; set it to your key for {host}")
    return Upstream(address, key or "", account_headers(variables) if provider.has_accounts else {})


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
        self.secrets = tuple(secret for each in upstreams.values() for secret in secrets_of(each.address, each.key))
        self._upstreams = dict(upstreams)
        self._limits = limits
        self._lock = threading.Lock()
        self._clients: dict[str, httpx2.Client] = {}
        self._watches: set[ConnectionWatch] = set()
        self._closed = False

    def prepare(self) -> None:
        for upstream in self._upstreams.values():
            with suppress(NoReplyError, *http_faults()):
                self._client(upstream.address)

    @contextmanager
    def send(self, request: AgentRequest) -> Iterator[SourceReply]:
        import httpx2

        upstream, provider = self._upstreams[request.dialect.name], request.dialect.provider
        headers = {**request.headers, **upstream.account, "accept-encoding": "identity"}
        if upstream.key:
            headers[provider.key_header] = provider.key_prefix + upstream.key
        query = f"?{urlencode(request.query)}" if request.query else ""
        with self._watch() as watch, ExitStack() as held:
            try:
                response = held.enter_context(
                    self._client(upstream.address).stream(
                        request.method,
                        upstream.address + request.path + query,
                        content=request.body,
                        headers=headers,
                        timeout=httpx2.Timeout(None, connect=self._limits.connect),
                        extensions={"trace": watch.trace},
                    )
                )
            except http_faults() as fault:
                if self._closed:
                    raise NoReplyError(_CLOSED) from None
                why = watch.cut or one_line(str(fault) or type(fault).__name__)[:200]
                host = urlsplit(upstream.address).hostname
                raise NoReplyError(f"the model endpoint {host} did not answer ({why})") from None
            _check(response)
            lower = {name.lower(): value for name, value in response.headers.items()}
            yield SourceReply(response.status_code, lower, _body(response, watch, self._limits.most_bytes))

    def close(self) -> None:
        with self._lock:
            self._closed = True
            watches, clients = list(self._watches), list(self._clients.values())
        for watch in watches:
            watch.abort(_CLOSED)
        for client in clients:
            client.close()

    @contextmanager
    def _watch(self) -> Iterator[ConnectionWatch]:
        """Watch the connection of one request. Raises NoReplyError if no more are sent."""
        timing, limits = SYSTEM_TIMING, self._limits
        watch = ConnectionWatch(timing, limits.silence, timing.monotonic() + limits.whole)
        with self._lock:
            if self._closed:
                raise NoReplyError(_CLOSED)
            self._watches.add(watch)
        try:
            with watch.watched():
                yield watch
        finally:
            with self._lock:
                self._watches.discard(watch)

    def _client(self, address: str) -> "httpx2.Client":
        with self._lock:
            if self._closed:
                raise NoReplyError(_CLOSED)
            if address not in self._clients:
                try:
                    self._clients[address] = open_client(address)
                except MissingRequirementError as fault:
                    raise NoReplyError(str(fault)) from None
            return self._clients[address]


def _check(response: "httpx2.Response") -> None:
    """Raise NoReplyError for a redirect, an upgrade, or a compressed reply."""
    if response.status_code < 200 or 300 <= response.status_code < 400:
        raise NoReplyError(
            f"the endpoint answered {response.status_code}, a redirect or an upgrade; give the address where it ends"
        )
    if (encoding := unwanted_encoding(response.headers)) is not None:
        raise NoReplyError(f"the endpoint compressed its reply as {encoding}, though it was asked not to")


def _body(response: "httpx2.Response", watch: ConnectionWatch, most_bytes: int) -> Iterator[bytes]:
    n_bytes = 0
    try:
        for piece in watch.received(response.iter_bytes()):
            n_bytes += len(piece)
            if n_bytes > most_bytes:
                raise NoReplyError(f"the reply is longer than {most_bytes / 2**20:g} MiB")
            yield piece
    except EndpointFault as fault:
        raise NoReplyError(str(fault)) from None
    except http_faults() as fault:
        raise NoReplyError(watch.cut or f"the connection was lost ({one_line(str(fault))[:200]})") from None
