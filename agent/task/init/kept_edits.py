"""What a person edited in task.toml survives another `agent init --force`: a merge of three versions, key by key."""

import hashlib
import json
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.edits.assignments import all_constants
from agent.errors import UsageError
from agent.task.init.script_report import ScriptReport
from agent.task.task import CONFIG_NAME
from agent.task.toml_lines import Keys, Statement, statements
from agent.text import one_line


@dataclass(frozen=True)
class Merged:
    """A new task.toml in which the person's edits are kept."""

    text: str
    remarks: tuple[str, ...] = ()  # what was kept, and what was not


@dataclass(frozen=True)
class _Setting:
    lines: tuple[str, ...]  # of the setting
    comments: tuple[str, ...]  # full lines directly above it
    value: Any
    header: Keys


def merge(before: str | None, now: str, own: str, *, chosen: Collection[Keys] = (), known: Collection[str]) -> Merged:
    """Return `now` with the person's edits: each key that differs from what `agent init` wrote keeps its own value.

    Args:
        before: what `agent init` wrote last time; None: unknown, so that every difference counts as an edit.
        now: what it would write now.
        own: the file as it is.
        chosen: keys that this command sets, which therefore replace an edit.
        known: the names that a search can write in the script; a range for another name is dropped.

    Raises:
        tomllib.TOMLDecodeError: `own` is not TOML.
    """
    old = None if before is None else _settings(before)
    new, mine = _settings(now), _settings(own)
    known_comments = {line.strip() for text in (before or own, now) for line in text.split("\n")}
    kept: dict[Keys, _Setting] = {}
    conflicts: list[str] = []
    for keys, setting in mine.items():
        is_edited = old is None or keys not in old or old[keys].value != setting.value
        if not is_edited or (keys in new and new[keys].value == setting.value):
            continue
        if keys in chosen:
            conflicts.append(f"{_name(keys)}: your {_spelt(setting.value)} is replaced, since an option sets it")
        elif keys[0] == "space" and keys not in new and keys[-1] not in known:
            conflicts.append(f"{_name(keys)}: your range is left out, since the script has no such constant")
        else:
            kept[keys] = setting
            if old is not None and keys in new and (keys not in old or old[keys].value != new[keys].value):
                found = _spelt(new[keys].value)
                conflicts.append(f"{_name(keys)}: your {_spelt(setting.value)} is kept; init now finds {found}")
    gone = {keys for keys in (old or {}) if keys in new and keys not in mine and keys not in chosen}
    lines = _applied(now, new, kept, gone, known_comments)
    remarks = []
    if kept:
        remarks.append(f"kept from your task.toml: {', '.join(_name(keys) for keys in kept)}")
    if gone:
        remarks.append(f"left out as in your task.toml: {', '.join(_name(keys) for keys in sorted(gone))}")
    return Merged("\n".join(lines), (*remarks, *conflicts))


class WrittenBefore:
    """The task.toml that `agent init` wrote last for a folder, in the user's cache."""

    def __init__(self, cache: Path, folder: Path) -> None:
        name = hashlib.sha256(str(folder.resolve()).encode(errors="surrogateescape")).hexdigest()[:16]
        self._file = cache / "init" / f"{name}.toml"

    def read(self) -> str | None:
        """Return its text; None if it is not known."""
        try:
            return self._file.read_text(encoding="utf-8")
        except (OSError, ValueError):
            return None

    def save(self, text: str) -> None:
        """Remember a text. If the cache cannot be written, the next merge takes every difference for an edit."""
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.write_text(text, encoding="utf-8")
        except OSError:
            return


