"""What people send to a run while it is running: notes.md, messages and requests to pause.

`current_notes` and `take_messages` are called in the deciding thread only.
"""

from typing import TYPE_CHECKING

from agent.errors import UsageError
from agent.files import read_text
from agent.store.atomic_file import write_durably
from agent.store.inbox.inbox import Inbox
from agent.store.paths import RunPaths
from agent.task.notes import MOST_BYTES, TaskNotes, read_notes
from agent.trials.steering import PersonMessage, message_text

if TYPE_CHECKING:
    from agent.run.open_run import Run  # imports numpy, which commands that only read avoid

SAY, PAUSE = "say", "pause"  # kinds of messages in the inbox


def current_notes(run: "Run") -> TaskNotes:
    """Return the task's notes as they are now, stored in the run's folder.

    If notes.md cannot be used, the notes are those that the latest trial read, and the observer gets a warning: the
    run may be unattended overnight.
    """
    try:
        notes = read_notes(run.executor.task)
    except UsageError as fault:
        notes = stored_notes(run.paths, _latest(run))
        used = "no notes" if notes.hash is None else f"the notes as they were before ({notes.hash})"
        run.observer.warned(f"{fault}; the next proposal reads {used}")
    if notes.hash is not None and not (path := run.paths.notes(notes.hash)).exists():
        path.parent.mkdir(exist_ok=True)
        write_durably(path, notes.text)
    return notes


def stored_notes(paths: RunPaths, digest: str | None) -> TaskNotes:
    """Return the notes with that hash from the run's folder; None: no notes.

    Raises:
        UsageError: the file is missing, or is not what was stored.
    """
    if digest is None:
        return TaskNotes()
    path = paths.notes(digest)
    try:
        notes = TaskNotes(read_text(path, MOST_BYTES))
    except (FileNotFoundError, UnicodeDecodeError):
        notes = TaskNotes()
    if notes.hash != digest:
        raise UsageError(f"{path} is missing or was changed; restore it from a backup")
    return notes


def _latest(run: "Run") -> str | None:
    """Return the hash of the notes that the latest trial read."""
    trials = [*run.history.trials, *run.history.in_flight.values()]
    return max(trials, key=lambda trial: trial.number).proposal.notes


def take_messages(run: "Run") -> None:
    """Journal the messages that wait in the inbox, and remove them from there.

    A process that is killed in between leaves files whose ids the journal has; they are removed the next time.
    """
    inbox, recorded = Inbox(run.paths.inbox), run.history.run_events
    for message in waiting_messages(run.paths, recorded.messages, run.history.n_started):
        run.records.add_run_event(message)
        run.observer.recorded(message)
    inbox.remove({message.id for message in recorded.messages})


def waiting_messages(paths: RunPaths, known: list[PersonMessage], number: int) -> list[PersonMessage]:
    """Return the messages in the inbox that are not among those `known`, oldest first.

    `number` is that of the next trial. Messages that `agent say` would have refused are left out.
    """
    waiting = []
    for message in Inbox(paths.inbox).messages(SAY, {each.id for each in known}):
        text = message.fields.get("text")
        if not isinstance(text, str):
            continue
        try:
            text = message_text(text)
        except UsageError:
            continue
        waiting.append(PersonMessage(number, message.id, text, message.at))
    return waiting


def is_pause_requested(paths: RunPaths) -> bool:
    """Return whether a request to pause waits. A paused run stays paused until `agent resume`."""
    return any(Inbox(paths.inbox).messages(PAUSE))


def discard_pause_requests(paths: RunPaths) -> None:
    """Remove the requests to pause. Called when the run is resumed, or has ended."""
    inbox = Inbox(paths.inbox)
    inbox.remove({message.id for message in inbox.messages(PAUSE)})
