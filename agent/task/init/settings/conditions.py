"""Constraints for a space, read from the script: its asserts, and known pairs such as heads and width."""

import ast
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from agent.edits.assignments import all_constants
from agent.edits.edit import Value
from agent.edits.syntax import parse_expression, parse_script
from agent.search.constraints.constraint import read_constraint
from agent.task.init.python_file import Source
from agent.task.init.settings.setting import Setting, constant_name

_HEADS = r"^(N|NUM)_?(ATTENTION_)?HEADS?$|^HEADS?$"
_WIDTH = r"^(N_EMBD|N_EMBED|N_EMB|D_MODEL|DIM|(MODEL|EMBED|EMBEDDING|HIDDEN)_(DIM|SIZE)|WIDTH|EMSIZE)$"
_RATE = r"(LR|LEARNING_RATE)"
_DIVIDES, _AT_MOST = "{1} % {0} == 0", "{0} <= {1}"
_PAIRS = (
    (_HEADS, _WIDTH, _DIVIDES, "heads divide the width"),
    (r"^(N|NUM)_KV_HEADS?$|^NUM_KEY_VALUE_HEADS$", _HEADS, _DIVIDES, "heads of keys divide the heads"),
    (r"^(N_|NUM_)?GROUPS$", r"^(N_|NUM_|BASE_)?CHANNELS$|^(BASE_)?WIDTH$", _DIVIDES, "groups divide the channels"),
    (
        r"^(MICRO|DEVICE|MINI|PHYSICAL)_?BATCH(_SIZE)?$",
        r"^(TOTAL_|GLOBAL_|EFFECTIVE_)?BATCH(_SIZE)?$",
        *(_DIVIDES, "the micro batch divides the batch"),
    ),
    (r"^(N|NUM)_MINI_?BATCHES$", r"^BATCH_SIZE$", _DIVIDES, "the minibatches divide the batch"),
    (
        r"WARM_?UP_(STEPS|ITERS|ITERATIONS|EPOCHS|UPDATES)$",
        r"^(MAX_|NUM_|N_|TOTAL_|TRAIN_)*{unit}$",
        *(_AT_MOST, "the warm-up ends before the training"),
    ),
    (
        rf"^(MIN|FINAL|END|LOWEST)_{_RATE}$|^{_RATE}_(MIN|END|FINAL)$",
        rf"^(MAX_)?{_RATE}$|^{_RATE}_MAX$",
        *(_AT_MOST, "the lowest rate is below the rate"),
    ),
)
"""Names, the condition, and the reason. `{unit}` is that of the first name, so that steps are compared with steps."""
_UNIT = re.compile(r"(STEPS|ITERS|ITERATIONS|EPOCHS|UPDATES)$")


@dataclass(frozen=True)
class Condition:
    """A proposed constraint."""

    text: str
    why: str  # train.py:12 asserts it


def conditions_of(
    sources: Sequence[Source], settings: Mapping[str, Setting], own: Mapping[str, Value], searched: Collection[str]
) -> list[Condition]:
    """Return the conditions that a script asserts, and those of known pairs, as far as they hold for its values.

    Args:
        sources: the script and its modules.
        settings: all settings, by name.
        own: the constants at the top of the script, which a constraint may name; of other settings it has the values.
        searched: the names in the space.
    """
    words = {name: name if name in own else repr(setting.value) for name, setting in settings.items()}
    found: dict[str, Condition] = {}
    for condition in (*_asserted(sources, settings, words), *_of_pairs(settings, words)):
        text = condition.text
        if text not in found and _is_usable(text, own, searched):
            found[text] = condition
    return list(found.values())


def conditions_in(source: str, searched: Collection[str], texts: Sequence[str] = ()) -> list[str]:
    """Return the conditions of a script's constants that `conditions_of` finds, and `texts`, if they hold for them.

    Args:
        source: the script.
        searched: the names in the space.
        texts: further conditions.

    Raises:
        EditError: the script does not parse.
    """
    own = all_constants(source, any_case=True)
    settings = {
        name: Setting(name, value, "constant", name, "", key=constant_name(name)) for name, value in own.items()
    }
    names = [name for name in searched if name in own]
    found = conditions_of([Source("the script", source, parse_script(source))], settings, own, names)
    usable = [text for text in texts if _is_usable(text, own, names)]
    return list(dict.fromkeys([*usable, *(each.text for each in found)]))


