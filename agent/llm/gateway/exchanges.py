"""Recorded exchanges between an agent and its model: written as they happen, and replayed in order."""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.errors import MissingRequirementError, UsageError
from agent.files import plain_file, read_text, write_over
from agent.llm.gateway.dialects import DIALECTS, TokenCounts, is_shallow
from agent.llm.gateway.normal_form import first_difference, normal_form
from agent.llm.gateway.sources import AgentRequest, NoReplyError, SourceReply
from agent.llm.masking import without_secrets
from agent.text import one_line

MOST_BYTES = 512 * 2**20  # of a file of exchanges
_LEFT_OUT = {"request": None, "reply": {"type": "", "text": ""}, "fault": "left out of a file that would be too long"}


@dataclass(frozen=True)
class AgentExchange:
    """One request of an agent and its reply; one line of a file of exchanges."""

    dialect: str
    method: str
    path: str  # below the provider's address, without query
    status: int  # that the agent got
    request: Mapping[str, Any] | None  # None: it had no body, or the gateway refused it
    content_type: str
    reply: str
    seconds: float
    usage: TokenCounts | None = None  # None: no model was called, or the call failed
    fault: str | None = None  # why there is no reply, or only a part of it
    refused: bool = False  # by the gateway itself


class ExchangeFiles:
    """Appends exchanges to files, one JSON object per line, with secrets masked; from several threads."""

    def __init__(self, paths: Sequence[Path], secrets: Sequence[str]) -> None:
        self._paths = tuple(paths)
        self._secrets = tuple(secrets)
        self._lock = threading.Lock()

    def append(self, exchange: AgentExchange) -> None:
        """Write one line. Where a file would exceed 512 MiB, request and reply are left out of it. Raises OSError."""
        fields = asdict(exchange)
        # An object, to differ from the reply of a recorded chat completion, which is a text.
        fields["reply"] = {"type": fields.pop("content_type"), "text": exchange.reply}
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        record = without_secrets({"time": at, **fields}, self._secrets)
        line = json.dumps(record) + "\n"
        with self._lock:
            for path in self._paths:
                path.parent.mkdir(parents=True, exist_ok=True)
                with plain_file(path).open("a", encoding="utf-8") as file:
                    if file.tell() + len(line) > MOST_BYTES:
                        line = json.dumps(record | _LEFT_OUT) + "\n"
                    file.write(line)


class RecordedExchanges:
    """A source that replays a recording, without an endpoint.

    A request gets the first reply not yet used whose request has the same path and normal form.
    """

    def __init__(self, path: Path, used: int = 0) -> None:
        """Read `path` and skip the exchanges up to its call number `used`, which a resumed run used before.

        Raises:
            MissingRequirementError: there is no such file.
            UsageError: a line is not an exchange; the message names the line.
        """
        self.secrets: tuple[str, ...] = ()
        self._path = path
        self._lock = threading.Lock()
        exchanges = _read(path)
        self._left = [exchange for exchange in exchanges[_end_of(exchanges, used) :] if not exchange.refused]
        self._normal_forms: dict[int, Any] = {}  # of their requests, by identity of the exchange
        names = dict.fromkeys(exchange.dialect for exchange in exchanges)
        self.dialects = tuple(DIALECTS[name] for name in names) or tuple(DIALECTS.values())

    @property
    def model(self) -> str:
        """The model of the first call that is left; empty if no request names one."""
        named = ((kept.request or {}).get("model") or _model_in(kept.path) for kept in self._left)
        return next((name for name in named if isinstance(name, str) and name), "")

    def prepare(self) -> None:
        pass

    @contextmanager
    def send(self, request: AgentRequest) -> Iterator[SourceReply]:
        exchange = self._next(request)
        if exchange.fault and not exchange.reply:
            raise NoReplyError(exchange.fault, max(exchange.status, 400))

        def body() -> Iterator[bytes]:
            yield exchange.reply.encode()
            if exchange.fault:
                raise NoReplyError(exchange.fault)

        yield SourceReply(exchange.status, {"content-type": exchange.content_type}, body())

    def close(self) -> None:
        pass

    def _next(self, request: AgentRequest) -> AgentExchange:
        """Take the exchange that matches a request. Raises NoReplyError with status 400, which no agent retries."""
        wanted = normal_form(request.document)
        with self._lock:
            alike = [kept for kept in self._left if _is_alike(kept, request)]
            for exchange in alike:
                if self._normal_form(exchange) == wanted:
                    self._left = [kept for kept in self._left if kept is not exchange]
                    return exchange
        if not alike:
            raise NoReplyError(f"{self._path.name} records no further {request.method} of {request.path}", 400)
        where = one_line(first_difference(self._normal_form(alike[0]), wanted))[:200]
        raise NoReplyError(
            f"the request is none of those that {self._path.name} records; it differs from the next one at {where}", 400
        )

    def _normal_form(self, exchange: AgentExchange) -> Any:
        if id(exchange) not in self._normal_forms:
            self._normal_forms[id(exchange)] = normal_form(exchange.request)
        return self._normal_forms[id(exchange)]


