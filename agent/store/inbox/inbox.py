"""A folder of messages to a run. Any process may add one; the process that has the run open reads them in order.

A message is one JSON file. Once its id is in the journal it has been handled, and its file is removed. A process that
is killed between these two steps leaves a file whose id the journal has, so every reader says which ids are known.
"""

import json
import os
import re
import secrets
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.errors import UnsafeFileError, UsageError
from agent.files import read_json
from agent.store.atomic_file import write_durably

MOST_BYTES = 2**22
"""Largest size of a message, in bytes: a script, with characters that JSON escapes."""
MOST_MESSAGES = 1000
"""Largest number of messages that wait; only a faulty program sends more."""

_NAME = re.compile(r"(\d{9})-([0-9a-f]{12})\.json")


@dataclass(frozen=True)
class InboxMessage:
    """A message that has not been handled yet."""

    id: str
    kind: str
    at: str  # ISO 8601, UTC
    uid: int  # the user id that owns the file
    fields: Mapping[str, Any]


class Inbox:
    """The messages to one run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, kind: str, **fields: Any) -> str:
        """Store a message durably, after all that are there; return its id.

        Raises:
            UsageError: too many messages wait, the message is too large, or the folder cannot be written to.
        """
        message_id = secrets.token_hex(6)
        document = {"id": message_id, "kind": kind, "at": datetime.now(UTC).isoformat(timespec="seconds"), **fields}
        # What is no Unicode, as in a file name that is not UTF-8, could be written to no journal and no commit.
        content = json.dumps(document, ensure_ascii=False).encode(errors="replace").decode()
        if (n_bytes := len(content.encode())) > MOST_BYTES:
            raise UsageError(f"the message has {n_bytes} bytes, and the limit is {MOST_BYTES}; shorten it")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            numbers = [number for number, _ in self._files()]
            if len(numbers) >= MOST_MESSAGES:
                raise UsageError(f"{len(numbers)} messages wait in {self._folder} already; `agent resume` handles them")
            write_durably(self._folder / f"{max(numbers, default=0) + 1:09d}-{message_id}.json", content)
        except OSError as error:
            raise UsageError(
                f"cannot write to {self._folder}: {error.strerror}; check its owner and the free disk space"
            ) from error
        return message_id

    def messages(self, kind: str, known: Collection[str] = ()) -> Iterator[InboxMessage]:
        """Yield the messages of a kind whose id is not in `known`, oldest first.

        Invalid files are skipped, so that none of them can stop the run.
        """
        for _, path in self._files():
            message = _read(path)
            if message is not None and message.kind == kind and message.id not in known:
                yield message

    def remove(self, ids: Collection[str]) -> None:
        """Remove messages by id. Ids without a message are ignored."""
        for _, path in self._files():
            if path.stem.partition("-")[2] in ids:
                path.unlink(missing_ok=True)

    def _files(self) -> list[tuple[int, Path]]:
        """Return the number and the path of each message, in order."""
        names: list[str] = []
        with suppress(FileNotFoundError):
            names = sorted(os.listdir(self._folder))
        found = ((_NAME.fullmatch(name), name) for name in names)
        return [(int(match[1]), self._folder / name) for match, name in found if match is not None]


def _read(path: Path) -> InboxMessage | None:
    """Return the message in a file; None if it is invalid, no plain file, too large, or removed in the meantime."""
    try:
        fields = dict(read_json(path, MOST_BYTES))
        message_id, kind, at = fields.pop("id"), fields.pop("kind"), fields.pop("at")
        uid = path.stat().st_uid
        json.dumps(fields, ensure_ascii=False).encode()  # raises ValueError for what is no Unicode
    except (OSError, ValueError, KeyError, TypeError, UnsafeFileError):
        return None
    if not all(isinstance(value, str) for value in (message_id, kind, at)) or not path.stem.endswith(f"-{message_id}"):
        return None
    try:
        datetime.fromisoformat(at)  # it goes into the journal
    except ValueError:
        return None
    return InboxMessage(message_id, kind, at, uid, fields)
