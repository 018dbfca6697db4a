"""Carrying a change of one version of a script over to another version, by lines, as git's three-way merge does."""

from typing import NamedTuple

from agent.edits.alignment import changes


class _Hunk(NamedTuple):
    """Lines [start, end) of the base, and what stands there instead; empty ranges are insertions."""

    start: int
    end: int
    lines: tuple[str, ...]


def merged(base: str, ours: str, theirs: str) -> str | None:
    """Return `ours` with what changed between `base` and `theirs`; None if both have changed the same lines.

    Unlike git's merge it lets changes of neighbouring lines be: constants of a script often stand below each other.
    Of texts too large or too monotonous to align, all between the first and the last change counts as changed.
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
    """Return how many lines a diff between two texts takes out and puts in."""
    return sum(hunk.end - hunk.start + len(hunk.lines) for hunk in _hunks(old.splitlines(keepends=True), new))


def _hunks(base: list[str], text: str) -> list[_Hunk]:
    lines = text.splitlines(keepends=True)
    return [_Hunk(i, j, tuple(lines[k:m])) for i, j, k, m in changes(base, lines)]


def _any_clash(own: list[_Hunk], other: list[_Hunk]) -> bool:
    """Return whether any two hunks clash. Those of a side are in order and apart, so one pass meets all neighbours."""
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
        return True  # two insertions at one place: nobody knows their order
    return a.start < b.end and b.start < a.end
