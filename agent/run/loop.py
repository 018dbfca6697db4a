"""The loop: propose, run, score, judge, commit or revert. It knows protocols, not modes."""

from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha256

from agent.errors import AgentError
from agent.execution.slots import Slot
from agent.execution.speed.fillers import Fillers
from agent.execution.workers import POLL_SECONDS, Workers
from agent.run.ending import End, EndReason
from agent.run.open_run import Run
from agent.run.planner import RunPlanner, Work
from sandbox.errors import SandboxError


def run_trials(run: Run, workers: Workers | None = None) -> End:
    """Run trials until a budget is spent, starting where the journal ends. Raises what `run_together` raises."""
    return run_together([run], workers=workers)[run.run_id]


def run_together(
    runs: Sequence[Run],
    ended: Callable[[Run, End], None] = lambda _run, _end: None,
    all_begun: Callable[[], None] | None = None,
    workers: Workers | None = None,
) -> dict[str, End]:
    """Run trials of several runs in the same slots until all runs have ended; return how each ended, by name.

    The run with the fewest trials gets the next free slot, so that a slow hour affects all runs alike. With one slot,
    the order follows from the journals alone: after a kill, it is the same. A baseline without a loss ends all runs,
    because all have the same baseline.

    Args:
        runs: all have the same slots.
        ended: called for each run that ends.
        all_begun: called once, when all runs have a baseline and none has gone further than that in this process.

    Raises:
        SandboxError, ModelError, JournalError, RepoError: a tool failed; trials in flight have ended, and the runs can
            be resumed.
        KeyboardInterrupt: trials in flight stay in the journal as started, and run again on resume.
    """
    workers = workers or Workers()
    loop = _Loop(runs, ended, all_begun, workers)
    try:
        return loop.run()
    finally:
        workers.close()
        loop.close()


class _Loop:
    """Fills free slots with work."""

    def __init__(
        self,
        runs: Sequence[Run],
        ended: Callable[[Run, End], None],
        all_begun: Callable[[], None] | None,
        workers: Workers,
    ) -> None:
        self._workers = workers
        self._planners = [RunPlanner(run, workers) for run in runs]
        self._going = list(self._planners)
        self._free = list(runs[0].slots)
        self._n_slots = len(self._free)
        self._fillers = Fillers(runs[0].executor.probe if self._n_slots > 1 else None)
        self._ended = ended
        self._all_begun = all_begun
        self._fault: BaseException | None = None
        self._is_stopping = False  # nothing more is started
        self._ends: dict[str, End] = {}

    def close(self) -> None:
        self._fillers.close()

    def run(self) -> dict[str, End]:
        """Return how each run ended, by name."""
        while True:
            self._guarded(self._start_all)
            awaits = any(planner.awaits_messages for planner in self._going)
            self._fill(awaits=awaits)
            if self._is_stopping and len(self._free) == self._n_slots:
                break
            if not self._going:
                break
            self._guarded(partial(self._workers.wait, POLL_SECONDS if awaits else None))
        if self._fault is not None:
            raise self._fault
        return self._ends

    def _fill(self, *, awaits: bool) -> None:
        """Keep idle slots busy, but not a whole machine that waits for people."""
        if not awaits or len(self._free) < self._n_slots:
            self._fillers.fill(self._free)
            return
        for slot in self._free:
            self._fillers.clear(slot)

    def _guarded(self, act: Callable[[], None]) -> None:
        """Do something in the deciding thread; if a tool fails, stop the runs once what is in flight has ended."""
        try:
            act()
        except (AgentError, SandboxError, OSError) as fault:
            self._fail(fault)

    def _start_all(self) -> None:
        """Start all that can run now."""
        while not self._is_stopping and self._step():
            pass

    def _step(self) -> bool:
        """Let the first run that can do something do it; return whether one could."""
        if self._all_begun is not None and all(planner.has_baseline for planner in self._planners):
            begun, self._all_begun = self._all_begun, None
            begun()
        for planner in sorted(self._going, key=_place):
            if self._all_begun is not None and planner.has_baseline and not planner.ends_soon:
                continue  # it waits until all have a baseline
            n_claims = sum(each.n_claims for each in self._going)
            n_free = len(self._free) - n_claims
            work = planner.next(has_slot=n_free + planner.n_claims > 0)
            if work is not None:
                self._begin(work)
                return True
            if planner.fault is not None:
                self._fail(planner.fault)
                return False
            if planner.end is not None:
                self._going.remove(planner)
                self._ends[planner.run.run_id] = planner.end
                self._ended(planner.run, planner.end)
                self._is_stopping |= planner.end.ending is EndReason.BASELINE_FAILED
                if planner.end.ending is EndReason.PAUSED and self._all_begun is not None:
                    for other in self._going:  # it would wait for the baseline of this one
                        other.pause()
                return True
            if sum(each.n_claims for each in self._going) > n_claims:
                return True
        return False

    def _begin(self, work: Work) -> None:
        self._fillers.clear(self._free[0])
        slot = self._free.pop(0)  # not before: if the canary there has failed, the slot stays free

        def release() -> None:
            self._free.append(slot)
            self._free.sort(key=_number)

        def fail(fault: BaseException) -> None:
            release()
            self._fail(fault)

        self._workers.begin(work(slot), slot, release, fail)

    def _fail(self, fault: BaseException) -> None:
        """Stop with a fault, once what is in flight has ended; at once if it is not an error of a tool."""
        self._is_stopping = True
        self._fault = self._fault or fault
        if not isinstance(fault, Exception):
            raise fault


def _place(planner: RunPlanner) -> tuple[int, str]:
    """Return a run's place in the queue: the run with fewer trials goes first; a hash decides between equals.

    A run that must stop goes before all others, which may have to stop with it.
    """
    if planner.is_given_up:
        return -1, ""
    n_trials = planner.n_begun
    return n_trials, sha256(f"{n_trials} {planner.run.run_id}".encode()).hexdigest()


def _number(slot: Slot) -> int:
    return slot.number
