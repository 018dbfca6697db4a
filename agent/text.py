"""Text for the terminal and for reports: plurals, and untrusted text made short and safe to print."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.files import plain_file
from sandbox.characters import describe, is_hidden

Say = Callable[[str], None]
"""Prints one line for the user."""

_TAIL_BYTES = 20_000


def plural(n: int, one: str, several: str | None = None) -> str:
    """Return `1 trial` or `3 trials`; `several` is the plural if it is irregular."""
    return f"{n} {one if n == 1 else several or one + 's'}"


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
