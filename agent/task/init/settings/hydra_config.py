"""The files from which hydra composes a script's settings: a primary YAML file, and those of its defaults list.

The order is that of hydra 1.1 and later: a file overrides its defaults, except those behind `_self_`
(hydra.cc/docs/advanced/defaults_list). What is not understood here is refused, never guessed.
"""

import ast
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.edits.edit import Value
from agent.task.init.paths_in_source import FROM_TOP, path_of, paths_by_name
from agent.task.init.python_file import Source
from agent.task.init.settings.settings_file import data_of, is_settings, leaves

Keys = tuple[str, ...]
Insertion = tuple[tuple[int, int], str]
_PACKAGE = re.compile(r"\A(?:\s*#[^\n]*\n)*?\s*#\s*@package\s+(\S+)")
_ASSIGNED = re.compile(r"(?P<mark>\+{0,2}|~)(?P<name>[\w./@-]+)(=(?P<value>.*))?", re.DOTALL)
_MOST_FILES = 100
_DEEPEST = 50  # tables within tables


class CannotComposeError(Exception):
    """The settings of a script are composed in a way that is not understood; the message says which."""


@dataclass(frozen=True)
class Composition:
    """The settings of a script that hydra loads."""

    file: str  # the primary one
    where: str  # the place in the script that names it
    insertions: tuple[Insertion, ...]  # line and column in bytes, and what passes the settings to `configured`
    values: tuple[tuple[Keys, Value, str], ...]  # numbers and strings, each with its keys and its file


def compose(folder: Path, source: Source, arguments: Sequence[str]) -> Composition | None:
    """Return the settings that a script loads with hydra; None if it loads none from a YAML file.

    Args:
        folder: of the script and the files.
        source: the script.
        arguments: the script's own, which may choose files.

    Raises:
        CannotComposeError: they are composed in a way that is not understood.
        UsageError: a file cannot be read.
    """
    found = list(_calls(source))
    if not found:
        return None
    call, insertions = found[0]
    where = source.at(call)
    if len(found) > 1:
        raise CannotComposeError(f"{where} and {source.at(found[1][0])} both load settings with hydra")
    place, name = _named(call, source, arguments)
    if name is None:
        return None  # the settings are dataclasses of the script
    file = posixpath.join(place, f"{name}.yaml")
    if not is_settings(folder / file):
        if "ConfigStore" in source.text:
            return None
        raise CannotComposeError(f"{file}, which {where} names, does not exist")
    reader = _Composer(folder, place, _chosen(folder, place, arguments))
    reader.add(name)
    values = tuple((keys, value, reader.files[keys]) for keys, value in leaves(reader.data) if keys[0] != "hydra")
    return Composition(file, where, insertions, values)


def _calls(source: Source) -> Iterator[tuple[ast.Call, tuple[Insertion, ...]]]:
    """Yield the calls that name the primary file, each with what passes the loaded settings to `configured`."""
    imported = {
        alias.asname or alias.name
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ImportFrom) and node.module == "hydra"
        for alias in node.names
    }
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for call in node.decorator_list:
                if isinstance(call, ast.Call) and ast.unparse(call.func) in {"hydra.main"} | ({"main"} & imported):
                    yield call, _at_start(node, source)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {"hydra.compose"} | ({"compose"} & imported):
            if any(word.arg == "overrides" for word in node.keywords) or len(node.args) > 1:
                raise CannotComposeError(f"{source.at(node)} overrides settings of hydra")
            yield node, around(node)


def around(node: ast.expr) -> tuple[Insertion, ...]:
    """Return what makes a loaded value the argument of `configured`."""
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    return ((node.lineno, node.col_offset), "configured("), ((node.end_lineno, node.end_col_offset), ")")


def _at_start(function: ast.FunctionDef | ast.AsyncFunctionDef, source: Source) -> tuple[Insertion, ...]:
    """Return the statement `configured(cfg)` for the start of a decorated function."""
    arguments = [*function.args.posonlyargs, *function.args.args]
    body = function.body[ast.get_docstring(function, clean=False) is not None :]
    if not arguments or not body:
        raise CannotComposeError(f"{source.at(function)} does nothing with the settings of hydra")
    decorators = getattr(body[0], "decorator_list", None) or [body[0]]
    line, column = decorators[0].lineno, body[0].col_offset
    before = source.text.encode().splitlines(keepends=True)[line - 1][:column].decode()
    call = f"configured({arguments[0].arg})"
    return (((line, column), f"{call}\n{before}" if not before.strip() else f"{call}; "),)


def _named(call: ast.Call, source: Source, arguments: Sequence[str]) -> tuple[str, str | None]:
    """Return the folder of the settings, as seen from the top, and the name of the primary file without .yaml."""
    given = {word.arg: word.value for word in call.keywords if word.arg}
    if ast.unparse(call.func).endswith("main"):
        given = dict(zip(("config_path", "config_name"), call.args, strict=False)) | given
        path = given.get("config_path")
    else:
        given = dict(zip(("config_name",), call.args, strict=False)) | given
        starts = [
            node
            for node in ast.walk(source.tree)
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("initialize", "hydra.initialize")
        ]
        if len(starts) != 1:
            raise CannotComposeError(f"the folder of the settings that {source.at(call)} composes is not known")
        words = {word.arg: word.value for word in starts[0].keywords}
        path = words.get("config_path") or next(iter(starts[0].args), None)
    places = paths_by_name(source)
    name = _word(arguments, "--config-name", "-cn") or _text(given.get("config_name"), source, places)
    place = _word(arguments, "--config-path", "-cp") or _text(path, source, places) or "."
    if place.startswith(("/", "~")):
        raise CannotComposeError(f"{place}, where {source.at(call)} finds its settings, is outside the folder")
    top = place.removeprefix(FROM_TOP)
    place = posixpath.normpath(top if top != place else posixpath.join(posixpath.dirname(source.name), place))
    if place.startswith(".."):
        raise CannotComposeError(f"{place}, where {source.at(call)} finds its settings, is outside the folder")
    return place, None if name is None else re.sub(r"\.ya?ml$", "", name)


