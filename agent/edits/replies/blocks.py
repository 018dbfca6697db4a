"""SEARCH/REPLACE blocks in a model's reply: all of them are understood, or the reply is refused.

A mark can also be a line of the script: `=======` under a heading, or a whole block in a prompt. So the script decides:
SEARCH ends at the last divider with which it matches, and a block ends where the rest of the reply is understood too.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import takewhile

from agent.edits.replies.omissions import refuse_omissions
from agent.edits.search_replace import DIVIDER, REPLACE_MARK, SEARCH_MARK, Block, Script, SearchReplace, Tolerance
from agent.edits.syntax import first_active_line, parses
from agent.errors import EditError

# Models miscount the signs and may name the file after the word. Lines are stripped before they are compared.
_OPENS = re.compile(r"<{5,9}\s*SEARCH\b[:\s]*")
_CLOSES = re.compile(r">{5,9}\s*REPLACE\b")
_DIVIDES = re.compile(r"={5,9}")
_ALIKE = re.compile(r"[>|]?\s*(?:<{4,}|>{4,}|[<>]{2,3}\s*(?:SEARCH|REPLACE|ORIGINAL|UPDATED)\b)")
_HUNK = re.compile(r"@@ -\d|\+\+\+ \S")
_FENCE = re.compile(r"(`{3,}|~{3,})\s*[\w+-]*")
_FILE = re.compile(r"(?:.*/)?([\w-]+\.\w+)")
_AROUND_NAMES = " \t`'\"()[]<>*:"
_MOST_ENDS = 12  # places where a block may end that are tried
_MOST_TRIES = 20_000  # for one reply


class _Kind(Enum):
    OPENS = auto()
    DIVIDES = auto()
    CLOSES = auto()
    ALIKE = auto()  # looks like a mark, but is none


@dataclass(frozen=True)
class _Mark:
    kind: _Kind
    line: int  # of the reply, from 0


def parse(reply: str, script: str | None = None, source: str = "") -> SearchReplace:
    """Return the blocks in a model's reply; prose and fences around them, and CRLF line ends, are ignored.

    Args:
        script: the only file that may be named after SEARCH; None: any.
        source: the text of the script.

    Raises:
        EditError: there is no block, one is incomplete or names another file, or something that looks like a part of
            an edit belongs to no block.
    """
    lines = reply.replace("\r\n", "\n").split("\n")
    reading = _Reading(lines, source)
    blocks = reading.blocks()
    if blocks is None:
        raise EditError(_fault(lines, reading.marks))
    if not blocks:
        raise EditError(f"no block found; write {SEARCH_MARK}, {DIVIDER} and {REPLACE_MARK} each on its own line")
    _refuse_strays(lines, blocks)
    for number, (opens, _, block) in enumerate(blocks, start=1):
        _check_file(number, _OPENS.sub("", lines[opens].strip(), count=1), script)
        refuse_omissions(block.replace, source, f"REPLACE of block {number}")
    return SearchReplace(tuple(block for _, _, block in blocks))


_Found = tuple[int, int, Block]  # the first and the last line of a block in the reply, and what it says


@dataclass
class _Reading:
    """Looks for blocks that account for every mark of a reply."""

    lines: Sequence[str]
    source: str
    marks: list[_Mark] = field(init=False)
    _tries_left: int = _MOST_TRIES

    def __post_init__(self) -> None:
        self.marks = [_Mark(kind, n) for n, line in enumerate(self.lines) if (kind := _kind(line)) is not None]
        self._script = Script(self.source)
        self._known = frozenset(line.strip() for line in self.source.split("\n"))

    def blocks(self) -> list[_Found] | None:
        """Return the blocks; None if no reading accounts for every mark."""
        found: list[_Found] = []
        options: list[tuple[int, Iterator[tuple[_Found, int]]]] = []
        dead: set[int] = set()  # marks from which there is no complete reading
        at = self._next(0)
        while at < len(self.marks):
            options.append((at, self._blocks_from(at)))
            while options:
                step = next(((block, after) for block, after in options[-1][1] if after not in dead), None)
                if step is not None:
                    break
                dead.add(options.pop()[0])
                if found:
                    found.pop()
            else:
                return None
            found.append(step[0])
            at = step[1]
        return found

    def _next(self, at: int) -> int:
        """Return the place of the next mark that is no divider: a line of `=` in prose underlines a heading."""
        while at < len(self.marks) and self.marks[at].kind is _Kind.DIVIDES:
            at += 1
        return at

    def _blocks_from(self, at: int) -> Iterator[tuple[_Found, int]]:
        """Yield the blocks that may begin at a mark, each with the next mark after it; likelier ones come first."""
        if self.marks[at].kind is not _Kind.OPENS:
            return
        first = self.marks[at].line
        dividers: list[int] = []
        unmatched: tuple[_Found, int] | None = None
        n_ends, is_plain = 0, True  # whether there are no marks within the halves
        for place in range(at + 1, len(self.marks)):
            mark = self.marks[place]
            if mark.kind is _Kind.DIVIDES:
                dividers.append(mark.line)
            elif mark.kind is _Kind.CLOSES:
                n_ends += 1
                if n_ends > 1 and (n_ends > _MOST_ENDS or self._tries_left <= 0):
                    break
                block = self._matched(first, dividers, mark.line)
                if block is not None:
                    yield (first, mark.line, block), self._next(place + 1)
                elif is_plain and len(dividers) == 1:
                    halves = self.lines[first + 1 : dividers[0]], self.lines[dividers[0] + 1 : mark.line]
                    bare = [half if (inner := _fenced(half)) is None else inner for half in halves]
                    unmatched = (first, mark.line, Block(_text(bare[0]), _text(bare[1]))), self._next(place + 1)
                is_plain = False
            else:
                is_plain = False
        if unmatched is not None:
            yield unmatched

    def _matched(self, first: int, dividers: Sequence[int], last: int) -> Block | None:
        """Return the block whose SEARCH matches the script, at the last divider that makes it match; None if none."""
        by_tolerance: dict[Tolerance, Block] = {}
        for divider in dividers[-_MOST_ENDS:]:
            self._tries_left -= 1
            search, replace = self.lines[first + 1 : divider], self.lines[divider + 1 : last]
            for half, is_bare in ((search, False), (_fenced(search), True)):
                tolerance = self._script.tolerance_of(_text(half)) if half else None
                if half is not None and tolerance is not None:
                    block = self._block(half, replace, is_bare=is_bare)
                    if block is not None:
                        by_tolerance[tolerance] = block
                    break
        return next((by_tolerance[tolerance] for tolerance in Tolerance if tolerance in by_tolerance), None)

    def _block(self, search: Sequence[str], replace: Sequence[str], *, is_bare: bool) -> Block | None:
        """Return the block of two halves; None if REPLACE has marks that are no part of the code.

        `is_bare`: whether a fence around SEARCH was taken away; one around REPLACE is taken away too then, and
        otherwise only if the script does not parse with it.
        """
        block = Block(_text(search), _text(replace))
        kinds = [(kind, line) for line in replace if (kind := _kind(line)) is not None]
        if any(kind is not _Kind.DIVIDES and line.strip() not in self._known for kind, line in kinds):
            return None
        inner = _fenced(replace)
        if inner is not None and (is_bare or not self._parses_with(block)):
            block = Block(_text(search), _text(inner))
        if kinds and not self._parses_with(block):
            return None
        return block

    def _parses_with(self, block: Block) -> bool:
        try:
            return parses(SearchReplace((block,)).apply(self.source))
        except EditError:  # SEARCH is in several places
            return False


def _kind(line: str) -> _Kind | None:
    text = line.strip()
    if not text or text[0] not in "<>=|":
        return None
    if _OPENS.match(text):
        return _Kind.OPENS
    if _CLOSES.match(text):
        return _Kind.CLOSES
    if _DIVIDES.fullmatch(text):
        return _Kind.DIVIDES
    return _Kind.ALIKE if _ALIKE.match(text) else None


def _fenced(half: Sequence[str]) -> Sequence[str] | None:
    """Return the lines of a half within the fence around all of them; None if there is none."""
    if len(half) < 2 or not (fence := _FENCE.fullmatch(half[0].strip())):
        return None
    return half[1:-1] if half[-1].strip() == fence[1] else None


def _text(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _check_file(number: int, after_search: str, script: str | None) -> None:
    """Raise EditError if the text after SEARCH names a file other than the script."""
    named = _FILE.fullmatch(after_search.strip(_AROUND_NAMES)[:300])
    if script is not None and named is not None and named[1] != script:
        raise EditError(f"block {number} changes {named[1]}; only {script} may be changed")


def _refuse_strays(lines: Sequence[str], blocks: Sequence[_Found]) -> None:
    """Raise EditError if parts of a diff stand beside the blocks, or if code follows a block."""
    after = 0
    for first, last, _ in (*blocks, (len(lines), 0, None)):
        code = first_active_line((n, lines[n]) for n in _after_block(lines, after, first)) if after else None
        if code is not None:
            raise EditError(
                f"line {code + 1} of the reply ({lines[code].strip()[:60]}) is code after the end of a block; "
                f"write it before {REPLACE_MARK}"
            )
        for number in range(after, first):
            if _HUNK.match(lines[number]):
                raise EditError(
                    f"line {number + 1} of the reply ({lines[number][:60]}) is part of a diff; "
                    f"write every change as a block, from {SEARCH_MARK} to {REPLACE_MARK}"
                )
        after = last + 1


def _after_block(lines: Sequence[str], begin: int, end: int) -> Iterator[int]:
    """Return the numbers of the lines between a block and the next fence or `end`, without a fence around the block."""
    written = [n for n in range(begin, end) if lines[n].strip()]
    if written and _FENCE.fullmatch(lines[written[0]].strip()):
        del written[0]
    return takewhile(lambda n: not _FENCE.match(lines[n].strip()), written)


def _fault(lines: Sequence[str], marks: Sequence[_Mark]) -> str:
    """Return what is wrong with blocks that were not understood: the first mark out of order."""
    number, expected = 1, _Kind.OPENS
    for mark in marks:
        if mark.kind is expected:
            number += expected is _Kind.CLOSES
            expected = _AFTER[expected]
        elif mark.kind is not _Kind.DIVIDES or expected is not _Kind.OPENS:  # else it underlines a heading
            shown = f"line {mark.line + 1} of the reply ({lines[mark.line].strip()[:60]})"
            return _out_of_order(number, mark.kind, expected, shown)
    if expected is not _Kind.OPENS:
        return f"block {number}: it has no {REPLACE_MARK} line; send the whole block"
    return "the blocks were not understood: their marks also stand in the script; quote fewer of these lines"


_AFTER = {_Kind.OPENS: _Kind.DIVIDES, _Kind.DIVIDES: _Kind.CLOSES, _Kind.CLOSES: _Kind.OPENS}


def _out_of_order(number: int, kind: _Kind, expected: _Kind, shown: str) -> str:
    if expected is _Kind.OPENS:
        return f"{shown} belongs to no block; each block has {SEARCH_MARK}, {DIVIDER} and {REPLACE_MARK}, in order"
    match kind:
        case _Kind.OPENS:
            return f"block {number}: a new {SEARCH_MARK} line before its {REPLACE_MARK} line"
        case _Kind.CLOSES:
            return f"block {number}: no {DIVIDER} line between SEARCH and REPLACE"
        case _Kind.DIVIDES:
            return (
                f"block {number}: a second {DIVIDER} line; one separates SEARCH from REPLACE (if it is a line of the "
                "script, quote it exactly, with the lines around it)"
            )
    return f"block {number}: {shown} looks like a mark; write {SEARCH_MARK}, {DIVIDER} or {REPLACE_MARK}"
