"""Who may use the server: whoever has the link with its token. Other pages and other machines' names are refused."""

import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from ipaddress import ip_address
from urllib.parse import urlencode, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTROL_HEADER = "x-autocentaur-control"
"""Header of a POST, with the control token that the page has; another site's page can neither read nor send it."""

_HEADERS: Mapping[str, str] = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}
"""Headers of all answers. Pages have a policy of their own, which allows their script and style."""


@dataclass(frozen=True)
class Tokens:
    """The secrets of one server, new each time that it starts."""

    link: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    control: str = field(default_factory=lambda: secrets.token_urlsafe(24))


class AccessControl:
    """Lets requests through that have the token as a cookie; the link that has it sets the cookie."""

    def __init__(self, app: ASGIApp, tokens: Tokens, port: int, host: str) -> None:
        """Wrap an application.

        Args:
            port: that the server listens on. It names the cookie, since all ports of a host share their cookies.
            host: the address or name that the server listens on.
        """
        self._app = app
        self._tokens = tokens
        self._cookie = f"autocentaur-{port}"
        self._names = {"localhost", host.lower()} | ({socket.gethostname().lower()} if not is_loopback(host) else set())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        answer = self._answer(Request(scope)) or self._app
        await answer(scope, receive, send_with_headers)

    def _answer(self, request: Request) -> Response | None:
        """Return why a request is refused, or the redirection that sets the cookie; None: it is let through."""
        if not self._is_own_name(request.headers.get("host", "")):
            return PlainTextResponse("This server does not answer to that name: use the link it printed.", 400)
        given = request.query_params.get("token")
        if given is not None and request.method in ("GET", "HEAD"):
            return self._entered(request) if _is_same(given, self._tokens.link) else _no_token()
        if not _is_same(request.cookies.get(self._cookie, ""), self._tokens.link):
            return _no_token()
        if request.method not in ("GET", "HEAD") and not self._is_from_own_page(request):
            return PlainTextResponse("Only the pages of this server can send that; reload the page.", 403)
        return None

    def _entered(self, request: Request) -> Response:
        """Return the answer to the link: it sets the cookie and leads to the same address without the token."""
        rest = urlencode([(name, value) for name, value in request.query_params.multi_items() if name != "token"])
        target = f"/{request.url.path.lstrip('/')}{f'?{rest}' if rest else ''}"
        answer: Response
        if request.headers.get("sec-fetch-site") == "cross-site":
            # A link on another site, such as a terminal in a browser: a browser sends no strict cookie while it follows
            # redirections from there, but does when this page leads on.
            answer = HTMLResponse(f'<!doctype html><meta http-equiv="refresh" content="0;url={escape(target)}">')
        else:
            answer = RedirectResponse(target, 303)
        answer.set_cookie(self._cookie, self._tokens.link, httponly=True, samesite="strict", path="/")
        return answer

    def _is_own_name(self, host: str) -> bool:
        """Return whether a Host header is an address or a name of this machine.

        A page of another site can let its own name lead here (DNS rebinding), but then the header has that name.
        """
        name = _name_in(f"//{host}")
        return name in self._names or _is_address(name)

    def _is_from_own_page(self, request: Request) -> bool:
        host = request.headers.get("host")
        is_own = request.headers.get("origin") in (f"http://{host}", f"https://{host}")
        return is_own and _is_same(request.headers.get(CONTROL_HEADER, ""), self._tokens.control)


def is_loopback(host: str) -> bool:
    """Return whether a host to listen on is this machine alone."""
    return host == "localhost" or (_is_address(host) and ip_address(host).is_loopback)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _name_in(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


def _is_same(given: str, secret: str) -> bool:
    """Compare in a time that does not depend on where they differ."""
    return secrets.compare_digest(given.encode(errors="replace"), secret.encode())


def _no_token() -> Response:
    return PlainTextResponse("Open the link that `agent serve` printed: this address needs its token.", 403)
