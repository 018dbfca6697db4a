"""The JSON object of a reply, read strictly: what could be read in two ways is a fault, named by its key."""

import json
import math
import re

from agent.errors import EditError

_LONGEST_INTEGER = 400  # digits; the largest float has 309
_KEY = re.compile(r'"([^"\\\n]{1,80})"\s*:\s*')


def json_object(reply: str) -> dict[str, object]:
    """Return the JSON object in a reply; prose and fences around it are ignored.

    Numbers that no float can hold are read as infinite, and NaN as it is, so that the caller can name their keys.

    Raises:
        EditError: there is no object or more than one, it is not valid JSON, or it gives a key two values.
    """
    start = reply.find("{")
    if start < 0:
        raise EditError("the answer has no JSON object")
    try:
        answer, end = _DECODER.raw_decode(reply, start)
    except json.JSONDecodeError as fault:
        raise EditError(f"the answer is not one JSON object: {_named(reply, start, fault)}") from None
    except RecursionError:
        raise EditError("the answer is not one JSON object: it is nested too deeply") from None
    if "{" in reply[end:]:
        raise EditError("the answer has more than one JSON object; send one")
    assert isinstance(answer, dict)
    return answer


def _named(reply: str, start: int, fault: json.JSONDecodeError) -> str:
    """Return the fault of a JSON text with the key whose value is wrong, as far as one can tell."""
    keys = list(_KEY.finditer(reply, max(start, fault.pos - 300), fault.pos))
    if not keys:
        return str(fault)
    value = re.split(r'[}\]\n"]', reply[keys[-1].end() : fault.pos + 20], maxsplit=1)[0][:40].strip(" ,")
    return f"{keys[-1][1]}: `{value}` is neither a JSON number nor a string in double quotes ({fault})"


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _LONGEST_INTEGER else math.copysign(math.inf, -1 if digits[0] == "-" else 1)


def _unambiguous(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Return an object's pairs as a dict. Raises EditError for a key with two values: which one was meant?"""
    values = dict(pairs)
    for key, value in pairs:
        if values[key] is not value and values[key] != value:  # NaN differs from itself
            raise EditError(f"{key[:80]} is given twice, as {value!r:.80} and {values[key]!r:.80}")
    return values


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unambiguous, parse_int=_integer, strict=False
)  # not strict: raw newlines in strings
