"""Whether an edit touches what somebody has named: a schedule, a batch size, a seed."""

import ast
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from agent.edits.alignment import changes


def touched(before: str, after: str, names: Sequence[str]) -> str | None:
    """Return the first of `names` that a changed line, or a function around it, has in it; None if there is none.

    A name counts in any case and as a part of a word: "warm" is in WARMUP_RATIO. Sources are compared line by line.
    """
    old, new = before.splitlines(), after.splitlines()
    functions_old, functions_new = _functions(before), _functions(after)
    texts: list[str] = []
    for old_from, old_to, new_from, new_to in changes(old, new):
        texts += [*old[old_from:old_to], *_around(functions_old, old_from, old_to)]
        texts += [*new[new_from:new_to], *_around(functions_new, new_from, new_to)]
    changed = "\n".join(texts).casefold()
    return next((name for name in names if name.casefold() in changed), None)


@lru_cache(maxsize=64)  # most comparisons are with the same champion
def _functions(source: str) -> tuple[tuple[str, int, int], ...]:
    """Return name, first and last line, counted from 1, of every function."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # then the lines alone must tell
        return ()
    found = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return tuple((node.name, node.lineno, node.end_lineno or node.lineno) for node in found)


def _around(functions: Iterable[tuple[str, int, int]], first: int, end: int) -> Iterator[str]:
    """Yield the names of the functions that any of the lines `first` to `end`, counted from 0, lie in."""
    for name, first_line, last_line in functions:
        if first < end and first < last_line and end >= first_line:
            yield name
