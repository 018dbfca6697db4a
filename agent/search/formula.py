"""Formulas over the names of a space, as in task.toml: "ceil(DEPTH * RATIO / HEAD_DIM) * HEAD_DIM"."""

import ast
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

from agent.edits.edit import Value
from agent.edits.syntax import parse_expression

OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}
FUNCTIONS: dict[str, Callable[..., float]] = {"ceil": math.ceil, "floor": math.floor, "min": min, "max": max}


class Expression:
    """A formula over named values; the only functions are ceil, floor, min and max."""

    def __init__(self, text: str, names: tuple[str, ...], definitions: Mapping[str, str] | None = None) -> None:
        """`definitions`: further names that the formula may use, with their formulas.

        Raises:
            ValueError: the text is not a formula, or uses a name that is neither in `names` nor defined.
        """
        self.text = text
        self._node = _parsed(text)
        self._parts: dict[str, Expression] = {}
        for node in ast.walk(self._node):
            if isinstance(node, ast.Name) and node.id not in (*names, *FUNCTIONS):
                others = {name: part for name, part in (definitions or {}).items() if name != node.id}
                if node.id not in (definitions or {}):
                    raise ValueError(f"{node.id} in {text!r} is not a name in [space]")
                self._parts[node.id] = Expression((definitions or {})[node.id], names, others)

    def __call__(self, params: Mapping[str, Value]) -> float:
        """Return the value at `params`. Raises ArithmeticError if it is undefined, such as x / 0."""
        values = {**params, **{name: part(params) for name, part in self._parts.items()}}
        return _evaluate(self._node, values)


def _parsed(text: Any) -> ast.expr:
    if not isinstance(text, str):
        raise ValueError(f"{text!r} is not a string; write the formula in quotes")
    try:
        node = parse_expression(text)
    except SyntaxError:
        raise ValueError(f"{text!r} is not a formula") from None
    _check(node, text)
    return node


def _check(node: ast.expr, text: str) -> None:
    match node:
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            _check(left, text)
            _check(right, text)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in FUNCTIONS and args:
            for argument in args:
                _check(argument, text)
        case ast.Name():
            pass
        case ast.Constant(value=value) if type(value) in (int, float):
            pass
        case _:
            raise ValueError(
                f"{ast.unparse(node)!r} in {text!r} is not allowed; use names, numbers, + - * / // ceil floor min max"
            )


def _evaluate(node: ast.expr, values: Mapping[str, Value]) -> float:
    match node:
        case ast.BinOp(left=left, op=op, right=right):
            return OPERATORS[type(op)](_evaluate(left, values), _evaluate(right, values))
        case ast.Call(func=ast.Name(id=name), args=args):
            return FUNCTIONS[name](*(_evaluate(argument, values) for argument in args))
        case ast.Name(id=name):
            return float(values[name])
        case ast.Constant(value=int() | float() as value):
            return value
    raise AssertionError(f"unchecked: {ast.dump(node)}")
