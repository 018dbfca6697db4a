"""Parses Python source, from several threads.

`ast.parse` counts its depth in one place for all threads (CPython 3.11 and 3.12, python/cpython issue 106905): two
calls at a time can raise SystemError, "AST constructor recursion depth mismatch". So only one thread parses at a time.
"""

import ast
import re
import threading
import warnings
from collections.abc import Iterable
from itertools import islice

BYTE_ORDER_MARK = "\ufeff"
"""Some editors of Windows begin a file with it; Python ignores it there."""

_LOCK = threading.Lock()
_LIKE_CODE = re.compile(r"\s*(?:import |from |[\w.]{1,80}\(|[\w.,\[\]'\" ]{1,80}?[-+*/%]?=(?!=))")
_LONGEST_LINE = 500  # characters
_MOST_PARSED = 200  # lines


def parse_script(source: str | bytes) -> ast.Module:
    """Return the syntax tree of a script, which may begin with a byte order mark.

    Columns count the bytes of the UTF-8 text, with the mark.

    Raises as `ast.parse` does: SyntaxError, ValueError, RecursionError, ...
    """
    if isinstance(source, str) and source.startswith(BYTE_ORDER_MARK):
        source = f"\f\f\f{source[1:]}"  # form feeds before a line mean nothing; the mark has three bytes
    with _LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such as an invalid escape sequence, which runs all the same
        return ast.parse(source)


def parses(source: str) -> bool:
    """Return whether `source` is valid Python."""
    try:
        parse_script(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # null bytes, lone surrogates, absurd nesting
        return False
    return True


def is_active_code(text: str) -> bool:
    """Return whether a text is Python that does something, such as an assignment or a call.

    Names, values and annotations alone do nothing: an example of output or data may look like that, or a word of prose.
    """
    if not parses(text):
        return False
    idle = (ast.Expr, ast.AnnAssign)
    return any(
        not isinstance(node, idle) or isinstance(getattr(node, "value", 0), ast.Call)
        for node in parse_script(text).body
    )


def first_active_line(lines: Iterable[tuple[int, str]]) -> int | None:
    """Return the number of the first line that is active code by itself; None if none is.

    `lines`: numbers and texts; of those that look like code, 200 are parsed.
    """
    likely = ((n, line.strip()) for n, line in lines if len(line) < _LONGEST_LINE and _LIKE_CODE.match(line))
    return next((n for n, text in islice(likely, _MOST_PARSED) if is_active_code(text)), None)


def parse_expression(text: str) -> ast.expr:
    """Return the syntax tree of an expression. Raises as `ast.parse` does."""
    with _LOCK:
        return ast.parse(text, mode="eval").body
