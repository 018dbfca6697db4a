"""The kinds of parameters of a search space: each maps its values to axes of the unit cube and back.

Integers, powers of two and ordered choices have levels along one axis; level i of n is in the middle of its bin, at
(i + 1/2) / n, so that a uniform point hits every level with equal probability. Each unordered choice has an axis of
its own, and the highest coordinate wins, so that no choice is between two others. Floats are rounded as they are
written into the script, so that the proposed value is the value that runs, to the last digit.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from agent.edits.edit import Value
from agent.search.value_checks import (
    check_order,
    check_size,
    is_finite,
    is_power_of_two,
    level_at,
    number_of,
    shortened,
    whole_number_of,
)

SIGNIFICANT_DIGITS = 6
SMALLEST = 1e-300  # size of a bound other than 0: below it, floats lose digits, and a share of a range becomes 0
CHOSEN, NOT_CHOSEN = 0.6, 0.4  # coordinates on the axes of unordered choices


@dataclass(frozen=True)
class Float:
    """A real number in [low, high], both included; `log`: searched on a log scale."""

    name: str
    low: float
    high: float
    log: bool = False
    kind: ClassVar[str] = "float"
    n_axes: ClassVar[int] = 1
    n_levels: ClassVar[None] = None  # continuous
    step: ClassVar[float] = 0.0  # distance between levels, in [0, 1]; there are none

    def __post_init__(self) -> None:
        for bound in (self.low, self.high):
            if not is_finite(bound) or 0 < abs(bound) < SMALLEST:
                raise ValueError(
                    f"{shortened(bound)} is not a valid bound; give a finite number, at least {SMALLEST} or 0"
                )
        check_order(self.low, self.high)
        if self.log and self.low <= 0:
            raise ValueError(f"low = {self.low}: a log scale needs low > 0")
        if not is_finite(self.high / self.low if self.log else self.high - self.low):
            raise ValueError(f"{self.low} to {self.high} is too wide a range for floats; give a narrower one")

    def place(self, u: float) -> float:
        """Return the value at `u` in [0, 1] before rounding."""
        if self.log:
            return self.low * math.pow(self.high / self.low, u)
        return self.low + (self.high - self.low) * u

    def spread(self, std: float) -> float:
        """Return a standard deviation in [0, 1] in the parameter's unit, on a log scale as a factor."""
        return math.pow(self.high / self.low, std) if self.log else (self.high - self.low) * std

    def decode(self, u: float) -> float:
        """Return the value at `u` in [0, 1], rounded."""
        return self._rounded(self.place(u))

    def nearest(self, number: float) -> float:
        """Return the value in the range nearest to `number`."""
        return self._rounded(number)

    def encode(self, value: Value) -> tuple[float]:
        """Return the coordinate of `value`, in [0, 1]."""
        number = float(value)
        if self.log:
            return (math.log(number / self.low) / math.log(self.high / self.low),)
        return ((number - self.low) / (self.high - self.low),)

    def read(self, value: Any) -> float:
        """Return `value` rounded as in the script. Raises ValueError if it is not a number in the range."""
        number = number_of(value)
        if not self.low <= number <= self.high:
            raise ValueError(f"{shortened(value)} is outside {self.low} to {self.high}")
        return self._rounded(number)

    def json_schema(self) -> dict[str, Any]:
        return {"type": "number", "minimum": self.low, "maximum": self.high}

    def _rounded(self, number: float) -> float:
        """Return `number` at six digits: significant ones on a log scale, else of the range; encoding loses nothing."""
        if self.log:
            rounded = float(f"{number:.{SIGNIFICANT_DIGITS}g}")
        else:
            decimals = SIGNIFICANT_DIGITS - math.ceil(math.log10(self.high - self.low))
            rounded = round(number, decimals) + 0.0  # never -0.0
        return min(max(rounded, float(self.low)), float(self.high))


@dataclass(frozen=True)
class Int:
    """An integer in [low, high], both included; `log`: searched on a log scale."""

    name: str
    low: int
    high: int
    log: bool = False
    kind: ClassVar[str] = "int"
    n_axes: ClassVar[int] = 1

    def __post_init__(self) -> None:
        for bound in (self.low, self.high):
            if type(bound) is not int:
                raise ValueError(f"{bound!r} is not a whole number")
            check_size(bound)
        check_order(self.low, self.high)
        if self.log and self.low < 1:
            raise ValueError(f"low = {self.low}: a log scale needs low >= 1")

    @property
    def n_levels(self) -> int:
        return self.high - self.low + 1

    @property
    def step(self) -> float:
        """The distance between adjacent levels, in [0, 1]; on a log scale the mean distance."""
        return 1 / self.n_levels

    def place(self, u: float) -> float:
        """Return the real number at `u` in [0, 1] before it is snapped."""
        left, right = self._edges
        return left * math.pow(right / left, u) if self.log else left + (right - left) * u

    def spread(self, std: float) -> float:
        """Return a standard deviation in [0, 1] in the parameter's unit, on a log scale as a factor."""
        left, right = self._edges
        return math.pow(right / left, std) if self.log else (right - left) * std

    def decode(self, u: float) -> int:
        """Return the integer whose bin contains `u`."""
        if not self.log:
            return self.low + level_at(u, self.n_levels)
        return self.nearest(self.place(u))

    def nearest(self, number: float) -> int:
        """Return the integer in the range nearest to `number`."""
        return min(max(round(number), self.low), self.high)

    def encode(self, value: Value) -> tuple[float]:
        """Return the middle of the bin of `value` (on a log scale: its own coordinate, which is inside the bin)."""
        number = int(value)
        left, right = self._edges
        return (math.log(number / left) / math.log(right / left) if self.log else (number - left) / (right - left),)

    def read(self, value: Any) -> int:
        """Return `value` as a plain int. Raises ValueError if it is not a whole number in the range."""
        number = whole_number_of(value)
        if not self.low <= number <= self.high:
            raise ValueError(f"{shortened(value)} is outside {self.low} to {self.high}")
        return number

    def json_schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.low, "maximum": self.high}

    @property
    def _edges(self) -> tuple[float, float]:
        """The outer edges of the first and the last bin, in the parameter's unit."""
        return self.low - 0.5, self.high + 0.5


