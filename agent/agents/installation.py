"""Reads and atomically changes settings files on the disk; a backup stays beside each."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agent.agents.settings import SettingsFile
from agent.errors import UnsafeFileError, UsageError
from agent.files import plain_folder, read_text

_MOST_BYTES = 4 * 2**20
_BACKUP = ".before-autocentaur"


@dataclass(frozen=True)
class Change:
    """A settings file as it is, and as it will be.

    Attributes:
        path: the file itself, not a link to it.
        before: None if there is no such file.
        after: empty: the file is removed.
    """

    path: Path
    before: str | None
    after: str

    @property
    def backup(self) -> Path:
        """The file that will hold the text before the change."""
        return self.path.with_name(self.path.name + _BACKUP)

    @property
    def keeps_before(self) -> bool:
        """Whether a backup is kept: there is an earlier text, and it holds more than our settings."""
        return self.before is not None and self.after != ""


def additions(files: Iterable[SettingsFile]) -> list[Change]:
    """Return the changes that add all settings; only files that differ.

    Raises:
        UsageError: a file cannot be read or changed; the message names it. No file was written.
    """
    return _changes(files, SettingsFile.merged)


def removals(files: Iterable[SettingsFile]) -> list[Change]:
    """Return the changes that remove all settings again. Raises as `additions` does."""
    return _changes(files, SettingsFile.without)


def apply(change: Change) -> None:
    """Make a change atomically, after a backup to `change.backup`. Raises UsageError if it cannot be written."""
    path = change.path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if change.keeps_before:
            shutil.copy2(path, change.backup)
        if change.after:
            _replace(path, change.after, is_new=change.before is None)
        else:
            path.unlink()
    except OSError as error:
        raise UsageError(
            f"{error.filename or path} cannot be written ({error.strerror}); "
            f"{path} is unchanged: make its folder writable"
        ) from None


def _changes(files: Iterable[SettingsFile], changed: Callable[[SettingsFile, str], str]) -> list[Change]:
    found: dict[Path, Change] = {}  # in a home folder, the files of the project and of the user may be the same
    for file in files:
        path = file.path.resolve() if file.is_own else file.path
        earlier = found.get(path)
        before = earlier.before if earlier else _text_at(path, file)
        after = changed(file, earlier.after if earlier else before or "")
        found[path] = Change(path, before, after)
    return [change for change in found.values() if change.after != (change.before or "")]


def _text_at(path: Path, file: SettingsFile) -> str | None:
    """Return a file's text; None if there is none."""
    try:
        if not file.is_own:
            plain_folder(path.parent)
        return read_text(path, _MOST_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except UnsafeFileError:
        why = f"it, or its folder, is a link or no file, or it is over {_MOST_BYTES // 2**20} MiB"
    except UnicodeDecodeError:
        why = "it is not UTF-8"
    except OSError as error:
        why = f"it cannot be read: {error.strerror}"
    raise UsageError(f"{path} is unchanged, because {why}; change it by hand")


def _replace(path: Path, text: str, *, is_new: bool) -> None:
    """Write a file atomically. Owner and permissions stay as they are."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False,
                                     newline="") as growing:  # fmt: skip
        try:
            growing.write(text)
            growing.flush()
            os.fsync(growing.fileno())
            if is_new:
                os.chmod(growing.name, 0o600)
            else:
                known = path.stat()
                os.chmod(growing.name, known.st_mode & 0o7777)
                with suppress(PermissionError):  # not the owner: the file becomes this user's
                    os.chown(growing.name, known.st_uid, known.st_gid)
            os.replace(growing.name, path)
        except BaseException:
            os.unlink(growing.name)
            raise
