"""Submissions: changes that clients put into a run's inbox, where they wait until they become trials."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from agent.edits.edit import Params
from agent.errors import EditError, UsageError
from agent.store.inbox.inbox import Inbox, InboxMessage
from agent.trials.history import History
from agent.trials.json_fields import check_types
from agent.trials.steering import Submission

KIND = "submission"
MOST_WAITING = 900
"""Largest number of submissions that wait: fewer than fit into an inbox, so that people can still pause the run."""


@dataclass(frozen=True)
class SubmittedChange:
    """A change as a client sent it: a whole script, or values of the search space."""

    record: Submission
    title: str
    script: str | None = None
    values: Params | None = None  # of some of the names


class SubmissionQueue:
    """The submissions in an inbox, in the order in which they arrived."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    def put(
        self, record: Mapping[str, Any], title: str, *, script: str | None = None, values: Params | None = None
    ) -> str:
        """Store a change durably, and return its id.

        Args:
            record: the fields of its Submission, without `id`.

        Raises:
            UsageError: too many wait already, or as `Inbox.put` does.
        """
        if len(self.waiting()) >= MOST_WAITING:
            raise UsageError(f"{MOST_WAITING} submissions wait already; wait for the verdicts on these first")
        return self._inbox.put(KIND, record=dict(record), title=title, script=script, values=values)

    def waiting(self, known: Collection[str] = ()) -> list[InboxMessage]:
        """Return the submissions whose id is not in `known`, oldest first."""
        return list(self._inbox.messages(KIND, known))

    def remove(self, known: Collection[str]) -> None:
        """Remove the submissions with these ids."""
        waiting = {message.id for message in self._inbox.messages(KIND)}
        if waiting & set(known):
            self._inbox.remove(waiting & set(known))


def change_in(message: InboxMessage) -> SubmittedChange:
    """Return the change in a message. Raises EditError if it holds none."""
    fields = message.fields
    try:
        record = Submission.from_json({**fields["record"], "id": message.id})
        change = SubmittedChange(record, fields["title"], fields["script"], fields["values"])
        check_types(change)
    except (KeyError, TypeError, ValueError, AttributeError) as fault:
        raise EditError(f"not a submission of this version ({fault}); submit the change again") from None
    if (change.script is None) == (change.values is None):
        raise EditError("a submission holds either a script or values")
    return change


def submission_ids(history: History) -> set[str]:
    """Return the ids of all submissions that the journal has: as trials, or as refused."""
    trials = (*history.trials, *history.in_flight.values())
    taken = (trial.proposal.submission.id for trial in trials if trial.proposal.submission is not None)
    return {*taken, *(refusal.id for refusal in history.run_events.refusals)}


def as_fields(record: Submission) -> dict[str, Any]:
    """Return the fields of a record for `SubmissionQueue.put`."""
    return {name: value for name, value in asdict(record).items() if name != "id"}
