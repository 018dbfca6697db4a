"""Edits that assign new values to module-level constants: what the numeric modes propose."""

import ast
import math
import operator
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar

from agent.edits.edit import Params, Value
from agent.edits.syntax import parse_script
from agent.errors import EditError

ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_LARGEST = int(sys.float_info.max)  # whole numbers are compared and scaled with floats


@dataclass(frozen=True)
class Assignments:
    """New values for constants `NAME = literal`; comments and all other code stay unchanged.

    Every literal is rewritten, even an equal one, so the text depends only on the values, not on the trial edited.
    """

    values: Params
    kind: ClassVar[str] = "assignments"

    def apply(self, source: str) -> str:
        """Return `source` with the literals replaced.

        Raises:
            EditError: a name is not assigned a number or a string exactly once at module level.
        """
        literals = _literals(source, self.values)
        lines = source.encode().splitlines(keepends=True)  # ast counts columns in bytes
        # From the end, so that earlier positions stay right when a literal changes its length.
        for name, node in sorted(literals.items(), key=lambda item: _start(item[1]), reverse=True):
            assert node.end_lineno is not None
            assert node.end_col_offset is not None
            before = lines[node.lineno - 1][: node.col_offset]
            after = lines[node.end_lineno - 1][node.end_col_offset :]
            lines[node.lineno - 1 : node.end_lineno] = [before + _literal(self.values[name]).encode() + after]
        return b"".join(lines).decode()

    def to_json(self) -> dict[str, Any]:
        return {"values": dict(self.values)}


def read_constants(source: str, names: Iterable[str]) -> Params:
    """Return the values that `source` gives to `names` at module level. Raises EditError as `apply` does."""
    return {name: literal_value(name, node) for name, node in _literals(source, names).items()}


def check_finite(source: str, names: Iterable[str]) -> None:
    """Raise EditError if `source` gives one of `names` a number that no float holds, such as 1e999."""
    wanted = set(names)
    for name, node in plain_assignments(_parsed(source)):
        if name in wanted and _is_infinite(node):
            raise EditError(f"{name} = {_text(node)} is no finite number; write one that a float holds")


def _is_infinite(node: ast.expr) -> bool:
    try:
        value = _evaluate(node)
    except OverflowError:
        return True
    except (TypeError, ArithmeticError, RecursionError):  # no literal
        return False
    return isinstance(value, float) and not math.isfinite(value)


def all_constants(source: str, *, any_case: bool = False) -> Params:
    """Return all upper-case constants, numbers or strings, that the script assigns once at module level.

    Args:
        source: the script.
        any_case: include names in small letters.

    Raises:
        EditError: the script does not parse.
    """
    module = _parsed(source)
    bound = Counter(node.id for node in _module_level(module) if isinstance(node, ast.Name))
    found: dict[str, Value] = {}
    for name, node in plain_assignments(module):
        if (any_case or name.isupper()) and bound[name] == 1:
            with suppress(EditError):  # neither number nor string
                found[name] = literal_value(name, node)
    return found


def _literals(source: str, names: Iterable[str]) -> dict[str, ast.expr]:
    """Return the value expression of each name, in the order of `names`."""
    wanted = list(names)
    module = _parsed(source)
    found = dict(plain_assignments(module))
    if missing := [name for name in wanted if name not in found]:
        names_missing = ", ".join(missing)
        raise EditError(f"the script has no module-level constant {names_missing}; restore it as NAME = value")
    bound = [node.id for node in _module_level(module) if isinstance(node, ast.Name)]
    if twice := [name for name in wanted if bound.count(name) > 1]:
        raise EditError(f"the script assigns {', '.join(twice)} more than once at module level; assign each name once")
    for name in wanted:
        literal_value(name, found[name])
    return {name: found[name] for name in wanted}


def _parsed(source: str) -> ast.Module:
    try:
        return parse_script(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as fault:  # null bytes, absurd nesting
        raise EditError(
            f"the script does not parse: {str(fault) or 'it is nested too deeply'}; send one that does"
        ) from None


def plain_assignments(module: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """Yield `NAME = expression` and `NAME: type = expression` at the outermost level."""
    for node in module.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                yield name, value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                yield name, value


def _module_level(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the names that module-level code binds or deletes, including under `if` and `for`, not in functions."""
    waiting = [node]  # not recursive: a sum of a thousand terms is nested a thousand levels deep
    while waiting:
        for child in ast.iter_child_nodes(waiting.pop()):
            if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store | ast.Del):
                yield child
            elif not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
                waiting.append(child)


def literal_value(name: str, node: ast.expr) -> Value:
    """Return the number or string that `node` spells, such as 8, 2**19 or "SSSL".

    Raises:
        EditError: it is something else; the message uses `name`.
    """
    try:
        value = _evaluate(node)
        if isinstance(value, float) and not math.isfinite(value):
            raise OverflowError("1e999 is infinite")
        return value
    except (TypeError, ArithmeticError, RecursionError):
        raise EditError(f"{name} = {_text(node)} is not a plain number or string; write one") from None


def _text(node: ast.expr) -> str:
    try:
        return ast.unparse(node)
    except (RecursionError, ValueError):  # absurd nesting, or more digits than Python prints
        return "..."


def _evaluate(node: ast.expr) -> Value:
    match node:
        case ast.Constant(value=int() as value) if abs(value) > _LARGEST:
            raise OverflowError("larger than any float")
        case ast.Constant(value=value) if type(value) in (int, float, str):
            return value  # type: ignore[return-value]  # narrowed by the guard
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_number(operand)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in ARITHMETIC:
            base, exponent = _number(left), _number(right)
            if isinstance(op, ast.Pow) and abs(exponent) > 64:
                raise OverflowError("9**9**9 would never end")
            result = ARITHMETIC[type(op)](base, exponent)
            if isinstance(result, int) and abs(result) > _LARGEST:  # nor would ((9**64)**64)**64
                raise OverflowError("larger than any float")
            if type(result) in (int, float):  # (-1) ** 0.5 is complex
                return result  # type: ignore[no-any-return]
    raise TypeError("not a literal")


def _number(node: ast.expr) -> int | float:
    value = _evaluate(node)
    if isinstance(value, str):
        raise TypeError("no arithmetic on strings")
    return value


def _literal(value: Value) -> str:
    """Return `value` as Python source: strings in double quotes where that needs no escapes."""
    text = repr(value)
    if text.startswith("'") and '"' not in text:
        return f'"{text[1:-1]}"'
    return text


def _start(node: ast.expr) -> tuple[int, int]:
    return node.lineno, node.col_offset
