"""Checks a submission before it is queued, without running a job, so that what cannot run is refused at once."""

from agent.edits.assignments import Assignments
from agent.edits.edit import Params
from agent.edits.guard import fingerprint
from agent.errors import EditError
from agent.modes.mode import briefing_of, guard_of, searched
from agent.modes.prompting.dialogue import ReplyError
from agent.modes.proposer import Context
from agent.modes.script_check import ScriptCheck
from agent.modes.submitted import checked_change, configuration_check
from agent.server.verdicts import reported_trials
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
        stored: the run; None: it has not started.
        source: the incumbent's script.

    Raises:
        ReplyError: the change cannot run, or repeats a trial or another submission that waits.
    """
    briefing = briefing_of(task)
    context = _context(stored, task, source)
    if stored is None or context is None:
        _check_against_baseline(task, change)
        return
    script, memory = ScriptCheck(context, briefing, guard_of(task), None), task.memory_model()
    proposal = checked_change(change, context, script, lambda: configuration_check(context, briefing, memory))
    for message in queue.waiting(submission_ids(stored.history)):
        if _fingerprint_of(message, source) == proposal.fingerprint:
            problem = f"this repeats submission {message.id}, which waits already; submit something new"
            raise ReplyError(Status.DUPLICATE, problem)


def _check_against_baseline(task: Task, change: SubmittedChange) -> None:
    """Check a change while there is no trial yet. Raises ReplyError as `check_change` does."""
    try:
        script = _with_values(task, change.values or {}) if change.script is None else change.script
        is_baseline = guard_of(task).check(script) == fingerprint(task.source)
    except EditError as fault:
        raise ReplyError(Status.INVALID_EDIT, str(fault)) from None
    if is_baseline:
        raise ReplyError(Status.DUPLICATE, "this is the baseline, which runs first; submit a change of it")


def _with_values(task: Task, values: Params) -> str:
    """Return the baseline's script with values of the space. Raises EditError if it cannot have them."""
    if task.space is None:
        raise EditError("the task declares no [space], so values cannot be submitted; submit a script")
    names = task.space.plain()
    whole = {**task.defaults, **values}
    if faults := names.validate(whole):
        raise EditError("; ".join(faults))
    return Assignments(names.canonical(whole)).apply(task.source)


def _context(stored: StoredRun | None, task: Task, source: str) -> Context | None:
    """Return the context that a proposer would have now; None without a baseline."""
    incumbent = stored.history.incumbent if stored is not None else None
    if stored is None or incumbent is None:
        return None
    history, reported = stored.history, reported_trials(stored)
    return Context(
        number=history.n_started,
        source=source,
        baseline_source=task.source,
        incumbent=reported.trial(incumbent),
        trials=tuple(reported.trial(trial) for trial in history.by_finish),
        space=searched(stored.config, task),
        budget_left="",
        pending=tuple(history.in_flight.values()),
    )


def _fingerprint_of(message: InboxMessage, source: str) -> str:
    """Return the fingerprint of the script that a waiting submission would give now; empty if it gives none."""
    try:
        change = change_in(message)
        made = Assignments(change.values or {}).apply(source) if change.script is None else change.script
        return fingerprint(made)
    except EditError:
        return ""
