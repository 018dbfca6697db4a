"""The forms in which a model may write an edit, by the names that `--edit-format` takes."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agent.edits import search_replace, single_line, unified_diff, whole_file
from agent.edits.edit import Edit

_TITLE_LINE = re.compile(r"^\W*title\W*?:\s*(.+?)[\s*_`]*$", re.IGNORECASE | re.MULTILINE)


def title_line(reply: str) -> str:
    """Return what the first line `TITLE: ...` of a reply says; empty if there is none."""
    titled = _TITLE_LINE.search(reply)
    return titled[1] if titled else ""


@dataclass(frozen=True)
class EditFormat:
    """How a reply is read. What a model is told of it stands in prompts/code_edit/NAME.md."""

    name: str
    parse: Callable[[str, str], Edit]  # of a reply and the name of the script; raises EditError only
    title: Callable[[str], str] = title_line
    schema: Callable[[str], Mapping[str, Any]] | None = None  # of the script's source; None: the reply is free text


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
