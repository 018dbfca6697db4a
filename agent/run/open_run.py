"""A run that is open for writing, in groups: a function takes the group that it needs."""

from dataclasses import dataclass, field
from typing import Protocol

from agent.execution.executor import Executor
from agent.execution.host import Clock
from agent.execution.slots import Slot
from agent.modes.proposer import Proposer
from agent.run.policy import Policy
from agent.run.records import Records
from agent.run.steering.approvals import Approvals
from agent.search.space import SearchSpace
from agent.store.inbox.submissions import SubmissionQueue
from agent.store.paths import RunPaths
from agent.trials.events import AttemptLost, AttemptVoided
from agent.trials.history import History
from agent.trials.keeping.confirmations import SliceUse
from agent.trials.keeping.keep_rule import KeepPolicy
from agent.trials.machine_speed import LostAttempt, VoidedAttempt
from agent.trials.repeat import Repeat
from agent.trials.steering import RunEvent
from agent.trials.trial import Outcome, Trial


class Observer(Protocol):
    """Receives the events of a run in order; the console output is one implementation."""

    def proposing(self, number: int) -> None: ...
    def proposed(self, number: int) -> None: ...
    def waits_for_approval(self, trial: Trial) -> None: ...
    def started(self, trial: Trial, slot: Slot) -> None: ...
    def scoring(self, what: Trial | Repeat) -> None: ...
    def finished(self, trial: Trial, previous: Trial | None) -> None: ...
    def repeating(self, repeat: Repeat, slot: Slot) -> None: ...
    def repeated(self, repeat: Repeat, trial: Trial) -> None: ...
    def voided(self, void: VoidedAttempt, trial: int) -> None: ...
    def lost(self, lost: LostAttempt, trial: int) -> None: ...
    def recorded(self, event: RunEvent) -> None: ...
    def slice_opened(self, use: SliceUse) -> None: ...
    def slice_scored(self, use: SliceUse) -> None: ...
    def warned(self, line: str) -> None: ...


@dataclass
class Run:
    """A run that this process may write to.

    Only the deciding thread (agent.execution.workers) reads and writes `records` and `policy`, and calls `observer`.
    """

    records: Records
    executor: Executor
    policy: Policy
    observer: Observer
    proposer: Proposer
    space: SearchSpace | None  # what is searched, see agent.modes.mode.searched
    slots: tuple[Slot, ...] = (Slot(0),)  # each runs one trial at a time
    queue: int = 0  # number of proposals that may wait for a slot
    submissions: SubmissionQueue | None = None  # of mode submitted; None: the proposer writes its own proposals
    approvals: Approvals | None = None  # decisions about each proposal; None: proposals need no approval
    clock: Clock = field(default_factory=Clock)
    _counted_until: float | None = None  # time of `clock` up to which `elapsed` has counted; None: it is paused
    _uncounted: float = 0.0  # seconds before the clock was held

    @property
    def run_id(self) -> str:
        return self.records.run_id

    @property
    def is_parallel(self) -> bool:
        """Whether a trial may be proposed while another one is in flight."""
        return len(self.slots) > 1 or self.queue > 0

    @property
    def gpus(self) -> tuple[str, ...]:
        return tuple(gpu for slot in self.slots for gpu in slot.gpus)

    @property
    def baseline(self) -> Outcome | None:
        """The outcome of trial 0; None before it has ended."""
        return self.history.trials[0].outcome if self.history.trials else None

    @property
    def paths(self) -> RunPaths:
        return self.records.paths

    @property
    def history(self) -> History:
        return self.records.history

    @property
    def keeper(self) -> KeepPolicy:
        return self.policy.keeper

    def record_void(self, void: VoidedAttempt, trial: int, seed: int | None) -> None:
        """Journal a void attempt of a trial or, with `seed`, of a repeat in flight, and notify the observer."""
        self.records.add(AttemptVoided(trial, seed, void))
        self.observer.voided(void, trial)

    def record_lost(self, lost: LostAttempt, trial: int, seed: int | None) -> None:
        """Journal a lost attempt of a trial or, with `seed`, of a repeat in flight, and notify the observer."""
        self.records.add(AttemptLost(trial, seed, lost))
        self.observer.lost(lost, trial)

    def resume_clock(self) -> None:
        """Count the wall time of the run from now on, unless it is being counted."""
        if self._counted_until is None:
            self._counted_until = self.clock.monotonic()

    def pause_clock(self) -> None:
        """Stop counting the wall time: nothing of this run is in flight."""
        self._counted_until = None

    def hold_clock(self) -> None:
        """Stop counting the wall time while only a person can go on; the next result counts what came before."""
        if self._counted_until is not None:
            self._uncounted += self.clock.monotonic() - self._counted_until
            self._counted_until = None

    def elapsed(self) -> float:
        """Return the wall time that no result has counted yet, in seconds, and count it."""
        now = self.clock.monotonic()
        began, self._counted_until = self._counted_until, now
        before, self._uncounted = self._uncounted, 0.0
        return before + (0.0 if began is None else now - began)
