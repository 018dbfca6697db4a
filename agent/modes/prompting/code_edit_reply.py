"""Checks a reply in mode code-edit: it is a new change that can run, or has a fault that the model is shown."""

from agent.edits.formats import EditFormat
from agent.edits.search_replace import Block, BlockMatch, SearchReplace, problems_in
from agent.errors import EditError
from agent.modes.prompting.dialogue import ReplyError
from agent.modes.prompting.trial_digest import Briefing, quoted_line
from agent.modes.proposer import Context
from agent.modes.script_check import UNTITLED, CheckedEdit, ScriptCheck
from agent.trials.trial import Status


class CodeEditCheck:
    """Checks the replies for one proposal in order; blocks that matched in an earlier reply are kept."""

    def __init__(self, context: Context, briefing: Briefing, script: ScriptCheck, form: EditFormat) -> None:
        self._source = context.source
        self._briefing = briefing
        self._script = script
        self._form = form
        self._draft = Draft(context.source)

    def __call__(self, reply: str) -> CheckedEdit:
        """Return the change that `reply` makes. Raises ReplyError if it makes none that can run and is new."""
        title, note = quoted_line(self._form.title(reply)), ""
        try:
            edit = self._form.parse(reply, self._briefing.script, self._source)
            if isinstance(edit, SearchReplace):
                edit = self._draft.with_reply(title, edit)
                note = edit.tolerances(self._source)
        except EditError as fault:
            raise ReplyError(Status.INVALID_EDIT, str(fault), title=title or UNTITLED) from None
        return self._script(title, edit, note)


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
        problems = problems_in(sent)
        if not problems:
            self._standing = []
            return SearchReplace((*standing, *edit.blocks))
        good = [block for block, found in zip(edit.blocks, sent, strict=True) if isinstance(found, BlockMatch)]
        self._standing = standing + good
        if self._standing:
            quoted = ", ".join(repr(block.search.strip().partition("\n")[0][:60]) for block in self._standing[:10])
            problems.append(
                f"{len(self._standing)} that match are kept ({quoted}): under the same title, send only the failed ones"
            )
        raise EditError("\n".join(problems))


def _overlaps(block: Block, others: list[BlockMatch], source: str) -> bool:
    """Whether a kept block overlaps one that was sent again."""
    (match,) = SearchReplace((block,)).found_in(source)
    return isinstance(match, BlockMatch) and any(match.start < o.stop and o.start < match.stop for o in others)
