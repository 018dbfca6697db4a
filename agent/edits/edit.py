"""What every mode proposes: a change of the script, applied in memory and stored as JSON."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from agent.errors import EditError

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
