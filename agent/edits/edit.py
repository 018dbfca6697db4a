"""What every mode proposes: a change of the script, applied in memory and stored as JSON."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from agent.errors import EditError, JournalError

if TYPE_CHECKING:
    from agent.edits.assignments import Assignments

Value = int | float | str
Params = Mapping[str, Value]


class Edit(Protocol):
    """A change to one file. Frozen; equal edits make equal texts."""

    kind: ClassVar[str]

    def apply(self, source: str) -> str:
        """Return the changed source. Raises EditError, with a message that a model can act on."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data without `kind`; `decode` reads it back."""
        ...


@dataclass(frozen=True)
class Unchanged:
    """No change: the baseline, and trials in which nothing could be proposed."""

    kind: ClassVar[str] = "unchanged"

    def apply(self, source: str) -> str:
        return source

    def to_json(self) -> dict[str, Any]:
        return {}


@dataclass(frozen=True)
class WholeFile:
    """The script, written anew."""

    text: str
    kind: ClassVar[str] = "whole_file"

    def apply(self, source: str) -> str:
        if not self.text.strip():
            raise EditError("the new file is empty; send the whole script")
        return self.text

    def to_json(self) -> dict[str, Any]:
        return {"text": self.text}


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
    """Return `edit` as JSON data that `decode` reads back to an equal edit."""
    return {"kind": edit.kind, **edit.to_json()}


def decode(data: Mapping[str, Any]) -> Edit:
    """Return the edit that `encode` wrote. Raises JournalError for a kind that this version does not know."""
    rest = dict(data)
    match rest.pop("kind", None):
        case "unchanged":
            return Unchanged()
        case "whole_file":
            return WholeFile(**rest)
        case "chain":
            return Chain(tuple(decode(edit) for edit in rest["edits"]))
        case "assignments":
            return _assignments()(**rest)
        case "search_replace":
            from agent.edits.search_replace import SearchReplace

            return SearchReplace.from_json(rest)
    raise JournalError(f"unknown kind of edit {data.get('kind')!r}: written by a newer version of autocentaur?")


@cache
def _assignments() -> type["Assignments"]:
    """Return the kind that a long journal has thousands of; its module imports this one."""
    from agent.edits.assignments import Assignments

    return Assignments
