"""The gateway: the only way of a coding agent in a sandbox to its model."""

import json
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, Self

from agent.errors import AgentError
from agent.llm.gateway.check_requests import CHECK_PATH, MAX_CHECKS, Check, CheckRequests
from agent.llm.gateway.connection import AgentConnection, AgentServer, BadRequestError
from agent.llm.gateway.dialects import Dialect, Route, error_body, find_route, is_shallow, tokens_of
from agent.llm.gateway.exchanges import AgentExchange, ExchangeFiles
from agent.llm.gateway.meter import Allowance, CallRefusedError, Meter, PriceOf, Refusals, Tally
from agent.llm.gateway.relay import RELAYED_HEADERS, RelayedReply, relay_reply, relayed_query
from agent.llm.gateway.request_rules import why_forbidden
from agent.llm.gateway.sources import AgentRequest, ReplySource
from agent.llm.masking import without_secrets
from agent.llm.model import ModelUsage
from agent.text import one_line, plural

_CONCURRENT_REQUESTS = 8  # each may hold its body and its reply in memory
_RECORDED_REFUSALS = 100
_CLOSING_SECONDS = 5.0


class Gateway:
    """Serves the model calls of one proposal on a socket file, from entry to exit of the context.

    It relays the model calls of its source's dialects, and requests for lists of models and counts of tokens. Any other
    request is refused with 404. Each reply is sent on as it arrives, with secrets masked, and metered. Once a cap is
    reached, or the endpoint has refused the key, each request gets 400, which no client retries; a reply in progress is
    finished.
    """

    def __init__(
        self,
        source: ReplySource,
        socket_path: Path,
        *,
        model: str,
        price_of: PriceOf,
        exchanges: Sequence[Path],
        allowances: Sequence[Allowance] = (),
        secrets: Sequence[str] = (),
        check: Check | None = None,
        max_checks: int = MAX_CHECKS,
        max_free_requests: int = 1000,
    ) -> None:
        """Prepare; entering the context opens the socket, leaving it cuts all connections and closes `source`.

        Args:
            source: `Endpoints`, or `RecordedExchanges` for a replay.
            socket_path: in a folder that only this user can enter, since whoever reaches the file can use the key.
            model: the name of the usage as a whole, such as "codex:gpt-5.6".
            price_of: the price of a model. With a cap in dollars, models without a price are refused.
            exchanges: files to which each exchange is appended: that of the trial, and that of `--record`.
            secrets: more texts, besides the keys of `source`, to remove from all that is written or sent on.
            check: answers POST /check, at most `max_checks` times; see CheckRequests.
            max_free_requests: the number of requests that call no model, and so cost nothing, to relay.
        """
        self._source = source
        self._socket_path = socket_path
        self._secrets = (*source.secrets, *(secret for secret in secrets if secret))
        self._files = ExchangeFiles(exchanges, self._secrets)
        self._meter = Meter(model, allowances, price_of)
        self._max_free_requests, self._free_requests = max_free_requests, count(1)
        self._slots = threading.BoundedSemaphore(_CONCURRENT_REQUESTS)
        self._refusals, self._faults = Refusals(), Tally()
        self._checks = (
            CheckRequests(check, max_checks, self._secrets, self._refusals, self._note_bug) if check else None
        )
        self._rejected_key: str | None = None  # the endpoint's message: 401, or 403 to the first calls
        self._last_failure: str | None = None  # status and message of a model call
        self._server: AgentServer | None = None

    @property
    def usage(self) -> ModelUsage:
        """What the calls that have ended used; final once the context is left. `retries` counts failed calls."""
        return self._meter.usage

    @property
    def stop_reason(self) -> str | None:
        """Why further model calls are refused, such as a cap that was reached; None: none was refused."""
        return self._meter.stop_reason

    @property
    def unreachable(self) -> str | None:
        """Why the model answered no call, or that the endpoint refuses the key; None otherwise. On one line."""
        return self._rejected_key or (self._last_failure if not self.usage.calls else None)

    @property
    def refusals(self) -> dict[str, int]:
        """The number of requests that the gateway refused, by reason."""
        return self._refusals.counts()

    @property
    def faults(self) -> dict[str, int]:
        """The number of faults of endpoint, recording, files and gateway, by description."""
        return self._faults.counts()

    def __enter__(self) -> Self:
        self._server = AgentServer.start(self._socket_path, self._serve, self._note_bug)
        threading.Thread(target=self._source.prepare, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._meter.close()
        self._source.close()
        self._server.cut(_CLOSING_SECONDS)
        self._server.server_close()
        self._socket_path.unlink(missing_ok=True)

    def _serve(self, agent: AgentConnection) -> None:
        """Answer one request. No fault of agent, endpoint or disk ends the thread with an exception."""
        try:
            with self._slots:
                self._answer(agent)
        except OSError:  # the agent left
            agent.close_connection = True
        except Exception as bug:  # noqa: BLE001 (one request must not cost the others)
            agent.close_connection = True
            self._note_bug(bug)
            if not agent.is_answered:
                with suppress(OSError):
                    agent.send_whole(500, "text/plain", b"the gateway failed\n")

    def _answer(self, agent: AgentConnection) -> None:
        path, _, query = agent.path.partition("?")
        # Where two providers have the same path, the header of the key decides.
        dialects = sorted(self._source.dialects, key=lambda dialect: dialect.provider.key_header not in agent.headers)
        try:
            body = agent.read_body()
        except BadRequestError as fault:
            self._refuse(agent, dialects[0], path, fault.status, str(fault))
            return
        if self._checks is not None and (agent.command, path) == ("POST", CHECK_PATH):
            self._checks.answer(agent, body)
            return
        if (agent.command, path) == ("HEAD", "/"):  # Claude Code tests with this request whether a server listens
            agent.send_whole(200, "text/plain", b"")
            return
        route = find_route(dialects, agent.command, path)
        if route is None:
            message = f"the gateway does not relay {agent.command} {one_line(path)[:100]}"
            self._refuse(agent, dialects[0], path, 404, message)
            return
        document = _json_object(body) if body else None
        why = self._why_not(agent, document)
        model = _model_of(route, document)
        if why is None and route.is_call:
            try:
                self._meter.begin(model)
            except (CallRefusedError, AgentError) as refused:
                why = str(refused)
        elif why is None and next(self._free_requests) > self._max_free_requests:
            why = f"the gateway relays {plural(self._max_free_requests, 'request')} that call no model, and no more"
        if why is not None:
            self._refuse(agent, route.dialect, route.path, 400, why)
            return
        self._relay(
            agent,
            AgentRequest(
                route.dialect,
                agent.command,
                route.path,
                relayed_query(query),
                {name: agent.headers[name] for name in RELAYED_HEADERS if name in agent.headers},
                body,
                document,
            ),
            model if route.is_call else None,
        )

    def _why_not(self, agent: AgentConnection, document: Mapping[str, Any] | None) -> str | None:
        """Return why a request is not relayed; None: it is, if the meter admits it."""
        if agent.headers.get("Content-Encoding", "identity").lower() != "identity":
            return "the gateway reads no compressed requests"
        if agent.command == "POST" and document is None:
            return "the request is not a JSON object"
        return why_forbidden(document or {}) or self._meter.stop_reason

    def _refuse(self, agent: AgentConnection, dialect: Dialect, path: str, status: int, why: str) -> None:
        """Send an error of the gateway itself, in the form of a dialect."""
        message = str(without_secrets(why, self._secrets))
        n_refused = self._refusals.refuse(message)
        if n_refused <= _RECORDED_REFUSALS:
            self._record(
                AgentExchange(dialect.name, agent.command, path, status, None, "", "", 0.0, None, message, refused=True)
            )
        agent.send_whole(status, "application/json", error_body(dialect, status, message))

    def _relay(self, agent: AgentConnection, request: AgentRequest, model: str | None) -> None:
        """Send a request to the source and its reply to the agent. `model` None: no model call, so not metered."""
        relayed, started = RelayedReply(), time.monotonic()
        try:
            send_end = relay_reply(agent, self._source, request, self._secrets, relayed)
        finally:
            seconds, usage = time.monotonic() - started, None
            if model is not None:
                if 200 <= relayed.status < 300:
                    usage = tokens_of(
                        request.dialect, request.body, bytes(relayed.body), complete=relayed.fault is None
                    )
                self._meter.end(model, usage, seconds)
                if usage is None:
                    self._note_failure(relayed)
            if relayed.fault is not None:
                self._faults.add(relayed.fault)
            body = relayed.body.decode(errors="replace")
            request_line = (request.dialect.name, request.method, request.path)
            self._record(
                AgentExchange(
                    *request_line,
                    relayed.status,
                    request.document,
                    relayed.content_type,
                    body,
                    seconds,
                    usage,
                    relayed.fault,
                )
            )
        send_end()

    def _note_failure(self, relayed: RelayedReply) -> None:
        """Keep the message of a failed model call; refuse all further calls if the endpoint refused the key."""
        error = (_json_object(bytes(relayed.body)) or {}).get("error")
        message = error.get("message") if isinstance(error, dict) else None
        text = message if isinstance(message, str) else relayed.body[:2000].decode(errors="replace")
        message = one_line(str(without_secrets(text, self._secrets)))[:300]
        self._last_failure = relayed.fault or f"{relayed.status}: {message}"
        if relayed.status == 401 or (relayed.status == 403 and self.usage.calls == 0):
            self._rejected_key = self._rejected_key or f"{relayed.status}: {message}"
            self._meter.stop("the endpoint refuses the key")

    def _record(self, exchange: AgentExchange) -> None:
        try:
            self._files.append(exchange)
        except (OSError, AgentError) as error:
            self._faults.add(f"an exchange could not be recorded ({one_line(str(error))[:200]})")

    def _note_bug(self, bug: BaseException) -> None:
        message = str(without_secrets(one_line(str(bug))[:200], self._secrets))
        self._faults.add(f"a request ended with {type(bug).__name__}: {message}")


def _json_object(body: bytes) -> Mapping[str, Any] | None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) and is_shallow(document) else None


def _model_of(route: Route, document: Mapping[str, Any] | None) -> str:
    named = route.model if route.model is not None else (document or {}).get("model")
    return named if isinstance(named, str) else ""
