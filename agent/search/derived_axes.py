"""Derived coordinates: a product that is searched in place of one of its factors.

Changing a single parameter can jump off a ridge of the loss: where the script multiplies depth by an aspect ratio, a
deeper network is also wider. If a task declares `width = DEPTH * ASPECT_RATIO` in place of ASPECT_RATIO, depth changes
at equal width. The script's constants are still what is written, run and reported; only the axis in the cube differs.
"""

import ast
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent.edits.edit import Params, Value
from agent.edits.syntax import parse_expression
from agent.search.parameters import Categorical, Parameter, PowerOfTwo


@dataclass(frozen=True)
class Derived:
    """A product of powers of parameters, searched on a log scale in [low, high] in place of one of them."""

    name: str
    parameter: Parameter  # the replaced one
    constant: float
    exponents: tuple[tuple[str, int], ...]  # (parameter, exponent) of each factor
    low: float
    high: float

    @property
    def formula(self) -> str:
        """The product as task.toml writes it, e.g. "TOTAL / BATCH / 256"."""
        above = [name for name, exponent in self.exponents for _ in range(exponent)]
        below = [name for name, exponent in self.exponents for _ in range(-exponent)]
        if self.constant > 1 or not above:
            above.append(f"{self.constant:g}")
        elif self.constant < 1:
            below.append(f"{1 / self.constant:g}")
        return " / ".join([" * ".join(above), *below])

    @property
    def description(self) -> str:
        """Name, formula and range, e.g. "accumulation = TOTAL / BATCH / 256 (1 to 16)"."""
        return f"{self.name} = {self.formula} ({self._range})"

    @property
    def n_axes(self) -> int:
        return 1

    @property
    def step(self) -> float:
        """The distance between adjacent levels on the axis, in [0, 1]."""
        if isinstance(self.parameter, PowerOfTwo):
            return math.log(2) / self._log_range
        return self.parameter.step

    def value(self, params: Mapping[str, Value]) -> float:
        """Return the product at `params`."""
        return self.constant * math.prod(float(params[name]) ** exponent for name, exponent in self.exponents)

    def encode(self, params: Params) -> tuple[float]:
        """Return the coordinate of the product, shape (1,), in [0, 1]; a product outside its range is clipped."""
        u = math.log(self.value(params) / self._edges[0]) / self._log_range
        return (min(max(u, 0.0), 1.0),)

    def place(self, u: float, others: Mapping[str, Value]) -> float:
        """Return the replaced parameter's value, not snapped, that gives the product at `u`."""
        product = self._edges[0] * math.exp(u * self._log_range)
        exponent = dict(self.exponents)[self.parameter.name]
        rest = self.value({**others, self.parameter.name: 1})
        return product / rest if exponent == 1 else rest / product

    def decode(self, u: float, others: Mapping[str, Value]) -> Value:
        """Return the replaced parameter's nearest value to `place` within its own range."""
        assert not isinstance(self.parameter, Categorical)
        return self.parameter.nearest(self.place(u, others))

    def spread(self, std: float) -> float:
        """Return a standard deviation on the axis, in [0, 1], as a factor of the product."""
        return math.exp(std * self._log_range)

    def fault(self, params: Params) -> str | None:
        """Return a one-line message if the product at `params` is outside its range; None if it is inside."""
        value = self.value(params)
        if self.low * (1 - 1e-9) <= value <= self.high * (1 + 1e-9):
            return None
        return f"{self.name} = {self.formula} is {value:g}; it must be in {self._range}"

    @property
    def _range(self) -> str:
        return f"{self.low:.12g} to {self.high:.12g}"

    @property
    def _edges(self) -> tuple[float, float]:
        """The products at 0 and 1 of the axis; for powers of two, half a bin beyond the outermost levels."""
        margin = math.sqrt(2) if isinstance(self.parameter, PowerOfTwo) else 1.0
        return self.low / margin, self.high * margin

    @property
    def _log_range(self) -> float:
        return math.log(self._edges[1] / self._edges[0])


def read_derived(name: str, table: Mapping[str, Any], parameters: Mapping[str, Parameter]) -> Derived:
    """Return the coordinate `name` that `[derived]` of a task.toml declares.

    Its range is the range of the product over the whole space, unless the table narrows it.

    Raises:
        ValueError: the table is wrong; the message begins "derived.NAME: ".
    """
    try:
        return _read(name, table, parameters)
    except ValueError as fault:
        raise ValueError(f"derived.{name}: {fault}") from None


def _read(name: str, table: Mapping[str, Any], parameters: Mapping[str, Parameter]) -> Derived:
    if unknown := sorted(set(table) - {"replaces", "product", "low", "high"}):
        raise ValueError(f"unknown key {unknown[0]!r}; known are high, low, product, replaces")
    if missing := sorted({"replaces", "product"} - set(table)):
        raise ValueError(f"{missing[0]!r} is missing")
    constant, exponents = _product(table["product"])
    low = high = constant
    for factor, exponent in exponents.items():
        parameter = parameters.get(factor)
        if parameter is None:
            raise ValueError(f"{factor} is not a name in [space]")
        if isinstance(parameter, Categorical) or parameter.low <= 0:
            raise ValueError(f"{factor} is not positive over its whole range, as a product requires")
        ends = sorted((parameter.low**exponent, parameter.high**exponent))
        low, high = low * ends[0], high * ends[1]
    if exponents.get(table["replaces"]) not in (1, -1):
        raise ValueError(f"replaces = {table['replaces']!r} must occur in the product exactly once")
    bounds = {"low": low, "high": high} | {key: table[key] for key in ("low", "high") if key in table}
    for key, bound in bounds.items():
        if type(bound) not in (int, float) or bound <= 0:
            raise ValueError(f"{key} = {bound!r} is not a positive number")
    if not bounds["low"] < bounds["high"]:
        raise ValueError(f"low = {bounds['low']} is not below high = {bounds['high']}")
    return Derived(
        name=name,
        parameter=parameters[table["replaces"]],
        constant=constant,
        exponents=tuple(exponents.items()),
        low=float(bounds["low"]),
        high=float(bounds["high"]),
    )


def _product(text: Any) -> tuple[float, dict[str, int]]:
    """Return the constant factor and the exponents of an expression such as "TOTAL / (BATCH * 256)"."""
    if not isinstance(text, str):
        raise ValueError(f"product = {text!r} is not a string")
    try:
        expression = parse_expression(text)
    except SyntaxError:
        raise ValueError(f"product = {text!r} is not an expression") from None
    constant, exponents = 1.0, dict[str, int]()
    stack: list[tuple[ast.expr, int]] = [(expression, 1)]
    while stack:
        match stack.pop():
            case ast.BinOp(left=left, op=ast.Mult(), right=right), sign:
                stack += [(right, sign), (left, sign)]
            case ast.BinOp(left=left, op=ast.Div(), right=right), sign:
                stack += [(right, -sign), (left, sign)]
            case ast.Name(id=name), sign:
                exponents[name] = exponents.get(name, 0) + sign
            case ast.Constant(value=value), sign if type(value) in (int, float) and value > 0:  # type: ignore[operator]
                constant *= float(value) ** sign  # type: ignore[arg-type]
            case other, _:
                raise ValueError(f"product: {ast.unparse(other)} is not allowed; use names, positive numbers, * and /")
    return constant, exponents
