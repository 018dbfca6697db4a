"""Checks a changed script, whoever wrote it: it is new, keeps the contract, and passes a rehearsal."""

from dataclasses import dataclass

from agent.edits.assignments import check_finite, read_constants
from agent.edits.edit import Edit, Params
from agent.edits.guard import Guard, fingerprint
from agent.errors import EditError
from agent.execution.smoke_test import Rehearse
from agent.modes.prompting.dialogue import ReplyError
from agent.modes.prompting.trial_digest import Briefing, quoted_log
from agent.modes.proposer import Context
from agent.trials.trial import Status, Trial

UNTITLED = "(untitled)"


@dataclass(frozen=True)
class CheckedEdit:
    """A change that can run, or whose rehearsal failed."""

    title: str
    edit: Edit
    source: str
    fingerprint: str
    note: str = ""  # how its blocks were matched, if not exactly


class ScriptCheck:
    """Checks the changes of one proposal, in order."""

    def __init__(self, context: Context, briefing: Briefing, guard: Guard, rehearse: Rehearse | None) -> None:
        self.smoke_seconds = 0.0  # of all rehearsals so far
        self.crashed: CheckedEdit | None = None  # the change whose rehearsal failed last
        self._context = context
        self._briefing = briefing
        self._guard = guard
        self._rehearse = rehearse

    def __call__(self, title: str, edit: Edit, note: str = "") -> CheckedEdit:
        """Return the change. Raises ReplyError if it does not apply, cannot run, or repeats a trial."""
        title = title or UNTITLED
        try:
            edited = edit.apply(self._context.source)
            if self._context.space is not None:
                check_finite(edited, self._context.space.names)
            change = CheckedEdit(title, edit, edited, self._guard.check(edited), note)
        except EditError as fault:
            raise ReplyError(Status.INVALID_EDIT, str(fault), title=title) from None
        self._refuse_repeated(change)
        if self._rehearse is not None:
            self._refuse_failing(change, self._rehearse)
        return change

    def _refuse_repeated(self, change: CheckedEdit) -> None:
        context = self._context
        if change.fingerprint == fingerprint(context.source):
            problem = "the edit changes nothing but comments or formatting; change what the script does"
            raise ReplyError(Status.DUPLICATE, problem, title=change.title, copied_from="incumbent")
        earlier = _trial_with(change.fingerprint, context)
        if earlier is not None:
            problem = f"this is the script of trial {earlier.number} again ({self._briefing.result(earlier)}); "
            problem += "propose something new"
            raise ReplyError(Status.DUPLICATE, problem, title=change.title, copied_from=f"trial {earlier.number}")

    def _refuse_failing(self, change: CheckedEdit, rehearse: Rehearse) -> None:
        """Raise ReplyError if a rehearsal of the change fails; the second failure of a proposal is final.

        So is one for lack of memory: the next trial repairs that; see MendingProposer.
        """
        result = rehearse(change.source, self._context.number)
        self.smoke_seconds += result.seconds
        if result.failed is None:
            self.crashed = None
            return
        is_final = self.crashed is not None or result.failed is Status.OUT_OF_MEMORY
        self.crashed = change
        problem = f"{result.reason} (in a rehearsal of one step)\n{quoted_log(result.log)}"
        raise ReplyError(result.failed, problem, title=change.title, final=is_final)


def _trial_with(edited: str, context: Context) -> Trial | None:
    """Return the trial that ran a script with this fingerprint, or is running it, or for which a person refused it."""
    if edited == fingerprint(context.baseline_source):
        return context.trials[0]
    same = (trial for trial in (*context.trials, *context.pending) if trial.proposal.fingerprint == edited)
    return next((trial for trial in same if trial.status is None or trial.status.ran or trial.is_vetoed), None)


def params_in(source: str, context: Context) -> Params | None:
    """Return the values of the space's names in `source`; None if it no longer has them as plain constants."""
    if context.space is None:
        return None
    try:
        return read_constants(source, context.space.names)
    except EditError:
        return None
