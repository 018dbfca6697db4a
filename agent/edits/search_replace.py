"""SEARCH/REPLACE blocks: the edit format in which models err least. Either all blocks are applied or none."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum
from typing import Any, ClassVar

from agent.edits.syntax import BYTE_ORDER_MARK
from agent.errors import EditError

SEARCH_MARK, DIVIDER, REPLACE_MARK = "<<<<<<< SEARCH", "=======", ">>>>>>> REPLACE"

# Models miscount the signs and may name the file after the word.
_SEARCH_LINE = re.compile(r"\s*<{5,9}\s*SEARCH\b[:\s]*(.*?)\s*")
_FILE = re.compile(r"(?:.*/)?([\w-]+\.\w+)")
_DIVIDER_LINE = re.compile(r"\s*={5,9}\s*")
_REPLACE_LINE = re.compile(r"\s*>{5,9}\s*REPLACE\b.*")
_FENCE_LINE = re.compile(r"\s*(```|~~~)\s*[\w+-]*\s*")
_NEAR_ENOUGH = 0.5  # similarity above which quoting the nearest lines helps more than it misleads


class Tolerance(StrEnum):
    """How a SEARCH text matched, from strict to lenient; nothing more lenient is tried."""

    EXACT = "exact"
    TRAILING_SPACE = "trailing space ignored"
    INDENTATION = "indentation shifted"

    @property
    def is_lenient(self) -> bool:
        return self is not Tolerance.EXACT


@dataclass(frozen=True)
class Block:
    """One replacement of whole lines. Every line of both texts ends in a newline; an empty text is no lines."""

    search: str
    replace: str


@dataclass(frozen=True)
class BlockMatch:
    """Where a block applies: lines start to stop (0-based, stop excluded) become `lines`."""

    start: int
    stop: int
    lines: tuple[str, ...]
    tolerance: Tolerance


@dataclass(frozen=True)
class SearchReplace:
    """Blocks that are all matched against the same source, then replaced together."""

    blocks: tuple[Block, ...]
    kind: ClassVar[str] = "search_replace"

    def apply(self, source: str) -> str:
        """Return `source` with every block replaced.

        Raises:
            EditError: a block matches no place or several, or two overlap; nothing is applied then. The message names
                every such block, and quotes the nearest lines of the script for a block without a match.
        """
        mark = BYTE_ORDER_MARK if source.startswith(BYTE_ORDER_MARK) else ""
        lines = source.removeprefix(mark).split("\n")
        for match in sorted(self.matches(source), key=lambda match: match.start, reverse=True):
            lines[match.start : match.stop] = match.lines
        return mark + "\n".join(lines)

    def matches(self, source: str) -> list[BlockMatch]:
        """Return where each block applies, and with which tolerance. Raises EditError as `apply` does."""
        found = self.found_in(source)
        problems = [
            f"block {n}: {problem}" for n, problem in enumerate(found, start=1) if isinstance(problem, EditError)
        ]
        if problems:
            raise EditError("\n".join(problems))
        return [match for match in found if isinstance(match, BlockMatch)]

    def found_in(self, source: str) -> list[BlockMatch | EditError]:
        """Return for each block its match, or the error that explains why there is none."""
        lines = source.removeprefix(BYTE_ORDER_MARK).split("\n")
        found: list[BlockMatch | EditError] = []
        taken: list[BlockMatch] = []
        for block in self.blocks:
            try:
                match = _match(block, lines)
            except EditError as problem:
                found.append(problem)
                continue
            overlaps = any(match.start < other.stop and other.start < match.stop for other in taken)
            found.append(EditError("it overlaps an earlier block; merge the two") if overlaps else match)
            taken.append(match)
        return found

    def tolerances(self, source: str) -> str:
        """Return one line with the blocks that matched leniently, and how; empty if all matched exactly."""
        lenient = [(n, match) for n, match in enumerate(self.matches(source), start=1) if match.tolerance.is_lenient]
        return ", ".join(f"block {number}: {match.tolerance}" for number, match in lenient)

    def to_json(self) -> dict[str, Any]:
        return {"blocks": [[block.search, block.replace] for block in self.blocks]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "SearchReplace":
        return cls(tuple(Block(search, replace) for search, replace in data["blocks"]))


def parse(reply: str, script: str | None = None) -> SearchReplace:
    """Return the blocks in a model's reply; prose and fences around them, and CRLF line ends, are ignored.

    Args:
        script: the only file that may be named after SEARCH; None: any.

    Raises:
        EditError: there is no block, or one is incomplete or names another file.
    """
    blocks: list[Block] = []
    search: list[str] | None = None
    replace: list[str] | None = None
    for line in reply.replace("\r\n", "\n").split("\n"):
        number = len(blocks) + 1
        if opens := _SEARCH_LINE.fullmatch(line):
            _check_file(number, opens[1], script)
            if search is not None:
                raise EditError(f"block {number}: a new {SEARCH_MARK} line before its {REPLACE_MARK} line")
            search = []
        elif search is None:
            continue  # prose
        elif _DIVIDER_LINE.fullmatch(line):
            if replace is not None:
                raise EditError(f"block {number}: a second {DIVIDER} line; one separates SEARCH from REPLACE")
            replace = []
        elif _REPLACE_LINE.fullmatch(line):
            if replace is None:
                raise EditError(f"block {number}: no {DIVIDER} line between SEARCH and REPLACE")
            blocks.append(Block(_text(search), _text(replace)))
            search = replace = None
        elif replace is not None:
            replace.append(line)
        else:
            search.append(line)
    if search is not None:
        raise EditError(f"block {len(blocks) + 1}: it has no {REPLACE_MARK} line; send the whole block")
    if not blocks:
        raise EditError(f"no block found; write {SEARCH_MARK}, {DIVIDER} and {REPLACE_MARK} each on its own line")
    return SearchReplace(tuple(blocks))


def _check_file(number: int, said: str, script: str | None) -> None:
    """Raise EditError if the text after SEARCH names a file other than the script."""
    named = _FILE.fullmatch(said)
    if script is not None and named is not None and named[1] != script:
        raise EditError(f"block {number} changes {said}; only {script} may be changed")


def _text(lines: Sequence[str]) -> str:
    """Return the lines of one half of a block; a fence around all of them is not part of it."""
    if len(lines) >= 2 and _FENCE_LINE.fullmatch(lines[0]) and lines[-1].strip() in ("```", "~~~"):
        lines = lines[1:-1]
    return "".join(f"{line}\n" for line in lines)


def _match(block: Block, lines: Sequence[str]) -> BlockMatch:
    """Return the single place where `block` applies, with the strictest tolerance that finds one."""
    wanted = _lines(block.search)
    if not any(line.strip() for line in wanted):
        raise EditError("SEARCH is empty; quote at least one line of the script")
    new = _lines(block.replace)
    for tolerance in Tolerance:
        starts = [at for at in range(len(lines) - len(wanted) + 1) if _fits(wanted, lines, at, tolerance)]
        if len(starts) > 1:
            places = ", ".join(str(at + 1) for at in starts[:5])
            raise EditError(f"SEARCH matches {len(starts)} places (lines {places}); quote more lines around it")
        if starts:
            at = starts[0]
            old = lines[at : at + len(wanted)]
            if tolerance is Tolerance.INDENTATION:
                new = _shifted(new, wanted, old)
            if old[0].endswith("\r"):
                new = [line if line.endswith("\r") else f"{line}\r" for line in new]
            return BlockMatch(at, at + len(wanted), tuple(new), tolerance)
    raise EditError(f"SEARCH is not in the script.{_nearest(wanted, lines)}")


def _fits(wanted: Sequence[str], lines: Sequence[str], at: int, tolerance: Tolerance) -> bool:
    """Whether the lines from `at` on match `wanted`."""
    found = lines[at : at + len(wanted)]
    match tolerance:
        case Tolerance.EXACT:
            # The file may have CRLF line ends; a parsed reply never has.
            return all(line.removesuffix("\r") == want for line, want in zip(found, wanted, strict=True))
        case Tolerance.TRAILING_SPACE:
            return all(line.rstrip() == want.rstrip() for line, want in zip(found, wanted, strict=True))
        case Tolerance.INDENTATION:
            pairs = [(want.rstrip(), line.rstrip()) for want, line in zip(wanted, found, strict=True)]
            if any(want.lstrip() != line.lstrip() for want, line in pairs):
                return False
            removed, added = _shift(wanted, found)
            return all(line == _reindented(want, removed, added) for want, line in pairs if want)


def _shift(wanted: Sequence[str], found: Sequence[str]) -> tuple[str, str]:
    """Return (removed, added): how the indentation of the first non-blank line in SEARCH differs from the script's."""
    want, line = next((want, line) for want, line in zip(wanted, found, strict=True) if want.strip())
    margin, real = want[: len(want) - len(want.lstrip())], line[: len(line) - len(line.lstrip())]
    shared = 0  # the length of their common end, which is not part of the shift
    while shared < min(len(margin), len(real)) and margin[-1 - shared] == real[-1 - shared]:
        shared += 1
    return margin[: len(margin) - shared], real[: len(real) - shared]


