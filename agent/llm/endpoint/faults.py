"""Why a request to an endpoint brought no reply, whether another may help, and how long the endpoint asks to wait."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

TRANSIENT_STATUS = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})
AGAIN = math.inf
"""Of `most_attempts`: the fault is transient, so the same request is sent as often as the time allows."""
A_FEW = 3
"""Of `most_attempts`: the fault may be lasting."""
ONCE = 1

_OVERFLOW_CODES = frozenset({"context_length_exceeded", "exceed_context_size_error"})  # OpenAI, llama.cpp
_OVERFLOW_PHRASES = ("maximum context length", "context size", "context window", "prompt is too long")
_OUT_OF_MONEY = ("insufficient_quota", "billing_hard_limit", "billing_not_active", "insufficient credits")
_QUOTA_OF_A_DAY = re.compile(r"per[-_ ]?day|daily|\b[rt]pd\b|per[-_ ]?month|monthly", re.IGNORECASE)
_TRANSIENT_WORDS = ("overloaded", "rate_limit", "server_error", "unavailable", "timeout", "internal_error")
_AGAIN_IN = re.compile(r"(?:try again|retry) in ((?:\d+(?:\.\d+)?(?:ms|[dhms])\s?)+)", re.IGNORECASE)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DEEPEST_MESSAGE = 4  # gateways put an error into the message of an error
_LONGEST_WAIT = 400 * 86400.0  # seconds; what is longer is no time that a server means


@dataclass(frozen=True)
class ApiError:
    """An error that an endpoint states, in any of the known spellings."""

    message: str
    code: str = ""  # or its type, if it has no code
    status: int | None = None  # an HTTP status in place of a code, as gateways put it
    parameter: str = ""  # of the request, that the endpoint refuses
    retry_seconds: float | None = None  # to wait, if the error says so

    @property
    def words(self) -> str:
        """All that it says, in lower case."""
        return f"{self.message} {self.code} {self.parameter}".lower()


class EndpointFault(Exception):
    """One request brought no reply."""

    def __init__(
        self,
        message: str,
        *,
        most_attempts: float = AGAIN,
        status: int | None = None,
        error: ApiError | None = None,
        wait: float | None = None,
        remedy: str = "",
        connected: bool = True,
    ) -> None:
        """Describe what happened.

        Args:
            message: why there is no reply; it may still contain secrets and control characters.
            most_attempts: how often the same request is sent in total, before the fault ends the call.
            status: the HTTP status, if the endpoint refuses the request.
            error: what the endpoint states.
            wait: seconds that the endpoint asks to wait.
            remedy: what the user can do.
            connected: whether there was a connection to the endpoint.
        """
        super().__init__(message)
        self.most_attempts = most_attempts
        self.status = status
        self.error = error
        self.wait = wait
        self.remedy = remedy
        self.connected = connected

    @property
    def is_overflow(self) -> bool:
        """Whether the prompt is too long for the model; knows the messages of OpenAI and llama.cpp."""
        if self.error is None or self.status not in (200, 400, 413, 422, 500):
            return False
        return self.error.code in _OVERFLOW_CODES or any(part in self.error.words for part in _OVERFLOW_PHRASES)

    @property
    def is_out_of_money(self) -> bool:
        """Whether the account has no credit left."""
        if self.status == 402:
            return True
        return self.error is not None and any(part in self.error.words for part in _OUT_OF_MONEY)

    @property
    def is_out_of_quota(self) -> bool:
        """Whether a quota of a day or a month is used up."""
        limits = self.status in (403, 429) and self.error is not None
        return limits and self.error is not None and bool(_QUOTA_OF_A_DAY.search(self.error.words))

    @property
    def may_be_a_feature(self) -> bool:
        """Whether a part of the request that is optional may be the cause."""
        if self.error is None or self.is_overflow or self.is_out_of_money or self.is_out_of_quota:
            return False
        return self.status in (200, 400, 404, 405, 415, 422, 500, 501)


def refusal(status: int, error: ApiError, headers: Mapping[str, str], now: float) -> EndpointFault:
    """Return the fault of an error status, or of an error inside an answer with status 200.

    Args:
        headers: of the response, names in lower case.
        now: seconds since the epoch.
    """
    meant = error.status if status < 400 else status
    waits = (*retry_after(headers, now), error.retry_seconds, _wait_in_words(error.message))
    wait = next((seconds for seconds in waits if seconds is not None), None)
    fault = EndpointFault(error.message, status=meant or status, error=error, wait=wait)
    passes = meant in TRANSIENT_STATUS if meant else any(word in error.code.lower() for word in _TRANSIENT_WORDS)
    if not passes or fault.is_overflow or fault.is_out_of_money or (fault.is_out_of_quota and wait is None):
        fault.most_attempts = ONCE
    elif status < 400:
        fault.most_attempts = A_FEW
    return fault


def error_in(document: Any) -> ApiError | None:
    """Return the error that an answer states; None if it states none.

    Knows `{"error": ...}`, a list around it, FastAPI's `detail`, and `message` beside `object` or `type` "error".
    """
    if isinstance(document, list) and len(document) == 1:
        document = document[0]
    if not isinstance(document, dict):
        return None
    stated = document.get("error")
    if not stated and not document.get("choices"):
        is_error = "error" in (document.get("object"), document.get("type")) or isinstance(document.get("message"), str)
        stated = document.get("detail") or document.get("errors") or (document if is_error else None)
    return _api_error(stated) if stated else None


def error_of_text(text: str) -> ApiError:
    """Return the error that a body without JSON states: its text, or the title of a web page."""
    title = re.search(r"<title[^>]*>(.{1,200}?)</title", text[:20_000], re.IGNORECASE | re.DOTALL)
    plain = title[1] if title else re.sub(r"<[^>]{0,200}>", " ", text[:2_000])
    return ApiError(" ".join(plain.split()) or "no further words")


def retry_after(headers: Mapping[str, str], now: float) -> tuple[float | None, ...]:
    """Return the seconds that each header asks to wait, finite and at least 0; None where it is missing or invalid."""
    milliseconds = _seconds(headers.get("retry-after-ms"))
    text = headers.get("retry-after", "")
    seconds = _seconds(text)
    if seconds is None and text:
        try:
            date = parsedate_to_datetime(text)
            seconds = _bounded((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now)
        except (ValueError, OverflowError, TypeError, IndexError):
            seconds = None
    return None if milliseconds is None else milliseconds / 1000, seconds


def clock_time(seconds: float, now: float) -> str:
    """Return the time in so many seconds, for a person: `17:23 UTC`, with the date if it is not today's."""
    then, today = (datetime.fromtimestamp(at, UTC) for at in (now + seconds, now))
    return then.strftime("%H:%M UTC" if then.date() == today.date() else "%Y-%m-%d %H:%M UTC")


