"""The Edit protocol: a change to the script, which every mode proposes; applied in memory and stored as JSON."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from agent.edits.syntax import BYTE_ORDER_MARK
from agent.errors import EditError

Value = int | float | str
Params = Mapping[str, Value]


class Edit(Protocol):
    """A change to one file. Immutable; equal edits of equal sources give equal texts."""

    kind: ClassVar[str]

    def apply(self, source: str) -> str:
        """Return the changed source. Raises EditError, with a message that a model can act on."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Return the fields of the edit, without `kind`, as JSON data for `decode`."""
        ...


@dataclass(frozen=True)
class Unchanged:
    """No change: the edit of the baseline, and of trials without a valid proposal."""

    kind: ClassVar[str] = "unchanged"

    def apply(self, source: str) -> str:
        return source

    def to_json(self) -> dict[str, Any]:
        return {}


@dataclass(frozen=True)
class WholeFile:
    """A new text for the whole script."""

    text: str
    kind: ClassVar[str] = "whole_file"

    def apply(self, source: str) -> str:
        if not self.text.strip():
            raise EditError("the new file is empty; send the whole script")
        has_mark = source.startswith(BYTE_ORDER_MARK) and not self.text.startswith(BYTE_ORDER_MARK)
        return BYTE_ORDER_MARK + self.text if has_mark else self.text

    def to_json(self) -> dict[str, Any]:
        return {"text": self.text}
