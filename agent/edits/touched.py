"""Whether an edit touches what somebody has named: a schedule, a batch size, a seed."""

import ast
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from functools import lru_cache

_MOST_PAIRS = 250_000  # of equal lines: more take minutes to align, and all between the first and last change counts


def touched(before: str, after: str, names: Sequence[str]) -> str | None:
    """Return the first of `names` that a changed line, or a function around it, has in it; None if there is none.

    A name counts in any case and as a part of a word: "warm" is in WARMUP_RATIO. Sources are compared line by line.
    """
    old, new = before.splitlines(), after.splitlines()
    functions_old, functions_new = _functions(before), _functions(after)
    texts: list[str] = []
    for old_from, old_to, new_from, new_to in _changes(old, new):
        texts += [*old[old_from:old_to], *_around(functions_old, old_from, old_to)]
        texts += [*new[new_from:new_to], *_around(functions_new, new_from, new_to)]
    changed = "\n".join(texts).casefold()
    return next((name for name in names if name.casefold() in changed), None)


def _changes(old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[int, int, int, int]]:
    """Yield where lines differ: from and to of the old ones, then of the new ones, counted from 0."""
    least = min(len(old), len(new))
    head = next((n for n in range(least) if old[n] != new[n]), least)  # most edits are small: only compare around them
    tail = next((n for n in range(least - head) if old[-1 - n] != new[-1 - n]), least - head)
    gone, come = old[head : len(old) - tail], new[head : len(new) - tail]
    n_times = Counter(come)
    if sum(n_times[line] for line in gone) > _MOST_PAIRS:
        yield head, len(old) - tail, head, len(new) - tail
        return
    middle = SequenceMatcher(None, gone, come, autojunk=False)
    for tag, old_from, old_to, new_from, new_to in middle.get_opcodes():
        if tag != "equal":
            yield head + old_from, head + old_to, head + new_from, head + new_to


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
