"""Positions of keys in the text of task.toml, since tomllib reports neither lines nor the ends of statements."""

import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from agent.text import hidden_in, one_line

Keys = tuple[str, ...]

_HEADER = re.compile(r"\s*\[\[?([^\[\]]+)\]\]?\s*(#.*)?$")
_ASSIGNED = re.compile(r"\s*([\w\"'. -]+?)\s*=")


def line_of(text: str, *wanted: Keys) -> int:
    """Return the line that comes nearest to setting one of `wanted`, each a path of keys; for messages only."""
    nearest = (99, 1)  # (number of keys of the path that were not found, line)
    header: Keys = ()
    for number, line in enumerate(text.splitlines(), start=1):
        table, assigned = _HEADER.match(line), _ASSIGNED.match(line)
        if table:
            path = header = _keys(table[1])
        elif assigned:
            path = (*header, *_keys(assigned[1]))
        else:
            continue
        for keys in wanted:
            if path == keys[: len(path)]:
                nearest = min(nearest, (len(keys) - len(path), number))
    return nearest[1]


def hidden_text(data: Any, path: Keys = ()) -> tuple[Keys, str] | None:
    """Return (path, character's name) of the first key or string with an invisible character; None if there is none.

    It checks the parsed data, because TOML's escapes can produce any character.
    """
    if isinstance(data, str):
        hidden = hidden_in(data)
        return None if hidden is None else (path, hidden)
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        named = hidden_in(key) if isinstance(key, str) else None
        within = (*path, one_line(key)) if isinstance(key, str) else path
        found = (within, named) if named is not None else hidden_text(value, within)
        if found is not None:
            return found
    return None


def without(text: str, is_left_out: Callable[[Keys], bool]) -> str:
    """Return valid TOML without some of its keys, identical to the text before they were added.

    Each such key is removed with its value, the comment lines directly above it and the blank lines directly above
    those; so is the header of a table that sets nothing else. A key in an inline table stays.

    Args:
        is_left_out: returns whether to remove a path of keys, such as ("data", "pool").
    """
    lines = text.split("\n")
    found = list(statements(lines))
    chosen = [s for s in found if not s.is_header and is_left_out(s.keys)]
    for header in (s for s in found if s.is_header):
        inside = [s for s in found if s.header == header.first]
        if inside and all(s in chosen for s in inside):
            chosen.append(header)
    gone: set[int] = set()
    for statement in sorted(chosen, key=lambda s: s.first):
        first = statement.first
        while first > 0 and lines[first - 1].lstrip().startswith("#"):
            first -= 1
        while first > 0 and not lines[first - 1].strip():
            first -= 1
        gone.update(range(first, statement.end))
    return "\n".join(line for number, line in enumerate(lines) if number not in gone)


@dataclass(frozen=True)
class Statement:
    """A header or a setting in the text of valid TOML."""

    keys: Keys  # the full path
    first: int  # first line, counted from 0
    end: int  # exclusive
    header: int  # first line of the header above it; -1 before all headers, and for headers
    is_header: bool = False


def statements(lines: list[str]) -> Iterator[Statement]:
    """Yield the headers and the settings of valid TOML."""
    header: Keys = ()
    at, under = 0, -1
    while at < len(lines):
        table, end = _HEADER.match(lines[at]), at + 1
        if table:
            header, under = _keys(table[1]), at
            yield Statement(header, at, end, -1, is_header=True)
        elif assigned := _ASSIGNED.match(lines[at]):
            while end < len(lines) and not _is_whole("\n".join(lines[at:end])):
                end += 1
            yield Statement((*header, *_keys(assigned[1])), at, end, under)
        at = end


def _is_whole(statement: str) -> bool:
    try:
        tomllib.loads(statement)
    except tomllib.TOMLDecodeError:
        return False
    return True


def _keys(dotted: str) -> Keys:
    return tuple(part.strip("\"' ") for part in dotted.split("."))
