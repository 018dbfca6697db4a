"""Checks a reply in mode code-edit: it is a new change that can run, or has a fault that the model is shown."""

from collections.abc import Sequence
from dataclasses import dataclass

from agent.edits.edit import Edit
from agent.edits.formats import EditFormat
from agent.edits.guard import Guard, fingerprint
from agent.edits.search_replace import Block, BlockMatch, SearchReplace
from agent.errors import EditError
from agent.execution.smoke_test import Rehearse
from agent.modes.prompting.dialogue import ReplyError
from agent.modes.prompting.trial_digest import Briefing, quoted_line, quoted_log
from agent.modes.proposer import Context
from agent.trials.trial import Status, Trial

UNTITLED = "(untitled)"


@dataclass(frozen=True)
class CheckedEdit:
    """A reply that can run, or whose rehearsal failed."""

    title: str
    edit: Edit
    source: str
    fingerprint: str
    note: str = ""  # how its blocks were matched, if not exactly


class CodeEditCheck:
    """Checks the replies for one proposal in order; blocks that matched in an earlier reply are kept."""

    def __init__(
        self, context: Context, briefing: Briefing, guard: Guard, form: EditFormat, rehearse: Rehearse | None
    ) -> None:
        self.smoke_seconds = 0.0  # of all rehearsals so far
        self.crashed: CheckedEdit | None = None  # the change whose rehearsal failed last
        self._context = context
        self._briefing = briefing
        self._guard = guard
        self._form = form
        self._rehearse = rehearse
        self._draft = Draft(context.source)

    def __call__(self, reply: str) -> CheckedEdit:
        """Return the change that `reply` makes. Raises ReplyError if it makes none that can run and is new."""
        title = quoted_line(self._form.title(reply))
        change = self._applied(reply, title)
        self._refuse_repeated(change)
        if self._rehearse is not None:
            self._refuse_failing(change, self._rehearse)
        return change

    def _applied(self, reply: str, title: str) -> CheckedEdit:
        source, note = self._context.source, ""
        try:
            edit = self._form.parse(reply, self._briefing.script)
            if isinstance(edit, SearchReplace):
                edit = self._draft.with_reply(title, edit)
                note = edit.tolerances(source)
            edited = edit.apply(source)
            return CheckedEdit(title or UNTITLED, edit, edited, self._guard.check(edited), note)
        except EditError as fault:
            raise ReplyError(Status.INVALID_EDIT, str(fault), title=title or UNTITLED) from None

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
    """Return the trial that ran, or is running, a script with this fingerprint; None if there is none."""
    if edited == fingerprint(context.baseline_source):
        return context.trials[0]
    ran: Sequence[Trial] = [trial for trial in context.trials if trial.status is not None and trial.status.ran]
    return next((trial for trial in [*ran, *context.pending] if trial.proposal.fingerprint == edited), None)


class Draft:
    """Combines the replies for one proposal, so that a model needs to resend only the blocks that failed.

    A reply under another title is another change, and starts over. Nothing is applied until all blocks match.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._title = ""
        self._standing: list[Block] = []

    def with_reply(self, title: str, edit: SearchReplace) -> SearchReplace:
        """Return the whole change: the blocks of `edit`, and the matched blocks of earlier replies.

        Raises:
            EditError: some blocks do not match; the message names them, and the blocks that are kept.
        """
        if title and title.casefold() != self._title.casefold():
            self._title, self._standing = title, []
        sent = edit.found_in(self._source)
        replaced = [match for match in sent if isinstance(match, BlockMatch)]
        standing = [block for block in self._standing if not _overlaps(block, replaced, self._source)]
        problems = [f"block {n}: {found}" for n, found in enumerate(sent, start=1) if isinstance(found, EditError)]
        if not problems:
            self._standing = []
            return SearchReplace((*standing, *edit.blocks))
        good = [block for block, found in zip(edit.blocks, sent, strict=True) if isinstance(found, BlockMatch)]
        self._standing = standing + good
        if self._standing:
            quoted = ", ".join(repr(block.search.strip().partition("\n")[0][:60]) for block in self._standing)
            problems.append(
                f"{len(self._standing)} that match are kept ({quoted}): under the same title, send only the failed ones"
            )
        raise EditError("\n".join(problems))


def _overlaps(block: Block, others: list[BlockMatch], source: str) -> bool:
    """Whether a kept block overlaps one that was sent again."""
    (match,) = SearchReplace((block,)).found_in(source)
    return isinstance(match, BlockMatch) and any(match.start < o.stop and o.start < match.stop for o in others)
