"""The runs that were made for an attribution: an append-only file beside the journal, which stays as the run left it.

What follows from it is computed anew each time, so that a killed attribution goes on with what it has.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.journal import read_lines
from agent.machine import Void
from agent.trial import Outcome


@dataclass(frozen=True)
class Begun:
    """Somebody has asked, and for so many seeds; the last such line counts."""

    seeds: int
    at: str  # ISO 8601, UTC

    def to_json(self) -> dict[str, Any]:
        return {"event": "attribution_begun", "seeds": self.seeds, "at": self.at}


@dataclass(frozen=True)
class ScriptRan:
    """A script has run under a training seed."""

    script: str  # hash of the source, see `hash_of`
    seed: int
    outcome: Outcome
    at: str

    def to_json(self) -> dict[str, Any]:
        return {
            "event": "script_ran",
            "script": self.script,
            "seed": self.seed,
            "outcome": self.outcome.to_json(),
            "at": self.at,
        }


@dataclass(frozen=True)
class AttemptVoided:
    """An attempt at such a run does not count: the machine was another than at the baseline."""

    script: str
    seed: int
    void: Void

    def to_json(self) -> dict[str, Any]:
        return {"event": "attempt_voided", "script": self.script, "seed": self.seed, "void": self.void.to_json()}


@dataclass(frozen=True)
class Readings:
    """All that is known of the scripts of one attribution."""

    seeds: int | None  # of each comparison; None: nobody has asked yet
    ran: Mapping[tuple[str, int], ScriptRan]  # by script and seed, in the order in which they ran

    @classmethod
    def read(cls, path: Path) -> "Readings":
        """Return what a file holds; nothing if there is none. Raises JournalError if it cannot be read."""
        seeds: int | None = None
        ran: dict[tuple[str, int], ScriptRan] = {}
        for line in read_lines(path, _decoded) if path.exists() else ():
            if isinstance(line, Begun):
                seeds = line.seeds
            elif isinstance(line, ScriptRan):
                ran[line.script, line.seed] = line
        return cls(seeds, ran)

    def under(self, conditions: Mapping[str, str]) -> "Readings":
        """Return the same without the runs that came about under other conditions: nothing is compared with those."""
        same = {key: line for key, line in self.ran.items() if line.outcome.conditions == conditions}
        return Readings(self.seeds, same)

    @property
    def train_seconds(self) -> float:
        """What they cost, as charged."""
        return sum(line.outcome.train_seconds for line in self.ran.values())


def hash_of(source: str) -> str:
    """Return the name of a script: 12 hexadecimal digits that follow from its text."""
    return hashlib.sha256(source.encode()).hexdigest()[:12]


def _decoded(data: dict[str, Any]) -> Begun | ScriptRan | AttemptVoided:
    """Return the line that `to_json` wrote; KeyError, TypeError or ValueError if it did not."""
    match data["event"]:
        case "attribution_begun":
            return Begun(data["seeds"], data["at"])
        case "script_ran":
            return ScriptRan(data["script"], data["seed"], Outcome.from_json(data["outcome"]), data["at"])
        case "attempt_voided":
            return AttemptVoided(data["script"], data["seed"], Void(**data["void"]))
    raise ValueError(f"unknown event {data['event']!r}")
