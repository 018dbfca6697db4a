"""Messages about invalid values in plain words, instead of pydantic's."""

from collections.abc import Mapping
from typing import Any

UNKNOWN = frozenset({"extra_forbidden", "unexpected_keyword_argument"})
"""pydantic's types of errors for an unknown name."""
_WANTED = {
    "int": "a whole number",
    "float": "a number",
    "string": "text in quotes",
    "bool": "true or false",
    "tuple": "a list",
    "list": "a list",
    "dict": "a table",
    "mapping": "a table",
    "model": "a table",
    "dataclass": "a table",
}
_BOUNDS = {
    "greater_than": "greater than {gt:g}",
    "greater_than_equal": "{ge:g} or more",
    "less_than": "less than {lt:g}",
    "less_than_equal": "{le:g} or less",
    "literal_error": "{expected}",
    "string_pattern_mismatch": "of the pattern {pattern}",
    "finite_number": "a finite number",
}
_MOST_CHARACTERS = 60


def first_fault(error: BaseException | None) -> Mapping[str, Any] | None:
    """Return the first fault of a pydantic error; None if the error is a different one."""
    from pydantic import ValidationError  # takes 0.1 s, which a command without faults avoids

    return error.errors()[0] if isinstance(error, ValidationError) else None


def in_words(fault: Mapping[str, Any]) -> str:
    """Return the message for one of pydantic's faults: `it should be greater than 0, not -1`."""
    kind, context = fault["type"], fault.get("ctx", {})
    if kind in UNKNOWN:
        return "unknown key"
    if kind.startswith("missing"):
        return "it is missing"
    wanted = _BOUNDS[kind].format(**context) if kind in _BOUNDS else _WANTED.get(kind.partition("_")[0])
    if wanted is None:  # the message of our own validator
        return str(fault["msg"]).removeprefix("Value error, ")
    return f"it should be {wanted}, not {_shown(fault['input'])}"


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    shown = "a table" if isinstance(value, dict) else repr(value)
    return shown if len(shown) <= _MOST_CHARACTERS else f"{shown[:_MOST_CHARACTERS]}…"
