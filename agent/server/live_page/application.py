"""The routes of `agent serve`: pages, their versions as server-sent events, trials as JSON, and steering."""

import json
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from html import unescape
from typing import Any

from anyio import to_thread
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.applications import Starlette
from starlette.convertors import IntegerConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from agent.errors import AgentError, UsageError
from agent.server import steering
from agent.server.live_page import pages
from agent.server.live_page.access import AccessControl, Tokens
from agent.server.live_page.feeds import Feeds, PageState
from agent.server.live_page.page_cache import BusyError, PageCache
from agent.server.live_page.served_runs import ServedRuns, UnknownRunError
from agent.store.stored_run import StoredRun
from agent.text import inert

POLL_SECONDS = 0.2
POLL_ALL_SECONDS = 0.5
"""How often the files of a run, and of all runs of a folder, are looked at while a page is open."""
PING_SECONDS = 15
"""Time between two `ping` events; live.js connects again if it gets no event for longer."""
MOST_STREAMS = 200
RETRY_SECONDS = 5  # after which a page that was refused tries again
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
        self._feeds = Feeds()
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
        return self.served.version(*self._compared(name), *([name] if name is not None else []))

    def _compared(self, name: str | None) -> list[str]:
        try:
            return self.served.compared(name)
        except (AgentError, OSError):
            return []

    async def _page(
        self, request: Request, address: str, version_of: Callable[[], str], render: Callable[[str], str]
    ) -> Response:
        """Return a page, or with `?parts` the page without its scripts and styles, for a browser that has them."""
        is_part = "parts" in request.query_params
        try:
            html = await self._pages.get(address, version_of, render)
        except BusyError as fault:
            return _busy(f"{_sentence(fault)}.")
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

    # --- events ------------------------------------------------------------------------------------------------------

    async def events_of_runs(self, _request: Request) -> Response:
        served = self.served
        return self._events("/", lambda: PageState(served.version_of_all(), pages.work_in_short(served)), slow=True)

    async def events_of_run(self, request: Request) -> Response:
        served, name = self.served, request.path_params["name"]
        return self._events(f"/run/{name}", lambda: PageState(served.version(name), pages.work_of(served, [name])))

    async def events_of_comparison(self, request: Request) -> Response:
        name = request.path_params.get("name")

        def look() -> PageState:
            names = self._compared(name)
            return PageState(self._version_of_comparison(name), pages.work_of(self.served, names))

        return self._events(f"/compare/{name or ''}", look)

    def _events(self, address: str, look: Callable[[], PageState], *, slow: bool = False) -> Response:
        """Return the states of a page as server-sent events: `version` and `work`, each when it has changed."""
        if self._n_streams >= MOST_STREAMS:
            return _busy(
                f"{MOST_STREAMS} pages of this server are open already. Close some; this one shows what was there when "
                "it was opened, and tries again by itself."
            )
        self._n_streams += 1
        states = self._feeds.states(address, look, POLL_ALL_SECONDS if slow else POLL_SECONDS)
        return _Stream(_messages(states), self._ended)

    def _ended(self) -> None:
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


class _Stream(EventSourceResponse):
    """Server-sent events; `ended` is called once when the browser has left."""

    def __init__(self, messages: AsyncIterator[ServerSentEvent], ended: Callable[[], None]) -> None:
        # A ping is an event of its own: a comment would not reach the script of the page.
        super().__init__(
            messages, ping=PING_SECONDS, ping_message_factory=lambda: ServerSentEvent("alive", event="ping")
        )
        self._on_end = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._on_end()


async def _messages(states: AsyncIterator[PageState]) -> AsyncIterator[ServerSentEvent]:
    """Yield what is new in each state. Times since something began are those of the moment at which it is sent."""
    version = work = None
    async for state in states:
        if state.version != version:
            version = state.version
            yield ServerSentEvent(version, event="version", id=version)
        if state.work != work:
            work = state.work
            yield ServerSentEvent(json.dumps({"now": time.time(), "work": work}), event="work")


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


def _busy(sentence: str) -> Response:
    return PlainTextResponse(sentence, 503, headers={"retry-after": str(RETRY_SECONDS)})


def _encoded(html: str) -> bytes:
    return html.encode(errors="backslashreplace")  # a name may hold any byte


def _sentence(fault: AgentError | OSError) -> str:
    """Return an error as text without control characters."""
    words = str(fault) if isinstance(fault, AgentError) else f"{fault.filename or 'a file'}: {fault.strerror}"
    return inert(words).rstrip(".")
