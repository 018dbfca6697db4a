"""Lines on a terminal: a row is cut to its width, a sentence goes on below. Elsewhere every line stays whole."""

import re
import shutil
import textwrap
from collections.abc import Iterable, Sequence
from typing import TextIO

NARROW = 100
_STYLE = re.compile(r"(\x1b\[[0-9;]*m)")
_PLAIN = "\x1b[0m"


def columns_of(stream: TextIO) -> int | None:
    """Return how many columns the terminal has that a stream writes to; None if it is none."""
    return shutil.get_terminal_size().columns if stream.isatty() else None


def row(line: str, columns: int | None, spared: Sequence[tuple[int, int]]) -> str:
    """Return a line of a table cut to so many columns, an ellipsis in the last one. Styles take no room.

    Where that leaves little room, what stands from the first to before the second of each of `spared` is left out.
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
    """Return a line without the columns from the first to before the second of each span, styles kept."""
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
    """Return plain lines broken between words at so many columns; what goes on is indented."""
    if columns is None:
        return list(lines)
    broken = []
    for line in lines:
        margin = line[: len(line) - len(line.lstrip())]
        fold = textwrap.TextWrapper(columns, subsequent_indent=f"{margin}  ", break_on_hyphens=False)
        broken += fold.wrap(line) or [""]
    return broken
