"""The YAML, JSON or TOML file with a script's settings: its values, and where the script loads it."""

import ast
import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.edits.edit import Value
from agent.errors import UsageError
from agent.task.init.python_file import Source, is_file
from agent.task.init.settings.find_settings import named_apart
from agent.task.init.settings.setting import Setting, constant_name
from agent.text import one_line

SUFFIXES = (".yaml", ".yml", ".json", ".toml")
_LOADERS = {
    *(
        "yaml.safe_load",
        "yaml.load",
        "yaml.full_load",
        "yaml.unsafe_load",
        "OmegaConf.load",
        "omegaconf.OmegaConf.load",
    ),
    *("json.load", "json.loads", "tomllib.load", "tomllib.loads", "tomli.load", "toml.load", "safe_load", "full_load"),
}

_MOST_BYTES = 1 << 18  # of a settings file; larger files are data
_MOST_ENTRIES = 100_000  # more than a file of _MOST_BYTES can contain without merge keys
_POWER_OF_TEN = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")


@dataclass(frozen=True)
class LoadCall:
    """Where a script loads its settings."""

    node: ast.Call
    file: str  # the file that it loads
    keys: Mapping[str, tuple[str, ...]]  # path of keys of each setting, by the setting's `shown`
    words: tuple[str, ...]  # strings in the file, e.g. names of data

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


def find_load(folder: Path, source: Source, arguments: Sequence[str]) -> tuple[LoadCall, list[Setting]] | None:
    """Return where a script loads its settings, and the settings; None if it loads none.

    Args:
        folder: the folder of the script and the file.
        source: the script.
        arguments: the script's command-line arguments, which may name the file.

    Raises:
        UsageError: the file cannot be read.
    """
    calls = [
        node for node in ast.walk(source.tree) if isinstance(node, ast.Call) and ast.unparse(node.func) in _LOADERS
    ]
    files = _files(folder, source, arguments)
    if len(calls) != 1 or not files:
        return None
    name, where = files[0]
    values = _read(folder / name)
    keys: dict[str, tuple[str, ...]] = {}
    found = []
    words = []
    for path, value in _leaves(values, (), set()):
        if isinstance(value, str):
            words.append(value)
            continue
        shown = f"{name}: {'.'.join(path)}"
        keys[shown] = path
        found.append(
            Setting(
                *(constant_name(path[-1]), value, "file", shown, where),
                longer=constant_name("_".join(path)),
                key=constant_name(path[-1]),
            )
        )
    return LoadCall(calls[0], name, keys, tuple(words)), named_apart(found, source)


def values_of(path: Path) -> Iterator[tuple[tuple[str, ...], Value]]:
    """Yield the numbers and strings of a settings file, each with its path of keys.

    Raises:
        UsageError: the file cannot be read.
    """
    if _is_settings(path):
        yield from _leaves(_read(path), (), set())


def _files(folder: Path, source: Source, arguments: Sequence[str]) -> list[tuple[str, str]]:
    """Return the settings files that a script names, each with its place; those of the command line first."""
    named = [(word, "--args") for word in arguments]
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            named.append((node.value, source.at(node)))
    beside = Path(source.name).parent
    return [
        ((beside / name).as_posix(), where)
        for name, where in named
        if name.endswith(SUFFIXES) and not Path(name).is_absolute() and _is_settings(folder / beside / name)
    ]


def _is_settings(path: Path) -> bool:
    return is_file(path) and path.stat().st_size <= _MOST_BYTES


def _read(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".json":
            return json.loads(text)
        return tomllib.loads(text) if path.suffix == ".toml" else _yaml(text)
    except UnicodeDecodeError as fault:
        raise UsageError(f"{path}: not UTF-8 text (byte {fault.start}); convert it, e.g. with iconv") from None
    except ValueError as fault:
        raise UsageError(f"{path}: {fault}") from None


def _yaml(text: str) -> Any:
    """Return the data of a YAML text. Raises ValueError if it is invalid, or if merge keys expand it too far."""
    import yaml

    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _n_entries(node) > _MOST_ENTRIES:
            raise ValueError(f"its merge keys, <<, expand to more than {_MOST_ENTRIES} entries; write fewer of them")
        return loader.construct_document(node)
    except yaml.YAMLError as fault:
        raise ValueError(" ".join(str(fault).split())) from None
    finally:
        loader.dispose()


def _n_entries(root: Any) -> int:
    """Return how many entries the mappings of a YAML document have after its merge keys are expanded.

    PyYAML copies merged entries one by one: twenty lines that each merge the line above twice make a million.
    """
    known: dict[int, int] = {}  # by node

    def of(node: Any) -> int:
        if id(node) not in known:
            known[id(node)] = 0  # while it is being counted, as it may merge itself
            known[id(node)] = sum(brought_by(key, value) for key, value in node.value)
        return known[id(node)]

    def brought_by(key: Any, value: Any) -> int:
        if key.tag != "tag:yaml.org,2002:merge":
            return 1
        merged = value.value if value.id == "sequence" else [value]
        return sum(of(node) for node in merged if node.id == "mapping")

    left, total = [root], 0  # in the order of the text, so that merged nodes are counted first
    seen: set[int] = set()
    while left:
        node = left.pop()
        if id(node) in seen or node.id == "scalar":
            continue
        seen.add(id(node))
        if node.id == "mapping":
            total += of(node)
            left += [part for pair in reversed(node.value) for part in reversed(pair)]
        else:
            left += reversed(node.value)
    return total


def _leaves(value: Any, path: tuple[str, ...], seen: set[int]) -> Iterator[tuple[tuple[str, ...], Value]]:
    """Yield the numbers and strings of nested dicts, each with its path of keys; a repeated dict counts once.

    A YAML alias repeats the same dict, even inside itself.
    """
    if isinstance(value, dict):
        if id(value) in seen:
            return
        seen.add(id(value))
        for key, inner in value.items():
            if isinstance(key, str):
                yield from _leaves(inner, (*path, key), seen)
    elif isinstance(value, int | float) and not isinstance(value, bool) and path:
        yield path, value
    elif isinstance(value, str) and _POWER_OF_TEN.fullmatch(value) and path:
        yield path, float(value)  # YAML 1.1 reads 3e-4 as a string, which scripts convert to a number
    elif isinstance(value, str):
        yield path, value
    elif isinstance(value, list):
        for inner in value:
            yield from ((path, word) for word in [inner] if isinstance(word, str))
