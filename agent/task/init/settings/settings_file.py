"""The values of a YAML, JSON or TOML file with settings."""

import json
import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from agent.edits.edit import Value
from agent.errors import UsageError
from agent.task.init.python_file import is_file

SUFFIXES = (".yaml", ".yml", ".json", ".toml")
_MOST_BYTES = 1 << 18  # of a settings file; larger files are data
_DEEPEST = 50  # tables within tables
_MOST_ENTRIES = 100_000  # more than a file of _MOST_BYTES can contain without merge keys
_POWER_OF_TEN = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")


def values_of(path: Path) -> Iterator[tuple[tuple[str, ...], Value]]:
    """Yield the numbers and strings of a settings file, each with its path of keys.

    Raises:
        UsageError: the file cannot be read.
    """
    if is_settings(path):
        yield from leaves(data_of(path))


def is_settings(path: Path) -> bool:
    """Return whether a path is a file that is small enough for settings; larger files are data."""
    return is_file(path) and path.stat().st_size <= _MOST_BYTES


def may_be_settings(name: str, content: bytes) -> bool:
    """Return whether a file in memory may hold settings: by its suffix, and since larger files are data."""
    return name.endswith(SUFFIXES) and len(content) <= _MOST_BYTES


def data_of(path: Path) -> Any:
    """Return the data of a settings file. Raises UsageError if it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".json":
            return json.loads(text)
        return tomllib.loads(text) if path.suffix == ".toml" else _yaml(text)
    except UnicodeDecodeError as fault:
        raise UsageError(f"{path}: not UTF-8 text (byte {fault.start}); convert it, e.g. with iconv") from None
    except OSError as fault:
        raise UsageError(f"{path} cannot be read: {fault.strerror}") from None
    except ValueError as fault:
        raise UsageError(f"{path}: {fault}") from None
    except RecursionError:
        raise UsageError(f"{path}: nested too deeply to be read; simplify it") from None


def with_value(text: str, keys: Sequence[str], value: int | float) -> str | None:
    """Return a YAML or JSON text with another number at a path of keys; None if no scalar is there.

    All else stays as it is, also comments, and the anchor or tag of the number.
    """
    import yaml

    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:  # such as JSON that is indented by tabs
        return None
    for key in keys:
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        node = next((inner for name, inner in pairs if name.value == key), None)
    if not isinstance(node, yaml.ScalarNode):
        return None
    start, end = node.start_mark.index, node.end_mark.index
    before = re.match(r"([&!]\S*\s+)*", text[start:end])
    return f"{text[: start + before.end() if before else start]}{value!r}{text[end:]}"


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


def leaves(data: Any) -> Iterator[tuple[tuple[str, ...], Value]]:
    """Yield the numbers and strings of nested dicts, each with its path of keys; a repeated dict counts once.

    A YAML alias repeats the same dict, even inside itself.
    """
    yield from _leaves(data, (), set())


def _leaves(value: Any, path: tuple[str, ...], seen: set[int]) -> Iterator[tuple[tuple[str, ...], Value]]:
    if isinstance(value, dict):
        if id(value) in seen or len(path) > _DEEPEST:
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
