"""The whole script in one code fence: for models that cannot quote lines exactly; costs many tokens.

A fence can also be a line of the script, so a fence ends at the last line that leaves valid Python before it.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from agent.edits.edit import WholeFile
from agent.edits.replies.omissions import refuse_omissions
from agent.edits.syntax import BYTE_ORDER_MARK, first_active_line, is_active_code, parse_script, parses
from agent.errors import EditError

_FENCE = re.compile(r"(?P<sign>`{3,}(?=[^`]*$)|~{3,})[ \t]*(?P<label>[\w+-]*)")
_AROUND = ("markdown", "md", "text")  # labels of a fence around a whole reply
_TITLE = re.compile(r"\W{0,8}title\b\W{0,8}:", re.IGNORECASE)
_MOST_ENDS = 20  # closing fences that are tried for one opening, from the last one back
_MOST_TRIES = 60  # for one reply
_SHORTEST = 6  # characters of a line of code that is worth looking for in prose


def parse(reply: str, source: str = "") -> WholeFile:
    """Return the script in a reply: the longest fenced text, or the whole reply if it is pure Python.

    Line ends, byte order mark and end of the file stay as they are in `source`, the script before the edit.

    Raises:
        EditError: there is no code, its fence does not end, parts of the script are left out, or there is other code.
    """
    lines = reply.replace("\r\n", "\n").split("\n")
    places = _Fences(lines, source).places()
    if places:
        first, end = max(places, key=lambda place: sum(len(line) + 1 for line in lines[place[0] : place[1]]))
        text = _text(lines[first:end])
        _refuse_other_code(lines, (first, end), places, source)
    else:
        text = _bare(lines)
    refuse_omissions(text, source, "the file")
    return WholeFile(_as_before(text, source))


@dataclass(frozen=True)
class _Fence:
    line: int  # of the reply, from 0
    sign: str
    label: str  # the language after the signs

    def closes(self, other: "_Fence") -> bool:
        return not self.label and self.sign[0] == other.sign[0] and len(self.sign) >= len(other.sign)


class _Fences:
    """The fenced texts of a reply."""

    def __init__(self, lines: Sequence[str], source: str) -> None:
        self._lines = lines
        self._fences = [
            _Fence(n, found["sign"], found["label"])
            for n, line in enumerate(lines)
            if (found := _FENCE.match(line.strip()))
        ]
        self._is_in_script = any(_FENCE.match(line.strip()) for line in source.split("\n"))
        self._tries_left = _MOST_TRIES

    def places(self) -> list[tuple[int, int]]:
        """Return (first line, end) of each fenced text, without its fences. Raises EditError if one does not end."""
        return list(self._places(0, len(self._fences)))

    def _places(self, at: int, stop: int) -> Iterator[tuple[int, int]]:
        while at < stop:
            opening = self._fences[at]
            first = next((n for n in range(at + 1, stop) if self._fences[n].closes(opening)), None)
            if first is None:
                raise EditError(
                    "the code fence does not end, so the file is cut off; send all of it, or use a shorter script"
                )
            late = (n for n in range(stop - 1, first - 1, -1) if self._fences[n].closes(opening))
            if opening.label.lower() in _AROUND:
                end = next(late)
                yield from self._places(at + 1, end)
            else:
                end = self._end(opening, first, list(islice(late, _MOST_ENDS)))
                yield opening.line + 1, self._fences[end].line
            at = end + 1

    def _end(self, opening: _Fence, first: int, late: Sequence[int]) -> int:
        """Return which of the fences that may close `opening` does: the last one that leaves valid Python.

        Args:
            first: the first that may.
            late: the last that may, from the last one back.
        """
        for n in late:
            self._tries_left -= 1
            if self._tries_left >= 0 and parses(_text(self._lines[opening.line + 1 : self._fences[n].line])):
                return n
        return late[0] if self._is_in_script else first


def _text(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _refuse_other_code(
    lines: Sequence[str], chosen: tuple[int, int], places: Sequence[tuple[int, int]], source: str
) -> None:
    """Raise EditError if a part of the script stands outside of the fenced text that was chosen."""
    taken = {line.strip() for line in lines[chosen[0] : chosen[1]]}
    known = {line.strip() for line in source.split("\n")} - taken
    fenced: set[int] = set()
    for first, end in places:
        fenced.update(range(first - 1, end + 1))
        inside = lines[first:end]
        has_code = is_active_code(_text(inside)) or first_active_line(enumerate(inside)) is not None
        if (first, end) != chosen and has_code:
            odd = next((n for n in range(first, end) if lines[n].strip() and lines[n].strip() not in taken), None)
            if odd is not None:
                raise EditError(f"line {odd + 1} of the reply is code in a second fence; send one fence with all of it")
    for n, line in enumerate(lines):
        if n not in fenced and len(line.strip()) >= _SHORTEST and line.strip() in known:
            raise EditError(
                f"line {n + 1} of the reply is a line of the script, but not in the fence; put all of it there"
            )
    code = first_active_line((n, line) for n, line in enumerate(lines) if n not in fenced)
    if code is not None:
        raise EditError(f"line {code + 1} of the reply is code, but not in the fence; put all of it there")


def _bare(lines: Sequence[str]) -> str:
    """Return an unfenced reply without its title if it is a Python file. Raises EditError if it is not."""
    text = _text(lines).rstrip("\n") + "\n"
    first = next((line for line in lines if line.strip()), "")
    if _TITLE.match(first.strip()):
        text = text.partition(first)[2].lstrip("\n")
    if parses(text) and len(parse_script(text).body) > 1:
        return text
    raise EditError("no code found; send the whole script in one code fence, from ```python to ```")


def _as_before(text: str, source: str) -> str:
    """Return `text` with the byte order mark, the line ends and the end of `source`."""
    text = text.removeprefix(BYTE_ORDER_MARK)
    if "\r\n" in source:
        ends: dict[str, set[str]] = defaultdict(set)
        for line in source.split("\n")[:-1]:
            ends[line.removesuffix("\r")].add("\r" if line.endswith("\r") else "")
        usual = "\r" if source.count("\r\n") * 2 > source.count("\n") else ""
        known = {line: min(found) for line, found in ends.items() if len(found) == 1}
        *whole, rest = text.split("\n")
        text = "".join(f"{line}{known.get(line, usual)}\n" for line in whole) + rest
    if source and not source.endswith("\n"):
        text = text.removesuffix("\n").removesuffix("\r")
    return (BYTE_ORDER_MARK if source.startswith(BYTE_ORDER_MARK) else "") + text
