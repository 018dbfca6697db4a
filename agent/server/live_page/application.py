"""The routes of `agent serve`: pages, their versions as server-sent events, trials as JSON, and steering."""

import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from html import unescape
from typing import Any

import anyio
from anyio import to_thread
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.convertors import IntegerConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from agent.errors import AgentError, UsageError
from agent.server import steering
from agent.server.live_page import pages
from agent.server.live_page.access import AccessControl, Tokens
from agent.server.live_page.page_cache import PageCache
from agent.server.live_page.served_runs import ServedRuns, UnknownRunError
from agent.store.stored_run import StoredRun
from agent.text import inert

POLL_SECONDS = 0.2
POLL_ALL_SECONDS = 0.5
"""How often the files of a run, and of all runs of a folder, are looked at while a page is open."""
PING_SECONDS = 15
SEND_SECONDS = 20.0  # a browser that takes no event for so long is dropped, and connects again when it is awake
MOST_STREAMS = 200
MOST_POSTED_BYTES = 2**16

_POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">')
_CODE = re.compile(r'<script(?: type="application/gzip"[^>]*)?>.*?</script>|<style>.*?</style>', re.DOTALL)


@dataclass(frozen=True)
class ControlSettings:
    """What --control needs."""

    variables: Mapping[str, str]  # environment variables of the processes that resume runs
    where: str  # the option with which commands in messages find the runs; may be empty


@dataclass
class LiveServer:
    """What the routes share."""

    served: ServedRuns
    tokens: Tokens
    control: ControlSettings | None  # None: read-only

    def __post_init__(self) -> None:
        self._pages = PageCache()
        self._n_streams = 0

    # --- pages -------------------------------------------------------------------------------------------------------

    async def runs(self, request: Request) -> Response:
        served = self.served
        return await self._page(request, "/", served.version_of_all, partial(pages.runs_page, served))

    async def run(self, request: Request) -> Response:
        name = request.path_params["name"]
        return await self._page(request, f"/run/{name}", partial(self.served.version, name), self._render_run(name))

    async def comparison(self, request: Request) -> Response:
        name, address = request.path_params.get("name"), request.url.path
        render = partial(pages.comparison_page, self.served, name, address)
        return await self._page(request, address, partial(self._version_of_comparison, name), render)

    def _render_run(self, name: str) -> Callable[[str], str]:
        token = self.tokens.control if self.control is not None else None
        return lambda version: pages.run_page(self.served, name, version, token)

    def _version_of_comparison(self, name: str | None) -> str:
        try:
            names = self.served.compared(name)
        except (AgentError, OSError):
            names = []
        return self.served.version(*names, *([name] if name is not None else []))

    async def _page(
        self, request: Request, address: str, version_of: Callable[[], str], render: Callable[[str], str]
    ) -> Response:
        """Return a page, or with `?parts` the page without its scripts and styles, for a browser that has them."""
        is_part = "parts" in request.query_params
        try:
            html = await self._pages.get(address, version_of, render)
        except (AgentError, OSError) as fault:
            status = 404 if isinstance(fault, UnknownRunError) else 409
            problem = f"{_sentence(fault)}."
            if is_part:
                return PlainTextResponse(problem, status)
            html = pages.problem_page(address, await to_thread.run_sync(version_of), problem)
            return _html(html, status)
        return HTMLResponse(_encoded(_CODE.sub("", html))) if is_part else _html(html)

    async def trial(self, request: Request) -> Response:
        """Return a trial as JSON; a reader who follows its link gets its place on the page."""
        name, number = request.path_params["name"], request.path_params["number"]
        if "text/html" in request.headers.get("accept", ""):
            return RedirectResponse(f"/run/{name}#t0/{number}", 303)
        try:
            found = await to_thread.run_sync(pages.trial_json, self.served, name, number)
        except (AgentError, OSError) as fault:
            return PlainTextResponse(f"{_sentence(fault)}.", 404 if isinstance(fault, UnknownRunError) else 409)
        return JSONResponse(found)

    # --- versions ----------------------------------------------------------------------------------------------------

    async def events_of_runs(self, _request: Request) -> Response:
        return self._events(self.served.version_of_all, POLL_ALL_SECONDS)

    async def events_of_run(self, request: Request) -> Response:
        return self._events(partial(self.served.version, request.path_params["name"]))

    async def events_of_comparison(self, request: Request) -> Response:
        return self._events(partial(self._version_of_comparison, request.path_params.get("name")))

    def _events(self, version_of: Callable[[], str], poll_seconds: float = POLL_SECONDS) -> Response:
        """Return the versions of a page as they change.

        A new connection gets the present version first, so a browser that was away misses nothing. Only the latest
        version counts, so nothing is queued for a browser that is slow.
        """
        if self._n_streams >= MOST_STREAMS:
            return PlainTextResponse(f"{MOST_STREAMS} pages are open already; close some.", 503)
        return EventSourceResponse(
            self._versions(version_of, poll_seconds), ping=PING_SECONDS, send_timeout=SEND_SECONDS
        )

    async def _versions(self, version_of: Callable[[], str], poll_seconds: float) -> AsyncIterator[dict[str, str]]:
        self._n_streams += 1
        try:
            last = None
            while True:
                version = await to_thread.run_sync(version_of)
                if version != last:
                    yield {"event": "version", "id": version, "data": version}
                    last = version
                await anyio.sleep(poll_seconds)
        finally:
            self._n_streams -= 1

    # --- steering ----------------------------------------------------------------------------------------------------

    async def steer(self, request: Request) -> Response:
        """Do what the command of that name does, and answer in its words."""
        if self.control is None:
            return PlainTextResponse("This server is read-only; `agent serve --control` steers runs.", 403)
        try:
            fields = await _posted(request)
            words = await to_thread.run_sync(self._steered, self.control, request.path_params, fields)
        except (AgentError, OSError) as fault:
            return PlainTextResponse(f"{_sentence(fault)}.", 404 if isinstance(fault, UnknownRunError) else 409)
        return PlainTextResponse(words)

    def _steered(self, control: ControlSettings, path: Mapping[str, Any], fields: Mapping[str, str]) -> str:
        stored = self.served.find(path["name"]).stored
        assert stored is not None, "find raises for a run that cannot be read"
        resume = f"agent resume {stored.run_id}{control.where}"
        return "\n".join(sent.words for sent in _requests(control, stored, path, fields, resume))


