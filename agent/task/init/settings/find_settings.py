"""The settings of a script, wherever it keeps them: constants, arguments, dataclasses, dicts, variables.

One of them may be the budget. Each is a literal in the text, so that a constant can replace it: see
agent.task.init.settings.constants_block.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

from agent.edits.assignments import all_constants, literal_value
from agent.edits.edit import Value
from agent.errors import EditError
from agent.task.init.python_file import Source

KINDS = {
    "argument": "command-line options",
    "dataclass": "fields of a dataclass",
    "dict": "entries of a dict",
    "variable": "variables",
}
"""Kinds of settings besides constants, in words."""
_CONFIG_DICT = re.compile(r"conf|cfg|param|setting|option|args|default|hyper", re.IGNORECASE)
_NO_NAME = re.compile(r"[^A-Z0-9]+")
_MANY = r"^(MAX_|NUM_|N_|TOTAL_|TRAIN_|TRAINING_)*"
_SECONDS = re.compile(
    r"^(MAX_|TRAIN_|TRAINING_|TOTAL_|WALL_|TIME_|BUDGET_|LIMIT_)+(S|SEC|SECS|SECONDS)$"
    r"|^(MAX_|TRAIN_|TRAINING_|TOTAL_)*(TIME_BUDGET|TIME_LIMIT|MAX_TIME|BUDGET_TIME)$"
)
_MINUTES = re.compile(r"^(MAX_|TRAIN_|TRAINING_|TIME_)*(BUDGET_|LIMIT_)?MINUTES$")
_STEPS = re.compile(rf"{_MANY}(STEPS|ITERS|ITERATIONS|STEP)$")
_EPOCHS = re.compile(rf"{_MANY}EPOCHS?$")


@dataclass(frozen=True)
class Setting:
    """A number or a string that controls a script."""

    name: str  # as a constant: LEARNING_RATE
    value: Value
    kind: str  # one of KINDS, or `constant`
    display_name: str  # as in the script: --learning-rate, Config.lr
    where: str  # train.py:12
    node: ast.expr | None = None  # the literal; None: not in a Python file
    choices: tuple[str, ...] = ()  # the other possible words, if the script lists them
    longer: str = ""  # a longer name, used if the first is taken


@dataclass(frozen=True)
class BudgetGuess:
    """The training budget of one run, in the terms of task.toml."""

    unit: str
    amount: float
    as_written: str  # as in the script, `TIME_BUDGET = 300`; empty if it has none
    where: str
    counts: str = ""  # what it counts, in the script's words

    @property
    def is_known(self) -> bool:
        return bool(self.as_written)


UNKNOWN = BudgetGuess("work", 1, "", "")
"""One run of the unchanged script, whose duration is unknown."""


def settings(source: Source) -> list[Setting]:
    """Return a script's settings, without its upper-case constants, in the order of the text."""
    found = [*_arguments(source), *_fields(source), *_entries(source), *_variables(source)]
    found.sort(key=lambda setting: (setting.node.lineno, setting.node.col_offset) if setting.node else (0, 0))
    return named_apart(found, source)


