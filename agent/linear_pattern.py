"""Patterns that search what a script wrote, in time linear in the text whatever they are: RE2's, not Python's.

Python's own try again and again: `(\\w+ *)+:` against 40 letters takes hours, and cannot be interrupted.
"""

from collections.abc import Mapping
from typing import Any, Protocol

_UNSUPPORTED = ("++", "*+", "?+", "(?=", "(?!", "(?<=", "(?<!", "(?>")


class Match(Protocol):
    """Where a pattern was found."""

    def groupdict(self) -> dict[str, Any]: ...  # text; None: the group is not in it


class Pattern(Protocol):
    """What `compiled` returns."""

    @property
    def groupindex(self) -> Mapping[str, int]: ...

    def search(self, text: str) -> Match | None: ...


def compiled(pattern: str) -> Pattern:
    """Return a pattern, whose classes are those of ASCII. Raises ValueError, saying what is wrong with it."""
    import re2  # 30 ms, which a task without a curve does without

    options: Any = re2.Options()
    options.log_errors = False  # it would print them
    try:
        found: Pattern = re2.compile(pattern, options)
    except re2.error as error:
        said = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else str(error)
        hint = ""
        if any(part in pattern for part in _UNSUPPORTED):
            hint = "; look-around and possessive repetitions are not known, and nothing is tried twice without them"
        raise ValueError(f"no regular expression (RE2): {said}{hint}") from None
    return found