def _shifted(new: Sequence[str], wanted: Sequence[str], found: Sequence[str]) -> list[str]:
    """Return the REPLACE lines, reindented as SEARCH must be to match. Raises EditError if that is impossible."""
    removed, added = _shift(wanted, found)
    moved = [_reindented(line, removed, added) for line in new]
    if any(line is None for line in moved):
        raise EditError("REPLACE is indented less than SEARCH, and SEARCH not as the script is; copy the lines exactly")
    return [line for line in moved if line is not None]


def _reindented(line: str, removed: str, added: str) -> str | None:
    """Return `line` with the indentation `removed` replaced by `added`; None if it does not begin with `removed`."""
    if not line.strip():
        return line
    return added + line.removeprefix(removed) if line.startswith(removed) else None


def _nearest(wanted: Sequence[str], lines: Sequence[str]) -> str:
    """Return a sentence that quotes the numbered lines of the script most like `wanted`, or says that none is."""
    text = "\n".join(line.strip() for line in wanted)
    matcher = SequenceMatcher(autojunk=False)
    matcher.set_seq2(text)
    best, best_at = _NEAR_ENOUGH, None
    for at in range(max(1, len(lines) - len(wanted) + 1)):
        matcher.set_seq1("\n".join(line.strip() for line in lines[at : at + len(wanted)]))
        if matcher.real_quick_ratio() > best and matcher.quick_ratio() > best and (ratio := matcher.ratio()) > best:
            best, best_at = ratio, at
    if best_at is None:
        return " Nothing in the script is similar; copy the lines exactly from the script."
    real = lines[best_at : best_at + len(wanted)]
    quoted = "\n".join(f"{number:4d} | {line}" for number, line in enumerate(real, start=best_at + 1))
    return f" The nearest lines (the text begins after the bar):\n{quoted}"


def _lines(text: str) -> list[str]:
    """Return the lines of one half of a block, without newlines."""
    return text.removesuffix("\n").split("\n") if text else []
