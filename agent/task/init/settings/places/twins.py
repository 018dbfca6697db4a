"""Settings that do not take effect, since something else in the script sets the same value."""

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from agent.edits.edit import Value
from agent.task.init.python_file import Source
from agent.task.init.settings.places.code_literals import own_functions, parameter_names
from agent.task.init.settings.places.fields import config_classes
from agent.task.init.settings.places.options import aliases
from agent.task.init.settings.setting import UNREAD, Setting, constant_name

_CONFIG_VARIABLE = re.compile(r"^(args?|a|c|cfg|conf|config|opts?|options|hparams|hps|hp|params|flags)$", re.IGNORECASE)
_COPIES_OPTIONS = re.compile(r"update\(\s*(vars\(|\w+\.__dict__)|\*\*\s*vars\(|setattr\(")


def marked(source: Source, settings: Sequence[Setting]) -> list[Setting]:
    """Return the settings; `unused` says of those that have no effect what sets the value instead.

    Constants and variables that are the default of an option also get what the option declares.
    """
    of_option = aliases(source)
    built = _built_with(source)
    options = {setting.key for setting in settings if setting.kind == "argument"}
    copies = _COPIES_OPTIONS.search(source.text) is not None
    read = {node.id for node in ast.walk(source.tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    all_are_read = re.search(r"\b(globals|locals|vars)\(\)", source.text) is not None
    stored = {(key, is_certain): where for key, is_certain, where in _stored_later(source)}
    found = []
    for each in settings:
        setting = each
        alias = of_option.get(constant_name(setting.display_name))
        if alias is not None and alias[0] == setting.display_name:
            declared = alias[1].declared.and_also(setting.declared)
            value = declared.converted(setting.value)
            setting = replace(setting, declared=declared, value=setting.value if value is None else value)
        owner = _root(setting)
        passed = built.get((owner, setting.key)) if setting.kind in ("dataclass", "default") else None
        certain = stored.get((setting.key, True))
        placeholder = stored.get((setting.key, False)) if _is_placeholder(setting.value) else None
        why = ""
        if passed is not None:
            why = f"{passed} passes it to {owner}"
        elif setting.kind in ("dataclass", "dict") and copies and setting.key in options:
            why = "the option of the same name replaces it"
        elif setting.kind in ("variable", "dict") and not all_are_read and _root(setting) not in read:
            why = UNREAD
        elif setting.kind in ("dataclass", "dict", "argument") and (certain or placeholder):
            why = f"{certain or placeholder} assigns it later"
        found.append(replace(setting, unused=setting.unused or why))
    return found


def _root(setting: Setting) -> str:
    """Return the variable that holds a setting: cfg of cfg.optim.lr, lr of `main: lr`."""
    return re.split(r"[.(\[]", setting.display_name.rpartition(": ")[2])[0]


def _built_with(source: Source) -> dict[tuple[str, str], str]:
    """Return the parameters that each call of a class or function of the script passes, with the place of a call.

    By the name of the class or function and the parameter's name as a constant.
    """
    names: dict[str, list[str]] = {node.name: _field_names(node) for node in config_classes(source)}
    names |= {name: parameter_names(function) for name, function in own_functions(source.tree).items()}
    keys = _keys(source)
    calls: dict[str, list[ast.Call]] = {}
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and (name := getattr(node.func, "id", getattr(node.func, "attr", ""))) in names:
            calls.setdefault(name, []).append(node)
    found = {}
    for name, made in calls.items():
        for parameter in names[name]:
            if all(_passes(call, names[name], parameter, keys) for call in made):
                found[name, constant_name(parameter)] = source.at(made[0])
    return found


def _passes(call: ast.Call, names: list[str], parameter: str, keys: set[str]) -> bool:
    """Return whether a call passes a parameter; `keys`: those of dicts in the script, which ** may pass."""
    if any(isinstance(argument, ast.Starred) for argument in call.args):
        return False
    is_spread = any(word.arg is None for word in call.keywords)
    given = {word.arg for word in call.keywords} | set(names[: len(call.args)])
    return parameter in given or (is_spread and parameter in keys)


def _keys(source: Source) -> set[str]:
    """Return the keys of the dicts that a script writes down, except those of its settings."""
    found = set()
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "dict":
            found |= {word.arg for word in node.keywords if word.arg and not isinstance(word.value, ast.Constant)}
        elif isinstance(node, ast.Dict):
            pairs = zip(node.keys, node.values, strict=True)
            found |= {str(k.value) for k, v in pairs if isinstance(k, ast.Constant) and not isinstance(v, ast.Constant)}
    return found


def _field_names(node: ast.ClassDef) -> list[str]:
    return [
        statement.target.id
        for statement in node.body
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
    ]


def _stored_later(source: Source) -> Iterator[tuple[str, bool, str]]:
    """Yield what is assigned to attributes and entries of settings: name, whether in any case, and the place.

    An assignment that reads its own target, such as `args.lr = args.lr * 2`, leaves the setting its effect.
    """
    yield from _stored_in(source, source.tree, is_certain=True)


def _stored_in(source: Source, node: ast.AST, *, is_certain: bool) -> Iterator[tuple[str, bool, str]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Assign) and not isinstance(child.value, ast.Constant):
            read = {ast.unparse(inner) for inner in ast.walk(child.value)}
            for target in child.targets:
                if ast.unparse(target) not in read and (name := _name_in(target, node)):
                    yield constant_name(name), is_certain, source.at(child)
        inside = is_certain and not isinstance(child, ast.If | ast.Try | ast.For | ast.While | ast.IfExp)
        yield from _stored_in(source, child, is_certain=inside or _is_main(child))


def _is_main(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)


def _name_in(target: ast.expr, parent: ast.AST) -> str:
    """Return the name of a setting that `target` writes; empty if it is none."""
    match target:
        case ast.Attribute(value=ast.Name(id="self"), attr=name):
            return name if isinstance(parent, ast.FunctionDef) and parent.name in ("__post_init__", "finalize") else ""
        case ast.Attribute(value=ast.Name(id=owner), attr=name) if _CONFIG_VARIABLE.search(owner):
            return name
        case ast.Subscript(value=ast.Name(id=owner), slice=ast.Constant(value=str() as name)):
            return name if _CONFIG_VARIABLE.search(owner) else ""
    return ""


def _is_placeholder(value: Value) -> bool:
    """Return whether a value may stand for one that is filled in later: 0, or a negative whole number."""
    return isinstance(value, int) and value <= 0
