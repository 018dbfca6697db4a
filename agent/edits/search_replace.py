"""SEARCH/REPLACE blocks: the edit format in which models err least. Either all blocks are applied or none."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum
from typing import Any, ClassVar

from agent.edits.syntax import BYTE_ORDER_MARK
from agent.errors import EditError

SEARCH_MARK, DIVIDER, REPLACE_MARK = "<<<<<<< SEARCH", "=======", ">>>>>>> REPLACE"

_NEAR_ENOUGH = 0.5  # similarity above which quoting the nearest lines helps more than it misleads
_MOST_EXPLAINED = 8  # blocks without a match whose nearest lines are looked for: that takes time for each
_MOST_NAMED = 30  # blocks without a match that a message names


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
        script = Script(source)
        lines = list(script.lines)
        for match in sorted(self._matches(script), key=lambda match: match.start, reverse=True):
            lines[match.start : match.stop] = match.lines
        edited = "\n".join(lines)
        if source.endswith("\n") and edited and not edited.endswith("\n"):
            edited += "\n"  # a blank line that SEARCH quotes after the last line of the script
        return script.mark + edited

    def matches(self, source: str) -> list[BlockMatch]:
        """Return where each block applies, and with which tolerance. Raises EditError as `apply` does."""
        return self._matches(Script(source))

    def found_in(self, source: str) -> list[BlockMatch | EditError]:
        """Return for each block its match, or the error that explains why there is none."""
        return self._found_in(Script(source))

    def _matches(self, script: "Script") -> list[BlockMatch]:
        found = self._found_in(script)
        if problems := problems_in(found):
            raise EditError("\n".join(problems))
        return [match for match in found if isinstance(match, BlockMatch)]

    def _found_in(self, script: "Script") -> list[BlockMatch | EditError]:
        found: list[BlockMatch | EditError] = []
        taken: list[BlockMatch] = []
        for block in self.blocks:
            n_failed = len(found) - len(taken)
            try:
                match = script.match(block, explains=n_failed < _MOST_EXPLAINED)
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


def problems_in(found: Sequence[BlockMatch | EditError]) -> list[str]:
    """Return a message for each block without a match, numbered from 1; of very many blocks, for the first ones."""
    problems = [f"block {n}: {fault}" for n, fault in enumerate(found, start=1) if isinstance(fault, EditError)]
    more = [f"{len(problems) - _MOST_NAMED} more blocks do not match"] if len(problems) > _MOST_NAMED else []
    return problems[:_MOST_NAMED] + more


class Script:
    """The lines of a script, in which blocks are looked for."""

    def __init__(self, source: str) -> None:
        self.mark = BYTE_ORDER_MARK if source.startswith(BYTE_ORDER_MARK) else ""
        self.lines = source.removeprefix(BYTE_ORDER_MARK).split("\n")
        self._places: dict[str, list[int]] = defaultdict(list)  # stripped line → where it stands
        for at, line in enumerate(self.lines):
            self._places[line.strip()].append(at)
        self._has_crlf = sum(line.endswith("\r") for line in self.lines) * 2 > len(self.lines) - 1

    def starts(self, wanted: Sequence[str], tolerance: Tolerance) -> list[int]:
        """Return the lines, from 0, from which `wanted` matches."""
        pivot = min(
            (n for n, line in enumerate(wanted) if line.strip()),
            key=lambda n: len(self._places.get(wanted[n].strip(), ())),
            default=None,
        )
        if pivot is None:
            return []
        candidates = (at - pivot for at in self._places.get(wanted[pivot].strip(), ()))
        last = len(self.lines) - len(wanted)
        return [at for at in candidates if 0 <= at <= last and _fits(wanted, self.lines, at, tolerance)]

    def tolerance_of(self, search: str) -> Tolerance | None:
        """Return the strictest tolerance with which a SEARCH text matches anywhere; None if none does."""
        wanted = _lines(search)
        return next((tolerance for tolerance in Tolerance if self.starts(wanted, tolerance)), None)

    def match(self, block: Block, *, explains: bool = True) -> BlockMatch:
        """Return the single place where `block` applies, with the strictest tolerance that finds one.

        Raises:
            EditError: there is none, or there are several; with `explains`, the message quotes the nearest lines.
        """
        wanted = _lines(block.search)
        if not any(line.strip() for line in wanted):
            raise EditError("SEARCH is empty; quote at least one line of the script")
        new = _lines(block.replace)
        for tolerance in Tolerance:
            starts = self.starts(wanted, tolerance)
            if len(starts) > 1:
                places = ", ".join(str(at + 1) for at in starts[:5])
                raise EditError(f"SEARCH matches {len(starts)} places (lines {places}); quote more lines around it")
            if starts:
                at, stop = starts[0], starts[0] + len(wanted)
                if tolerance is Tolerance.INDENTATION:
                    new = _shifted(new, wanted, self.lines[at:stop])
                return BlockMatch(at, stop, tuple(self._with_line_ends(new, at, stop)), tolerance)
        raise EditError(f"SEARCH is not in the script.{_nearest(wanted, self.lines) if explains else ''}")

    def _with_line_ends(self, new: Sequence[str], at: int, stop: int) -> list[str]:
        """Return new lines that end as those that they replace, or as most of the script's; see `Block`."""
        is_end = stop == len(self.lines)  # the last line has no line end
        old = self.lines[at : stop - 1] if is_end else self.lines[at:stop]
        if not (old[0].endswith("\r") if old else self._has_crlf):
            return list(new)
        ended = [line if line.endswith("\r") else f"{line}\r" for line in new]
        return [*ended[:-1], new[-1]] if is_end and new else ended


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