def _requests(
    control: ControlSettings, stored: StoredRun, path: Mapping[str, Any], fields: Mapping[str, str], resume: str
) -> list[steering.SentRequest]:
    name = stored.run_id
    match path["action"]:
        case "say":
            return [steering.say(stored, fields.get("text", ""), resume)]
        case "pause":
            return steering.pause([stored], name, resume)
        case "stop":
            return list(steering.stop([stored], name, resume, control.where))
        case "resume":
            return [steering.resume_in_background(stored, control.variables, resume)]
        case "approve" if "number" in path:
            return [steering.decide_trial(stored, path["number"], resume, is_approved=True)]
        case "refuse" if "number" in path:
            reason = fields.get("reason", "")
            return [steering.decide_trial(stored, path["number"], resume, is_approved=False, reason=reason)]
    raise UnknownRunError("there is no such request")


async def _posted(request: Request) -> dict[str, str]:
    """Return the fields of a request. Raises UsageError unless they are a small JSON object of texts."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_POSTED_BYTES:
            raise UsageError(f"the request is larger than {MOST_POSTED_BYTES} bytes; shorten the text")
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict) or not all(isinstance(value, str) for value in fields.values()):
        raise UsageError("the request is no JSON object of texts; reload the page")
    return fields


class _TrialNumber(IntegerConvertor):
    regex = "[0-9]{1,9}"  # Python converts no number of thousands of digits


def application(server: LiveServer, port: int, host: str) -> AccessControl:
    """Return the application that listens on a port of a host."""
    register_url_convertor("trial", _TrialNumber())
    routes = [
        Route("/", server.runs),
        Route("/events", server.events_of_runs),
        Route("/run/{name}", server.run),
        Route("/run/{name}/events", server.events_of_run),
        Route("/run/{name}/trial/{number:trial}", server.trial),
        Route("/compare", server.comparison),
        Route("/compare/events", server.events_of_comparison),
        Route("/compare/{name}", server.comparison),
        Route("/compare/{name}/events", server.events_of_comparison),
        Route("/run/{name}/{action:str}", server.steer, methods=["POST"]),
        Route("/run/{name}/trial/{number:trial}/{action:str}", server.steer, methods=["POST"]),
    ]
    inner = Starlette(
        routes=routes,
        middleware=[Middleware(GZipMiddleware, minimum_size=1000, compresslevel=6)],
        exception_handlers={HTTPException: _unknown_address},
    )
    return AccessControl(inner, server.tokens, port, host)


async def _unknown_address(_request: Request, fault: Exception) -> Response:
    status = fault.status_code if isinstance(fault, HTTPException) else 404
    words = "There is nothing at this address." if status == 404 else "This address does not take such a request."
    return PlainTextResponse(words, status)


def _html(html: str, status: int = 200) -> Response:
    """Return a page whose header has the policy of the page itself, and forbids frames, which only a header can."""
    found = _POLICY.search(html)
    assert found is not None, "every page has a policy"
    policy = f"{unescape(found[1])}; frame-ancestors 'none'"
    return HTMLResponse(_encoded(html), status, headers={"content-security-policy": policy})


def _encoded(html: str) -> bytes:
    return html.encode(errors="backslashreplace")  # a name may hold any byte


def _sentence(fault: AgentError | OSError) -> str:
    """Return an error as text without control characters."""
    words = str(fault) if isinstance(fault, AgentError) else f"{fault.filename or 'a file'}: {fault.strerror}"
    return inert(words).rstrip(".")
