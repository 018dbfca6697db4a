"""Checks of parameter bounds and values, which task.toml, a script or a model may get wrong in any way."""

import math
import reprlib
from typing import Any

LARGEST_WHOLE = 2**53  # floats represent every integer up to here, so that encoding loses nothing


def level_at(u: float, n_levels: int) -> int:
    """Return the index of the bin of `u` among `n_levels` equal bins of [0, 1]; clips `u` outside."""
    return min(max(math.floor(u * n_levels), 0), n_levels - 1)


def is_power_of_two(number: int) -> bool:
    return number > 0 and number & (number - 1) == 0


def check_order(low: float, high: float) -> None:
    if not low < high:
        raise ValueError(f"low = {low} is not below high = {high}")


def check_size(bound: int) -> None:
    if abs(bound) > LARGEST_WHOLE:
        raise ValueError(f"{shortened(bound)} is too large; the largest whole number is {LARGEST_WHOLE}")


def is_finite(number: float) -> bool:
    """Return whether `number` fits a finite float: JSON and TOML have integers of any length."""
    try:
        return math.isfinite(number)
    except OverflowError:
        return False


def number_of(value: Any) -> float:
    is_nan = isinstance(value, float) and math.isnan(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or is_nan:
        raise ValueError(f"{shortened(value)} is not a number")
    if not is_finite(value):
        raise ValueError(f"{shortened(value)} is too large for a number")
    return float(value)


def whole_number_of(value: Any) -> int:
    """Return `value` as an int, also 8.0, which JSON does not distinguish from 8. Raises ValueError otherwise."""
    if not number_of(value).is_integer():
        raise ValueError(f"{shortened(value)} is not a whole number")
    return int(value)


def shortened(value: Any) -> str:
    """Return the repr of a value; a long one without its middle, since a model may send anything."""
    return reprlib.repr(value)
