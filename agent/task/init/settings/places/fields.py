"""Settings in classes and containers: dataclasses, pydantic, attrs, NamedTuple, dicts, namespaces, CfgNode."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from agent.task.init.python_file import Source
from agent.task.init.settings.declared import Declared, enums_of, of_annotation, of_call
from agent.task.init.settings.setting import CONFIG_NAME, Setting, constant_name, setting_at

_DECORATORS = re.compile(r"dataclass|define|frozen|mutable|attr\.?s\b|struct|configclass|chex|pydantic")
_BASES = re.compile(r"BaseModel|BaseSettings|NamedTuple|TypedDict|Struct|Serializable|Tap\b|TrainingArguments")
_FIELD_CALLS = ("field", "Field", "ib", "attrib", "mutable_field", "choice", "arg")
_CONTAINERS = re.compile(
    r"^(dict|SimpleNamespace|Namespace|EasyDict|edict|Munch|Box|AttrDict|ConfigDict|CfgNode|CN|create)$"
)
"""Calls whose keywords are settings, and whose result may get more by assignment: `C = CN(); C.lr = 0.1`."""


def config_classes(source: Source) -> Iterator[ast.ClassDef]:
    """Yield the classes whose fields are settings."""
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.ClassDef):
            continue
        decorated = any(_DECORATORS.search(ast.unparse(word)) for word in node.decorator_list)
        bases = " ".join(map(ast.unparse, node.bases))
        if "Enum" in bases or re.search(r"\bModule\b", bases):
            continue  # the fields of a flax module are its own, and the script passes them
        if decorated or _BASES.search(bases) or CONFIG_NAME.search(node.name) or CONFIG_NAME.search(bases):
            yield node


def field_settings(source: Source) -> Iterator[Setting]:
    """Yield the fields of classes that hold settings, with their annotations."""
    enums = enums_of(source.tree)
    for node in config_classes(source):
        for statement in node.body:
            match statement:
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value, annotation=annotation):
                    declared = of_annotation(annotation, enums)
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    declared = Declared()
                case _:
                    continue
            if (
                isinstance(value, ast.Call)
                and getattr(value.func, "id", getattr(value.func, "attr", "")) in _FIELD_CALLS
            ):
                declared = of_call(value, enums).and_also(declared)
                value = _default_of(value)
            if declared.enum and isinstance(value, ast.Attribute) and value.attr in declared.choices:
                yield _of_enum(source, name, f"{node.name}.{name}", value, declared)
            elif setting := setting_at(
                source, "dataclass", name, f"{node.name}.{name}", value, declared=replace(declared, enum="")
            ):
                yield setting


def entry_settings(source: Source) -> Iterator[Setting]:
    """Yield the entries of dicts and the keywords of namespaces that are called like settings, at any level."""
    for node in ast.walk(source.tree):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Dict() as value) if CONFIG_NAME.search(name):
                yield from _entries_of(source, value, name)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.Dict() as value) if CONFIG_NAME.search(name):
                yield from _entries_of(source, value, name)
            case ast.Assign(targets=[ast.Name() | ast.Attribute() as target], value=ast.Call() as call):
                shown = ast.unparse(target)
                if _is_container(call) and (CONFIG_NAME.search(shown) or getattr(call.func, "id", "") != "dict"):
                    yield from _keywords_of(source, call, shown)
    yield from _attributes(source)


def _keywords_of(source: Source, call: ast.Call, shown: str) -> Iterator[Setting]:
    """Yield the keywords of a container, and of those inside it."""
    for word in call.keywords:
        place = f"{shown}.{word.arg}"
        if word.arg and isinstance(word.value, ast.Dict):
            yield from _entries_of(source, word.value, place)
        elif isinstance(word.value, ast.Call) and _is_container(word.value):
            yield from _keywords_of(source, word.value, place)
        elif word.arg and (found := setting_at(source, "dict", word.arg, place, word.value)):
            yield found
    for part in call.args[:1]:
        if isinstance(part, ast.Dict):
            yield from _entries_of(source, part, shown)


def _is_container(call: ast.Call) -> bool:
    return bool(_CONTAINERS.search(getattr(call.func, "id", getattr(call.func, "attr", ""))))


def _attributes(source: Source) -> Iterator[Setting]:
    """Yield what is assigned once to attributes of a container: `C.optim.lr = 0.1` after `C = CN()`."""
    containers = {
        target.id
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and _is_container(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    stored = Counter(
        ast.unparse(node)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store)
    )
    for node in ast.walk(source.tree):
        if not (isinstance(node, ast.Assign) and len(node.targets) == 1):
            continue
        target = node.targets[0]
        shown = ast.unparse(target) if isinstance(target, ast.Attribute) else ""
        if not isinstance(target, ast.Attribute) or shown.partition(".")[0] not in containers or stored[shown] != 1:
            continue
        if (found := setting_at(source, "dict", target.attr, shown, node.value)) is not None:
            yield found


def _entries_of(source: Source, node: ast.Dict, shown: str) -> Iterator[Setting]:
    for key, value in zip(node.keys, node.values, strict=True):
        if not (isinstance(key, ast.Constant) and isinstance(key.value, str)):
            continue
        place = f"{shown}[{key.value!r}]"
        if isinstance(value, ast.Dict):
            yield from _entries_of(source, value, place)
        elif setting := setting_at(source, "dict", key.value, place, value):
            yield setting


def _of_enum(source: Source, name: str, shown: str, value: ast.Attribute, declared: Declared) -> Setting:
    """Return the setting of a field whose default is a member of an enum: the constant has the member's name."""
    key = constant_name(name)
    return Setting(
        key,
        value.attr,
        "dataclass",
        shown,
        source.at(value),
        value,
        declared,
        constant_name(shown),
        written=f"{declared.enum}[{{}}]",
        key=key,
    )


def _default_of(call: ast.Call) -> ast.expr:
    """Return the default that a call such as field(default=3) or Field(3, ge=1) gives; the call if it gives none."""
    word = next((word.value for word in call.keywords if word.arg == "default"), None)
    first = call.args[0] if call.args and getattr(call.func, "id", getattr(call.func, "attr", "")) == "Field" else None
    return word or first or call