def _is_usable(text: str, values: Mapping[str, Value], searched: Collection[str]) -> bool:
    """Return whether a text is a constraint on searched names that holds for the script's own values."""
    names = {name: not isinstance(values[name], str) for name in searched}
    try:
        constraint = read_constraint(text, names, values)
    except ValueError:
        return False
    return bool(constraint.names) and constraint.holds(values)


def _asserted(
    sources: Sequence[Source], settings: Mapping[str, Setting], words: Mapping[str, str]
) -> Iterator[Condition]:
    """Yield the conditions of asserts, and those whose opposite raises: `if n_embd % n_head: raise ValueError`."""
    by_key: dict[str, str] = {}
    for name, setting in settings.items():
        by_key.setdefault(setting.key or name, words[name])
    by_key |= {name: name for name, word in words.items() if word == name}
    for source, node in ((each, node) for each in sources for node in ast.walk(each.tree)):
        if isinstance(node, ast.Assert):
            for part in node.test.values if _is_and(node.test) else [node.test]:  # type: ignore[attr-defined]
                if text := _text(part, by_key, negated=False):
                    yield Condition(text, f"{source.at(node)} asserts it")
        elif isinstance(node, ast.If) and any(isinstance(inner, ast.Raise) for inner in node.body):
            for part in node.test.values if _is_or(node.test) else [node.test]:  # type: ignore[attr-defined]
                if text := _text(part, by_key, negated=True):
                    yield Condition(text, f"{source.at(node)} raises otherwise")


def _text(test: ast.expr, by_key: Mapping[str, str], *, negated: bool) -> str:
    """Return a condition in names of constants; empty if it has other parts. `negated`: its opposite."""
    inner = test.operand if isinstance(test, ast.UnaryOp) else test
    if isinstance(inner, ast.Name | ast.Attribute):
        return ""  # `assert width` says too little
    renamed = _Renamed(by_key)
    node = renamed.visit(parse_expression(ast.unparse(test)))
    if renamed.failed:
        return ""
    if not isinstance(node, ast.Compare | ast.BoolOp | ast.UnaryOp):
        node = ast.Compare(node, [ast.NotEq()], [ast.Constant(0)])  # `assert not a % b`, `if a % b: raise`
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not) and not isinstance(node.operand, ast.Compare):
        node = ast.Compare(node.operand, [ast.Eq()], [ast.Constant(0)])
    if negated and isinstance(node, ast.Compare) and len(node.ops) == 1:
        node = (
            ast.Compare(node.left, [_OPPOSITES[type(node.ops[0])]()], node.comparators)
            if type(node.ops[0]) in _OPPOSITES
            else node
        )
    elif negated and isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        node = node.operand
    elif negated:
        node = ast.UnaryOp(ast.Not(), node)
    return ast.unparse(node)


_OPPOSITES: dict[type[ast.cmpop], type[ast.cmpop]] = {
    **{ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt},
}


class _Renamed(ast.NodeTransformer):
    """Replaces variables and attributes of settings by the names of their constants."""

    def __init__(self, by_key: Mapping[str, str]) -> None:
        self._by_key = by_key
        self.failed = False

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self._constant(node, node.id)

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        return self._constant(node, node.attr)

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        match node.slice:
            case ast.Constant(value=str() as key):
                return self._constant(node, key)
        self.failed = True
        return node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        if isinstance(node.func, ast.Name) and node.func.id in ("min", "max"):
            node.args = [self.visit(argument) for argument in node.args]
            return node
        self.failed = True
        return node

    def _constant(self, node: ast.expr, name: str) -> ast.expr:
        known = self._by_key.get(constant_name(name))
        self.failed |= known is None
        return parse_expression(known) if known else node


def _of_pairs(settings: Mapping[str, Setting], words: Mapping[str, str]) -> Iterator[Condition]:
    keys = {name: setting.key or name for name, setting in settings.items()}
    for first, second, text, why in _PAIRS:
        for one, its_key in keys.items():
            if isinstance(settings[one].value, str) or not re.search(first, its_key):
                continue
            unit = _UNIT.search(its_key)
            pattern = second.replace("{unit}", unit[1] if unit else "(?!)")
            for other, key in keys.items():
                is_same = _prefix(one, its_key) == _prefix(other, key)
                if is_same and one != other and re.search(pattern, key) and not isinstance(settings[other].value, str):
                    yield Condition(text.format(words[one], words[other]), why)


def _prefix(name: str, key: str) -> str:
    """Return what a longer name has before its key: ENCODER_ of ENCODER_N_HEAD."""
    return name.removesuffix(key)


def _is_and(node: ast.expr) -> bool:
    return isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And)


def _is_or(node: ast.expr) -> bool:
    return isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or)
