"""Decides for one run what should run next: a repeat, a trial, a new proposal, or nothing any more."""

from collections.abc import Callable
from dataclasses import replace

from agent.errors import ModelBudgetSpentError, NothingSubmittedError
from agent.execution.slots import Slot
from agent.execution.workers import Steps, Workers, finished
from agent.run.confirmations import publish_on_slice
from agent.run.ending import End, EndReason, stop_reason, with_reserved
from agent.run.one_trial import Stay, run_trial
from agent.run.open_run import Run
from agent.run.proposals import ProposalInProgress, baseline_event, refusal_of
from agent.run.records import PendingTrial
from agent.run.repeats import resume_repeat, run_repeat
from agent.run.steering.user_input import discard_pause_requests, is_pause_requested
from agent.run.steering.waiting import WaitingTrial, WaitingTrials
from agent.store.inbox.submissions import submission_ids
from agent.text import plural
from agent.trials.budget import Ledger
from agent.trials.repeat import Purpose, Repeat
from agent.trials.trial import Trial

Work = Callable[[Slot], Steps[None]]
"""Returns the work that holds a slot until it ends."""


class RunPlanner:
    """Plans one run. All its methods are called in the deciding thread."""

    def __init__(self, run: Run, workers: Workers) -> None:
        """Recreate what is missing on the disk, and start where the journal ends."""
        run.records.rebuild()
        self.run = run
        self.end: End | None = None  # once the run has ended
        self.fault: BaseException | None = None  # raised by the proposer; the run stops once nothing is in flight
        self._workers = workers
        self._ledger = Ledger.of(run.history.results)
        self._n_before = self._n_done()
        self._waiting = WaitingTrials(run)
        self._n_running = 0  # trials, repeats and slices that hold a slot
        self._is_repeating = False  # whether one of these is a repeat or a slice
        self._proposal: ProposalInProgress | None = None
        self._has_claim = False  # whether a slot is reserved for the proposal
        self._out_of_budget: End | None = None  # of a model's budget
        self._closing: End | None = None  # once only the final runs are left
        self._is_pausing = False  # whether nothing more is proposed or started, but repeats that are due
        self._is_published = False  # whether the result was published on a slice by this process
        self._n_overruns = 0  # trials that ended after the budget was spent
        self._n_earlier = len(run.history.trials)

    @property
    def n_begun(self) -> int:
        """The number of trials that have got a slot, or needed none."""
        return self.run.history.n_started - len(self._waiting)

    @property
    def is_given_up(self) -> bool:
        """Whether the run must stop, whatever its budget."""
        return stop_reason(self.run.history.by_finish, self._n_earlier) is not None

    @property
    def n_claims(self) -> int:
        """The number of free slots that are reserved for a proposal in progress."""
        return int(self._has_claim)

    @property
    def has_baseline(self) -> bool:
        return bool(self.run.history.trials)

    @property
    def awaits_messages(self) -> bool:
        """Whether a message from another process may bring new work."""
        return self.end is None and (self.run.submissions is not None or bool(self._waiting.undecided))

    @property
    def ends_soon(self) -> bool:
        """Whether the run starts nothing new: it must stop, or is pausing."""
        return self.is_given_up or self._is_pause_requested()

    def pause(self) -> None:
        """Propose and start nothing more. What is in flight ends, and repeats that are due run."""
        self._is_pausing = True

    def next(self, *, has_slot: bool) -> Work | None:
        """Return what should run now in a free slot; None if nothing should. It may start a proposal, or end the run.

        Args:
            has_slot: whether a slot is free for this run.

        Raises:
            SandboxError, AgentError: a tool failed; the run can be resumed.
        """
        if self.end is not None or self.fault is not None:
            return None
        is_pausing = self._is_pause_requested()
        for refused in self._waiting.take_refused():
            finished(self._trial(refused, self.run.slots[0]))
        repeat = self._due_repeat()
        work = (repeat or self._waiting_trial()) if has_slot else None
        if work is None and self._closing is None and not is_pausing:
            self._propose(has_slot=has_slot)
            work = self._waiting_trial() if has_slot else None  # the baseline needs no proposer
        is_idle = not self._n_running and (is_pausing or not self._waiting) and self._proposal is None
        if work is None and repeat is None and is_idle and self.fault is None:
            work = self._close(has_slot=has_slot)
        return work

    def _close(self, *, has_slot: bool) -> Work | None:
        """Return the next final run, if the run has no more trials, or end the run."""
        self._closing = self._closing or self._out_of_budget or self._budget_end(self._ledger)
        end, work = self._closing, None
        if end is not None and end.ending in (EndReason.DONE, EndReason.NOTHING_RAN):
            work = self._final_work()
            end = replace(end, ending=self._done_or_nothing(), reason=f"{end.reason}{self._overruns()}")
        if self._is_pausing and (end is None or work is not None or self._waiting):
            end, work = End(EndReason.PAUSED, "paused, as `agent pause` asked"), None
        elif end is None and not self._has_proposals():
            end = End(EndReason.PAUSED, "paused: nothing is submitted")
        if work is not None:
            return work if has_slot else None
        if end is not None:
            self._end(end)
        return None

    def _is_pause_requested(self) -> bool:
        """Return whether the run is pausing. A pause is not taken back in this process."""
        self._is_pausing = self._is_pausing or is_pause_requested(self.run.paths)
        return self._is_pausing

    def _end(self, end: End) -> None:
        self.run.records.repo.pack_refs()
        if end.ending is not EndReason.PAUSED:
            discard_pause_requests(self.run.paths)
        self.end = end

    def _final_work(self) -> Work | None:
        """Return the next run of the result after the search, then its publication on a slice; None: all are done."""
        run, slices, n_runs = self.run, self.run.executor.slices, self.run.policy.final_runs
        if (wanted := run.keeper.final(n_runs)) is not None:
            return lambda slot: self._repeat(run_repeat(run, wanted, slot, self._workers))
        if n_runs and slices is not None and run.keeper.on_slices and run.keeper.result and not self._is_published:
            self._is_published = True
            return lambda _slot: self._repeat(publish_on_slice(run, slices))
        return None

    def _due_repeat(self) -> Work | None:
        """Return the repeat or slice that a killed process began, or the repeat that the keep rule wants now."""
        run, history, slices = self.run, self.run.history, self.run.executor.slices
        if self._is_repeating or self._closing is not None:
            return None
        repeating = history.repeating
        if repeating is not None and repeating.purpose is not Purpose.SLOPE:
            return lambda slot: self._repeat(resume_repeat(run, slot, self._workers))
        if history.opened is not None and repeating is None and slices is not None:
            return lambda _slot: self._repeat(publish_on_slice(run, slices))
        if self._reserved().spent(run.policy.budget.of_time) is not None:
            return None
        wanted = run.keeper.next_repeat()
        return None if wanted is None else lambda slot: self._repeat(run_repeat(run, wanted, slot, self._workers))

    def _waiting_trial(self) -> Work | None:
        """Return the trial that has waited longest for a slot; None if none does, or none may start."""
        first = None if self._is_pausing else self._waiting.take_first()
        return None if first is None else lambda slot: self._trial(first, slot)

    def _propose(self, *, has_slot: bool) -> None:
        """Start to propose the next trial if it could run, or may wait for a slot."""
        run, history = self.run, self.run.history
        if self._proposal is not None or self._out_of_budget is not None:
            return
        if not history.n_started:
            if has_slot:
                self._start(run.records.pending(run.records.add(baseline_event(run))), 0.0)
            return
        if history.incumbent is None or len(self._waiting) >= run.queue + has_slot:
            return
        reserved = self._reserved()
        if self._budget_end(reserved) is not None or not self._has_proposals():
            return
        run.resume_clock()
        self._has_claim = has_slot
        self._proposal = ProposalInProgress(run, reserved, self._workers, self._take_proposal)

    def _has_proposals(self) -> bool:
        """Return whether the proposer can propose: always, but in mode `submitted` only while a submission waits."""
        queue = self.run.submissions
        if queue is None:
            return True
        known = submission_ids(self.run.history)
        queue.remove(known)
        return bool(queue.waiting(known))

    def _take_proposal(self) -> None:
        """Journal the proposal that has arrived; it waits for a slot, or ends here if nothing can run."""
        run, proposal = self.run, self._proposal
        assert proposal is not None
        self._proposal, self._has_claim = None, False
        run.observer.proposed(proposal.context.number)
        try:
            event = proposal.event(run)
        except ModelBudgetSpentError as reached:
            self._out_of_budget = End(EndReason.DONE, str(reached))
            return
        except NothingSubmittedError:  # it was withdrawn in the meantime
            return
        except BaseException as fault:  # noqa: BLE001 (the loop raises it)
            self.fault = fault
            return
        if (refusal := refusal_of(event)) is not None:
            run.records.add_run_event(refusal)
            run.observer.recorded(refusal)
            return
        self._start(run.records.pending(run.records.add(event)), run.clock.monotonic() - proposal.began)

    def _start(self, pending: PendingTrial, proposing_seconds: float) -> None:
        run = self.run
        if pending.trial.is_refused:
            finished(self._trial(WaitingTrial(pending, run.clock.monotonic(), proposing_seconds), run.slots[0]))
            return
        self._waiting.add(pending, proposing_seconds)
        if not self._n_running and len(self._waiting.undecided) == len(self._waiting):
            run.hold_clock()

    def _trial(self, waiting: WaitingTrial, slot: Slot) -> Steps[None]:
        run, pending = self.run, waiting.pending
        stay = Stay.of(
            run,
            slot,
            pending.trial,
            queued_seconds=run.clock.monotonic() - waiting.since if run.is_parallel else 0.0,
            proposing_seconds=waiting.proposing_seconds,
        )
        yield from self._holding(run_trial(run, pending, stay, self._workers))

    def _repeat(self, steps: Steps[object]) -> Steps[None]:
        """Run a repeat, or evaluate models on a slice: one of these at a time, since each may decide the next."""
        self._is_repeating = True
        try:
            yield from self._holding(steps)
        finally:
            self._is_repeating = False

    def _holding(self, steps: Steps[object]) -> Steps[None]:
        """Run work that holds a slot, and add its result to the ledger."""
        self._n_running += 1
        self.run.resume_clock()
        try:
            result = yield from steps
        finally:
            self._n_running -= 1
        if isinstance(result, Trial | Repeat):
            is_late = self._ledger.spent(self.run.policy.budget.of_time) is not None
            self._n_overruns += is_late and isinstance(result, Trial)
            self._ledger = self._ledger.plus(result)
        if not self._n_running and self._proposal is None:
            self.run.pause_clock()

    def _reserved(self) -> Ledger:
        """Return the ledger with the expected cost of all that is in flight."""
        history, n_repeats = self.run.history, int(self._is_repeating)
        return with_reserved(self._ledger, self.run.executor.task, history, len(history.in_flight), n_repeats)

    def _budget_end(self, ledger: Ledger) -> End | None:
        """Return how the run ends by this ledger, or None if it does not."""
        history, policy = self.run.history, self.run.policy
        stopped = stop_reason(history.by_finish, self._n_earlier)
        if stopped is not None and stopped.ending is EndReason.BASELINE_FAILED:
            return stopped
        spent = ledger.spent(policy.budget_of_trials(history.trials))
        return stopped if spent is None else End(self._done_or_nothing(), spent)

    def _done_or_nothing(self) -> EndReason:
        return EndReason.DONE if self._n_done() > self._n_before else EndReason.NOTHING_RAN

    def _n_done(self) -> int:
        """Return the number of finished trials, finished repeats and scored slices."""
        history = self.run.history
        return len(history.results) + sum(use.score is not None for use in history.slices)

    def _overruns(self) -> str:
        if not self._n_overruns or not self.run.is_parallel:
            return ""
        return f"; {plural(self._n_overruns, 'trial')} that had started before ended after that"
