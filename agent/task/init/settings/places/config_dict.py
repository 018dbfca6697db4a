"""Settings of ml_collections: a Python file whose `get_config()` returns them, which a flag of the script names."""

import ast
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agent.edits.assignments import literal_value
from agent.edits.edit import Value
from agent.errors import EditError
from agent.task.init.python_file import Source, is_file, read_source

Keys = tuple[str, ...]


class CannotReadConfigError(Exception):
    """The settings of a script are in a file that is not understood; the message says why."""


@dataclass(frozen=True)
class ConfigFile:
    """The file of settings that a flag of a script names."""

    file: str  # relative to the folder
    flag: str
    where: str  # the place in the script that declares the flag
    uses: tuple[ast.expr, ...]  # where the script reads the flag's value
    values: tuple[tuple[Keys, Value], ...]  # numbers and strings that get_config() sets, each with its path of keys


def find_config_file(folder: Path, source: Source, arguments: Sequence[str]) -> ConfigFile | None:
    """Return the file of settings of a script that declares a flag by `config_flags.DEFINE_config_file`; else None.

    Args:
        folder: of the script and the file.
        source: the script.
        arguments: the script's own, which may name another file than the flag's default.

    Raises:
        CannotReadConfigError: there are several such flags, the file is not known or not in the folder, or
            get_config() is not understood.
        UsageError: the file cannot be read.
    """
    calls = [node for node in ast.walk(source.tree) if isinstance(node, ast.Call) and _is_declaration(node)]
    if not calls:
        return None
    where = source.at(calls[0])
    if len(calls) > 1:
        raise CannotReadConfigError(f"{where} and {source.at(calls[1])} both name a file of settings")
    words: dict[str | None, ast.expr] = dict(zip(("name", "default"), calls[0].args, strict=False))
    words |= {word.arg: word.value for word in calls[0].keywords}
    flag = _text(words.get("name"))
    if flag is None:
        raise CannotReadConfigError(f"the flag at {where} has no fixed name")
    name = _named(arguments, flag) or _text(words.get("default"))
    if name is None:
        raise CannotReadConfigError(f"neither {where} nor --args names the file of settings (--{flag} FILE)")
    file = posixpath.normpath(posixpath.join(posixpath.dirname(source.name), name))
    if file.startswith(("/", "..")) or not is_file(folder / file):
        raise CannotReadConfigError(f"{name}, which {where} names, is no file of the folder")
    uses = tuple(_uses(source, calls[0], flag))
    if not uses:
        raise CannotReadConfigError(f"no line of {source.name} reads the flag at {where}")
    return ConfigFile(file, flag, where, uses, tuple(_values(read_source(folder, file))))


def _is_declaration(call: ast.Call) -> bool:
    return ast.unparse(call.func).rpartition(".")[2] == "DEFINE_config_file"


