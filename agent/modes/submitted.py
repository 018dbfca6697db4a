"""Mode submitted: clients of the run, such as a user's coding agent, submit the proposals.

These wait in the run's inbox. The run takes the oldest first, and pauses when none waits.
"""

import json
from collections.abc import Callable
from dataclasses import replace

from agent.edits.assignments import Assignments, read_constants
from agent.edits.edit import Unchanged, WholeFile
from agent.edits.guard import Guard, fingerprint
from agent.errors import EditError, NothingSubmittedError
from agent.execution.smoke_test import Rehearse
from agent.modes.mode import ModeInputs, briefing_of, guard_of
from agent.modes.numeric import TriedConfigurations
from agent.modes.prompting.configuration_reply import ConfigurationCheck
from agent.modes.prompting.dialogue import ReplyError
from agent.modes.prompting.space_text import changes
from agent.modes.prompting.trial_digest import Briefing
from agent.modes.proposer import Context, Proposer
from agent.modes.script_check import ScriptCheck, params_in
from agent.search.memory_model import MemoryEstimator
from agent.store.inbox.inbox import Inbox
from agent.store.inbox.submissions import SubmissionQueue, SubmittedChange, change_in
from agent.text import one_line
from agent.trials.steering import Submission
from agent.trials.trial import Origin, Proposal, Status

MOST_TITLE = 160  # characters


class SubmittedProposer:
    """Proposes the oldest submission, after the same checks as for a model's reply.

    Before each call, the caller removes from the queue the submissions that are in the journal.
    """

    def __init__(
        self,
        queue: SubmissionQueue,
        briefing: Briefing,
        guard: Guard,
        *,
        rehearse: Rehearse | None = None,
        memory: Callable[[], MemoryEstimator | None] = lambda: None,
    ) -> None:
        """`rehearse` runs a smoke job, None: no job is run; `memory` returns a new memory model."""
        self._queue = queue
        self._briefing = briefing
        self._guard = guard
        self._rehearse = rehearse
        self._memory = memory

    def propose(self, context: Context) -> Proposal:
        """Return the oldest submission as a proposal. Raises NothingSubmittedError if there is none."""
        oldest = next(iter(self._queue.waiting()), None)
        if oldest is None:
            raise NothingSubmittedError("nothing is submitted")
        script = ScriptCheck(context, self._briefing, self._guard, self._rehearse)
        try:
            change = change_in(oldest)
        except EditError as fault:
            record = Submission(oldest.id)
            return _refused(ReplyError(Status.INVALID_EDIT, str(fault)), SubmittedChange(record, "not a submission"))
        try:
            return checked_change(
                change, context, script, lambda: configuration_check(context, self._briefing, self._memory())
            )
        except ReplyError as fault:
            return replace(_refused(fault, change), smoke_seconds=round(script.smoke_seconds, 3))


def configuration_check(context: Context, briefing: Briefing, memory: MemoryEstimator | None) -> ConfigurationCheck:
    """Return the check of submitted values; `memory`: a new memory model; None: memory is not estimated."""
    experience = TriedConfigurations(memory)
    for trial in context.trials:
        experience.observe(trial, context)
    return ConfigurationCheck(context, briefing, experience.estimate)


def checked_change(
    change: SubmittedChange,
    context: Context,
    script: ScriptCheck,
    configuration: Callable[[], ConfigurationCheck],
) -> Proposal:
    """Return a submitted change as a proposal.

    Raises:
        ReplyError: the change cannot run, or repeats a trial.
    """
    title = one_line(change.title)[:MOST_TITLE]
    if change.values is None:
        assert change.script is not None, "change_in checks this"
        checked = script(title, WholeFile(change.script))
        return Proposal(
            Origin.SUBMITTED,
            checked.title,
            checked.edit,
            params=params_in(checked.source, context),
            fingerprint=checked.fingerprint,
            smoke_seconds=round(script.smoke_seconds, 3),
            submission=change.record,
        )
    if context.space is None:
        problem = "the task declares no [space], so values cannot be submitted; submit a script"
        raise ReplyError(Status.INVALID_EDIT, problem, title=title)
    try:
        before = read_constants(context.source, context.space.names)
    except EditError as fault:
        problem = f"the incumbent no longer has all names of the space as constants ({fault}); submit a script"
        raise ReplyError(Status.INVALID_EDIT, problem, title=title) from None
    params = configuration()(json.dumps({**before, **change.values}))
    edit = Assignments(params)
    return Proposal(
        Origin.SUBMITTED,
        title or changes(context.space, before, params),
        edit,
        params=params,
        fingerprint=fingerprint(edit.apply(context.source)),
        submission=change.record,
    )


def _refused(fault: ReplyError, change: SubmittedChange) -> Proposal:
    return Proposal(
        Origin.SUBMITTED,
        one_line(change.title)[:MOST_TITLE],
        Unchanged(),
        refused=fault.status,
        reason=fault.reason,
        copied_from=fault.copied_from,
        note=fault.problem.partition("\n")[2],
        submission=change.record,
    )


def build(inputs: ModeInputs) -> Proposer:
    """Return the proposer of this mode."""
    task = inputs.task
    queue = SubmissionQueue(Inbox(inputs.paths.inbox))
    return SubmittedProposer(
        queue, briefing_of(task), guard_of(task), rehearse=inputs.rehearse, memory=task.memory_model
    )
