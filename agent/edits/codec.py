"""JSON encoding of edits, for the journal."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from agent.edits.assignments import Assignments
from agent.edits.edit import Edit, Unchanged, WholeFile
from agent.edits.search_replace import SearchReplace
from agent.errors import JournalError


@dataclass(frozen=True)
class Chain:
    """Edits that are applied one after another."""

    edits: tuple[Edit, ...]
    kind: ClassVar[str] = "chain"

    def apply(self, source: str) -> str:
        for edit in self.edits:
            source = edit.apply(source)
        return source

    def to_json(self) -> dict[str, Any]:
        return {"edits": [encode(edit) for edit in self.edits]}


def encode(edit: Edit) -> dict[str, Any]:
    """Return `edit` as JSON data; `decode` returns an equal edit."""
    return {"kind": edit.kind, **edit.to_json()}


def decode(data: Mapping[str, Any]) -> Edit:
    """Return the edit that `encode` encoded. Raises JournalError for a kind that this version does not know."""
    rest = dict(data)
    match rest.pop("kind", None):
        case "unchanged":
            return Unchanged()
        case "whole_file":
            return WholeFile(**rest)
        case "chain":
            return Chain(tuple(decode(edit) for edit in rest["edits"]))
        case "assignments":
            return Assignments(**rest)
        case "search_replace":
            return SearchReplace.from_json(rest)
    raise JournalError(f"unknown kind of edit {data.get('kind')!r}: written by a newer version of autocentaur?")