def with_edits(
    reading: ScriptReport, now: str, before: str | None, chosen: Collection[Keys] = (), *, force: bool
) -> Merged:
    """Return the new task.toml of a folder with what a person has edited in the one that is there.

    A file that is not TOML is saved beside it as task.toml.old. Without `force`, nothing is merged: nothing will be
    replaced either. Arguments as for `merge`.

    Raises:
        UsageError: the file is a link, or cannot be read.
    """
    path = reading.folder / CONFIG_NAME
    if not force or not (path.exists() or path.is_symlink()):
        return Merged(now)
    if path.is_symlink() or not path.is_file():
        raise UsageError(f"{path} is not a plain file, so nothing was written; move it away")
    try:
        content = path.read_bytes()
        try:
            known = all_constants(reading.edited[1])
            return merge(before, now, content.decode("utf-8-sig"), chosen=chosen, known=known)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError):
            path.with_name(f"{CONFIG_NAME}.old").write_bytes(content)
            return Merged(now, (f"your task.toml was not TOML text: it is kept as {CONFIG_NAME}.old",))
    except OSError as fault:
        raise UsageError(f"{path} cannot be read or saved: {fault.strerror}") from None


def _settings(text: str) -> dict[Keys, _Setting]:
    tomllib.loads(text)
    lines = text.replace("\r\n", "\n").split("\n")
    found: dict[Keys, _Setting] = {}
    headers: dict[int, Keys] = {}
    for statement in statements(lines):
        if statement.is_header:
            headers[statement.first] = statement.keys
            continue
        inside = tuple(lines[statement.first : statement.end])
        value: Any = tomllib.loads("\n".join(inside))
        header = headers.get(statement.header, ())
        for _ in statement.keys[len(header) :]:  # a dotted key is a table in a table
            value = next(iter(value.values()))
        found[statement.keys] = _Setting(inside, tuple(_comments_above(lines, statement)), value, header)
    return found


def _comments_above(lines: list[str], statement: Statement) -> Iterator[str]:
    first = statement.first
    while first > 0 and lines[first - 1].lstrip().startswith("#"):
        first -= 1
    yield from lines[first : statement.first]


def _applied(
    now: str, new: Mapping[Keys, _Setting], kept: Mapping[Keys, _Setting], gone: Collection[Keys], known: set[str]
) -> list[str]:
    """Return the lines of `now` with the kept settings in place of its own, or at the end of their tables."""
    lines = now.split("\n")
    result: list[str] = []
    added: dict[Keys, list[str]] = {}
    for keys, setting in kept.items():
        if keys not in new:
            added.setdefault(setting.header, []).extend([*_own_comments(setting, known), *setting.lines])
    at = 0
    header: Keys = ()
    for statement in statements(lines):
        result += lines[at : statement.first]
        at = statement.end
        if statement.is_header:
            result += _with_table_end(result, added.pop(header, []))
            header = statement.keys
            result += lines[statement.first : at]
        elif statement.keys in kept:
            mine = kept[statement.keys]
            result += [*_own_comments(mine, known), *_under(mine, statement.keys, header)]
        elif statement.keys not in gone:
            result += lines[statement.first : at]
    result += lines[at:]
    result += _with_table_end(result, added.pop(header, []))
    for table, extra in added.items():
        result += [f"[{'.'.join(table)}]", *extra, ""]
    return result


def _with_table_end(result: list[str], extra: list[str]) -> list[str]:
    """Return what to append so that `extra` is at the end of a table; comments and blanks below it move down."""
    if not extra:
        return []
    end = len(result)
    while end > 0 and (not result[end - 1].strip() or result[end - 1].lstrip().startswith("#")):
        end -= 1
    below = result[end:]
    del result[end:]
    return [*extra, *(below or [""])]


def _under(setting: _Setting, keys: Keys, header: Keys) -> tuple[str, ...]:
    """Return the lines of a setting as they read below another header: `limits.cpus = 1` is `cpus = 1` in [limits]."""
    if setting.header == header:
        return setting.lines
    _, equals, rest = setting.lines[0].partition("=")
    return f"{'.'.join(keys[len(header) :])} {equals}{rest}", *setting.lines[1:]


def _own_comments(setting: _Setting, known: set[str]) -> list[str]:
    return [line for line in setting.comments if line.strip() not in known]


def _name(keys: Keys) -> str:
    return one_line(f"[{'.'.join(keys[:-1])}] {keys[-1]}")


def _spelt(value: Any) -> str:
    return one_line(json.dumps(value, ensure_ascii=False, default=str))[:60]