def cut_exchanges(path: Path, n_calls: int) -> None:
    """Cut the recording of a resumed run after its first `n_calls` calls; a killed run never used the later ones.

    Raises:
        MissingRequirementError, UsageError: there is no such file, or it is not a recording.
    """
    exchanges = _read(path, may_be_empty=True)
    text = read_text(path, MOST_BYTES)
    lines = [line for line in text.split("\n") if line.strip()]
    kept = "".join(f"{line}\n" for line in lines[: _end_of(exchanges, n_calls)])
    if kept != text:
        write_over(path.resolve(), kept.encode(), mark=b"", force=True)


def _is_alike(exchange: AgentExchange, request: AgentRequest) -> bool:
    """Whether an exchange is of the dialect, method and path of a request."""
    wanted = (request.dialect.name, request.method, request.path)
    return (exchange.dialect, exchange.method, exchange.path) == wanted


def _end_of(exchanges: Sequence[AgentExchange], n_calls: int) -> int:
    """Return how many exchanges hold the first `n_calls` calls that have a usage."""
    ends = [number for number, exchange in enumerate(exchanges, start=1) if exchange.usage is not None]
    return 0 if n_calls == 0 else ends[n_calls - 1] if n_calls <= len(ends) else len(exchanges)


def _read(path: Path, *, may_be_empty: bool = False) -> list[AgentExchange]:
    """Return the exchanges in a file, without a last line that a kill has torn. Raises as `RecordedExchanges` does.

    `may_be_empty`: the torn line may be the only one.
    """
    try:
        lines = read_text(path, MOST_BYTES).split("\n")
    except FileNotFoundError:
        raise MissingRequirementError(f"there is no recording {path}; check the path after replay:") from None
    except (OSError, UnicodeDecodeError) as fault:
        raise UsageError(f"{path}: the recording cannot be read ({fault})") from None
    exchanges = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                exchanges.append(_exchange(line, f"{path}:{number}"))
            except UsageError:
                if number < len(lines) or not (exchanges or may_be_empty):
                    raise
    return exchanges


def _exchange(line: str, where: str) -> AgentExchange:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as fault:
        raise UsageError(f"{where}: not a JSON object ({fault}); write one per line") from None
    wrong = UsageError(f"{where}: not an exchange between a coding agent and its model; record it with --record")
    if not isinstance(record, dict) or not is_shallow(record):
        raise wrong
    reply, status, usage = record.get("reply"), record.get("status"), record.get("usage")
    reply = reply if isinstance(reply, dict) else {}
    texts = [record.get("dialect"), record.get("method"), record.get("path"), reply.get("type"), reply.get("text")]
    valid = (
        all(isinstance(text, str) for text in texts)
        and record["dialect"] in DIALECTS
        and type(status) is int
        and 200 <= status <= 599
        and isinstance(record.get("request"), dict | None)
        and isinstance(record.get("fault"), str | None)
        and isinstance(usage, dict | None)
    )
    if not valid:
        raise wrong
    return AgentExchange(
        **{name: record[name] for name in ("dialect", "method", "path", "status")},
        request=record.get("request"),
        content_type=reply["type"],
        reply=reply["text"],
        seconds=0.0,
        usage=None if usage is None else TokenCounts(0, 0),  # that it was a call is all that matters
        fault=None if record.get("fault") is None else one_line(record["fault"])[:300],
        refused=record.get("refused") is True,
    )


def _model_in(path: str) -> str:
    """Return the model that a path of Gemini's names; empty if it names none."""
    return path.rpartition("/models/")[2].partition(":")[0] if "/models/" in path else ""
