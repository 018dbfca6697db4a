"""The whole script in one code fence: for models that cannot quote lines exactly; costs many tokens."""

import re
import warnings

from agent.edits.edit import WholeFile
from agent.edits.syntax import parse_script
from agent.errors import EditError

_OPENS = re.compile(r"[ \t]*(`{3,}|~{3,})[ \t]*([\w+-]*).*")
# "# ... rest of the code unchanged ...": what a model writes instead of repeating lines.
_ELIDED = re.compile(r"\s*#.*(\.\.\.|…).*\b(rest|remain\w*|unchanged|existing|same|before)\b.*", re.IGNORECASE)
_ELIDED_BEFORE = re.compile(r"\s*#.*\b(rest|remain\w*|unchanged|existing|same)\b.*(\.\.\.|…).*", re.IGNORECASE)


def parse(reply: str) -> WholeFile:
    """Return the longest fenced text of a reply, or the whole reply if it is pure Python.

    Raises:
        EditError: there is neither, a fence does not end, or parts of the script are left out.
    """
    text = reply.replace("\r\n", "\n")
    blocks, is_open = _fenced(text)
    if is_open:
        raise EditError("the code fence does not end, so the file is cut off; send all of it, or use a shorter script")
    source = max(blocks, key=len) if blocks else _bare(text)
    for number, line in enumerate(source.split("\n"), start=1):
        if _ELIDED.fullmatch(line) or _ELIDED_BEFORE.fullmatch(line):
            raise EditError(f"line {number} replaces lines that are left out ({line.strip()}); write all of them")
    return WholeFile(source)


def _fenced(text: str) -> tuple[list[str], bool]:
    """Return the fenced texts of a reply, and whether its last fence is unclosed."""
    blocks: list[str] = []
    fence: str | None = None
    lines: list[str] = []
    for line in text.split("\n"):
        opens = _OPENS.fullmatch(line)
        if fence is None and opens:
            fence, lines = opens[1], []
        elif fence is not None and line.strip() == fence:
            blocks.append("".join(f"{line}\n" for line in lines))
            fence = None
        elif fence is not None:
            lines.append(line)
    return blocks, fence is not None


def _bare(text: str) -> str:
    """Return an unfenced reply if it is a Python file. Raises EditError if it is not."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # prose may look like invalid escapes
            if len(parse_script(text).body) > 1:
                return text if text.endswith("\n") else f"{text}\n"
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        pass
    raise EditError("no code found; send the whole script in one code fence, from ```python to ```")
