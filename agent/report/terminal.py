"""Fits lines to a terminal's width: rows are cut, sentences are wrapped. Without a terminal, lines stay whole."""

import re
import shutil
import textwrap
from collections.abc import Iterable, Sequence
from typing import TextIO

NARROW = 100
_STYLE = re.compile(r"(\x1b\[[0-9;]*m)")
_PLAIN = "\x1b[0m"


def columns_of(stream: TextIO) -> int | None:
    """Return the width of the terminal that a stream writes to, in columns; None if it is not a terminal."""
    return shutil.get_terminal_size().columns if stream.isatty() else None


def row(line: str, columns: int | None, spared: Sequence[tuple[int, int]]) -> str:
    """Return a table row cut to `columns` characters, ending in an ellipsis. ANSI styles take no width.

    Below `NARROW` columns, the half-open spans of `spared` (start, end) are dropped first.
    """
    if columns is None or len(_STYLE.sub("", line)) <= columns:
        return line
    if columns < NARROW:
        line = _without(line, spared)
    if len(_STYLE.sub("", line)) <= columns:
        return line
    cut = _without(line, [(columns - 1, len(line))])
    return f"{cut}…{_PLAIN if _STYLE.search(cut) else ''}"


def _without(line: str, spans: Sequence[tuple[int, int]]) -> str:
    """Return a line without the characters in the half-open spans (start, end); styles are kept."""
    kept, column = "", 0
    for part in _STYLE.split(line):
        if _STYLE.fullmatch(part):
            kept += part
            continue
        for character in part:
            kept += "" if any(start <= column < end for start, end in spans) else character
            column += 1
    return kept


def sentences(lines: Iterable[str], columns: int | None) -> list[str]:
    """Return plain lines wrapped between words at `columns` characters, continuation lines indented."""
    if columns is None:
        return list(lines)
    broken = []
    for line in lines:
        margin = line[: len(line) - len(line.lstrip())]
        fold = textwrap.TextWrapper(columns, subsequent_indent=f"{margin}  ", break_on_hyphens=False)
        broken += fold.wrap(line) or [""]
    return broken
