"""Mode code-edit: a model edits the script. A reply becomes a new, runnable change, or a refusal with its reason."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from agent.edits.assignments import Assignments, read_constants
from agent.edits.codec import Chain
from agent.edits.edit import Unchanged
from agent.edits.formats import FORMATS, SEARCH_REPLACE, EditFormat
from agent.edits.guard import Guard, fingerprint
from agent.errors import EditError
from agent.execution.smoke_test import Rehearse
from agent.llm.model import Message, Model, Schema
from agent.llm.prompt_templates import PromptSet
from agent.modes.mode import ModeInputs, briefing_of, guard_of
from agent.modes.model_choice import is_embedded
from agent.modes.prompting.code_edit_reply import CodeEditCheck
from agent.modes.prompting.dialogue import Exchange, ask_until_valid
from agent.modes.prompting.run_so_far import HISTORY_LINES, run_so_far, task_rules
from agent.modes.prompting.trial_digest import Briefing
from agent.modes.proposer import Context, Proposer
from agent.modes.script_check import CheckedEdit, ScriptCheck, params_in
from agent.text import read_tail
from agent.trials.trial import Origin, Proposal, Status, Trial

SIZE = "DEVICE_BATCH_SIZE"
"""Sequences per forward pass: halving it saves memory, and gradients accumulate to the same step."""


class CodeEditProposer:
    """Shows the model the incumbent's script and the run so far, and asks it to repair replies that cannot run."""

    def __init__(
        self,
        model_for: Callable[[int], Model],
        prompts: PromptSet,
        briefing: Briefing,
        guard: Guard,
        *,
        attempts: int = 3,
        form: EditFormat = SEARCH_REPLACE,
        rehearse: Rehearse | None = None,
        log_of: Callable[[int], str] = lambda _number: "",
    ) -> None:
        """`model_for` returns the model that writes trial n, with its transcript; `prompts` describe `form`.

        `rehearse` runs a smoke job, None: no job is run; `log_of` returns the end of a trial's log.
        """
        self._model_for = model_for
        self._prompts = prompts
        self._briefing = briefing
        self._guard = guard
        self._attempts = attempts
        self._form = form
        self._rehearse = rehearse
        self._log_of = log_of

    def propose(self, context: Context) -> Proposal:
        script = ScriptCheck(context, self._briefing, self._guard, self._rehearse)
        schema = self._form.schema
        exchange = ask_until_valid(
            self._model_for(context.number),
            self._prompts,
            self._openings(context),
            CodeEditCheck(context, self._briefing, script, self._form),
            attempts=self._attempts,
            schema=Schema("edit", schema(context.source)) if schema else None,
        )
        if exchange.answer is None:
            return self._refused(exchange, script)
        return Proposal(
            origin=Origin.LLM,
            title=exchange.answer.title,
            edit=exchange.answer.edit,
            params=params_in(exchange.answer.source, context),
            fingerprint=exchange.answer.fingerprint,
            usage=exchange.usage,
            prompt=self._prompts.hash,
            note=exchange.answer.note,
            smoke_seconds=round(script.smoke_seconds, 3),
        )

    def _refused(self, exchange: Exchange[CheckedEdit], script: ScriptCheck) -> Proposal:
        """Return the refusal with its reason; a change whose rehearsal failed is recorded with its edit."""
        rejected = exchange.rejected
        assert rejected is not None
        crashed = script.crashed if rejected.status.ran else None
        return Proposal(
            origin=Origin.LLM,
            title=rejected.title or "no usable edit",
            edit=crashed.edit if crashed else Unchanged(),
            copied_from=rejected.copied_from,
            refused=rejected.status,
            reason=rejected.reason,
            fingerprint=crashed.fingerprint if crashed else "",
            usage=exchange.usage,
            prompt=self._prompts.hash,
            smoke_seconds=round(script.smoke_seconds, 3),
        )

    def _openings(self, context: Context) -> Iterator[Sequence[Message]]:
        """Yield the prompt with less and less history; the script is always complete."""
        briefing = self._briefing
        system = self._prompts.fill(
            "system",
            {
                **task_rules(briefing, self._guard),
                "script": briefing.script,
                "format": "\n\n".join(
                    self._prompts.texts[p].strip() for p in ("more", "format") if p in self._prompts.texts
                ),
            },
        )
        for n_lines in HISTORY_LINES:
            is_short = n_lines == HISTORY_LINES[-1]
            values = run_so_far(context, briefing, self._log_of, n_lines, is_short=is_short)
            yield [Message("system", system), Message("user", self._prompts.fill("user", values))]


