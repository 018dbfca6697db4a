"""Where a script loads its settings from a file, so that a copy of the script can override them by constants."""

import ast
import json
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.edits.edit import Value
from agent.task.init.python_file import Source
from agent.task.init.settings.find_settings import named_apart
from agent.task.init.settings.hydra_config import CannotComposeError, Insertion, around, compose
from agent.task.init.settings.places.config_dict import CannotReadConfigError, find_config_file
from agent.task.init.settings.setting import Setting, constant_name
from agent.task.init.settings.settings_file import SUFFIXES, data_of, is_settings, leaves
from agent.text import one_line

_JSON = frozenset({"json.load", "json.loads"})
_LOADERS = frozenset(
    {
        *("yaml.safe_load", "yaml.load", "yaml.full_load", "yaml.unsafe_load", "safe_load", "full_load"),
        *("OmegaConf.load", "omegaconf.OmegaConf.load"),
        *("tomllib.load", "tomllib.loads", "tomli.load", "toml.load"),
    }
)
_BY_HAND = "their values are not searched; to search one, give the script a constant LR = 0.1, and set it from that"


@dataclass(frozen=True)
class LoadCall:
    """Where a script loads its settings."""

    file: str  # that it loads; the primary one, if there are several
    insertions: tuple[Insertion, ...]  # line and column in bytes, and what passes the settings to `configured`
    keys: Mapping[str, tuple[str, ...]]  # path of keys of each setting, by the setting's `display_name`
    files: Mapping[str, str]  # the file of each setting, by the setting's `display_name`
    words: tuple[str, ...]  # strings in the file, e.g. names of data
    numbers: tuple[Setting, ...]
    settings: tuple[Setting, ...]  # those of `numbers` for which the script has a free name

    def function(self, settings: Sequence[Setting]) -> list[str]:
        """Return the lines of a function that overrides the loaded settings by the constants."""
        lines = [
            "def configured(config):",
            f"    # Overrides the settings loaded from {one_line(Path(self.file).name)} by the constants above.",
        ]
        for setting in settings:
            if setting.display_name in self.keys:
                keys = "".join(f"[{json.dumps(key, ensure_ascii=False)}]" for key in self.keys[setting.display_name])
                lines.append(f"    config{keys} = {setting.name}")
        return [*lines, "    return config"]


def find_load(folder: Path, source: Source, arguments: Sequence[str]) -> tuple[LoadCall | None, str]:
    """Return where a script loads its settings, None if it loads none; and why loaded settings are not searched.

    Args:
        folder: the folder of the script and the file.
        source: the script.
        arguments: the script's command-line arguments, which may name the file.

    Raises:
        UsageError: the file cannot be read.
    """
    try:
        composed = compose(folder, source, arguments)
        named = find_config_file(folder, source, arguments)
    except (CannotComposeError, CannotReadConfigError) as fault:
        return None, f"{fault}: {_BY_HAND}"
    if composed is not None:
        return _load_call(composed.file, composed.where, composed.insertions, composed.values, source), ""
    if named is not None:
        insertions = tuple(part for use in named.uses for part in around(use))
        values = [(keys, value, named.file) for keys, value in named.values]
        return _load_call(named.file, named.where, insertions, values, source, flag=named.flag), ""
    calls = [node for node in ast.walk(source.tree) if isinstance(node, ast.Call)]
    loads = [node for node in calls if ast.unparse(node.func) in _LOADERS]
    files = list(_files(folder, source, arguments))
    if not loads:
        loads = [node for node in calls if ast.unparse(node.func) in _JSON]
        may_be_data = True
    else:
        files = [(name, where) for name, where in files if not name.endswith(".json")]
        may_be_data = False
    if not loads:
        return None, ""
    why = _why_unread(loads, files, source)
    if why:
        return None, "" if may_be_data else f"{why}: {_BY_HAND}"
    name, where = files[0]
    values = [(path, value, name) for path, value in leaves(data_of(folder / name))]
    return _load_call(name, where, around(loads[0]), values, source), ""


def _why_unread(loads: Sequence[ast.Call], files: Sequence[tuple[str, str]], source: Source) -> str:
    """Return why what a script loads cannot be overridden in one place; empty if it can."""
    place = source.at(loads[0])
    if len(loads) > 1:
        return f"{place} and {source.at(loads[1])} both load settings"
    if _n_uses(loads[0], source) > 1:
        return f"the function at {place} loads several files of settings"
    return "" if files else f"neither the script nor --args names the file of settings that {place} loads"


def _load_call(
    file: str,
    where: str,
    insertions: tuple[Insertion, ...],
    values: Sequence[tuple[tuple[str, ...], Value, str]],
    source: Source,
    *,
    flag: str = "",
) -> LoadCall:
    """Return where settings are loaded.

    Args:
        file: the primary one.
        where: the place in the script that names it.
        insertions: what passes the loaded settings to `configured`.
        values: path of keys, value, and file of each.
        source: the script.
        flag: before the keys in the names to display; empty: none.
    """
    keys: dict[str, tuple[str, ...]] = {}
    files: dict[str, str] = {}
    found = []
    for path, value, own in values:
        if not isinstance(value, str):
            shown = f"{own}: {'.'.join(filter(None, (flag, *path)))}"
            keys[shown], files[shown] = path, own
            name = constant_name(path[-1])
            longer = constant_name("_".join(path))
            found.append(Setting(name, value, "file", shown, where, longer=longer, key=name))
    words = tuple(value for _, value, _ in values if isinstance(value, str))
    return LoadCall(file, insertions, keys, files, words, tuple(found), tuple(named_apart(found, source)))


def _n_uses(load: ast.Call, source: Source) -> int:
    """Return how many calls there are of the function that a call is in; 1 if it is in none."""
    around = [
        node
        for node in ast.walk(source.tree)
        if isinstance(node, ast.FunctionDef) and any(inner is load for inner in ast.walk(node))
    ]
    names = {node.name for node in around[-1:]}  # the innermost comes last
    called = (node.func for node in ast.walk(source.tree) if isinstance(node, ast.Call))
    return sum(getattr(func, "id", getattr(func, "attr", "")) in names for func in called) if names else 1


def _files(folder: Path, source: Source, arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the settings files that a script names, each with its place; those of the command line first."""
    named = [(word.rpartition("=")[2], "--args") for word in arguments]
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            named.append((node.value, source.at(node)))
    beside = Path(source.name).parent
    for name, where in named:
        path = posixpath.normpath(beside / name)
        if name.endswith(SUFFIXES) and not path.startswith(("/", "..")) and is_settings(folder / path):
            yield path, where
