"""Approvals: each proposal of a run waits until a person decides about it, or until a time limit refuses it.

A decision is a message in the run's inbox. It counts once it is in the journal, and then the message is removed.
"""

import os
from collections.abc import Iterable, Iterator, Mapping

from agent.errors import UsageError
from agent.store.inbox.inbox import Inbox, InboxMessage
from agent.store.paths import RunPaths
from agent.store.stored_run import StoredRun
from agent.text import one_line
from agent.trials.budget import duration
from agent.trials.steering import PERSON, TIME_LIMIT, Approval

APPROVAL = "approval"
"""The kind of a message with the fields number, is_approved and reason."""
MOST_CHARACTERS = 500
"""Largest length of a reason."""


class Approvals:
    """The decisions about the proposals of one run."""

    def __init__(self, paths: RunPaths, limit_seconds: float | None) -> None:
        """`limit_seconds`: a proposal that nobody approves within this time is refused; None: no limit."""
        self._paths = paths
        self._inbox = Inbox(paths.inbox)
        self._limit_seconds = limit_seconds

    def decisions(self, waited_seconds: Mapping[int, float], at: str) -> dict[int, Approval]:
        """Return what has been decided about waiting trials, by number; for each, the first decision counts.

        Args:
            waited_seconds: how long each trial that waits for approval has waited.
            at: the current time, ISO 8601 in UTC.
        """
        approvals: dict[int, Approval] = {}
        for message, number in _valid_decisions(self._inbox, self._paths):
            if number in waited_seconds and number not in approvals:
                reason = one_line(message.fields["reason"])[:MOST_CHARACTERS]
                approvals[number] = Approval(message.fields["is_approved"], PERSON, reason, at)
        limit = self._limit_seconds
        for number, waited in waited_seconds.items():
            if limit is not None and waited >= limit and number not in approvals:
                within = duration(limit).replace(".0 ", " ")
                approvals[number] = Approval(False, TIME_LIMIT, f"nobody approved it within {within}", at)
        return approvals

    def keep_only(self, waiting: Iterable[int]) -> None:
        """Remove all decisions but those about trials that wait for one."""
        numbers = set(waiting)
        kept = {message.id for message, number in _valid_decisions(self._inbox, self._paths) if number in numbers}
        left = {message.id for message in self._inbox.messages(APPROVAL)} - kept
        if left:
            self._inbox.remove(left)


def decide(stored: StoredRun, number: int, *, is_approved: bool, reason: str = "") -> None:
    """Send a decision about a trial to the run, whether or not a process works on it.

    Raises:
        UsageError: the trial does not wait for approval, the reason is too long, or the run belongs to another user.
    """
    trial = stored.trial(number)
    name = f"trial {number} of {stored.run_id}"
    if trial.approval is not None:
        raise UsageError(f"{name} was {_word(trial.approval.is_approved)} already, at {trial.approval.at}")
    if trial.outcome is not None:
        raise UsageError(f"{name} has finished; `agent log {stored.run_id}` lists the trials that wait")
    if not trial.needs_approval:
        raise UsageError(f"{name} needs no approval; only trials of `agent run --approve` other than the baseline do")
    inbox, paths = Inbox(stored.paths.inbox), stored.paths
    earlier = next((message for message, about in _valid_decisions(inbox, paths) if about == number), None)
    if earlier is not None:
        raise UsageError(f"{name} was {_word(earlier.fields['is_approved'])} already, at {earlier.at}")
    if len(reason) > MOST_CHARACTERS:
        raise UsageError(f"the reason has {len(reason)} characters; shorten it to at most {MOST_CHARACTERS}")
    sent = inbox.put(APPROVAL, number=number, is_approved=is_approved, reason=one_line(reason))
    owners = [message.uid for message in inbox.messages(APPROVAL) if message.id == sent]
    if owners != [_owner(paths)] and (owners or os.geteuid() != _owner(paths)):  # none: the run has read it already
        inbox.remove([sent])
        raise UsageError(f"{stored.run_id} belongs to user {_owner(paths)}; decide about its trials as that user")


def _valid_decisions(inbox: Inbox, paths: RunPaths) -> Iterator[tuple[InboxMessage, int]]:
    """Yield each valid decision with the number of its trial, oldest first. Only those of the run's owner are valid."""
    for message in inbox.messages(APPROVAL):
        number, is_approved, reason = (message.fields.get(name) for name in ("number", "is_approved", "reason"))
        is_valid = isinstance(is_approved, bool) and isinstance(reason, str) and message.uid == _owner(paths)
        if is_valid and isinstance(number, int) and not isinstance(number, bool):
            yield message, number


def _owner(paths: RunPaths) -> int:
    """Return the user id that the run belongs to."""
    return os.stat(paths.journal).st_uid


def _word(is_approved: bool) -> str:
    return "approved" if is_approved else "refused"