def _api_error(stated: Any, depth: int = 0) -> ApiError:
    if isinstance(stated, list):
        parts = [_detail(item) for item in stated[:5]]
        return ApiError("; ".join(part for part in parts if part) or "no further words")
    if not isinstance(stated, dict):
        return ApiError(str(stated)[:2_000] if isinstance(stated, str | int | float) else "no further words")
    message = next((stated[name] for name in ("message", "msg", "detail", "error") if stated.get(name)), None)
    metadata = stated.get("metadata")
    if isinstance(metadata, dict) and isinstance(metadata.get("raw"), str):  # OpenRouter: its provider's own words
        message = f"{message} ({metadata['raw']})"
    if isinstance(message, dict | list):
        message = _api_error(message, depth + 1).message if depth < _DEEPEST_MESSAGE else None
    code, kind = stated.get("code"), stated.get("type") or stated.get("status")
    texts = [text for text in (code, kind) if isinstance(text, str) and not text.isdecimal()]
    return ApiError(
        str(message)[:2_000] if message else " ".join(texts) or "no further words",
        code=" ".join(texts)[:200],
        status=next((number for number in map(_status, (code, stated.get("status"))) if number), None),
        parameter=str(stated.get("param") or "")[:200],
        retry_seconds=_retry_delay(stated.get("details")),
    )


def _detail(item: Any) -> str:
    """Return one line of FastAPI's list of faults: the place in the request, and what is wrong there."""
    if not isinstance(item, dict):
        return str(item)[:500] if isinstance(item, str) else ""
    place, message = item.get("loc"), item.get("msg") or item.get("message") or ""
    where = ".".join(str(part) for part in place[:8] if isinstance(part, str | int)) if isinstance(place, list) else ""
    return f"{where}: {message}"[:500] if where else str(message)[:500]


def _status(value: Any) -> int | None:
    if isinstance(value, str) and len(value) == 3 and value.isascii() and value.isdecimal():
        value = int(value)
    return value if type(value) is int and 400 <= value <= 599 else None


def _retry_delay(details: Any) -> float | None:
    """Return the seconds of Google's RetryInfo, `{"retryDelay": "38s"}`."""
    for item in details[:20] if isinstance(details, list) else ():
        delay = item.get("retryDelay") if isinstance(item, dict) else None
        if isinstance(delay, str) and delay.endswith("s"):
            return _seconds(delay[:-1])
    return None


def _wait_in_words(message: str) -> float | None:
    """Return the seconds of `Please try again in 7m12.5s`, as several vendors write it."""
    found = _AGAIN_IN.search(message)
    if found is None:
        return None
    return _bounded(sum(float(n) * _UNITS[unit] for n, unit in re.findall(r"([\d.]+)(ms|[dhms])", found[1].lower())))


def _seconds(text: str | None) -> float | None:
    try:
        return _bounded(float(text)) if text and len(text) < 40 else None
    except ValueError:
        return None


def _bounded(seconds: float) -> float | None:
    return min(max(0.0, seconds), _LONGEST_WAIT) if math.isfinite(seconds) else None
