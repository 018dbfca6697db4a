"""The dialects in which coding agents call a model: one row each, of paths, keys, the usage of a reply, and errors."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

MOST_TOKENS = 100_000_000  # of one reply; a larger count is a fault of the endpoint
CHARACTERS_PER_TOKEN = 4  # in estimates: rather too few for text, so that an estimate is rather too high
_DEEPEST = 200
_TEXT_FIELDS = frozenset(
    {"content", "text", "delta", "arguments", "input", "thinking", "reasoning", "reasoning_content", "partial_json"}
)


@dataclass(frozen=True)
class TokenCounts:
    """The tokens of one reply."""

    prompt: int  # those from the endpoint's cache included
    completion: int
    cached: int = 0  # of the prompt
    estimated: bool = False  # the reply states no usage, or an implausible one


@dataclass(frozen=True)
class Provider:
    """Whose key and address a dialect uses, and in which header the key is sent."""

    key_variable: str
    address_variable: str
    address: str  # unless the variable is set
    key_header: str
    key_prefix: str
    error: Callable[[int, str], dict[str, Any]]  # the document that a client of this provider understands
    has_accounts: bool = False  # a key may belong to several organizations and projects, as OpenAI's do


@dataclass(frozen=True)
class Dialect:
    """One way to call a model. In each pattern, the first group is what follows the provider's address."""

    name: str
    provider: Provider
    call: re.Pattern[str]  # paths (POST) of model calls; the group `model`, if any, names the model
    free_requests: tuple[
        tuple[str, re.Pattern[str]], ...
    ]  # methods and paths of the other requests that clients need, which cost nothing
    find_usage: Callable[[Mapping[str, Any]], object]  # in one document of a reply
    count: Callable[[Mapping[str, Any]], tuple[object, object, object]]  # of a usage: prompt, cached, completion


@dataclass(frozen=True)
class Route:
    """The destination of an agent's request."""

    dialect: Dialect
    path: str  # below the provider's address
    is_call: bool
    model: str | None  # if the path names it


def find_route(dialects: Iterable[Dialect], method: str, path: str) -> Route | None:
    """Return the destination of a request; None if no dialect relays its method and path (without query)."""
    for dialect in dialects:
        for wanted, pattern in (("POST", dialect.call), *dialect.free_requests):
            found = pattern.fullmatch(path)
            if method == wanted and found is not None:
                return Route(dialect, found[1], pattern is dialect.call, found.groupdict().get("model"))
    return None


def error_body(dialect: Dialect, status: int, message: str) -> bytes:
    """Return an error response in the form that a dialect's clients understand."""
    return json.dumps(dialect.provider.error(status, message)).encode()


