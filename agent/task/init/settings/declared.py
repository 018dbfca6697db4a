"""What a script itself declares about the values of a setting: its type, its bounds, its choices."""

import ast
import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache

from agent.edits.assignments import literal_value
from agent.edits.edit import Value
from agent.errors import EditError

_RANGES = {"IntRange": "int", "FloatRange": "float"}
"""Types of click."""
_BOUNDS = {
    **{"ge": ("low", False), "gt": ("low", True), "le": ("high", False), "lt": ("high", True)},
    **{"min": ("low", False), "max": ("high", False), "lower_bound": ("low", False), "upper_bound": ("high", False)},
    **{
        "min_value": ("low", False),
        "max_value": ("high", False),
        "minimum": ("low", False),
        "maximum": ("high", False),
    },
}
"""Keywords of pydantic, click, typer, absl and attrs: the bound that each sets, and whether it excludes the bound."""


@dataclass(frozen=True)
class Declared:
    """The declared type, bounds and choices; each may be missing."""

    kind: str = ""  # int, float or str
    low: float | None = None
    high: float | None = None
    excludes_low: bool = False
    excludes_high: bool = False
    choices: tuple[Value, ...] = ()
    enum: str = ""  # the name of the enum class whose members are the choices

    def and_also(self, other: "Declared") -> "Declared":
        """Return both, what `self` says where they differ."""
        return Declared(
            self.kind or other.kind,
            other.low if self.low is None else self.low,
            other.high if self.high is None else self.high,
            self.excludes_low or other.excludes_low,
            self.excludes_high or other.excludes_high,
            self.choices or other.choices,
            self.enum or other.enum,
        )

    def converted(self, value: Value) -> Value | None:
        """Return a value as the declared type has it: 1 as 1.0, "3e-4" as 0.0003, 1e4 as 10000; None if it cannot."""
        try:
            if self.kind == "float" and not isinstance(value, float):
                number = float(value)
                return number if math.isfinite(number) else None
            if self.kind == "int" and not isinstance(value, int):
                return int(value) if float(value).is_integer() else value
        except (ValueError, OverflowError):
            return None
        return value


NOTHING = Declared()
_NAMED = {
    **{kind: Declared(kind) for kind in ("float", "int", "str")},
    **{"PositiveInt": Declared("int", low=1), "NonNegativeInt": Declared("int", low=0)},
    **{"PositiveFloat": Declared("float", low=0, excludes_low=True), "NonNegativeFloat": Declared("float", low=0)},
}
"""Types of Python and pydantic."""


def of_annotation(node: ast.expr | None, enums: Mapping[str, tuple[str, ...]]) -> Declared:
    """Return what an annotation declares: float, Optional[float], Literal[...], Annotated[float, Field(ge=0)], an enum.

    Args:
        node: the annotation; a string is parsed by the caller.
        enums: names of the members of each enum class of the script.
    """
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return Declared(choices=enums[name], enum=name) if name in enums else _NAMED.get(name, NOTHING)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _of_one(left, right, enums)
        case ast.Subscript(value=outer, slice=inner):
            parts = list(inner.elts) if isinstance(inner, ast.Tuple) else [inner]
            return _of_generic(getattr(outer, "id", getattr(outer, "attr", "")), parts, enums)
        case ast.Call():
            return of_call(node, enums)
    return NOTHING


