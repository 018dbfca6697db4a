"""A model rewrites the training script: every reply becomes a distinct, runnable change or a named reason."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from agent.edits import search_replace
from agent.edits.assignments import read_constants
from agent.edits.edit import Edit, Params, Unchanged
from agent.edits.guard import Guard, fingerprint
from agent.errors import EditError
from agent.llm.model import Message, Model
from agent.prompts import PromptSet
from agent.propose.briefing import Briefing, one_line
from agent.propose.conversation import ReplyError, converse
from agent.propose.proposer import Context
from agent.trial import Origin, Proposal, Status, Trial

HISTORY_LINES = (40, 12, 0)  # of kept and of other trials each; fewer where the prompt does not fit
UNTITLED = "(untitled)"
_TITLE_LINE = re.compile(r"^\W*title\W*?:\s*(.+?)[\s*_`]*$", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class Change:
    """A reply that can run."""

    title: str
    edit: Edit
    source: str
    fingerprint: str


class CodeEditProposer:
    """Shows the model the incumbent's script and the run so far, and has it mend what does not apply."""

    def __init__(
        self,
        model_for: Callable[[int], Model],
        prompts: PromptSet,
        briefing: Briefing,
        guard: Guard,
        *,
        attempts: int = 3,
        parse: Callable[[str], Edit] = search_replace.parse,
    ) -> None:
        """`model_for` gives the model that writes trial n, with its transcript; `parse` reads an edit format."""
        self._model_for = model_for
        self._prompts = prompts
        self._briefing = briefing
        self._guard = guard
        self._attempts = attempts
        self._parse = parse

    def propose(self, context: Context) -> Proposal:
        exchange = converse(
            self._model_for(context.number),
            self._prompts,
            self._openings(context),
            lambda reply: self._check(reply, context),
            attempts=self._attempts,
        )
        if exchange.answer is None:
            assert exchange.rejected is not None
            return Proposal(
                origin=Origin.LLM,
                title=exchange.rejected.title or "no usable edit",
                edit=Unchanged(),
                copied_from=exchange.rejected.copied_from,
                refused=exchange.rejected.status,
                reason=exchange.rejected.reason,
                usage=exchange.usage,
                prompt=self._prompts.hash,
            )
        return Proposal(
            origin=Origin.LLM,
            title=exchange.answer.title,
            edit=exchange.answer.edit,
            params=_params(exchange.answer.source, context),
            fingerprint=exchange.answer.fingerprint,
            usage=exchange.usage,
            prompt=self._prompts.hash,
        )

    def _openings(self, context: Context) -> Iterator[Sequence[Message]]:
        """Yield the prompt with ever less history; the script is always whole."""
        briefing = self._briefing
        system = self._prompts.fill(
            "system",
            {
                "script": briefing.script,
                "goal": briefing.goal,
                "frozen": ", ".join(briefing.frozen) or "none",
                "required": ", ".join(self._guard.required) or "none",
                "limits": briefing.limits,
            },
        )
        for n_lines in HISTORY_LINES:
            user = self._prompts.fill(
                "user",
                {
                    "script": briefing.script,
                    "source": context.source,
                    "incumbent": str(context.incumbent.number),
                    "result": f"{briefing.metric} {briefing.shown(context.best_loss)}",
                    "kept": briefing.kept(context.trials, n_lines),
                    "tried": briefing.tried(context.trials, n_lines),
                    "budget_left": context.budget_left,
                },
            )
            yield [Message("system", system), Message("user", user)]

    def _check(self, reply: str, context: Context) -> Change:
        """Return the change that `reply` makes. Raises ReplyError if it makes none that can run and is new."""
        titled = _TITLE_LINE.search(reply)
        title = one_line(titled[1]) if titled else UNTITLED
        try:
            edit = self._parse(reply)
            source = edit.apply(context.source)
            edited = self._guard.check(source)
        except EditError as fault:
            raise ReplyError(Status.INVALID_EDIT, str(fault), title=title) from None
        if edited == fingerprint(context.source):
            problem = "the edit changes nothing but comments or formatting; change what the script does"
            raise ReplyError(Status.DUPLICATE, problem, title=title, copied_from="incumbent")
        if (earlier := _trial_with(edited, context)) is not None:
            problem = f"this is the script of trial {earlier.number} again ({self._briefing.result(earlier)}); "
            problem += "propose something that was not tried"
            raise ReplyError(Status.DUPLICATE, problem, title=title, copied_from=f"trial {earlier.number}")
        return Change(title, edit, source, edited)


def _trial_with(edited: str, context: Context) -> Trial | None:
    """Return the finished trial that ran a script of this fingerprint."""
    if edited == fingerprint(context.baseline_source):
        return context.trials[0]
    ran = (trial for trial in context.trials if trial.status is not None and trial.status.ran)
    return next((trial for trial in ran if trial.proposal.fingerprint == edited), None)


def _params(source: str, context: Context) -> Params | None:
    """Return the values of the space's names in `source`; None if it no longer has them as plain constants."""
    if context.space is None:
        return None
    try:
        return read_constants(source, context.space.names)
    except EditError:
        return None