def _text(node: ast.expr | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _named(arguments: Sequence[str], flag: str) -> str | None:
    """Return the last file that the arguments give for a flag."""
    found = None
    for index, word in enumerate(arguments):
        name, equals, value = word.partition("=")
        if name in (f"--{flag}", f"-{flag}"):
            found = value if equals else next(iter(arguments[index + 1 :]), None)
    return found


def _uses(source: Source, declared: ast.Call, flag: str) -> Iterator[ast.expr]:
    """Yield where a script reads a flag: FLAGS.config, or CONFIG.value if CONFIG is what declares it.

    Raises:
        CannotReadConfigError: the script changes the settings there, which would undo another value.
    """
    owners = {"FLAGS": flag}
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            if node.value is declared:
                owners[node.targets[0].id] = "value"
            elif ast.unparse(node.value) in ("flags.FLAGS", "absl.flags.FLAGS"):
                owners[node.targets[0].id] = flag
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
            if any(_reads(inner, owners) for inner in ast.walk(node)):
                raise CannotReadConfigError(f"{source.at(node)} changes the settings")
        elif _reads(node, owners):
            assert isinstance(node, ast.Attribute)
            yield node


def _reads(node: ast.AST, owners: Mapping[str, str]) -> bool:
    """Return whether an expression is the value of the flag; `owners`: name of its attribute, by who has it."""
    if not isinstance(node, ast.Attribute):
        return False
    owner = ast.unparse(node.value).removeprefix("absl.").removeprefix("flags.")
    return owners.get(owner) == node.attr


def _values(source: Source) -> Iterator[tuple[Keys, Value]]:
    """Yield the numbers and strings that get_config() sets, with their keys; the last one of each path counts.

    Raises:
        CannotReadConfigError: there is no such function, or it takes an argument, branches, or is not one of
            assignments and a return.
    """
    made = [node for node in source.tree.body if isinstance(node, ast.FunctionDef) and node.name == "get_config"]
    if not made:
        raise CannotReadConfigError(f"{source.name} has no function get_config")
    if made[-1].args.args:
        raise CannotReadConfigError(f"get_config of {source.name} takes an argument")
    *body, last = made[-1].body
    if not isinstance(last, ast.Return) or not isinstance(last.value, ast.Name):
        raise CannotReadConfigError(f"{source.at(last)} returns something else than a variable")
    paths: dict[str, Keys] = {last.value.id: ()}
    found: dict[Keys, Value] = {}
    for statement in body:
        if _may_change(statement, paths):
            raise CannotReadConfigError(f"{source.at(statement)} computes the settings")
        if not isinstance(statement, ast.Assign):
            continue
        replaced = [place for target in statement.targets for place in _replaced(target, paths)]
        found = {keys: value for keys, value in found.items() if not any(keys[: len(p)] == p for p in replaced)}
        places = [place for target in statement.targets if (place := _path(target, paths)) is not None]
        if not places and (above := _path(statement.value, paths)) is not None:
            places = [above]  # optim = config.optim
        for place in places:
            paths |= {target.id: place for target in statement.targets if isinstance(target, ast.Name)}
            found |= dict(_literals(statement.value, place))
    yield from found.items()


def _may_change(statement: ast.stmt, paths: Mapping[str, Keys]) -> bool:
    """Return whether a statement may set values that it does not show: a branch, or a call that gets the settings."""
    if not isinstance(statement, ast.Assign | ast.Expr):
        return True
    if not isinstance(statement.value, ast.Call):
        return False
    function = ast.unparse(statement.value.func).rpartition(".")[2]
    if function in ("ConfigDict", "FrozenConfigDict", "lock", "unlock"):
        return False
    looked_at = statement.value.args if isinstance(statement, ast.Assign) else [*ast.walk(statement)]
    return any(isinstance(node, ast.Name) and node.id in paths for node in looked_at)


def _replaced(target: ast.expr, paths: Mapping[str, Keys]) -> Iterator[Keys]:
    """Yield the places that an assignment to `target` replaces, with all below them."""
    for place in target.elts if isinstance(target, ast.Tuple | ast.List) else (target,):
        if isinstance(place, ast.Attribute | ast.Subscript) and (keys := _path(place, paths)) is not None:
            yield keys


def _path(node: ast.expr, paths: Mapping[str, Keys]) -> Keys | None:
    """Return the keys that an expression such as config.optim.lr or config["optim"] stands for; None: not known."""
    match node:
        case ast.Name(id=name):
            return paths.get(name)
        case ast.Attribute(value=inner, attr=key) | ast.Subscript(value=inner, slice=ast.Constant(value=str() as key)):
            above = _path(inner, paths)
            return None if above is None else (*above, key)
    return None


def _literals(node: ast.expr, place: Keys) -> Iterator[tuple[Keys, Value]]:
    """Yield the numbers and strings of a value: a literal, a dict, or a ConfigDict made of one."""
    match node:
        case ast.Call(args=[inner], keywords=[]) if ast.unparse(node.func).rpartition(".")[2] == "ConfigDict":
            yield from _literals(inner, place)
        case ast.Call(args=[], keywords=words) if ast.unparse(node.func) == "dict":
            for word in words:
                if word.arg is not None:
                    yield from _literals(word.value, (*place, word.arg))
        case ast.Dict(keys=keys, values=values):
            for key, value in zip(keys, values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    yield from _literals(value, (*place, key.value))
        case _ if place:
            with suppress(EditError):
                yield place, literal_value(place[-1], node)