def of_call(node: ast.Call, enums: Mapping[str, tuple[str, ...]]) -> Declared:
    """Return what the arguments of a call declare: add_argument(type=, choices=), IntRange(1, 8), Field(ge=0), ..."""
    name = getattr(node.func, "id", getattr(node.func, "attr", ""))
    given = {word.arg: word.value for word in node.keywords if word.arg}
    if name in _RANGES:
        bounds = dict(zip(("min", "max"), node.args, strict=False)) | given
        return replace(
            _of_bounds(bounds),
            kind=_RANGES[name],
            excludes_low=_is_true(given.get("min_open")),
            excludes_high=_is_true(given.get("max_open")),
        )
    if name in ("Choice", "in_", "choice") and node.args:
        several = node.args[0] if name != "choice" or len(node.args) == 1 else ast.Tuple(list(node.args))
        return Declared(choices=_values(several, enums))
    if name in ("DEFINE_float", "DEFINE_integer", "confloat", "conint"):
        return replace(_of_bounds(given), kind="float" if name.endswith("float") else "int")
    if name == "DEFINE_enum" and len(node.args) > 2:
        return Declared(choices=_values(node.args[2], enums))
    if name in ("and_", "optional"):
        return _joined(node.args, enums)
    found = _of_bounds(given)
    if name in ("ge", "gt", "le", "lt") and node.args:  # validators of attrs, and annotated_types
        found = _of_bounds({name: node.args[0]})
    for word in ("choices", "enum"):
        if word in given:
            found = replace(found, choices=_values(given[word], enums))
    for word in ("type", "click_type", "validator"):
        if word in given:
            found = found.and_also(of_annotation(given[word], enums))
            if isinstance(given[word], ast.List | ast.Tuple):
                found = found.and_also(_joined(given[word].elts, enums))  # type: ignore[attr-defined]
    return found


@lru_cache(maxsize=64)
def enums_of(tree: ast.Module) -> dict[str, tuple[str, ...]]:
    """Return the names of the members of each enum class of a script, by the name of the class."""
    return {
        node.name: tuple(
            target.id
            for statement in node.body
            if isinstance(statement, ast.Assign)
            for target in statement.targets
            if isinstance(target, ast.Name)
        )
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and any("Enum" in ast.unparse(base) for base in node.bases)
    }


def _of_one(left: ast.expr, right: ast.expr, enums: Mapping[str, tuple[str, ...]]) -> Declared:
    """Return what `left | right` declares if one of them is None; `int | float` is a float."""
    sides = [side for side in (left, right) if not (isinstance(side, ast.Constant) and side.value is None)]
    found = [of_annotation(side, enums) for side in sides]
    return next((each for each in found if each.kind == "float"), found[0]) if found else NOTHING


def _of_generic(name: str, parts: list[ast.expr], enums: Mapping[str, tuple[str, ...]]) -> Declared:
    if not parts:
        return NOTHING  # Union[()]
    match name:
        case "Optional" | "Final" | "ClassVar" | "Suppress" | "Tunable" | "Required" | "NotRequired":
            return of_annotation(parts[0], enums)
        case "Union":
            found = [of_annotation(part, enums) for part in parts]
            return next((each for each in found if each.kind == "float"), found[0])
        case "Literal":
            return Declared(choices=_values(ast.Tuple(parts), enums))
        case "Annotated":
            return of_annotation(parts[0], enums).and_also(_joined(parts[1:], enums))
    return NOTHING


def _joined(parts: list[ast.expr], enums: Mapping[str, tuple[str, ...]]) -> Declared:
    found = NOTHING
    for part in parts:
        if isinstance(part, ast.Call):
            found = found.and_also(of_call(part, enums))
    return found


def _of_bounds(given: Mapping[str, ast.expr]) -> Declared:
    found = NOTHING
    for word, (bound, excludes) in _BOUNDS.items():
        with suppress(EditError):
            number = literal_value(word, given[word]) if word in given else ""
            if isinstance(number, int | float) and bound == "low":
                found = replace(found, low=number, excludes_low=excludes)
            elif isinstance(number, int | float):
                found = replace(found, high=number, excludes_high=excludes)
    return found


def _values(node: ast.expr, enums: Mapping[str, tuple[str, ...]]) -> tuple[Value, ...]:
    """Return the values of a list, tuple or set of literals, of `range(2, 9)` or of an enum; empty if others occur."""
    if isinstance(node, ast.Name) and node.id in enums:
        return enums[node.id]
    return tuple(_listed(node))


def _listed(node: ast.expr) -> Iterator[Value]:
    parts = getattr(node, "elts", [])
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "range":
        with suppress(EditError, TypeError, ValueError):
            numbers = range(*(int(literal_value("range", part)) for part in node.args))
            parts = [ast.Constant(number) for number in numbers] if len(numbers) <= 64 else []
    values = []
    for part in parts:
        if isinstance(part, ast.Constant) and part.value is None:
            continue
        try:
            values.append(literal_value("choice", part))
        except EditError:
            return
    yield from dict.fromkeys(values)


def _is_true(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is True
