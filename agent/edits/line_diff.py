"""Line differences between versions of a script: diffs, three-way merges, and the names that a change touches.

All of them take seconds at most, whatever the versions are.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher, unified_diff
from functools import lru_cache
from typing import NamedTuple

from agent.edits.syntax import parse_script

# Above either limit, everything between the first and the last change counts as changed. Below both, aligning takes
# 2 s at most (measured 2026-11-22: 100,000 pairs, or 4,000 lines with every second one changed); well above, minutes.
_MOST_PAIRS = 100_000  # of equal lines
_MOST_LINES = 8_000  # of both versions


def changes(old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[int, int, int, int]]:
    """Yield the ranges of lines that differ: (old start, old end, new start, new end), from 0, ends excluded."""
    least = min(len(old), len(new))
    head = next((n for n in range(least) if old[n] != new[n]), least)  # most edits are small: only compare around them
    tail = next((n for n in range(least - head) if old[-1 - n] != new[-1 - n]), least - head)
    gone, come = old[head : len(old) - tail], new[head : len(new) - tail]
    n_times = Counter(come)
    if len(gone) + len(come) > _MOST_LINES or sum(n_times[line] for line in gone) > _MOST_PAIRS:
        yield head, len(old) - tail, head, len(new) - tail
        return
    middle = SequenceMatcher(None, gone, come, autojunk=False)
    for tag, old_from, old_to, new_from, new_to in middle.get_opcodes():
        if tag != "equal":
            yield head + old_from, head + old_to, head + new_from, head + new_to


class _Hunk(NamedTuple):
    """Lines [start, end) of the base and their replacement; an empty range is an insertion."""

    start: int
    end: int
    lines: tuple[str, ...]


def merged(base: str, ours: str, theirs: str) -> str | None:
    """Return `ours` with the changes from `base` to `theirs`; None if both sides changed the same lines.

    Unlike git's merge it accepts changes of adjacent lines, since a script's constants often are adjacent. If the
    texts are too large or too repetitive to align, everything between the first and the last change counts as changed.
    """
    lines = base.splitlines(keepends=True)
    own, other = _hunks(lines, ours), _hunks(lines, theirs)
    if _any_clash(own, other):
        return None
    at, result = 0, []
    for hunk in sorted({*own, *other}, key=lambda hunk: hunk[:2]):
        result += [*lines[at : hunk.start], *hunk.lines]
        at = hunk.end
    return "".join([*result, *lines[at:]])


def n_changed_lines(old: str, new: str) -> int:
    """Return the number of lines that a diff between two texts removes, plus the number that it adds."""
    return sum(hunk.end - hunk.start + len(hunk.lines) for hunk in _hunks(old.splitlines(keepends=True), new))


def _hunks(base: list[str], text: str) -> list[_Hunk]:
    lines = text.splitlines(keepends=True)
    return [_Hunk(i, j, tuple(lines[k:m])) for i, j, k, m in changes(base, lines)]


def _any_clash(own: list[_Hunk], other: list[_Hunk]) -> bool:
    """Return whether any two hunks clash. Each side's hunks are sorted and disjoint, so one pass is enough."""
    a = b = 0
    while a < len(own) and b < len(other):
        if _clash(own[a], other[b]):
            return True
        if own[a].end <= other[b].end:
            a += 1
        else:
            b += 1
    return False


def _clash(a: _Hunk, b: _Hunk) -> bool:
    if a == b:
        return False  # the same change on both sides
    if a.start == a.end == b.start == b.end:
        return True  # two insertions at one place: their order is undefined
    return a.start < b.end and b.start < a.end


def touched(before: str, after: str, names: Sequence[str]) -> str | None:
    """Return the first of `names` that occurs in a changed line or in the name of a function around it; else None.

    Case is ignored and a part of a word is enough: "warm" is in WARMUP_RATIO. Sources are compared line by line.
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
        tree = parse_script(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # then only the changed lines are searched
        return ()
    found = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return tuple((node.name, node.lineno, node.end_lineno or node.lineno) for node in found)


def _around(functions: Iterable[tuple[str, int, int]], first: int, end: int) -> Iterator[str]:
    """Yield the names of the functions that contain any of the lines [first, end), counted from 0."""
    for name, first_line, last_line in functions:
        if first < end and first < last_line and end >= first_line:
            yield name


def diff_of(name: str, before: str, after: str) -> str:
    """Return the unified diff between two versions of a file, as git writes it; empty if they are equal."""
    # Not splitlines, which also splits at form feeds and other characters that end no line of a patch.
    old, new = (re.findall(r"[^\n]*\n|[^\n]+", text) for text in (before, after))
    lines = list(unified_diff(old, new, f"a/{name}", f"b/{name}"))
    ended = (line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
    return "".join([f"diff --git a/{name} b/{name}\n", *ended]) if lines else ""
