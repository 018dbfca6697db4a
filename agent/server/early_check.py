"""Checks a submission before it is queued, as far as that needs no job: what cannot run is refused at once."""

from agent.edits.assignments import Assignments
from agent.edits.guard import fingerprint
from agent.errors import EditError
from agent.modes.mode import briefing_of, guard_of, searched
from agent.modes.prompting.dialogue import ReplyError
from agent.modes.proposer import Context
from agent.modes.script_check import ScriptCheck
from agent.modes.submitted import checked_change, configuration_check
from agent.server.verdicts import told_in
from agent.store.inbox.inbox import InboxMessage
from agent.store.inbox.submissions import SubmissionQueue, SubmittedChange, change_in, submission_ids
from agent.store.stored_run import StoredRun
from agent.task.task import Task
from agent.trials.trial import Status


def check_change(
    stored: StoredRun | None, task: Task, source: str, queue: SubmissionQueue, change: SubmittedChange
) -> None:
    """Check a change against the run as it is now. The run checks it again when it is proposed.

    Args:
        stored: None: the run has not started.
        source: the incumbent's script.

    Raises:
        ReplyError: the change cannot run, or repeats a trial or what waits.
    """
    guard, briefing = guard_of(task), briefing_of(task)
    context = _context(stored, task, source)
    if stored is None or context is None:  # there is no trial yet
        try:
            guard.check(task.source if change.script is None else change.script)
        except EditError as fault:
            raise ReplyError(Status.INVALID_EDIT, str(fault)) from None
        return
    script, memory = ScriptCheck(context, briefing, guard, None), task.memory_model()
    proposal = checked_change(change, context, script, lambda: configuration_check(context, briefing, memory))
    for message in queue.waiting(submission_ids(stored.history)):
        if _fingerprint_of(message, source) == proposal.fingerprint:
            problem = f"this is the change of submission {message.id} again, which waits already"
            raise ReplyError(Status.DUPLICATE, problem)


def _context(stored: StoredRun | None, task: Task, source: str) -> Context | None:
    """Return the context that a proposer would have now; None without a baseline."""
    incumbent = stored.history.incumbent if stored is not None else None
    if stored is None or incumbent is None:
        return None
    history, told = stored.history, told_in(stored)
    return Context(
        number=history.n_started,
        source=source,
        baseline_source=task.source,
        incumbent=told.trial(incumbent),
        trials=tuple(told.trial(trial) for trial in history.by_finish),
        space=searched(stored.config, task),
        budget_left="",
        pending=tuple(history.in_flight.values()),
    )


def _fingerprint_of(message: InboxMessage, source: str) -> str:
    """Return the fingerprint of the script that a waiting change would make now; empty if it makes none."""
    try:
        change = change_in(message)
        made = Assignments(change.values or {}).apply(source) if change.script is None else change.script
        return fingerprint(made)
    except EditError:
        return ""
