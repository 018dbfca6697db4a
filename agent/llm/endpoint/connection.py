"""One request to an endpoint over a connection of its own, which is cut when it is silent or takes too long."""

import json
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from agent import __version__
from agent.llm.chat_answer import ChatAnswer
from agent.llm.endpoint.address import authorization, chat_address, describe_endpoint, shown_address
from agent.llm.endpoint.answer import parsed_or_none, read_answer, read_error_body
from agent.llm.endpoint.faults import (
    A_FEW,
    ONCE,
    ApiError,
    EndpointFault,
    error_in,
    error_of_text,
    refusal,
)
from agent.llm.endpoint.route import http_faults, open_client, proxy_for, unwanted_encoding
from agent.llm.endpoint.watch import ConnectionWatch, Pace, Timing
from agent.text import one_line

if TYPE_CHECKING:
    import httpx2

CONNECT_SECONDS = 20.0
MOST_REDIRECTS = 3


class Connection:
    """Sends requests to one address; each has a connection of its own, so that each can be cut."""

    def __init__(
        self,
        address: str,
        key: str | None,
        *,
        account: Mapping[str, str],
        silence_seconds: float,
        pace: Pace | None,
        timing: Timing,
    ) -> None:
        """Configure the client; the first request connects.

        Args:
            address: from `checked_address`.
            key: from `checked_key`.
            account: more headers, from `account_headers`.
            silence_seconds: a connection is cut if nothing arrives for so long.
            pace: a connection is cut if the text of a reply arrives more slowly; None: at any pace.
            timing: the clock.

        Raises:
            MissingRequirementError: a proxy or certificate variable cannot be used.
        """
        self._address = address
        self._url = chat_address(address)
        self._headers = {
            "Authorization": authorization(address, key),
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "Accept-Encoding": "identity",
            "User-Agent": f"autocentaur/{__version__}",
            **account,
        }
        self._silence_seconds = silence_seconds
        self._pace = pace
        self._timing = timing
        self._client = open_client(self._url)

    def ask(self, request: Mapping[str, Any], until: float, on_tokens: Callable[[int], None]) -> ChatAnswer:
        """Send a request and return the reply.

        Args:
            until: when the connection is cut, in seconds of the clock.
            on_tokens: receives the number of pieces of the reply so far.

        Raises:
            EndpointFault: there is no reply; it says why.
        """
        body = json.dumps(request).encode()
        url = self._url
        for _ in range(MOST_REDIRECTS + 1):
            watch = ConnectionWatch(self._timing, self._silence_seconds, until, self._pace)

            def on_text(n_pieces: int, n_characters: int, watch: ConnectionWatch = watch) -> None:
                watch.note_text(n_characters)
                if n_pieces:
                    on_tokens(n_pieces)

            with self._sent(url, body, watch) as (response, pieces):
                status, headers = response.status_code, {n.lower(): v for n, v in response.headers.items()}
                if not 300 <= status < 400:
                    if status >= 400:
                        raise refusal(status, self._error(status, pieces), headers, self._timing.wall())
                    return read_answer(pieces, headers.get("content-type", ""), on_text, self._timing.wall())
                url = self._redirected(url, status, headers.get("location", ""))
        raise EndpointFault(f"it redirects more than {MOST_REDIRECTS} times", most_attempts=ONCE, status=302)

    def close(self) -> None:
        self._client.close()

    @contextmanager
    def _sent(
        self, url: str, body: bytes, watch: ConnectionWatch
    ) -> Iterator[tuple["httpx2.Response", Iterator[bytes]]]:
        """Send a request and yield the response and its body, which is still arriving. Raises EndpointFault."""
        import httpx2

        with ExitStack() as held:
            held.enter_context(watch.watched())
            try:
                response = held.enter_context(
                    self._client.stream(
                        "POST",
                        url,
                        content=body,
                        headers=self._headers,
                        timeout=httpx2.Timeout(None, connect=CONNECT_SECONDS),
                        extensions={"trace": watch.trace},
                    )
                )
            except http_faults() as fault:
                raise self._translated(fault, watch) from None
            if (encoding := unwanted_encoding(response.headers)) is not None:
                raise EndpointFault(
                    f"it compresses its answer as {encoding}, though it was asked not to", most_attempts=A_FEW
                )
            yield response, self._body(response, watch)

    def _body(self, response: "httpx2.Response", watch: ConnectionWatch) -> Iterator[bytes]:
        try:
            yield from watch.received(response.iter_bytes())
        except http_faults() as fault:
            raise self._translated(fault, watch) from None

    def _translated(self, fault: Exception, watch: ConnectionWatch) -> EndpointFault:
        """Return the fault with its cause in place of the library's wrapper, and what to do about it."""
        import httpx2

        causes = list(_causes(fault))
        proxy = proxy_for(self._url)
        where = str(proxy) if proxy is not None else shown_address(self._address)
        why = next((text for text in map(_words_of, reversed(causes)) if text), type(fault).__name__)
        remedy = f"correct {proxy.variable}" if proxy is not None else "check --base-url (OPENAI_BASE_URL)"
        if watch.cut is not None:
            what, remedy = watch.cut, ""
        elif any(isinstance(cause, ssl.SSLError) for cause in causes):
            what = f"no encrypted connection to {where} ({why})"
            is_untrusted = any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes)
            remedy = "check whether the address begins with http:// or https://"
            if is_untrusted:
                remedy = "set SSL_CERT_FILE to the certificate of its authority"
            return EndpointFault(what, remedy=remedy, most_attempts=A_FEW, connected=False)
        elif any(isinstance(cause, socket.gaierror) for cause in causes):
            what = f"the host {urlsplit(proxy.url if proxy is not None else self._url).hostname} is not found ({why})"
        elif any(isinstance(cause, ConnectionRefusedError) for cause in causes):
            what = f"nothing listens at {where} ({why})"
            if describe_endpoint(self._address) is None:
                remedy = "start its server, e.g. with `ollama serve`"
        elif isinstance(fault, httpx2.ProxyError) or not watch.is_open:
            why = f"no connection within {CONNECT_SECONDS:.0f} s" if isinstance(fault, httpx2.ConnectTimeout) else why
            what = f"{where} cannot be reached ({why})"
        else:
            return EndpointFault(f"the connection was lost ({why})")
        return EndpointFault(what, remedy=remedy, connected=watch.is_open and watch.cut is not None)

    def _error(self, status: int, pieces: Iterator[bytes]) -> ApiError:
        try:
            body = read_error_body(pieces)
        except EndpointFault as fault:
            return ApiError(str(fault))
        error = error_in(parsed_or_none(body)) or error_of_text(body.decode(errors="replace"))
        return ApiError(f"{status} {error.message}", error.code, error.status, error.parameter, error.retry_seconds)

    def _redirected(self, url: str, status: int, location: str) -> str:
        """Return where a redirect leads. Raises EndpointFault if that is another server, or another kind of request."""
        target = urljoin(url, location)
        parts, own = urlsplit(target), urlsplit(url)
        if status in (307, 308) and location and (parts.scheme, parts.netloc) == (own.scheme, own.netloc):
            return target
        shown = one_line(shown_address(target))[:200] if location else "nowhere"
        raise EndpointFault(
            f"it answers {status}, a redirect to {shown}, which is not followed",
            most_attempts=ONCE,
            status=status,
            remedy="give the address where it ends with --base-url",
        )


def _causes(fault: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception, and those that it wraps."""
    for _ in range(10):
        if fault is None:
            return
        yield fault
        fault = fault.__cause__ or fault.__context__


def _words_of(fault: BaseException) -> str:
    """Return what an exception says, without the number of the error."""
    if isinstance(fault, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {fault.verify_message}"
    if isinstance(fault, OSError) and fault.strerror:
        return fault.strerror
    return str(fault)