def _text(node: ast.expr | None, source: Source, places: Mapping[str, str]) -> str | None:
    """Return the path or name that an argument spells; None if there is none. Raises CannotComposeError if computed."""
    if node is None or (isinstance(node, ast.Constant) and node.value is None):
        return None
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "str" and node.args:
        node = node.args[0]
    text = path_of(node, source, places)
    if text is None:
        raise CannotComposeError(f"{source.at(node)} computes which settings hydra loads")
    return text


def _word(arguments: Sequence[str], *flags: str) -> str | None:
    """Return the last value of an option among the script's arguments."""
    found = None
    for index, word in enumerate(arguments):
        name, equals, value = word.partition("=")
        if name in flags:
            found = value if equals else next(iter(arguments[index + 1 :]), None)
    return found


def _chosen(folder: Path, place: str, arguments: Sequence[str]) -> dict[str, str]:
    """Return which file the arguments choose for a group, by the group."""
    chosen = {}
    for word in arguments:
        named = _ASSIGNED.fullmatch(word)
        if named is None or "." in named["name"] or not (folder / place / named["name"].partition("@")[0]).is_dir():
            continue
        if named["mark"] or "@" in named["name"]:
            raise CannotComposeError(f"{word} of --args adds or removes a file of settings")
        chosen[named["name"]] = named["value"] or ""
    return chosen


class _Composer:
    """Merges files of settings in the order of their defaults lists."""

    def __init__(self, folder: Path, place: str, chosen: Mapping[str, str]) -> None:
        self._folder, self._place, self._chosen = folder, place, chosen
        self._n_files = 0
        self.data: dict[str, Any] = {}
        self.files: dict[Keys, str] = {}  # where each value is from

    def add(self, name: str, group: str = "", package: Keys = ()) -> None:
        """Merge a file of a group, with the files of its defaults list, below the keys `package`.

        Raises:
            CannotComposeError: a file is missing, or not understood.
            UsageError: a file cannot be read.
        """
        file = posixpath.join(self._place, group, f"{name}.yaml")
        self._n_files += 1
        if self._n_files > _MOST_FILES:
            raise CannotComposeError(f"the defaults of {file} lead to more than {_MOST_FILES} files")
        if posixpath.normpath(file).startswith("..") or not is_settings(self._folder / file):
            raise CannotComposeError(f"{file}, which a defaults list names, does not exist")
        data = data_of(self._folder / file) or {}
        if not isinstance(data, dict):
            raise CannotComposeError(f"{file} is no table of settings")
        if header := _PACKAGE.match((self._folder / file).read_text(encoding="utf-8")):
            if header[1] not in ("_global_", "_group_"):
                raise CannotComposeError(f"{file} has the header @package {header[1]}")
            package = () if header[1] == "_global_" else package
        defaults = data.pop("defaults", [])
        if not isinstance(defaults, list):
            raise CannotComposeError(f"the defaults of {file} are no list")
        for entry in defaults if "_self_" in defaults else [*defaults, "_self_"]:
            if entry == "_self_":
                self._merge(data, package, file)
            else:
                self._add_default(entry, file, group, package)

    def _add_default(self, entry: Any, file: str, group: str, package: Keys) -> None:
        """Merge the file that one entry of a defaults list names."""
        unknown = CannotComposeError(f"the entry {entry!r} in the defaults of {file} is not understood")
        match entry:
            case str():
                below, _, name = entry.rpartition("/")
            case dict() if len(entry) == 1 and isinstance(next(iter(entry)), str):
                ((below, name),) = entry.items()
            case _:
                raise unknown
        is_optional = below.startswith("optional ")
        below = re.sub(r"^optional ", "", below)
        if re.match(r"(override )?/?hydra/", below):
            return  # hydra's own settings
        if group == "":
            below = below.removeprefix("/")
            name = self._chosen.get(below, name) if isinstance(entry, dict) else name
        if name is None:
            return  # a place for a choice that nobody made
        if not isinstance(name, str) or below.startswith("/") or re.search(r"[@?$\s]", below + name):
            raise unknown
        name = re.sub(r"\.ya?ml$", "", name)
        inner = posixpath.join(group, below)
        if is_optional and not is_settings(self._folder / self._place / inner / f"{name}.yaml"):
            return
        self.add(name, inner, (*package, *filter(None, below.split("/"))))

    def _merge(self, data: dict[str, Any], at: Keys, file: str) -> None:
        """Write the values of a file below the keys `at`; tables are merged."""
        if len(at) > _DEEPEST:
            raise CannotComposeError(f"{file} has more than {_DEEPEST} tables within tables")
        into = self.data
        for key in at:
            inner = into.get(key)
            into[key] = into = inner if isinstance(inner, dict) else {}
        for key, value in data.items():
            if isinstance(value, dict):
                self._merge(value, (*at, str(key)), file)
            else:
                into[str(key)] = value
                self.files[(*at, str(key))] = file
