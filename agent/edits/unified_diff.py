"""Unified diffs, as models write them: line numbers are ignored, because they are rarely right."""

import re
from difflib import unified_diff

from agent.edits.search_replace import Block, SearchReplace
from agent.errors import EditError

_FENCE = re.compile(r"\s*(```|~~~).*")
_NAME = re.compile(r"^(?:---|\+\+\+)\s+(?:[ab]/)?([^\t]+?)\s*$")


def parse(reply: str, script: str | None = None) -> SearchReplace:
    """Return the hunks in a model's reply as blocks: context and `+` lines replace context and `-` lines.

    Args:
        script: the only file that may be changed; None: any.

    Raises:
        EditError: there is no hunk, or one has no line to search for or changes another file.
    """
    hunks: list[list[str]] = []
    inside = False
    lines = reply.replace("\r\n", "\n").split("\n")
    for number, line in enumerate(lines):
        following = lines[number + 1] if number + 1 < len(lines) else ""
        if line.startswith("--- ") and following.startswith("+++ "):
            inside = False
        elif line.startswith("+++ ") and number and lines[number - 1].startswith("--- "):
            _check_file(line, script)
            inside = not following.startswith("@@")  # some models omit the @@ line
            hunks += [[]] if inside else []
        elif line.startswith("@@"):
            inside = True
            hunks.append([])
        elif _FENCE.fullmatch(line) or line.startswith(("diff ", "index ")):
            inside = False
        elif inside and line[:1] in (" ", "+", "-", "\t", ""):
            hunks[-1].append(line)
        elif inside and not line.startswith("\\"):  # "\ No newline at end of file"
            inside = False
    blocks = [block for number, hunk in enumerate(hunks, start=1) if (block := _block(number, hunk)) is not None]
    if not blocks:
        raise EditError("no hunk that changes anything; write `@@`, then lines that begin with ` `, `-` or `+`")
    return SearchReplace(tuple(blocks))


def _check_file(line: str, script: str | None) -> None:
    name = _NAME.match(line)
    if script is not None and name is not None and name[1].rpartition("/")[2] != script:
        raise EditError(f"the diff changes {name[1]}; only {script} may be changed")


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


def diff_of(name: str, before: str, after: str) -> str:
    """Return the unified diff between two versions of a file, as git writes it; empty if they are equal."""
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    lines = list(unified_diff(old, new, f"a/{name}", f"b/{name}"))
    ended = (line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
    return "".join([f"diff --git a/{name} b/{name}\n", *ended]) if lines else ""
