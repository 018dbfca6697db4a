"""One cheap mend, without a model: a change that ran out of memory is tried again in smaller pieces."""

from agent.edits.assignments import Assignments, read_constants
from agent.edits.edit import Chain
from agent.edits.guard import fingerprint
from agent.errors import EditError
from agent.propose.proposer import Context, Proposer
from agent.trial import Origin, Proposal, Status, Trial

SIZE = "DEVICE_BATCH_SIZE"
"""Sequences of one forward pass: it costs memory, and the gradients of a step add up to the same if it is halved."""


class MendingProposer:
    """`inner`, but after a trial that ran out of memory the same change comes once more, with SIZE halved."""

    def __init__(self, inner: Proposer) -> None:
        self._inner = inner

    def propose(self, context: Context) -> Proposal:
        return halved(context.trials[-1], context) or self._inner.propose(context)


def halved(last: Trial, context: Context) -> Proposal | None:
    """Return the change of `last` with half of SIZE; None if it does not call for that, or cannot be had."""
    edit = last.proposal.edit
    if last.status is not Status.OUT_OF_MEMORY or last.proposal.origin is not Origin.LLM:
        return None  # a mend that runs out of memory too is not mended again
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
    if any(trial.proposal.fingerprint == fingerprint(source) for trial in context.trials):
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
