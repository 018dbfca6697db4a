"""What people and clients sent to a run, as rows, facts and JSON: messages, notes, submissions and approvals."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from agent.report.table import Table
from agent.report.trial_table import MAX_TITLE_WIDTH, paint, time_cell, value_width
from agent.text import cut, one_line
from agent.trials.history import History
from agent.trials.metric import Metric
from agent.trials.repeat import Repeat
from agent.trials.steering import PersonMessage, Submission, SubmissionRefused, in_prompt
from agent.trials.trial import Origin, Proposal, Trial

_CYAN = "36"


def first_readers(history: History) -> dict[str, int]:
    """Return, by id of a message, the first trial whose proposer read it; messages without one are left out."""
    readers: dict[str, int] = {}
    trials = [*history.trials, *history.in_flight.values()] if history.run_events.messages else []
    for trial in sorted(trials, key=lambda trial: trial.number):
        for message in read_by(history, trial.proposal):
            readers.setdefault(message.id, trial.number)
    return readers


def read_by(history: History, proposal: Proposal) -> Sequence[PersonMessage]:
    """Return the messages that were in the prompt for a proposal."""
    return in_prompt(history.run_events.messages[: proposal.n_messages])


def with_events(
    lines: Iterable[str], timeline: Iterable[Trial | Repeat], history: History, metric: Metric, colour: bool
) -> Iterator[str]:
    """Yield the lines of trials and repeats; messages and refused submissions stand before the next proposal's line."""
    left = [event for event in history.run_events.all if isinstance(event, PersonMessage | SubmissionRefused)]
    for line, result in zip(lines, timeline, strict=True):
        while isinstance(result, Trial) and left and left[0].number <= result.number:
            yield event_line(left.pop(0), metric, colour)
        yield line
    yield from (event_line(event, metric, colour) for event in left)


def event_line(event: PersonMessage | SubmissionRefused, metric: Metric, colour: bool) -> str:
    """Return a message or a refused submission as a row of the table of trials."""
    if isinstance(event, PersonMessage):
        word, origin, text = "message", "person", one_line(event.text)
    else:
        word, origin, text = event.status, Origin.SUBMITTED.value, refusal_text(event)
    text = cut(text, MAX_TITLE_WIDTH)
    blank, painted = " " * value_width(metric), paint(f"{one_line(word):14}", _CYAN, colour)
    return f"{'':>5}  {time_cell(event.at)}  {'':7}  {painted} {blank} {'':>9} {'':>6} {'':>7}  {origin:8}  {text}"


def refusal_text(event: SubmissionRefused) -> str:
    """Return what was refused and why, as one printable line."""
    return one_line(f"{event.title} (no trial: {event.reason})")


def steering_facts(history: History, trial: Trial, run_id: str) -> Iterator[tuple[str, str]]:
    """Yield the trial's agent or submission, the decision about it, and the notes and messages in its prompt."""
    if (used := trial.proposal.agent) is not None:
        yield "agent", one_line(f"{used.name} {used.version}, {used.ending}")
        if used.changed:
            yield "not taken", one_line(f"changes of {', '.join(used.changed)}")
    if trial.proposal.submission is not None:
        yield "submission", submission_line(trial.proposal.submission)
    if trial.needs_approval:
        yield "approval", approval_line(trial, run_id)
    if trial.proposal.notes is not None:
        yield "notes", f"notes.md with the hash {trial.proposal.notes}"
    read = read_by(history, trial.proposal)
    readers = first_readers(history) if read else {}
    for message in read:
        if readers[message.id] == trial.number:
            yield "message", one_line(message.text)


def submission_line(record: Submission) -> str:
    """Return where a submission comes from, as one printable line."""
    base = f", an edit of trial {record.base}" if record.base is not None else ""
    trust = "client trusted" if record.is_client_trusted else "client kept from the host's data"
    ignored = f"; not taken: {', '.join(record.ignored)}" if record.ignored else ""
    return one_line(f"{record.id}, from {record.source or 'unknown'}{base}; {trust}{ignored}")


def approval_line(trial: Trial, run_id: str) -> str:
    """Return the decision about a trial that needs approval, or how to decide, as one printable line."""
    decided, name = trial.approval, f"{run_id}/{trial.number}"
    if decided is None:
        return f"nobody has decided yet: `agent approve {name}` or `agent refuse {name}`"
    word = "approved" if decided.is_approved else "refused"
    reason = f": {one_line(decided.reason)}" if decided.reason else ""
    return f"{word} by a {decided.by} at {decided.at}{reason}"


def messages_json(history: History) -> list[dict[str, Any]]:
    """Return the messages as JSON documents, oldest first; `number` is the next trial at that time."""
    readers = first_readers(history)
    return [
        {**message.to_json(), "first_read_by": readers.get(message.id)}
        for message in history.run_events.messages
    ]  # fmt: skip


def messages_table(runs: Sequence[tuple[str, History]]) -> Table:
    """Return one row per message of these runs, which are given by name."""
    rows = []
    for run_id, history in runs:
        readers = first_readers(history)
        rows += [
            [run_id, message.at, one_line(message.text), str(readers.get(message.id, "none"))]
            for message in history.run_events.messages
        ]
    return Table(("run", "at", "message", "first trial that read it"), rows)


def refusals_table(runs: Sequence[tuple[str, History]]) -> Table:
    """Return one row per refused submission of these runs, which are given by name."""
    rows = [
        [run_id, event.at, one_line(event.title), one_line(event.status), one_line(event.reason)]
        for run_id, history in runs
        for event in history.run_events.refusals
    ]
    return Table(("run", "at", "title", "status", "reason"), rows)


def refusals_json(history: History) -> list[dict[str, Any]]:
    """Return the refused submissions as JSON documents, oldest first; `number` is the next trial at that time."""
    return [
        {
            "number": event.number,
            "id": event.id,
            "title": one_line(event.title),
            "status": one_line(event.status),
            "reason": one_line(event.reason),
            "at": event.at,
        }
        for event in history.run_events.refusals
    ]
