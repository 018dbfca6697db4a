"""Fits lines to a terminal's width: rows are cut, sentences are wrapped. Without a terminal, lines stay whole.

A wide East Asian character takes two columns.
"""

import re
import shutil
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TextIO

from agent.text import padded, width_of

_STYLE = re.compile(r"(\x1b\[[0-9;]*m)")
_PLAIN = "\x1b[0m"

Span = tuple[int, int]
"""A part of a row: its first column, and the column after its last one."""


def columns_of(stream: TextIO) -> int | None:
    """Return the width of the terminal that a stream writes to, in columns; None if it is not a terminal."""
    return shutil.get_terminal_size().columns if stream.isatty() else None


def row(line: str, columns: int | None, left_out: Sequence[Span] = ()) -> str:
    """Return a table row without some spans, cut to `columns` columns and then ended by an ellipsis.

    ANSI styles take no width. Without a terminal (`columns` is None) the row stays whole.
    """
    if columns is None:
        return line
    line = _without(line, left_out)
    if width_of(_STYLE.sub("", line)) <= columns:
        return line
    kept = _without(line, [(columns - 1, sys.maxsize)])
    return f"{kept}…{_PLAIN if _STYLE.search(kept) else ''}"


def _without(line: str, spans: Sequence[Span]) -> str:
    """Return a line without the characters in some spans, and those that reach into one; styles are kept."""
    kept, column = "", 0
    for part in _STYLE.split(line):
        if _STYLE.fullmatch(part):
            kept += part
            continue
        for character in part:
            end = column + width_of(character)
            kept += "" if any(start < max(end, column + 1) and column < stop for start, stop in spans) else character
            column = end
    return kept


def sentences(lines: Iterable[str], columns: int | None) -> list[str]:
    """Return plain lines wrapped between words at `columns` columns, continuation lines indented."""
    if columns is None:
        return list(lines)
    return [part for line in lines for part in _wrapped(line, columns)]


def _wrapped(line: str, columns: int) -> Iterator[str]:
    """Yield the parts of a line; a word that is longer than a whole line is not broken."""
    margin = line[: len(line) - len(line.lstrip())]
    part = ""
    for word in re.findall(r"\s*\S+", line):
        if part and width_of(part + word) > columns:
            yield part
            part, word = f"{margin}  ", word.lstrip()  # noqa: PLW2901
        part += word
    yield part


def fitted(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    columns: int | None,
    *,
    right: Collection[str] = (),
    spared: Sequence[str] = (),
) -> list[str] | None:
    """Return a table as lines, the headings first, without as many of the `spared` columns as a terminal cannot show.

    Args:
        columns: width of the terminal; None: the table is whole.
        right: headings of the columns that are aligned on the right.
        spared: headings of the columns that may be left out, in this order.

    Returns:
        None if the other columns do not fit either.
    """
    shown = list(range(len(headings)))
    widths = [max(map(width_of, cells)) for cells in zip(headings, *rows, strict=True)]
    left_out = [headings.index(heading) for heading in spared]
    while columns is not None and sum(widths[at] + 2 for at in shown) - 2 > columns:
        if not left_out:
            return None
        shown.remove(left_out.pop(0))
    return [
        "  ".join(padded(cells[at], widths[at], right=headings[at] in right) for at in shown).rstrip()
        for cells in (headings, *rows)
    ]
