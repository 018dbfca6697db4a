"""What an attribution has left: what follows from its runs, without running anything."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.attribution.chain import ChangeChain
from agent.attribution.elimination import Attribution, Elimination, NothingLeftError
from agent.attribution.readings import Readings, hash_of
from agent.errors import UsageError
from agent.keeper import Keeper, rule_of
from agent.report.stored_run import StoredRun
from agent.trial import Trial


@dataclass(frozen=True)
class Attributed:
    """What an attribution has come to, and what it took."""

    found: Attribution
    readings: Readings
    minimal: Path | None  # the minimal script's file; None: it is no smaller, not as good, or not written


def attributed(stored: StoredRun) -> Attributed | None:
    """Return what is known of the changes of a run's result; None if nobody has asked."""
    number = stored.keeper.result
    path = stored.paths.attribution(number).readings if number else None
    if path is None or not path.exists():
        return None
    every = Readings.read(path)
    if every.seeds is None or not every.ran:
        return None
    conditions = list(every.ran.values())[-1].outcome.conditions
    readings = every.under(conditions)
    measure = _Remembered(readings)
    found = Elimination(ChangeChain.of(stored), keeper_under(stored, conditions), measure, every.seeds).result()
    minimal = stored.paths.attribution(found.chain.result).minimal
    return Attributed(found, readings, minimal if found.offered and minimal.exists() else None)


@dataclass(frozen=True)
class _Remembered:
    """Knows what has run, and runs nothing."""

    readings: Readings

    def __call__(self, source: str, seed: int, *, about: str, reserved: int) -> float | None:
        del reserved
        ran = self.readings.ran.get((hash_of(source), seed))
        if ran is None:
            raise NothingLeftError(f"{about} has not run under training seed {seed}")
        return ran.outcome.val_loss


def known(stored: StoredRun) -> Attributed:
    """Return what an attribution has come to. Raises UsageError if there is none of the run's result."""
    found = attributed(stored)
    if found is None:
        raise UsageError(
            f"nobody has asked what the changes of {stored.run_id} are worth; `agent attribute {stored.run_id}` does"
        )
    return found


def keeper_under(stored: StoredRun, conditions: Mapping[str, str]) -> Keeper:
    """Return what counts as progress in a run, without repeats that came about under other conditions."""
    counts = [
        result
        for result in stored.history.results
        if isinstance(result, Trial) or (result.outcome is not None and result.outcome.conditions == conditions)
    ]
    return Keeper(rule_of(stored.config), counts)