def tokens_of(dialect: Dialect, request: bytes, reply: bytes, *, complete: bool) -> TokenCounts:
    """Return the tokens of a reply: from its usage if that is plausible, else estimated from its length.

    `complete` False: the reply was cut, so that it may be longer than its usage says.
    """
    documents = documents_of(reply)
    usage: dict[str, Any] = {}
    for document in documents:
        found = dialect.find_usage(document)
        if isinstance(found, Mapping):  # of a stream, later ones replace earlier ones
            usage |= {name: value for name, value in found.items() if value is not None}
    reported = _checked(*dialect.count(usage))
    n_characters = sum(map(_n_characters, documents)) if documents else len(reply)
    completion = -(-n_characters // CHARACTERS_PER_TOKEN)
    if reported is None:
        return TokenCounts(-(-len(request) // CHARACTERS_PER_TOKEN), completion, estimated=True)
    if not complete:
        return TokenCounts(reported.prompt, max(reported.completion, completion), reported.cached, estimated=True)
    return reported


def documents_of(reply: bytes) -> list[Mapping[str, Any]]:
    """Return the JSON objects of a reply: one, a list of them, or server-sent events. Anything else is left out.

    The content decides, since endpoints mislabel it.
    """
    text = reply.decode(errors="replace").replace("\r\n", "\n").lstrip()
    if text.startswith(("data:", "event:", "id:", "retry:", ":")):
        events = (_data_of(event) for event in text.split("\n\n"))
        return [document for event in events for document in _objects(event)]
    return list(_objects(text))


def _data_of(event: str) -> str:
    return "\n".join(line[5:] for line in event.split("\n") if line.startswith("data:"))


def _objects(text: str) -> list[Mapping[str, Any]]:
    """Return the objects of a JSON text, which is an object or a list that may have been cut."""
    found: list[Mapping[str, Any]] = []
    decoder, at = json.JSONDecoder(), 0
    skipped = re.compile(r"[\s,\[\]]*")
    while at < len(text):
        at = skipped.match(text, at).end()  # type: ignore[union-attr]
        try:
            document, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            break
        if isinstance(document, dict) and is_shallow(document):
            found.append(document)
    return found


def is_shallow(document: object) -> bool:
    """Whether JSON data is nested at most 200 levels deep, so that recursive functions can read it."""
    level = [document]
    for _ in range(_DEEPEST):
        level = [
            item
            for value in level
            if isinstance(value, dict | list)
            for item in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return True
    return False


def _n_characters(value: object, *, is_text: bool = False) -> int:
    """Count the characters of what a model wrote in a document of its reply."""
    if isinstance(value, str):
        return len(value) if is_text else 0
    if isinstance(value, Mapping):
        return sum(_n_characters(item, is_text=is_text or name in _TEXT_FIELDS) for name, item in value.items())
    return sum(_n_characters(item, is_text=is_text) for item in value) if isinstance(value, list) else 0


def _checked(prompt: object, cached: object, completion: object) -> TokenCounts | None:
    """Return the counts of a usage; None if there are none, or a value is not a count."""
    given = [0 if value is None else value for value in (prompt, cached, completion)]
    counts = [value for value in given if isinstance(value, int) and not isinstance(value, bool)]
    if len(counts) < 3 or not all(0 <= count <= MOST_TOKENS for count in counts):
        return None
    n_prompt, n_cached, n_completion = counts
    if n_cached > n_prompt or n_prompt + n_completion == 0:
        return None
    return TokenCounts(n_prompt, n_completion, n_cached)


def _inner(document: object, name: str) -> Mapping[str, Any]:
    found = document.get(name) if isinstance(document, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _total(*values: object) -> object:
    """Return the sum of the counts, without those that are None; -1 if a value is not a count."""
    given = [value for value in values if value is not None]
    counts = [value for value in given if isinstance(value, int) and not isinstance(value, bool) and value >= 0]
    return sum(counts) if len(counts) == len(given) else -1


def _openai_error(status: int, message: str) -> dict[str, Any]:
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


def _anthropic_error(status: int, message: str) -> dict[str, Any]:
    kinds = {404: "not_found_error", 413: "request_too_large"}
    kind = kinds.get(status, "api_error" if status >= 500 else "invalid_request_error")
    return {"type": "error", "error": {"type": kind, "message": message}}


def _gemini_error(status: int, message: str) -> dict[str, Any]:
    kind = {404: "NOT_FOUND", 500: "INTERNAL", 502: "UNAVAILABLE"}.get(status, "INVALID_ARGUMENT")
    return {"error": {"code": status, "message": message, "status": kind}}


OPENAI = Provider(
    *("OPENAI_API_KEY", "OPENAI_BASE_URL", "https://api.openai.com/v1", "authorization", "Bearer "),
    _openai_error,
    has_accounts=True,
)
ANTHROPIC = Provider(
    "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "https://api.anthropic.com", "x-api-key", "", _anthropic_error
)
GEMINI = Provider(
    *("GEMINI_API_KEY", "GOOGLE_GEMINI_BASE_URL", "https://generativelanguage.googleapis.com", "x-goog-api-key", ""),
    _gemini_error,
)


def _path(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.ASCII)


_OPENAI_MODELS = ("GET", _path(r"(?:/v1)?(/models(?:/[\w.:-]+)?)"))
_GEMINI_MODELS = r"/v1(?:beta|alpha)?/models"

DIALECTS = {
    dialect.name: dialect
    for dialect in (
        Dialect(
            "chat",
            OPENAI,
            call=_path(r"(?:/v1)?(/chat/completions)"),
            free_requests=(_OPENAI_MODELS,),
            find_usage=lambda document: document.get("usage"),
            count=lambda usage: (
                usage.get("prompt_tokens"),
                _inner(usage, "prompt_tokens_details").get("cached_tokens"),
                usage.get("completion_tokens"),
            ),
        ),
        Dialect(
            "responses",
            OPENAI,
            call=_path(r"(?:/v1)?(/responses(?:/compact)?)"),
            free_requests=(_OPENAI_MODELS, ("POST", _path(r"(?:/v1)?(/responses/input_tokens)"))),
            find_usage=lambda document: _inner(document, "response").get("usage") or document.get("usage"),
            count=lambda usage: (
                usage.get("input_tokens"),
                _inner(usage, "input_tokens_details").get("cached_tokens"),
                usage.get("output_tokens"),
            ),
        ),
        Dialect(
            "messages",
            ANTHROPIC,
            call=_path(r"(/v1/messages)"),
            free_requests=(
                ("POST", _path(r"(/v1/messages/count_tokens)")),
                ("GET", _path(r"(/v1/models(?:/[\w.:-]+)?)")),
            ),
            find_usage=lambda document: _inner(document, "message").get("usage") or document.get("usage"),
            count=lambda usage: (  # its input tokens leave out those that the cache gave or took
                _total(
                    *(usage.get(name) for name in ("input_tokens", "cache_read_input_tokens")),
                    usage.get("cache_creation_input_tokens"),
                ),
                usage.get("cache_read_input_tokens"),
                usage.get("output_tokens"),
            ),
        ),
        Dialect(
            "gemini",
            GEMINI,
            call=_path(rf"({_GEMINI_MODELS}/(?P<model>[\w.-]+):(?:generate|streamGenerate)Content)"),
            free_requests=(
                ("POST", _path(rf"({_GEMINI_MODELS}/[\w.-]+:countTokens)")),
                ("GET", _path(rf"({_GEMINI_MODELS}(?:/[\w.-]+)?)")),
            ),
            find_usage=lambda document: document.get("usageMetadata"),
            count=lambda usage: (
                _total(usage.get("promptTokenCount"), usage.get("toolUsePromptTokenCount")),
                usage.get("cachedContentTokenCount"),
                _total(usage.get("candidatesTokenCount"), usage.get("thoughtsTokenCount")),
            ),
        ),
    )
}
"""The dialects by name."""
