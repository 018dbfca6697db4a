"""The log of an ablation: which scripts have run, and the findings that follow from the log alone."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.analysis.ablation_chain import ChangeChain
from agent.analysis.ablation_elimination import Attribution, BudgetExhaustedError, Elimination
from agent.errors import UsageError
from agent.store.journal import read_lines
from agent.store.run_config import rule_of
from agent.store.stored_run import StoredRun
from agent.trials.keeping.keep_rule import KeepPolicy
from agent.trials.machine_speed import VoidedAttempt
from agent.trials.trial import Outcome, Trial


@dataclass(frozen=True)
class AblationStarted:
    """The ablation has started, with this number of seeds per comparison; the last such line counts."""

    seeds: int
    at: str  # ISO 8601, UTC

    def to_json(self) -> dict[str, Any]:
        return {"event": "attribution_begun", "seeds": self.seeds, "at": self.at}


@dataclass(frozen=True)
class ScriptFinished:
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
class ScriptAttemptVoided:
    """An attempt to run a script does not count, because the machine's speed had changed."""

    script: str
    seed: int
    void: VoidedAttempt

    def to_json(self) -> dict[str, Any]:
        return {"event": "attempt_voided", "script": self.script, "seed": self.seed, "void": self.void.to_json()}


@dataclass(frozen=True)
class AblationRecords:
    """All finished runs of scripts of one ablation."""

    seeds: int | None  # seeds per comparison; None: the ablation has not started
    ran: Mapping[tuple[str, int], ScriptFinished]  # by script and seed, in the order in which they ran

    @classmethod
    def read(cls, path: Path) -> "AblationRecords":
        """Return the runs in a log file; none if there is no file. Raises JournalError if it cannot be read."""
        seeds: int | None = None
        ran: dict[tuple[str, int], ScriptFinished] = {}
        for line in read_lines(path, _decoded) if path.exists() else ():
            if isinstance(line, AblationStarted):
                seeds = line.seeds
            elif isinstance(line, ScriptFinished):
                ran[line.script, line.seed] = line
        return cls(seeds, ran)

    def under(self, conditions: Mapping[str, str]) -> "AblationRecords":
        """Return the runs under these conditions alone; losses under other conditions cannot be compared with them."""
        same = {key: line for key, line in self.ran.items() if line.outcome.conditions == conditions}
        return AblationRecords(self.seeds, same)

    @property
    def train_seconds(self) -> float:
        """The training budget charged for all runs, in seconds."""
        return sum(line.outcome.train_seconds for line in self.ran.values())


def hash_of(source: str) -> str:
    """Return the name of a script: the first 12 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(source.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Attributed:
    """The findings of an ablation, the runs that it took, and the minimal script."""

    found: Attribution
    readings: AblationRecords
    minimal: Path | None  # the minimal script's file; None: it is not smaller, not as good, or not written


def attributed(stored: StoredRun) -> Attributed | None:
    """Return the findings about the changes of a run's result; None if no ablation has run."""
    number = stored.keeper.result
    path = stored.paths.attribution(number).readings if number else None
    if path is None or not path.exists():
        return None
    every = AblationRecords.read(path)
    if every.seeds is None or not every.ran:
        return None
    conditions = list(every.ran.values())[-1].outcome.conditions
    readings = every.under(conditions)
    measure = _Remembered(readings)
    found = Elimination(ChangeChain.of(stored), keeper_under(stored, conditions), measure, every.seeds).result()
    minimal = stored.paths.attribution(found.chain.result).minimal
    return Attributed(found, readings, minimal if found.offered and minimal.exists() else None)


def known(stored: StoredRun) -> Attributed:
    """Return the findings about the changes of a run's result. Raises UsageError if no ablation has run."""
    found = attributed(stored)
    if found is None:
        raise UsageError(f"{stored.run_id} has no attribution yet; `agent attribute {stored.run_id}` makes one")
    return found


def keeper_under(stored: StoredRun, conditions: Mapping[str, str]) -> KeepPolicy:
    """Return the keep rule's state after a run, without the repeats that ran under other conditions."""
    counts = [
        result
        for result in stored.history.results
        if isinstance(result, Trial) or (result.outcome is not None and result.outcome.conditions == conditions)
    ]
    return KeepPolicy(rule_of(stored.config), counts)


@dataclass(frozen=True)
class _Remembered:
    """Returns losses from the log, and runs nothing."""

    readings: AblationRecords

    def __call__(self, source: str, seed: int, *, about: str, reserved: int) -> float | None:
        del reserved
        ran = self.readings.ran.get((hash_of(source), seed))
        if ran is None:
            raise BudgetExhaustedError(f"{about} has not run under training seed {seed}")
        return ran.outcome.val_loss


def _decoded(data: dict[str, Any]) -> AblationStarted | ScriptFinished | ScriptAttemptVoided:
    """Return the line that `to_json` wrote. Raises KeyError, TypeError or ValueError if it is not such a line."""
    match data["event"]:
        case "attribution_begun":
            return AblationStarted(data["seeds"], data["at"])
        case "script_ran":
            return ScriptFinished(data["script"], data["seed"], Outcome.from_json(data["outcome"]), data["at"])
        case "attempt_voided":
            return ScriptAttemptVoided(data["script"], data["seed"], VoidedAttempt(**data["void"]))
    raise ValueError(f"unknown event {data['event']!r}")