@dataclass(frozen=True)
class PowerOfTwo:
    """A power of two in [low, high]; the bounds are included, and powers of two themselves."""

    name: str
    low: int
    high: int
    kind: ClassVar[str] = "power_of_two"
    n_axes: ClassVar[int] = 1
    log: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for bound in (self.low, self.high):
            if type(bound) is not int or not is_power_of_two(bound):
                raise ValueError(f"{shortened(bound)} is not a power of two (1, 2, 4, ...)")
            check_size(bound)
        check_order(self.low, self.high)

    @property
    def n_levels(self) -> int:
        return self.high.bit_length() - self.low.bit_length() + 1

    @property
    def step(self) -> float:
        """The distance between adjacent levels, in [0, 1]; on a log scale the mean distance."""
        return 1 / self.n_levels

    @property
    def choices(self) -> tuple[int, ...]:
        return tuple(self.low << level for level in range(self.n_levels))

    def place(self, u: float) -> float:
        """Return the real number at `u` in [0, 1] before it is snapped."""
        return self.low * math.pow(2, u * self.n_levels - 0.5)

    def spread(self, std: float) -> float:
        """Return a standard deviation in [0, 1] as a factor."""
        return math.pow(2, std * self.n_levels)

    def decode(self, u: float) -> int:
        """Return the power of two whose bin contains `u`."""
        return self.low << level_at(u, self.n_levels)

    def nearest(self, number: float) -> int:
        """Return the power of two in the range nearest by ratio to `number`, which is positive."""
        return min(max(1 << max(round(math.log2(number)), 0), self.low), self.high)

    def encode(self, value: Value) -> tuple[float]:
        """Return the middle of the bin of `value`."""
        return ((int(value).bit_length() - self.low.bit_length() + 0.5) / self.n_levels,)

    def read(self, value: Any) -> int:
        """Return `value` as a plain int. Raises ValueError if it is not a power of two in the range."""
        number = whole_number_of(value)
        if number not in self.choices:
            raise ValueError(f"{shortened(value)} is not one of {', '.join(map(str, self.choices))}")
        return number

    def json_schema(self) -> dict[str, Any]:
        return {"type": "integer", "enum": list(self.choices)}


@dataclass(frozen=True)
class Categorical:
    """One of a few values; `ordered`: adjacent values in the list are similar."""

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
            raise ValueError(f"choices = {list(self.choices)}: a choice occurs twice")

    @property
    def n_axes(self) -> int:
        return 1 if self.ordered else len(self.choices)

    @property
    def n_levels(self) -> int:
        return len(self.choices)

    @property
    def step(self) -> float:
        """The distance between adjacent levels, or between chosen and not chosen, in [0, 1]."""
        return 1 / self.n_levels if self.ordered else CHOSEN - NOT_CHOSEN

    def place(self, *u: float) -> Value:
        """Return the choice at `u`, as `decode` does: there is nothing between choices."""
        return self.decode(*u)

    def spread(self, std: float) -> float:
        """Return a standard deviation in [0, 1] in steps along the list, or from not chosen to chosen."""
        return std / self.step

    def decode(self, *u: float) -> Value:
        """Return the choice whose bin contains `u`, or whose coordinate is the highest."""
        if self.ordered:
            return self.choices[level_at(u[0], self.n_levels)]
        return self.choices[u.index(max(u))]

    def encode(self, value: Value) -> tuple[float, ...]:
        """Return the coordinates of `value`, shape (n_axes,), in [0, 1]."""
        if self.ordered:
            return ((self.choices.index(value) + 0.5) / self.n_levels,)
        return tuple(CHOSEN if choice == value else NOT_CHOSEN for choice in self.choices)

    def read(self, value: Any) -> Value:
        """Return the choice equal to `value`. Raises ValueError if there is none."""
        if type(value) is not bool and value in self.choices:
            return self.choices[self.choices.index(value)]
        raise ValueError(f"{shortened(value)} is not one of {', '.join(map(repr, self.choices))}")

    def json_schema(self) -> dict[str, Any]:
        return {"enum": list(self.choices)}


Parameter = Float | Int | PowerOfTwo | Categorical
