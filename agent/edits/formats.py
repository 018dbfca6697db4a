"""The edit formats that a model can use, by their `--edit-format` names."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agent.edits.edit import Edit
from agent.edits.replies import blocks, single_line, unified_diff, whole_file

_TITLE = re.compile(r"\W{0,8}title\W{0,8}?:", re.IGNORECASE)
_LONGEST_TITLE = 1000  # characters; what prints a title shortens it further


def title_line(reply: str) -> str:
    """Return the title in the first line `TITLE: ...` of a reply; empty if there is none."""
    for line in reply.split("\n"):
        text = line.strip()
        if (found := _TITLE.match(text)) and (title := text[found.end() :].strip()[:_LONGEST_TITLE].rstrip("*_` \t")):
            return title
    return ""


@dataclass(frozen=True)
class EditFormat:
    """How a reply in this format is parsed: all of it, or none. prompts/code_edit/NAME.md explains it to the model."""

    name: str
    parse: Callable[[str, str, str], Edit]  # arguments: reply, name and source of the script; raises EditError only
    title: Callable[[str], str] = title_line  # argument: reply
    schema: Callable[[str], Mapping[str, Any]] | None = None  # argument: the script's source; None: free-text replies


SEARCH_REPLACE = EditFormat("search-replace", blocks.parse)
FORMATS = {
    form.name: form
    for form in (
        SEARCH_REPLACE,
        EditFormat("diff", unified_diff.parse),
        EditFormat("whole-file", lambda reply, _script, source: whole_file.parse(reply, source)),
        EditFormat(
            "lines",
            lambda reply, _script, source: single_line.parse(reply, source),
            single_line.title,
            single_line.schema,
        ),
    )
}
