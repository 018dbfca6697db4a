"""Two versions of a text side by side, with the changed words marked and long unchanged parts folded."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise
from typing import Any

from agent.edits.line_diff import changes
from agent.text import inert

CONTEXT = 3  # unchanged lines that are shown around a change
_MOST_PAIRS = 900  # pairs of lines in one changed place up to which similar lines are sought; beyond: first with first
_MOST_WORDS = 300  # in one line up to which changed words are marked; in a longer one, all of it is
_MOST_WORD_PAIRS = 400_000  # words before times words after, in one changed place up to which similar lines are sought
_ALIKE = 0.5  # share of common words from which two lines are versions of each other
_WORD = re.compile(r"\d[\w.]*|\w+|\s+|[^\w\s]")

Part = tuple[str, bool]
"""A piece of a line, and whether it was changed."""


@dataclass(frozen=True)
class DiffLine:
    """One line of one version."""

    number: int  # from 1
    parts: tuple[Part, ...]

    @property
    def text(self) -> str:
        return "".join(text for text, _ in self.parts)

    def to_json(self) -> list[Any]:
        """Return `[number, text, changed text, text, ...]`: unchanged and changed pieces in turn."""
        pieces = [""]
        for text, is_changed in self.parts:
            if is_changed == (len(pieces) % 2 == 0):
                pieces[-1] += text
            else:
                pieces.append(text)
        return [self.number, *pieces]


@dataclass(frozen=True)
class DiffRow:
    """One row of two versions side by side: an unchanged line, a changed one, or the number of lines left out."""

    left: DiffLine | None = None  # None: the line is new
    right: DiffLine | None = None  # None: the line was removed
    is_changed: bool = False
    n_folded: int = 0  # unchanged lines that this row stands for

    @property
    def n_characters(self) -> int:
        sides = (self.left, self.right) if self.is_changed else (self.left,)
        return sum(len(side.text) + 8 for side in sides if side is not None) + 8

    def to_json(self) -> Any:
        """Return the number of folded lines, `[left, right]` of a changed row, or `[left, right number]`."""
        if self.n_folded:
            return self.n_folded
        if self.is_changed:
            return [side.to_json() if side is not None else None for side in (self.left, self.right)]
        assert self.left is not None
        assert self.right is not None
        return [self.left.to_json(), self.right.number]


def side_by_side(before: str, after: str) -> list[DiffRow]:
    """Return the rows that show two versions of a script side by side; none if all lines are equal.

    Control and invisible characters are escaped. The time is bounded, whatever the texts are.
    """
    old, new = (inert(text).split("\n") for text in (before, after))
    places = list(changes(old, new))
    if not places:
        return []
    rows: list[DiffRow] = []
    ends = [(0, 0, 0, 0), *places, (len(old), len(old), len(new), len(new))]
    for (_, old_from, _, new_from), (old_to, _, _, _) in pairwise(ends):
        same = [_same(old, old_from + n, new_from + n) for n in range(old_to - old_from)]
        rows += _folded(same, is_first=old_from == 0, is_last=old_to == len(old))
        place = next((place for place in places if place[0] == old_to and place[2] == new_from + len(same)), None)
        if place is not None:
            rows += _changed(old, new, place)
    return rows


def _same(old: Sequence[str], at: int, there: int) -> DiffRow:
    parts = ((old[at], False),)
    return DiffRow(DiffLine(at + 1, parts), DiffLine(there + 1, parts))


def _folded(rows: list[DiffRow], *, is_first: bool, is_last: bool) -> list[DiffRow]:
    """Return unchanged rows between two changes, with those far from both replaced by their number."""
    head, tail = (0 if is_first else CONTEXT), (0 if is_last else CONTEXT)
    n_folded = len(rows) - head - tail
    if n_folded < 2:
        return rows
    return [*rows[:head], DiffRow(n_folded=n_folded), *rows[len(rows) - tail :]]


def _changed(old: Sequence[str], new: Sequence[str], place: tuple[int, int, int, int]) -> Iterator[DiffRow]:
    """Yield the rows of one changed place: similar lines beside each other, others alone."""
    old_from, old_to, new_from, new_to = place
    at, there = old_from, new_from
    for left, right in [*_partners(old[old_from:old_to], new[new_from:new_to]), (old_to - old_from, new_to - new_from)]:
        for number in range(at, old_from + left):
            yield DiffRow(left=DiffLine(number + 1, ((old[number], True),)), is_changed=True)
        for number in range(there, new_from + right):
            yield DiffRow(right=DiffLine(number + 1, ((new[number], True),)), is_changed=True)
        at, there = old_from + left, new_from + right
        if at < old_to and there < new_to:
            lefts, rights = _marked(old[at], new[there])
            yield DiffRow(DiffLine(at + 1, lefts), DiffLine(there + 1, rights), is_changed=True)
            at, there = at + 1, there + 1


def _partners(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int]]:
    """Return pairs of lines that are versions of each other, in order, such that as much as possible is alike."""
    if len(old) * len(new) > _MOST_PAIRS:
        return [(n, n) for n in range(min(len(old), len(new)))]
    words = [[_WORD.findall(line)[:_MOST_WORDS] for line in lines] for lines in (old, new)]
    if sum(map(len, words[0])) * sum(map(len, words[1])) > _MOST_WORD_PAIRS:
        return [(n, n) for n in range(min(len(old), len(new)))]
    best = [[0.0] * (len(new) + 1) for _ in range(len(old) + 1)]  # likeness of the lines from here on
    alike = [[_likeness(left, right) for right in words[1]] for left in words[0]]
    for i in reversed(range(len(old))):
        for j in reversed(range(len(new))):
            best[i][j] = max(best[i + 1][j], best[i][j + 1], best[i + 1][j + 1] + alike[i][j])
    pairs, i, j = list[tuple[int, int]](), 0, 0
    while i < len(old) and j < len(new):
        if alike[i][j] and best[i][j] == best[i + 1][j + 1] + alike[i][j]:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1
    return pairs


def _likeness(left: list[str], right: list[str]) -> float:
    """Return the share of words that two lines have in common; 0 if they are no versions of each other."""
    matcher = SequenceMatcher(None, left, right, autojunk=False)
    if matcher.real_quick_ratio() < _ALIKE or matcher.quick_ratio() < _ALIKE:
        return 0.0
    share = matcher.ratio()
    return share if share >= _ALIKE else 0.0


def _marked(old: str, new: str) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    """Return two versions of a line as pieces, the changed words marked."""
    left, right = _WORD.findall(old), _WORD.findall(new)
    if max(len(left), len(right)) > _MOST_WORDS:
        return ((old, True),), ((new, True),)
    lefts, rights = list[Part](), list[Part]()
    for tag, i, j, k, m in SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        lefts.append(("".join(left[i:j]), tag != "equal"))
        rights.append(("".join(right[k:m]), tag != "equal"))
    return tuple(part for part in lefts if part[0]), tuple(part for part in rights if part[0])
