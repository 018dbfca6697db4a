"""A run in a simulated machine: a clock that moves only when all threads wait for it, and jobs that the seed decides.

The threads are real. Jobs and proposals end one at a time, in the order that the simulated clock gives. So a run is
the same each time, although trials end in any order, some fail, and some attempts are lost.
"""

import json
import math
import random
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from agent.edits.assignments import read_constants
from agent.execution.host import Clock
from agent.execution.slots import SlotSandbox, StoppedError, slot_number
from agent.execution.workers import Workers
from agent.modes.proposer import Context, Proposer
from agent.store.journal import Journal
from agent.trials.events import Recordable
from agent.trials.trial import Proposal
from sandbox.errors import JobLostError
from sandbox.job import Execution, Job, StoppedBy

MOST_LOST = 2  # attempts in a row: one fewer than the number that stops a run


class Killed(BaseException):
    """The process is killed here. It is no Exception, so that nothing handles it."""


@dataclass(frozen=True)
class _Sleeper:
    end: float  # by the simulated clock, in seconds
    released: threading.Event
    thread: threading.Thread


class Simulation:
    """A clock, and the threads that wait for it."""

    def __init__(self) -> None:
        self.now = 0.0  # seconds
        self._lock = threading.Lock()
        self._sleepers: dict[str, _Sleeper] = {}  # by a name that is the same in each execution of a test
        self._others = set(threading.enumerate())  # threads of other tests
        self._is_stopped = False

    @property
    def clock(self) -> Clock:
        return Clock(now=self._date, monotonic=lambda: self.now)

    def _date(self) -> str:
        return (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.now)).isoformat(timespec="seconds")

    def sleep(self, name: str, seconds: float) -> None:
        """Block this thread for simulated seconds. Raises StoppedError if the simulation ends before."""
        sleeper = _Sleeper(self.now + seconds, threading.Event(), threading.current_thread())
        with self._lock:
            assert name not in self._sleepers, f"{name} runs twice at the same time"
            if not self._is_stopped:
                self._sleepers[name] = sleeper
        if not self._is_stopped:
            sleeper.released.wait()
        if self._is_stopped:
            raise StoppedError(name)

    def release_first(self, until: float | None = None) -> bool:
        """Move the clock to the earliest end, and release the thread that waits for it.

        If there is none up to the time `until`, move the clock to that, and return False.
        """
        with self._lock:
            if until is not None and not any(sleeper.end <= until for sleeper in self._sleepers.values()):
                self.now = until
                return False
            assert self._sleepers, "the loop waits, and nothing is in flight"
            name = min(self._sleepers, key=lambda name: (self._sleepers[name].end, name))
            first = self._sleepers.pop(name)
            self.now = first.end
        first.released.set()
        return True

    def is_settled(self) -> bool:
        """Whether all threads that were started since the beginning wait for the clock, or have ended."""
        sleeping = {sleeper.thread for sleeper in list(self._sleepers.values())}
        running = set(threading.enumerate()) - self._others - sleeping
        return not any(thread.name == "worker" for thread in running)

    def stop(self) -> None:
        """Release all threads, each with an error."""
        with self._lock:
            self._is_stopped = True
            for sleeper in self._sleepers.values():
                sleeper.released.set()


class SimulatedWorkers(Workers):
    """Moves the simulated clock while the deciding thread has nothing to do."""

    def __init__(self, simulation: Simulation) -> None:
        super().__init__()
        self._simulation = simulation

    def wait(self, at_most: float | None = None) -> None:
        until = None if at_most is None else self._simulation.now + at_most
        while self._messages.empty():
            if not self._simulation.is_settled():
                time.sleep(1e-4)
            elif self._messages.empty() and not self._simulation.release_first(until):
                return
        super().wait()

    def close(self) -> None:
        self.stop.set()
        self._simulation.stop()
        super().close()


def loss_of(values: Mapping[str, Any], train_seed: int) -> float:
    """Return the loss of a script with these values: a bowl in each, and the noise of the training seed."""
    bowl = (math.log10(values["SMOOTHING"]) - 0.2) ** 2 / 10 + (values["MIX"] - 0.8) ** 2
    steps = values["STRIDE"] / 50 + abs(math.log2(values["CHUNK"]) - 8) / 40 + (values["ORDER"] == "backward") / 50
    return 1 + bowl + steps + random.Random(f"{sorted(values.items())} {train_seed}").gauss(0, 0.01)


@dataclass(frozen=True)
class Ran:
    """A job that has ended or was lost, by the simulated clock."""

    label: str
    slot: int
    began: float
    seconds: float
    is_lost: bool


