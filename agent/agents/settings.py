"""Changes to another program's settings file, JSON or TOML, that keep its other settings."""

import json
import tomllib
from collections.abc import Callable, Mapping, MutableMapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.errors import UsageError

Document = MutableMapping[str, Any]


@dataclass(frozen=True)
class SettingsEntry:
    """One value of a settings file.

    Attributes:
        keys: the path of keys to it.
        value: a list is appended to the list in the file; any other value must be the only one.
        is_ours: whether only this program sets it, so that another value is replaced; if not, that is a conflict.
    """

    keys: tuple[str, ...]
    value: Any
    is_ours: bool = False


@dataclass(frozen=True)
class SettingsFile:
    """A settings file of another program, and the settings to add. All methods work on text, not on the disk.

    Attributes:
        path: an absolute path that ends in .json or .toml.
        is_own: whether it is this user's own file, for all projects; a project's files may be a stranger's.
    """

    path: Path
    settings: tuple[SettingsEntry, ...]
    is_own: bool = False

    def merged(self, text: str) -> str:
        """Return the file's text with the settings added.

        Raises:
            UsageError: the text cannot be read, or has another value for a setting that is not ours.
        """
        wanted = self._parsed(text)
        for setting in self.settings:
            self._add(wanted, setting)
        if wanted == self._parsed(text):
            return text
        return self._written(text, wanted, self._add)

    def without(self, text: str) -> str:
        """Return the text without the settings; empty if it holds nothing else. Raises UsageError as `merged` does."""
        wanted = self._parsed(text)
        for setting in self.settings:
            _remove(wanted, setting)
        if not wanted:
            return ""
        if wanted == self._parsed(text):
            return text
        return self._written(text, wanted, _remove)

    def alone(self) -> str:
        """Return the settings as the text of a file that holds nothing else."""
        return self.merged("")

    def _parsed(self, text: str) -> Document:
        kind, parse = ("TOML", tomllib.loads) if self._is_toml else ("JSON", json.loads)
        if not text.strip():
            return {}
        try:
            document = parse(text)
        except (ValueError, RecursionError) as fault:  # ValueError: of either parser
            why = "nested too deeply" if isinstance(fault, RecursionError) else fault
            raise UsageError(f"{self.path} is not {kind} ({why}); {self._unchanged}") from None
        if not isinstance(document, dict):
            raise UsageError(f"{self.path} holds no {kind} object; {self._unchanged}")
        return document

    def _written(self, text: str, wanted: Document, change: Callable[[Document, SettingsEntry], None]) -> str:
        """Return the text after a change, with the formatting of the user's file where it can be kept."""
        if not self._is_toml:
            try:
                dumped = json.dumps(wanted, indent=_indent_of(text), ensure_ascii=False)
                dumped.encode()
            except UnicodeEncodeError:  # half of a surrogate pair, which only an escape can write
                dumped = json.dumps(wanted, indent=_indent_of(text))
            return dumped + "\n"
        import tomlkit

        document = tomlkit.parse(text)
        for setting in self.settings:
            change(document, setting)
        changed = tomlkit.dumps(document).rstrip("\n") + "\n"
        try:
            same = tomllib.loads(changed) == wanted
        except ValueError:
            same = False
        if not same:
            raise UsageError(f"{self.path} cannot be changed without risk to its other settings; {self._unchanged}")
        return changed

    def _add(self, document: Document, setting: SettingsEntry) -> None:
        *outer, last = setting.keys
        place = document
        for depth, key in enumerate(outer):
            if key not in place:
                place[key] = self._table(is_only_a_parent=depth < len(outer) - 1 or isinstance(setting.value, Mapping))
            place = place[key]
            if not isinstance(place, MutableMapping):
                raise self._conflict(setting.keys[: depth + 1], place, "a table" if self._is_toml else "an object")
        found = place.get(last)
        if isinstance(setting.value, list) and not setting.is_ours:
            if found is None:
                place[last] = deepcopy(setting.value)
            elif isinstance(found, list):
                found.extend(value for value in setting.value if value not in found)
            else:
                raise self._conflict(setting.keys, found, "a list")
        elif found is None or setting.is_ours:
            place[last] = deepcopy(setting.value)
        elif found != setting.value:
            raise self._conflict(setting.keys, found, json.dumps(setting.value))

    def _table(self, *, is_only_a_parent: bool) -> Document:
        if not self._is_toml:
            return {}
        import tomlkit

        return tomlkit.table(is_super_table=is_only_a_parent)

    def _conflict(self, keys: tuple[str, ...], found: object, wanted: str) -> UsageError:
        value = json.dumps(found, default=str)
        return UsageError(
            f"{self.path} has {value[:80]} for {'.'.join(keys)}, where {wanted} is needed; {self._unchanged}"
        )

    @property
    def _is_toml(self) -> bool:
        return self.path.suffix == ".toml"

    @property
    def _unchanged(self) -> str:
        return "the file is unchanged: change it by hand"


def _remove(document: Document, setting: SettingsEntry) -> None:
    """Remove a setting, and the tables that it leaves empty. Another value than ours stays."""
    places = [document]
    for key in setting.keys[:-1]:
        within = places[-1].get(key)
        if not isinstance(within, MutableMapping):
            return
        places.append(within)
    last = setting.keys[-1]
    found = places[-1].get(last)
    if isinstance(setting.value, list) and isinstance(found, list) and not setting.is_ours:
        for value in setting.value:
            if value in found:
                found.remove(value)
        is_left = bool(found)
    else:
        is_left = found is None or not (setting.is_ours or found == setting.value)
    if not is_left:
        del places[-1][last]
    for place, key in reversed([*zip(places, setting.keys[:-1], strict=False)]):
        if not place[key]:
            del place[key]


def _indent_of(text: str) -> int | str:
    """Return the indent of a JSON text's first key: two spaces if there is none."""
    for line in text.splitlines()[1:]:
        if line.strip():
            indent = line[: len(line) - len(line.lstrip())]
            return indent or 2
    return 2
