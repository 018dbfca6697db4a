"""The four kinds of axes of a search space: each maps its values to the unit interval and back.

Whole numbers, powers of two and choices have levels; level i of n sits in the middle of its bin, at (i + 1/2) / n,
so that a uniform point falls on every level alike. Floats are rounded to what is written into the script, so that
the value that is asked is the value that runs, to the last digit.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from agent.edits.edit import Value

SIGNIFICANT_DIGITS = 6


@dataclass(frozen=True)
class Float:
    """A real number in [low, high], both included; `log`: searched by its logarithm."""

    name: str
    low: float
    high: float
    log: bool = False
    kind: ClassVar[str] = "float"
    n_levels: ClassVar[None] = None  # continuous

    def __post_init__(self) -> None:
        for bound in (self.low, self.high):
            if not math.isfinite(bound):
                raise ValueError(f"{bound} is not a bound; give a finite number")
        _check_order(self.low, self.high)
        if self.log and self.low <= 0:
            raise ValueError(f"low = {self.low}: a log scale needs low > 0")

    def decode(self, u: float) -> float:
        """Return the value at `u` in [0, 1], rounded."""
        if self.log:
            return self._rounded(self.low * math.pow(self.high / self.low, u))
        return self._rounded(self.low + (self.high - self.low) * u)

    def encode(self, value: Value) -> float:
        """Return the place of `value` in [0, 1]."""
        number = float(value)
        if self.log:
            return math.log(number / self.low) / math.log(self.high / self.low)
        return (number - self.low) / (self.high - self.low)

    def read(self, value: Any) -> float:
        """Return `value` as the space writes it. Raises ValueError if it is no number within the range."""
        number = _number(value)
        if not self.low <= number <= self.high:
            raise ValueError(f"{value} is outside {self.low} to {self.high}")
        return self._rounded(number)

    def json_schema(self) -> dict[str, Any]:
        return {"type": "number", "minimum": self.low, "maximum": self.high}

    def _rounded(self, number: float) -> float:
        """Six digits: significant ones on a log scale, else of the range, so that encoding loses nothing."""
        if self.log:
            rounded = float(f"{number:.{SIGNIFICANT_DIGITS}g}")
        else:
            decimals = SIGNIFICANT_DIGITS - math.ceil(math.log10(self.high - self.low))
            rounded = round(number, decimals) + 0.0  # never -0.0
        return min(max(rounded, float(self.low)), float(self.high))


@dataclass(frozen=True)
class Int:
    """A whole number in [low, high], both included; `log`: searched by its logarithm."""

    name: str
    low: int
    high: int
    log: bool = False
    kind: ClassVar[str] = "int"

    def __post_init__(self) -> None:
        for bound in (self.low, self.high):
            if type(bound) is not int:
                raise ValueError(f"{bound!r} is not a whole number")
        _check_order(self.low, self.high)
        if self.log and self.low < 1:
            raise ValueError(f"low = {self.low}: a log scale needs low >= 1")

    @property
    def n_levels(self) -> int:
        return self.high - self.low + 1

    def decode(self, u: float) -> int:
        """Return the whole number whose bin holds `u`."""
        if not self.log:
            return self.low + _level(u, self.n_levels)
        left, right = self.low - 0.5, self.high + 0.5
        return min(max(round(left * math.pow(right / left, u)), self.low), self.high)

    def encode(self, value: Value) -> float:
        """Return the middle of the bin of `value` (on a log scale: its own place, which lies within)."""
        number = int(value)
        if not self.log:
            return (number - self.low + 0.5) / self.n_levels
        left, right = self.low - 0.5, self.high + 0.5
        return math.log(number / left) / math.log(right / left)

    def read(self, value: Any) -> int:
        """Return `value` as a plain int. Raises ValueError if it is no whole number within the range."""
        number = _whole(value)
        if not self.low <= number <= self.high:
            raise ValueError(f"{value} is outside {self.low} to {self.high}")
        return number

    def json_schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.low, "maximum": self.high}


@dataclass(frozen=True)
class PowerOfTwo:
    """A power of two in [low, high], both included and themselves powers of two."""

    name: str
    low: int
    high: int
    kind: ClassVar[str] = "power_of_two"
    log: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for bound in (self.low, self.high):
            if type(bound) is not int or not _is_power_of_two(bound):
                raise ValueError(f"{bound!r} is not a power of two (1, 2, 4, ...)")
        _check_order(self.low, self.high)

    @property
    def n_levels(self) -> int:
        return self.high.bit_length() - self.low.bit_length() + 1

    @property
    def choices(self) -> tuple[int, ...]:
        return tuple(self.low << level for level in range(self.n_levels))

    def decode(self, u: float) -> int:
        """Return the power of two whose bin holds `u`."""
        return self.low << _level(u, self.n_levels)

    def encode(self, value: Value) -> float:
        """Return the middle of the bin of `value`."""
        return (int(value).bit_length() - self.low.bit_length() + 0.5) / self.n_levels

    def read(self, value: Any) -> int:
        """Return `value` as a plain int. Raises ValueError if it is no power of two within the range."""
        number = _whole(value)
        if number not in self.choices:
            raise ValueError(f"{value} is not one of {', '.join(map(str, self.choices))}")
        return number

    def json_schema(self) -> dict[str, Any]:
        return {"type": "integer", "enum": list(self.choices)}


@dataclass(frozen=True)
class Categorical:
    """One of a few values; `ordered`: neighbours in the list are alike."""

    name: str
    choices: tuple[Value, ...]
    ordered: bool = False
    kind: ClassVar[str] = "categorical"
    log: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if len(self.choices) < 2:
            raise ValueError(f"choices = {list(self.choices)}: at least two are needed")
        for choice in self.choices:
            if type(choice) not in (int, float, str):
                raise ValueError(f"choice {choice!r} is neither a number nor a string")
        if len(set(self.choices)) < len(self.choices):
            raise ValueError(f"choices = {list(self.choices)}: one is given twice")

    @property
    def n_levels(self) -> int:
        return len(self.choices)

    def decode(self, u: float) -> Value:
        """Return the choice whose bin holds `u`."""
        return self.choices[_level(u, self.n_levels)]

    def encode(self, value: Value) -> float:
        """Return the middle of the bin of `value`."""
        return (self.choices.index(value) + 0.5) / self.n_levels

    def read(self, value: Any) -> Value:
        """Return the choice that `value` is. Raises ValueError if it is none."""
        if type(value) is not bool and value in self.choices:
            return self.choices[self.choices.index(value)]
        raise ValueError(f"{value!r} is not one of {', '.join(map(repr, self.choices))}")

    def json_schema(self) -> dict[str, Any]:
        return {"enum": list(self.choices)}


Parameter = Float | Int | PowerOfTwo | Categorical


def _level(u: float, n_levels: int) -> int:
    """Return the bin of `u` among `n_levels` equal ones; the ends take what lies beyond."""
    return min(max(math.floor(u * n_levels), 0), n_levels - 1)


def _is_power_of_two(number: int) -> bool:
    return number > 0 and number & (number - 1) == 0


def _check_order(low: float, high: float) -> None:
    if not low < high:
        raise ValueError(f"low = {low} is not below high = {high}")


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is not a number")
    return float(value)


def _whole(value: Any) -> int:
    """JSON has one kind of number: 8.0 is a whole one."""
    number = _number(value)
    if not number.is_integer():
        raise ValueError(f"{value!r} is not a whole number")
    return int(number)
