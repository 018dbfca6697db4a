"""The kind of a trial of mode centaur-code: the model changes the script's structure, or a searcher its numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class TurnKind(StrEnum):
    """What a turn changes."""

    STRUCTURE = "structure"  # the script itself: a model or a coding agent edits it
    NUMBERS = "numbers"  # the constants of one script: a searcher chooses them


@dataclass(frozen=True)
class TurnChoice:
    """One turn, as the journal records it."""

    kind: TurnKind
    why: str = ""  # why it was this turn, one line
    tunes: int | None = None  # the trial whose script has these numbers; None exactly for a turn of the structure
    is_required: bool = False  # one of the tuning trials that the baseline and every promising structure gets

    @property
    def is_chosen_tuning(self) -> bool:
        """Whether it tunes by choice: by a draw, or after a stretch without a gain."""
        return self.kind is TurnKind.NUMBERS and not self.is_required

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "TurnChoice":
        """Return the turn that its fields encode. Raises TypeError, KeyError or ValueError for invalid data."""
        return cls(**{**data, "kind": TurnKind(data["kind"])})
