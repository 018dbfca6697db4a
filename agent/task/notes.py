"""notes.md in a task's folder: advice of people to the models and agents that propose.

It does not belong to the task's files: no job sees it, the task's digest leaves it out, and it may change during a run.
"""

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.errors import UnsafeFileError, UsageError
from agent.files import read_bytes

if TYPE_CHECKING:
    from agent.task.task import Task  # imports numpy and pydantic, which commands that only read avoid

NOTES_NAME = "notes.md"
MOST_BYTES = 20_000


@dataclass(frozen=True)
class TaskNotes:
    """The text of notes.md at one time."""

    text: str = ""

    @property
    def hash(self) -> str | None:
        """Hash of the text, 12 hexadecimal digits; None if there are no notes."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:12] if self.text else None


def read_notes(task: "Task") -> TaskNotes:
    """Return the notes as they are now; empty notes if there is no notes.md.

    If the task declares a file of this name as one of its own, jobs see that file, and the task has no notes.

    Raises:
        UsageError: notes.md is not a plain file, is too large, is not UTF-8 text, or cannot be read.
    """
    path = task.folder / NOTES_NAME
    if any(os.path.normpath(name) == NOTES_NAME for name in (*task.files, *task.pool_files)):
        return TaskNotes()
    try:
        return TaskNotes(read_bytes(path, MOST_BYTES).decode())
    except (FileNotFoundError, NotADirectoryError):
        return TaskNotes()
    except UnsafeFileError:
        raise UsageError(
            f"{path} should be a plain file of at most {MOST_BYTES // 1000} kB; shorten or replace it"
        ) from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}; make it readable, or remove it") from None