class OutOfMemoryRetry:
    """Proposes what `inner` does, but after a trial that ran out of memory its change once more, with SIZE halved."""

    def __init__(self, inner: Proposer) -> None:
        self._inner = inner

    def propose(self, context: Context) -> Proposal:
        for last in context.trials[_first_unseen(context) :]:
            if (mended := halved(last, context)) is not None:
                return mended
        return self._inner.propose(context)


def _first_unseen(context: Context) -> int:
    """Return the place in `context.trials` of the first trial that no earlier proposal has seen finished."""
    last = max((*context.trials, *context.pending), key=lambda trial: trial.number)
    return len(context.trials) - 1 if last.n_seen is None else last.n_seen


def halved(last: Trial, context: Context) -> Proposal | None:
    """Return the change of `last` with SIZE halved; None if `last` does not call for it, or SIZE cannot be halved."""
    edit = last.proposal.edit
    if last.status is not Status.OUT_OF_MEMORY or last.proposal.origin not in (Origin.LLM, Origin.AGENT):
        return None  # a halved change that runs out of memory too is not halved again
    if last.parent != context.incumbent.number:
        return None
    try:
        size = read_constants(edit.apply(context.source), [SIZE])[SIZE]
        if not isinstance(size, int) or size < 2:
            return None
        mended = Chain((edit, Assignments({SIZE: size // 2})))
        source = mended.apply(context.source)
    except EditError:  # the script has no such constant
        return None
    if any(trial.proposal.fingerprint == fingerprint(source) for trial in (*context.trials, *context.pending)):
        return None
    params = dict(last.proposal.params) if last.proposal.params is not None else None
    if params is not None and SIZE in params:
        params[SIZE] = size // 2
    return Proposal(
        origin=Origin.MEND,
        title=f"{last.proposal.title} (trial {last.number} with {SIZE} {size // 2})",
        edit=mended,
        params=params,
        fingerprint=fingerprint(source),
    )


def build(inputs: ModeInputs) -> Proposer:
    """Return the proposer of this mode."""
    return OutOfMemoryRetry(structural(inputs))


def structural(
    inputs: ModeInputs, *, also: Callable[[str], object] | None = None, more: Sequence[str] = ()
) -> Proposer:
    """Return the proposer of edits by a model or, if the run has one, by a coding agent.

    Args:
        inputs: of the run.
        also: one more check of each edited script, which raises EditError.
        more: prompts with further rules, as MODE/PART.md.
    """
    config, task, paths = inputs.config, inputs.task, inputs.paths
    guard = replace(guard_of(task), also=also)
    if inputs.agent_host is not None:
        from agent.modes.coding_agents import build as coding_agent

        return coding_agent.build(inputs, inputs.agent_host, guard, more)
    form = FORMATS[config.edit_format or ("lines" if is_embedded(config, inputs.api_key) else "search-replace")]
    return CodeEditProposer(
        inputs.model_for,
        PromptSet.load("code_edit", answer_format=form.name, more=more),
        briefing_of(task),
        guard,
        attempts=config.attempts,
        form=form,
        rehearse=inputs.rehearse,
        log_of=lambda number: read_tail(paths.trial(number).log) or read_tail(paths.trial(number).smoke.log),
    )
