"""Asks the proposer for the next trial, in a thread of its own, so that trials run in the meantime."""

from collections.abc import Callable
from dataclasses import replace

from agent.edits.edit import Unchanged
from agent.execution.slots import Slot, in_slot
from agent.execution.workers import Workers, in_thread
from agent.modes.proposer import Context
from agent.run.open_run import Run
from agent.run.steering.user_input import current_notes, take_messages
from agent.task.notes import TaskNotes
from agent.trials.budget import Ledger
from agent.trials.events import TrialStarted
from agent.trials.steering import SubmissionRefused
from agent.trials.trial import Origin, Proposal

PROPOSER = -1  # number of the slot that smoke tests run in: any GPU of the run, any processor


class ProposalInProgress:
    """One call of the proposer. It keeps the context, and so the parent, that it started with.

    A process that ends does not wait for it: a proposal that is not in the journal never happened.
    """

    def __init__(self, run: Run, ledger: Ledger, workers: Workers, arrived: Callable[[], None]) -> None:
        """Start the call. `arrived` is called in the deciding thread once there is a proposal or a fault.

        Raises:
            JournalError: the messages of people cannot be journaled.
        """
        take_messages(run)
        self._notes = current_notes(run)
        self.context = context_of(run, ledger, self._notes)
        self.began = run.clock.monotonic()
        run.observer.proposing(self.context.number)
        slot = Slot(PROPOSER, run.gpus, cluster=run.slots[0].cluster)
        self._result = in_thread(lambda: in_slot(slot, workers.stop, lambda: run.proposer.propose(self.context)))
        self._result.add_done_callback(lambda _result: workers.post(arrived))

    def event(self, run: Run) -> TrialStarted:
        """Return the event for the journal. Raises what the proposer raised."""
        context = self.context
        # In a run with several trials in flight, the journal has what the proposer had seen, to replay it.
        n_seen = len(context.trials) if run.is_parallel else None
        proposal = self._result.result()
        n_read = len(context.messages) if proposal.prompt is not None else 0  # no model was asked: nobody read them
        proposal = replace(proposal, notes=self._notes.hash, n_messages=n_read)
        needs_approval = run.approvals is not None and proposal.refused is None
        return TrialStarted(context.number, context.incumbent.number, proposal, run.clock.now(), n_seen, needs_approval)


def baseline_event(run: Run) -> TrialStarted:
    """Return the event that starts trial 0."""
    defaults = run.executor.task.defaults or None
    return TrialStarted(0, None, Proposal(Origin.BASELINE, "baseline", Unchanged(), params=defaults), run.clock.now())


def context_of(run: Run, ledger: Ledger, notes: TaskNotes) -> Context:
    """Return what a proposer may know now; `ledger` includes the expected cost of what is in flight."""
    history, reported = run.history, run.policy.reported
    incumbent = history.incumbent
    assert incumbent is not None, "the baseline comes first"
    return Context(
        number=history.n_started,
        source=run.records.sources[incumbent.number],
        baseline_source=run.executor.task.source,
        incumbent=reported.trial(incumbent),
        trials=tuple(reported.trial(trial) for trial in history.by_finish),
        space=run.space,
        budget_left=ledger.left(run.policy.budget),
        pending=tuple(history.in_flight.values()),
        notes=notes.text,
        messages=tuple(history.run_events.messages),
        sigma=run.keeper.sigma,
    )


def refusal_of(event: TrialStarted) -> SubmissionRefused | None:
    """Return the refusal of a submission that cannot run, which costs no trial; None for any other proposal."""
    proposal = event.proposal
    if proposal.submission is None or proposal.refused is None:
        return None
    status, sent = proposal.refused.value, proposal.submission.id
    return SubmissionRefused(event.number, sent, proposal.title, status, proposal.reason, proposal.note, event.at)
