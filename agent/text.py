"""Text for the terminal and for reports: plurals, and untrusted text made short and safe to print."""

import json
import re
import unicodedata
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from agent.files import plain_file
from sandbox.characters import describe, is_hidden

Say = Callable[[str], None]
"""Prints one line for the user."""

_TAIL_BYTES = 20_000
_WITHOUT_WIDTH = ("Mn", "Me", "Cf")  # general categories: marks on the character before, and format characters


def plural(n: int, one: str, several: str | None = None) -> str:
    """Return `1 trial` or `3 trials`; `several` is the plural if it is irregular."""
    return f"{n} {one if n == 1 else several or one + 's'}"


def width_of(text: str) -> int:
    """Return the number of columns that text takes on a terminal: two for a wide East Asian character or an emoji."""
    return len(text) if text.isascii() else sum(map(_width, text))


def cut(text: str, columns: int) -> str:
    """Return text cut to a number of columns, at least 1; the last one is an ellipsis if something is cut."""
    if width_of(text) <= columns:
        return text
    used = 0
    for at, character in enumerate(text):
        used += _width(character)
        if used >= columns:
            return f"{text[:at]}…"
    return text


def padded(text: str, columns: int, *, right: bool = False) -> str:
    """Return text filled with blanks to a number of columns: on its right or, with `right`, on its left."""
    blanks = " " * max(0, columns - width_of(text))
    return blanks + text if right else text + blanks


def _width(character: str) -> int:
    if unicodedata.category(character) in _WITHOUT_WIDTH:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def local_now() -> datetime:
    """Return the present time in the zone of this machine."""
    return datetime.now(UTC).astimezone()


def local_time(text: str) -> datetime | None:
    """Return a recorded ISO 8601 time in the zone of this machine; None if a journal has another text there."""
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        return None


def time_of_day(moment: datetime, now: datetime) -> str:
    """Return when something was or will be, in the zone of `now`: `19:05`, `Sat 19:05` or `2026-11-21`.

    Args:
        moment: with a time zone; within six days of `now` the day of the week is enough, beyond that the date.
    """
    there = moment.astimezone(now.tzinfo)
    if there.date() == now.date():
        return f"{there:%H:%M}"
    return f"{there:%a %H:%M}" if abs(there - now) < timedelta(days=6) else f"{there:%Y-%m-%d}"


def summary(log: str) -> str:
    """Return the part of a log after its last line `---`; empty if there is no such line.

    If there is none, a line that only ends in `---` counts: it continues a progress bar that was not ended.
    """
    _, marker, rest = f"\n{log}".rpartition("\n---\n")
    if not marker:
        _, marker, rest = re.sub(r"-{4,}", "", log).rpartition("---\n")
    return rest if marker else ""


def read_tail(log: Path) -> str:
    """Return the last 20,000 bytes of a log as text; empty if there is no log."""
    try:
        with plain_file(log).open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            return file.read(_TAIL_BYTES).decode(errors="replace")
    except FileNotFoundError:
        return ""


def last_line(log: str) -> str:
    """Return the last line that is not blank, cut to 160 characters; `no output` if there is none."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return lines[-1][:160] if lines else "no output"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean …?` with one or two names that a misspelt word resembles; empty if it resembles none."""
    from difflib import get_close_matches  # takes 5 ms, which only a mistake needs

    found = get_close_matches(word, list(known), n=2, cutoff=0.6)
    return f"; did you mean {' or '.join(found)}?" if found else ""


def no_such(kind: str, word: str, known: Iterable[str]) -> str:
    """Return why a word names nothing: `there is no such mode; did you mean tpe?`, or all names that there are."""
    names = list(known)
    return f"there is no such {kind}" + (did_you_mean(word, names) or f"; there are {', '.join(names)}")


def one_line(text: str) -> str:
    """Return text on one line, without control and invisible characters, so that it cannot forge a table row."""
    if text.isprintable() and text.isascii() and "  " not in text:
        return text.strip()
    return " ".join("".join(c if c.isprintable() and not is_hidden(c) else " " for c in text).split())


def as_json(document: Any) -> str:
    """Return an indented JSON document in which control and invisible characters are escaped."""
    text = json.dumps(document, indent=2, ensure_ascii=False)
    if text.isascii():
        return text.replace("\x7f", "\\u007f")
    return "".join(json.dumps(c)[1:-1] if c != "\n" and is_hidden(c) else c for c in text)


def hidden_in(text: str) -> str | None:
    """Return the name of the first control or invisible character of a text; None if there is none.

    Newlines and tabs do not count.
    """
    pairs = zip(f" {text}", text, strict=False)
    return next((describe(c) for before, c in pairs if c not in "\n\t" and is_hidden(c, before)), None)


def inert(text: str) -> str:
    """Return text with control and invisible characters escaped, such as `\\x1b`; newlines and tabs stay."""
    if text.isascii() and text.replace("\n", "").replace("\t", "").isprintable():
        return text
    pairs = zip(f" {text}", text, strict=False)
    return "".join(
        c.encode("unicode_escape").decode() if c not in "\n\t" and is_hidden(c, before) else c for before, c in pairs
    )