def constants(source: Source) -> list[Setting]:
    """Return the upper-case module-level constants of a file that are numbers or strings."""
    lines = {
        target.id: source.at(node)
        for node in source.tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    values = all_constants(source.text)
    return [Setting(name, value, "constant", name, lines[name]) for name, value in values.items()]


def constant_name(text: str) -> str:
    """Return an upper-case constant name for a name such as `--learning-rate` or `n_layer`."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text)
    name = _NO_NAME.sub("_", spaced.upper()).strip("_")
    return f"N{name}" if name[:1].isdigit() else name


def find_budget(settings: Iterable[Setting]) -> BudgetGuess:
    """Return the budget that one of `settings` states: seconds before steps before epochs; UNKNOWN if none does."""
    numbers = [setting for setting in settings if isinstance(setting.value, int | float) and setting.value > 0]
    for pattern, unit, times, counts in (
        (_SECONDS, "seconds", 1, "seconds"),
        (_MINUTES, "seconds", 60, "seconds"),
        (_STEPS, "steps", 1, "steps"),
        (_EPOCHS, "work", 1, "epochs"),
    ):
        for setting in numbers:
            if pattern.search(setting.name):
                said = f"{setting.display_name} = {setting.value}"
                return BudgetGuess(unit, float(setting.value) * times, said, setting.where, counts)
    return UNKNOWN


def _arguments(source: Source) -> Iterator[Setting]:
    for node in ast.walk(source.tree):
        if not (isinstance(node, ast.Call) and getattr(node.func, "attr", None) in ("add_argument", "option")):
            continue
        given = {keyword.arg: keyword.value for keyword in node.keywords}
        flags = [flag.value for flag in node.args if isinstance(flag, ast.Constant) and isinstance(flag.value, str)]
        long = [flag for flag in flags if flag.startswith("--")] or flags
        if not long or "default" not in given:
            continue
        dest = given.get("dest")
        named = dest.value if isinstance(dest, ast.Constant) and isinstance(dest.value, str) else long[0]
        setting = _setting(source, "argument", constant_name(named), long[0], given["default"])
        if setting is None:
            continue
        as_float = isinstance(kind := given.get("type"), ast.Name) and kind.id == "float"
        if as_float and isinstance(setting.value, int):
            setting = replace(setting, value=float(setting.value))
        yield replace(setting, choices=_words(given.get("choices")))


def _fields(source: Source) -> Iterator[Setting]:
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.ClassDef):
            continue
        decorated = any(
            "dataclass" in ast.unparse(word) or "define" in ast.unparse(word) for word in node.decorator_list
        )
        if not (
            decorated or _CONFIG_DICT.search(node.name) or _CONFIG_DICT.search(" ".join(map(ast.unparse, node.bases)))
        ):
            continue
        for statement in node.body:
            match statement:
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                    pass
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    pass
                case _:
                    continue
            if isinstance(value, ast.Call) and getattr(value.func, "id", getattr(value.func, "attr", "")) in (
                "field",
                "Field",
            ):
                value = next((word.value for word in value.keywords if word.arg == "default"), value)
            setting = _setting(source, "dataclass", constant_name(name), f"{node.name}.{name}", value)
            if setting is not None:
                yield setting


def _entries(source: Source) -> Iterator[Setting]:
    for node in source.tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Dict() as value) if _CONFIG_DICT.search(name):
                yield from _entries_of(source, value, name)


def _entries_of(source: Source, node: ast.Dict, shown: str) -> Iterator[Setting]:
    for key, value in zip(node.keys, node.values, strict=True):
        if not (isinstance(key, ast.Constant) and isinstance(key.value, str)):
            continue
        place = f"{shown}[{key.value!r}]"
        if isinstance(value, ast.Dict):
            yield from _entries_of(source, value, place)
        elif setting := _setting(source, "dict", constant_name(key.value), place, value):
            yield setting


def _variables(source: Source) -> Iterator[Setting]:
    bound = Counter(
        node.id for node in ast.walk(source.tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    )
    for node in source.tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                pass
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                pass
            case _:
                continue
        is_plain = not name.isupper() and not name.startswith("_") and bound[name] == 1
        if is_plain and (setting := _setting(source, "variable", constant_name(name), name, value)):
            yield setting


def _setting(source: Source, kind: str, name: str, shown: str, node: ast.expr) -> Setting | None:
    """Return the setting whose value is `node`, or None if it is not a plain number or string."""
    with suppress(EditError):
        value = literal_value(name, node)
        return Setting(name, value, kind, shown, source.at(node), node, longer=constant_name(shown)) if name else None
    return None


def _words(node: ast.expr | None) -> tuple[str, ...]:
    words = [part.value for part in getattr(node, "elts", []) if isinstance(part, ast.Constant)]
    return tuple(word for word in words if isinstance(word, str))


def named_apart(found: list[Setting], source: Source) -> list[Setting]:
    """Return the settings, each with a name that is unique in the script; the longer name is used if necessary.

    Settings without a unique name are omitted.
    """
    nodes = list(ast.walk(source.tree))
    taken = {node.id for node in nodes if isinstance(node, ast.Name)}
    taken |= {alias.asname or alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names}
    short = Counter(setting.name for setting in found)
    named = []
    for setting in found:
        wanted = [setting.name] if short[setting.name] == 1 else []
        for name in (*wanted, setting.longer):
            if name and name not in taken:
                taken.add(name)
                named.append(replace(setting, name=name))
                break
    return named
