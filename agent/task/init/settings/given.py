"""What the user passes to the script: options, `key=value` overrides, config files, environment variables.

These values are the baseline, and no search changes them: the script would read them in place of a constant.
"""

import argparse
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

from agent.edits.assignments import all_constants, literal_value
from agent.edits.edit import Value
from agent.edits.syntax import parse_expression
from agent.errors import EditError
from agent.task.init.python_file import Source, is_file, read_source
from agent.task.init.settings.budget import is_length
from agent.task.init.settings.places.options import Option, aliases, options
from agent.task.init.settings.setting import Setting, constant_name
from agent.task.init.settings.settings_file import SUFFIXES, values_of

_ASSIGNED = re.compile(r"^[+~]*(?P<name>[A-Za-z_][\w./@-]*)=(?P<value>.*)$", re.DOTALL)
_FLAG = re.compile(r"^--?(?P<name>[A-Za-z][\w.-]*)(=(?P<value>.*))?$", re.DOTALL)
_OF_ENVIRONMENT = re.compile(r"^(?P<name>[A-Z_][A-Z0-9_]*)=(?P<value>.*)$", re.DOTALL)
_RUNS_FILES = re.compile(r"\bexec\(|run_path|fromfile|spec_from_file|import_module|SourceFileLoader")
"""Calls by which a script runs a Python file of settings."""


@dataclass(frozen=True)
class GivenValue:
    """One value that the user passes."""

    name: str  # in the script's terms: lr, optim.lr
    text: str  # as passed
    as_written: str  # --lr 0.5
    of_file: bool = False  # it stands in a file that an argument names

    @property
    def value(self) -> Value:
        """The number that the text spells, else the text."""
        with suppress(EditError, SyntaxError, ValueError, RecursionError, MemoryError):
            return literal_value(self.name, parse_expression(self.text))
        return self.text


def split_environment(script: Source, arguments: Sequence[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the leading words NAME=VALUE that name environment variables which the script reads, and the others."""
    variables: dict[str, str] = {}
    for word in arguments:
        named = _OF_ENVIRONMENT.match(word)
        if named is None or not re.search(rf"(environ|getenv)\b[^\n]*['\"]{named['name']}['\"]", script.text):
            break
        variables[named["name"]] = named["value"]
    return variables, tuple(arguments[len(variables) :])


def given_values(folder: Path, script: Source, arguments: Sequence[str], loaded: str = "") -> list[GivenValue]:
    """Return all values that the arguments of a script give.

    Args:
        folder: of the script and its files.
        script: the script.
        arguments: as passed, without environment variables.
        loaded: the settings file whose values constants replace; they are not given.

    Raises:
        UsageError: a file that an argument names cannot be read.
    """
    found: list[GivenValue] = []
    rest, parsed = _parsed(list(options(script)), arguments)
    found += parsed
    for word, after in pairwise([*rest, ""]):
        if assigned := _ASSIGNED.match(word):
            found.append(GivenValue(assigned["name"], assigned["value"], word))
        elif (flag := _FLAG.match(word)) and flag["value"] is not None:
            found.append(GivenValue(flag["name"], flag["value"], word))
        elif flag and after and not _FLAG.match(after):
            found.append(GivenValue(flag["name"], after, f"{word} {after}"))
    names = [word.rpartition("=")[2] for word in arguments]
    beside = Path(script.name).parent
    for name in names:
        path = beside / name
        if name and path.as_posix() != loaded and not Path(name).is_absolute() and is_file(folder / path):
            found = [*_of_file(folder, path, script), *found]  # options usually override a file
    return found


def with_given(script: Source, settings: Sequence[Setting], given: Sequence[GivenValue]) -> list[Setting]:
    """Return the settings with what the user gives in place of their own values; those are `unused` by a search.

    What is given and matches no setting is appended, since it may state the budget.
    """
    if not given:
        return list(settings)
    by_default = {text: option.name for text, option in aliases(script).values()}
    last = {_key(value.name): value for value in given}  # the last one wins
    used: set[str] = set()
    found = []
    for setting in settings:
        for key in _keys_of(setting, by_default):
            if key in last:
                used.add(key)
                found.append(_given(setting, last[key]))
                break
        else:
            found.append(setting)
    for key, value in last.items():
        if key not in used and not (value.of_file and not is_length(key)):  # a file may hold data
            name = constant_name(re.split(r"[./]", value.name)[-1])
            if name:
                setting = Setting(name, value.value, "argument", value.name, "--args", key=name)
                found.append(_given(setting, value))
    return found


def _given(setting: Setting, given: GivenValue) -> Setting:
    value = setting.declared.converted(given.value)
    return replace(
        setting,
        value=given.text if value is None else value,
        unused=f"--args gives it: {given.as_written}",
        is_given=True,
        where=f"--args, {setting.where}" if setting.where != "--args" else "--args",
    )


def _keys_of(setting: Setting, by_default: dict[str, str]) -> list[str]:
    """Return the names under which a setting may be given, the most specific first."""
    path = re.split(r"[.\[(:]\s*", re.sub(r"['\"\])]", "", setting.display_name.lstrip("-")))
    dotted = [_key(".".join(path[start:])) for start in range(len(path))]
    option = by_default.get(setting.display_name)
    return [*dotted, setting.key, *([_key(option)] if option else [])]


def _key(name: str) -> str:
    return ".".join(constant_name(part) for part in name.strip("-").split("."))


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def _parsed(known: Sequence[Option], arguments: Sequence[str]) -> tuple[list[str], list[GivenValue]]:
    """Return what argparse makes of the arguments by the script's own options, and the words that it does not know."""
    parser = _Parser(add_help=False, argument_default=argparse.SUPPRESS)
    names: dict[str, Option] = {}
    for option in known:
        keywords: dict[str, Any] = {} if option.takes_value else {"action": "store_true"}
        if option.takes_value and option.nargs in ("?", "*", "+"):
            keywords["nargs"] = option.nargs
        elif option.takes_value and option.nargs.isdigit():
            keywords["nargs"] = int(option.nargs)
        is_flag = option.flags[0].startswith("-")
        if not is_flag and "nargs" not in keywords:
            keywords["nargs"] = "?"  # a missing one is no fault here
        with suppress(argparse.ArgumentError, ValueError):
            action = parser.add_argument(*(option.flags if is_flag else (option.name,)), **keywords)
            names[action.dest] = option
    try:
        found, rest = parser.parse_known_args(list(arguments))
    except (ValueError, argparse.ArgumentError):
        return list(arguments), []
    values = []
    for dest, value in vars(found).items():
        texts = value if isinstance(value, list) else [value]
        if texts and isinstance(texts[0], str):
            shown = names[dest].shown
            values.append(GivenValue(names[dest].name, " ".join(texts), " ".join([shown, *texts])))
    return rest, values


def _of_file(folder: Path, path: Path, script: Source) -> Iterator[GivenValue]:
    """Yield the values of a file that an argument names: Python that the script executes, or YAML, JSON, TOML."""
    shown = path.as_posix()
    if path.suffix == ".py" and _RUNS_FILES.search(script.text):
        for name, value in all_constants(read_source(folder, shown).text, any_case=True).items():
            yield GivenValue(name, repr(value), f"{shown}: {name} = {value!r}", of_file=True)
    elif path.suffix in SUFFIXES:
        for keys, value in values_of(folder / path):
            yield GivenValue(".".join(keys), str(value), f"{shown}: {'.'.join(keys)} = {value}", of_file=True)
