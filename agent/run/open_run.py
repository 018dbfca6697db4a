"""A run that is open for writing, in groups: a function takes the group that it needs."""

from dataclasses import dataclass, field
from typing import Protocol

from agent.execution.executor import Executor
from agent.execution.host import Clock
from agent.modes.proposer import Proposer
from agent.run.policy import Policy
from agent.run.records import Records
from agent.search.space import SearchSpace
from agent.store.paths import RunPaths
from agent.trials.confirmations import SliceUse
from agent.trials.history import History
from agent.trials.keep_rule import KeepPolicy
from agent.trials.machine_speed import VoidedAttempt
from agent.trials.repeat import Repeat
from agent.trials.trial import Trial


class Observer(Protocol):
    """Receives the events of a run in order; the console output is one implementation."""

    def proposing(self, number: int) -> None: ...
    def started(self, trial: Trial) -> None: ...
    def scoring(self, trial: Trial) -> None: ...
    def finished(self, trial: Trial, previous: Trial | None) -> None: ...
    def repeating(self, repeat: Repeat) -> None: ...
    def repeated(self, repeat: Repeat, trial: Trial) -> None: ...
    def voided(self, void: VoidedAttempt, trial: int) -> None: ...
    def slice_opened(self, use: SliceUse) -> None: ...
    def slice_scored(self, use: SliceUse) -> None: ...


@dataclass
class Run:
    """A run that this process may write to.

    Only the loop's thread writes to `records`, `policy` and `observer`; `executor` changes no state of its own.
    """

    records: Records
    executor: Executor
    policy: Policy
    observer: Observer
    proposer: Proposer
    space: SearchSpace | None  # what is searched, see agent.modes.mode.searched
    lookahead: int = 0  # 1: the next trial is proposed while one trains
    clock: Clock = field(default_factory=Clock)

    @property
    def run_id(self) -> str:
        return self.records.run_id

    @property
    def paths(self) -> RunPaths:
        return self.records.paths

    @property
    def history(self) -> History:
        return self.records.history

    @property
    def keeper(self) -> KeepPolicy:
        return self.policy.keeper

    def record_void(self, void: VoidedAttempt) -> None:
        """Journal a void attempt of the trial or repeat in flight, and notify the observer."""
        self.observer.voided(void, self.records.add_void(void))
