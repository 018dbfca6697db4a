"""The edit formats that a model can use, by their `--edit-format` names."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agent.edits import search_replace, single_line, unified_diff, whole_file
from agent.edits.edit import Edit

_TITLE_LINE = re.compile(r"^\W*title\W*?:\s*(.+?)[\s*_`]*$", re.IGNORECASE | re.MULTILINE)


def title_line(reply: str) -> str:
    """Return the title in the first line `TITLE: ...` of a reply; empty if there is none."""
    titled = _TITLE_LINE.search(reply)
    return titled[1] if titled else ""


@dataclass(frozen=True)
class EditFormat:
    """How a reply in this format is parsed. prompts/code_edit/NAME.md explains the format to the model."""

    name: str
    parse: Callable[[str, str], Edit]  # arguments: reply, name of the script; raises EditError only
    title: Callable[[str], str] = title_line  # argument: reply
    schema: Callable[[str], Mapping[str, Any]] | None = None  # argument: the script's source; None: free-text replies


SEARCH_REPLACE = EditFormat("search-replace", search_replace.parse)
FORMATS = {
    form.name: form
    for form in (
        SEARCH_REPLACE,
        EditFormat("diff", unified_diff.parse),
        EditFormat("whole-file", lambda reply, _script: whole_file.parse(reply)),
        EditFormat("lines", lambda reply, _script: single_line.parse(reply), single_line.title, single_line.schema),
    )
}
