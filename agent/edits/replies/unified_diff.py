"""Unified diffs, as models write them: line numbers are ignored, because they are rarely right.

Every line of a diff counts: one without a sign is context if the script has it, and otherwise refuses the reply.
"""

import re

from agent.edits.replies.omissions import refuse_omissions
from agent.edits.search_replace import SEARCH_MARK, Block, SearchReplace
from agent.errors import EditError

_FENCE = re.compile(r"(?:`{3,}(?=[^`]*$)|~{3,})[ \t]*([\w+-]*)")
_NO_DIFFS = ("bash", "sh", "shell", "console", "text", "json", "yaml", "toml", "markdown", "md")  # labels of fences
_NAME = re.compile(r"(?:---|\+\+\+)\s+(?:[ab]/)?([^\t]+?)\s*$")
_GIT = re.compile(r"(?:diff|index|similarity|rename|copy|new file|deleted file|old mode|new mode) ")
_BLOCK = re.compile(r"\s*(?:<{5,9}\s*SEARCH|>{5,9}\s*REPLACE)\b")
_SIGNS = (" ", "+", "-", "\t")
_LONGEST_NAME = 300  # characters of a header that are looked at


def parse(reply: str, script: str | None = None, source: str = "") -> SearchReplace:
    """Return the hunks in a model's reply as blocks: context and `+` lines replace context and `-` lines.

    Args:
        script: the only file that may be changed; None: any.
        source: the text of the script.

    Raises:
        EditError: there is no hunk, one has no line to search for or changes another file, or a line that looks like
            a part of a diff belongs to no hunk.
    """
    hunks = _Reading(reply.replace("\r\n", "\n").split("\n"), script, source).hunks()
    blocks = [block for number, hunk in enumerate(hunks, start=1) if (block := _block(number, hunk)) is not None]
    if not blocks:
        raise EditError("no hunk that changes anything; write `@@`, then lines that begin with ` `, `-` or `+`")
    for number, hunk in enumerate(hunks, start=1):
        added = "\n".join(line[1:] for line in hunk if line.startswith("+"))
        refuse_omissions(added, source, f"hunk {number}")
    return SearchReplace(tuple(blocks))


class _Reading:
    """Reads the lines of a reply in order."""

    def __init__(self, lines: list[str], script: str | None, source: str) -> None:
        self._lines = lines
        self._script = script
        self._known = {line.rstrip() for line in source.split("\n")}
        self._stripped = {line.strip() for line in self._known}
        self._hunks: list[list[str]] = []
        self._inside = False  # whether a hunk may go on
        self._fence: str | None = None  # the label of the fence around the line; None: there is none
        self._after_blank = False

    def hunks(self) -> list[list[str]]:
        """Return the lines of each hunk. Raises EditError as `parse` does."""
        number = 0
        while number < len(self._lines):
            number += self._take(number, self._lines[number])
        return self._hunks

    def _take(self, number: int, line: str) -> int:
        """Read a line; return how many lines that was."""
        following = self._lines[number + 1] if number + 1 < len(self._lines) else ""
        if self._is_header(line, following):
            self._check_file(following)
            after = self._lines[number + 2] if number + 2 < len(self._lines) else ""
            self._inside = not after.startswith("@@")  # some models omit the @@ line
            self._hunks += [[]] if self._inside else []
            return 2
        fence = self._fence_in(number, line)
        if fence is not None:
            self._fence, self._inside = fence if self._fence is None else None, False
        elif line.startswith("@@"):
            self._inside = True
            self._hunks.append([])
        elif self._inside and line.startswith(_SIGNS):
            if line.rstrip() in ("--", "---") and line.rstrip()[1:] not in self._known:  # below a patch of git; a rule
                self._inside = False
            else:
                self._hunks[-1].append(line)
        elif self._inside and not line:
            self._hunks[-1].append(line)
        elif self._inside:
            self._take_unsigned(number, line)
        else:
            self._refuse_stray(number, line)
        self._after_blank = not line.strip()
        return 1

    def _is_header(self, line: str, following: str) -> bool:
        """Whether two lines name the files of a diff; within a hunk they may also be lines that change."""
        if not (line.startswith("--- ") and following.startswith("+++ ")):
            return False
        return not (self._inside and line[1:].rstrip() in self._known)

    def _check_file(self, line: str) -> None:
        name = _NAME.match(line[:_LONGEST_NAME])
        if self._script is not None and name is not None and name[1].rpartition("/")[2] != self._script:
            raise EditError(f"the diff changes {name[1]}; only {self._script} may be changed")

    def _fence_in(self, number: int, line: str) -> str | None:
        """Return the label of a fence; None if the line is none, or is a line of the script within a hunk."""
        found = _FENCE.match(line.strip())
        if found is None:
            return None
        if self._inside and line.strip() in self._stripped:
            later = self._lines[number + 1 :]
            if line.startswith(" ") or any(_FENCE.match(text.strip()) for text in later):
                return None
        return found[1].lower()

    def _take_unsigned(self, number: int, line: str) -> None:
        """Read a line of a hunk that has no sign: context that lost its blank, or the end of the hunk."""
        if line.startswith("\\"):  # "\ No newline at end of file"
            return
        if line.rstrip() in self._known:
            self._hunks[-1].append(f" {line}")
        elif self._after_blank and self._fence is None:
            self._inside = False
            self._refuse_stray(number, line)
        elif _GIT.match(line):
            self._inside = False
        else:
            raise EditError(
                f"line {number + 1} of the reply ({line[:60]}) is within a hunk, but begins with none of ` `, `-`, `+` "
                "and is not in the script; begin each line of a hunk with its sign"
            )

    def _refuse_stray(self, number: int, line: str) -> None:
        """Raise EditError if a line outside of all hunks looks like a part of an edit."""
        is_edit = _BLOCK.match(line) is not None
        if line.startswith(("+", "-")) and line.strip("+-* \t") and self._fence not in _NO_DIFFS:
            is_bullet = line[1:2] in (" ", "-", "+") and self._fence is None
            is_edit = not is_bullet or (line[0] == "-" and line[1:].rstrip() in self._known)
        if is_edit:
            what = f"is a {SEARCH_MARK} block" if _BLOCK.match(line) else "belongs to no hunk"
            raise EditError(
                f"line {number + 1} of the reply ({line[:60]}) {what}; write each change as a hunk, from `@@` on"
            )


def _block(number: int, hunk: list[str]) -> Block | None:
    """Return a hunk as a block; None if it changes nothing."""
    while hunk and not hunk[-1].strip():
        hunk.pop()  # blank lines after the diff
    if not any(line.startswith(("+", "-")) for line in hunk):
        return None
    old = [_text(line) for line in hunk if not line.startswith("+")]
    new = [_text(line) for line in hunk if not line.startswith("-")]
    if not any(line.strip() for line in old):
        raise EditError(f"hunk {number} has no context; begin and end it with unchanged lines of the script")
    return Block("".join(f"{line}\n" for line in old), "".join(f"{line}\n" for line in new))


def _text(line: str) -> str:
    """Return a hunk's line without its sign; a context line may lack the space before its tab."""
    return line if line.startswith("\t") else line[1:]
