"""Conditions that the points of a space must meet, as in task.toml: "N_EMBD % N_HEAD == 0"."""

import ast
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from agent.edits.edit import Value
from agent.search.formula import FUNCTIONS, check_formula, evaluate, parsed

COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


@dataclass(frozen=True)
class Constraint:
    """A condition on the values of a point; comparisons of formulas, joined by `and`, `or` and `not`."""

    text: str
    names: tuple[str, ...]  # those of the space that it uses
    _node: ast.expr = field(compare=False, repr=False)
    _constants: Mapping[str, Value] = field(compare=False, repr=False)

    def holds(self, params: Mapping[str, Value]) -> bool:
        """Return whether the values meet the condition; not if it is undefined there, such as x % 0 == 0."""
        try:
            return _is_true(self._node, {**self._constants, **params})
        except ArithmeticError:
            return False

    def fault(self, params: Mapping[str, Value]) -> str | None:
        """Return a one-line message if the values do not meet the condition, with those values; None if they do."""
        if self.holds(params):
            return None
        given = ", ".join(f"{name} = {params[name]!r}" for name in self.names)
        return f"{self.text} does not hold with {given}" if given else f"{self.text} does not hold"


def read_constraint(text: Any, names: Mapping[str, bool], constants: Mapping[str, Value]) -> Constraint:
    """Return the constraint that one text of `[space] constraints` states.

    Args:
        text: as in task.toml.
        names: those of the space; True: its values are numbers.
        constants: other names that it may use, with their values in the script.

    Raises:
        ValueError: it is no condition over these names.
    """
    node = parsed(text, "condition")
    texts = {name for name, is_number in names.items() if not is_number}
    texts |= {name for name, value in constants.items() if isinstance(value, str) and name not in names}
    _check(node, text, texts)
    used = list(dict.fromkeys(each.id for each in ast.walk(node) if isinstance(each, ast.Name)))
    known = {*names, *constants, *FUNCTIONS}
    if unknown := [name for name in used if name not in known]:
        raise ValueError(
            f"{unknown[0]} in {text!r} is neither a name in [space] nor a constant at the top of the script; "
            "write its value instead"
        )
    fixed = {name: constants[name] for name in used if name in constants and name not in names}
    return Constraint(text, tuple(name for name in used if name in names), node, fixed)


def _check(node: ast.expr, text: str, texts: set[str]) -> None:
    """Raise ValueError unless `node`, a part of `text`, is a condition. `texts`: names whose values are texts."""
    match node:
        case ast.BoolOp(values=parts):
            for part in parts:
                _check(part, text, texts)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            _check(operand, text, texts)
        case ast.Compare(left=left, ops=ops, comparators=others) if all(type(op) in COMPARISONS for op in ops):
            sides = [left, *others]
            of_text = [_is_text(side, texts) for side in sides]
            if not any(of_text):
                for side in sides:
                    check_formula(side, text)
                    _check_numbers(side, text, texts)
            elif not all(of_text) or not all(isinstance(op, ast.Eq | ast.NotEq) for op in ops):
                raise ValueError(f"{text!r} compares texts; compare a text only with a text, by == or !=")
        case _:
            raise ValueError(
                f"{ast.unparse(node)!r} in {text!r} is no condition; compare formulas by == != < <= > >=, "
                "and join comparisons by and, or, not"
            )


def _check_numbers(side: ast.expr, text: str, texts: set[str]) -> None:
    for node in ast.walk(side):
        if isinstance(node, ast.Name) and node.id in texts:
            raise ValueError(f"{node.id} in {text!r} is a text, and cannot be calculated with")


def _is_text(node: ast.expr, texts: set[str]) -> bool:
    match node:
        case ast.Constant(value=str()):
            return True
        case ast.Name(id=name):
            return name in texts
    return False


def _is_true(node: ast.expr, values: Mapping[str, Value]) -> bool:
    match node:
        case ast.BoolOp(op=ast.And(), values=parts):
            return all(_is_true(part, values) for part in parts)
        case ast.BoolOp(values=parts):
            return any(_is_true(part, values) for part in parts)
        case ast.UnaryOp(operand=operand):
            return not _is_true(operand, values)
        case ast.Compare(left=left, ops=ops, comparators=others):
            sides = [_side(each, values) for each in (left, *others)]
            return all(COMPARISONS[type(op)](*pair) for op, pair in zip(ops, pairwise(sides), strict=True))
    raise AssertionError(f"unchecked: {ast.dump(node)}")


def _side(node: ast.expr, values: Mapping[str, Value]) -> float | str:
    match node:
        case ast.Constant(value=str() as word):
            return word
        case ast.Name(id=name) if isinstance(values[name], str):
            return str(values[name])
    number = evaluate(node, values)
    if not math.isfinite(number):
        raise ArithmeticError("not a finite number")
    return number