@dataclass(frozen=True)
class Given:
    """What becomes of all attempts at one job, in place of what the seed decides."""

    seconds: float
    loss: float | None = 2.0  # None: the script fails
    error: Exception | None = None  # raised at the end


@dataclass
class SimulatedSandbox:
    """Jobs that last as long as the seed decides; their loss is `loss_of` the script's values."""

    simulation: Simulation
    seed: int
    process: int = 0  # number of the process: after a kill, other attempts are lost
    lost: float = 0.1  # share of attempts that are lost
    crashed: float = 0.1  # share of configurations that fail
    given: Mapping[str, Given] = field(default_factory=dict)  # by label
    ran: list[Ran] = field(default_factory=list)
    busy: dict[int, str] = field(default_factory=dict)  # label by slot
    most_busy: int = 0  # slots at the same time
    _attempts: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, job: Job) -> Execution:
        label, slot = job.label, slot_number()
        with self._lock:
            assert slot not in self.busy, f"{label} and {self.busy[slot]} are in slot {slot} at the same time"
            self.busy[slot] = label
            self.most_busy = max(self.most_busy, len(self.busy))
            has_baseline = any(name.endswith("/0000/train") for name in self.busy.values())
            assert not has_baseline or len(self.busy) == 1, f"the baseline does not run alone: {self.busy}"
            attempt = self._attempts[label]
            self._attempts[label] += 1
        chance = random.Random(f"{self.seed} {label} {self.process} {attempt}")
        given = self.given.get(label)
        seconds = given.seconds if given is not None else chance.randrange(1, 60) / 4
        is_lost = given is None and attempt % (MOST_LOST + 1) != MOST_LOST and chance.random() < self.lost
        began = self.simulation.now
        try:
            self.simulation.sleep(label, seconds)
            self.ran.append(Ran(label, slot, began, seconds, is_lost))
        finally:
            del self.busy[slot]
        if is_lost:
            raise JobLostError(f"{label} was lost")
        if given is not None and given.error is not None:
            raise given.error
        return self._ended(job, seconds)

    @property
    def n_begun(self) -> int:
        """The number of jobs that have begun; those in `ran` were not stopped."""
        return self._attempts.total()

    def close(self) -> None:
        pass

    def _ended(self, job: Job, seconds: float) -> Execution:
        script = next(mount.source for mount in job.mounts if mount.target == "/task") / "train.py"
        values = read_constants(script.read_text(), ["SMOOTHING", "MIX", "STRIDE", "CHUNK", "ORDER"])
        is_baseline = job.label.endswith("/0000/train")
        fails = random.Random(f"{self.seed} {sorted(values.items())}").random() < self.crashed and not is_baseline
        loss: float | None = loss_of(values, int(job.environment["TRAIN_SEED"]))
        if (given := self.given.get(job.label)) is not None:
            loss, fails = given.loss, given.loss is None
        job.log.write_text("no\n" if fails else f"---\nval_bpb: {loss!r}\n")
        assert job.output is not None
        job.output.write_bytes(b"a model")
        return Execution(int(fails), StoppedBy.ITSELF, seconds, seconds, 0.1, 7, False)

    @property
    def restricted(self) -> SlotSandbox:
        """This sandbox as a run uses it: jobs can be stopped."""
        return SlotSandbox(self)


class SlowProposer:
    """A proposer that needs simulated time for each proposal."""

    def __init__(self, inner: Proposer, simulation: Simulation, seed: int) -> None:
        self._inner, self._simulation, self._seed = inner, simulation, seed
        self.seen: list[Context] = []

    def propose(self, context: Context) -> Proposal:
        seconds = random.Random(f"proposal {self._seed} {context.number}").choice([0, 0, 0.25, 5])
        self._simulation.sleep(f"proposal {context.number}", seconds)
        self.seen.append(context)
        return self._inner.propose(context)


class DyingJournal(Journal):
    """A journal whose process is killed at one of its events: before the event is written, or just after that."""

    def __init__(self, inner: Journal, n_events: int, *, is_written: bool) -> None:
        """`n_events`: events that are written before the one at which the process is killed."""
        self.path = inner.path
        self._inner, self._left, self._is_written = inner, n_events, is_written

    def append(self, event: Recordable) -> None:
        self._left -= 1
        if self._left < 0 and not self._is_written:
            raise Killed
        self._inner.append(event)
        if self._left < 0:
            raise Killed

    def close(self) -> None:
        self._inner.close()


def events_of(journal: Path) -> list[dict[str, Any]]:
    """Return the lines of a journal as JSON data."""
    return [json.loads(line) for line in journal.read_text().splitlines()]
