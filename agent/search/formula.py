"""Formulas over the names of a space, as in task.toml: "ceil(DEPTH * RATIO / HEAD_DIM) * HEAD_DIM".

They are parsed and evaluated here, never by Python's eval; numbers are floats, so that no power grows without end.
"""

import ast
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

from agent.edits.edit import Value
from agent.edits.syntax import parse_expression
from agent.search.value_checks import is_finite, shortened


def _power(base: float, exponent: float) -> float:
    """Return base ** exponent. Raises ArithmeticError where that is no real number, e.g. (-8) ** 0.5."""
    try:
        return math.pow(base, exponent)
    except ValueError:
        raise ArithmeticError("not a real number") from None


OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
}
FUNCTIONS: dict[str, Callable[..., float]] = {"ceil": math.ceil, "floor": math.floor, "min": min, "max": max}
OF_ONE = ("ceil", "floor")  # functions of one argument; the others take two or more
MAX_DEPTH = 50  # of nesting


class Expression:
    """A formula over named values; the only functions are ceil, floor, min and max."""

    def __init__(self, text: str, names: tuple[str, ...], definitions: Mapping[str, str] | None = None) -> None:
        """`definitions`: further names that the formula may use, with their formulas.

        Raises:
            ValueError: the text is not a formula, or uses a name that is neither in `names` nor defined.
        """
        self.text = text
        self._node = parsed(text, "formula")
        check_formula(self._node, text)
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
        return evaluate(self._node, values)


def parsed(text: Any, what: str) -> ast.expr:
    """Return the syntax tree of an expression in task.toml; `what` it should be, for the message of a ValueError."""
    if not isinstance(text, str):
        raise ValueError(f"{text!r} is not a string; write the {what} in quotes")
    try:
        node = parse_expression(text)
        level: list[ast.AST] = [node]
        for _ in range(MAX_DEPTH):
            level = [child for parent in level for child in ast.iter_child_nodes(parent)]
        if not level:
            return node
    except (SyntaxError, ValueError):  # ValueError: a null byte
        raise ValueError(f"{shortened(text)} is not a {what}") from None
    except (RecursionError, MemoryError):
        pass
    raise ValueError(f"the {what} {shortened(text)} is nested too deeply; simplify it")


def check_formula(node: ast.expr, text: str) -> None:
    """Raise ValueError unless `node`, a part of `text`, is a formula."""
    match node:
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            check_formula(left, text)
            check_formula(right, text)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            check_formula(operand, text)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in FUNCTIONS and _takes(name, args):
            for argument in args:
                check_formula(argument, text)
        case ast.Name():
            pass
        case ast.Constant(value=int() | float() as value) if type(value) is not bool and is_finite(value):
            pass
        case _:
            raise ValueError(
                f"{ast.unparse(node)!r} in {text!r} is not allowed; use names, numbers, "
                "+ - * / // % ** ceil floor min max"
            )


def _takes(name: str, arguments: list[ast.expr]) -> bool:
    return len(arguments) == 1 if name in OF_ONE else len(arguments) > 1


def evaluate(node: ast.expr, values: Mapping[str, Value]) -> float:
    """Return the value of a formula. Raises ArithmeticError if it is undefined, such as x / 0."""
    match node:
        case ast.BinOp(left=left, op=op, right=right):
            return OPERATORS[type(op)](evaluate(left, values), evaluate(right, values))
        case ast.UnaryOp(operand=operand):
            return -evaluate(operand, values)
        case ast.Call(func=ast.Name(id=name), args=args):
            arguments = [evaluate(argument, values) for argument in args]
            if not all(map(math.isfinite, arguments)):
                raise ArithmeticError("not a finite number")
            return float(FUNCTIONS[name](*arguments))
        case ast.Name(id=name):
            return float(values[name])
        case ast.Constant(value=int() | float() as value):
            return float(value)
    raise AssertionError(f"unchecked: {ast.dump(node)}")
