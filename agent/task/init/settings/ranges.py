"""The range of a setting in a first search space: what the script declares, else a guess around its value."""

import json
import math
import re

from agent.edits.edit import Value
from agent.search.value_checks import LARGEST_WHOLE
from agent.task.init.settings.declared import Declared

SIZES = re.compile(r"BATCH|DIM|SIZE|WIDTH|HEADS?|CHANNELS|EMBD|HIDDEN|CHUNK")
SHARES = re.compile(
    r"RATIO|FRAC|SHARE|DROP|PROB|MIX|MOMENTUM|BETA|DECAY|SMOOTH|ALPHA|GAMMA|LAMBDA|SUBSAMPLE|COLSAMPLE|QUANTILE|TAU$"
    r"|DISCOUNT|PCT|POLYAK|EMA|RHO$|THRESH|PERCENT"
)
MAY_BE_ZERO = re.compile(r"DROP|DECAY|SMOOTH|MIX|PROB|RATIO|NOISE")
"""Shares for which 0 means that something is off; others, such as a momentum or a subsample, stay above 0."""
RATES = re.compile(r"(^|_)(RATE|LR|SCALE|LEARNING)(_|$)")
"""Names of floats that may exceed 1."""
FACTOR = 4  # of a size or a count, in each direction: two powers of two
RATE_FACTOR = 10  # of a rate, in each direction
LOG_FROM = 100  # whole numbers from here on are searched on a log scale
A_POWER_FROM = 8  # smaller powers of two may just be small numbers
WIDE = 100  # ratio of declared bounds from which they are searched on a log scale


def keys_of(name: str, value: Value, declared: Declared) -> str:
    """Return the keys of a parameter in task.toml whose range contains `value`.

    Empty if only one value is possible, or if whole numbers are too large to be searched.
    """
    if declared.choices:
        return _choices(value, declared.choices)
    if isinstance(value, str):
        return ""
    if declared.kind == "float" or isinstance(value, float):
        return _declared_float(name, float(value), declared)
    return _declared_int(name, value, declared)


def _choices(value: Value, choices: tuple[Value, ...]) -> str:
    known = choices if value in choices else (*choices, value)
    if len(known) < 2:
        return ""
    is_ordered = all(isinstance(choice, int | float) for choice in known)
    listed = sorted(known, key=float) if is_ordered else list(known)
    return f'type = "categorical", choices = {json.dumps(listed, ensure_ascii=False)}' + ", ordered = true" * is_ordered


def _declared_float(name: str, value: float, declared: Declared) -> str:
    low, high, is_log = _float(name, value)
    least = _inside(declared.low, value, declared.excludes_low)
    most = _inside(declared.high, value, declared.excludes_high)
    if least is not None and most is not None:
        low, high = least, most
        is_log = low > 0 and high / low >= WIDE and (RATES.search(name) is not None or value < low + (high - low) / 10)
    elif least is not None:
        low = max(low, least)
    elif most is not None:
        high = min(high, most)
    low, high = min(low, value), max(high, value)
    return _range("float", low, high, log=is_log and low > 0) if low < high else ""


def _inside(bound: float | None, value: float, excluded: bool) -> float | None:
    """Return a declared bound; an excluded one moved by a hundredth of the way to the value."""
    if bound is None or not excluded:
        return None if bound is None else float(bound)
    return _rounded(bound + (value - bound) / 100, 6)


def _declared_int(name: str, value: int, declared: Declared) -> str:
    least = (
        None
        if declared.low is None
        else math.floor(declared.low) + 1
        if declared.excludes_low
        else math.ceil(declared.low)
    )
    most = (
        None
        if declared.high is None
        else math.ceil(declared.high) - 1
        if declared.excludes_high
        else math.floor(declared.high)
    )
    if least is None and most is None:
        return _whole(name, value)
    if least is not None and most is not None:
        low, high = least, most
    else:
        low, high = max(1, value // FACTOR) if value > 0 else min(0, value), max(FACTOR, value * FACTOR)
        low = low if least is None else max(low, least)
        high = high if most is None else min(high, most)
    low, high = min(low, value), max(high, value)
    return _range("int", low, high, log=low > 0 and high / low >= WIDE) if low < high else ""


def _float(name: str, value: float) -> tuple[float, float, bool]:
    """Return low, high and whether they are searched on a log scale."""
    is_share = SHARES.search(name) is not None
    if value == 0:
        return 0.0, 0.5 if is_share else 1.0, False
    if value < 0:
        return _rounded(2 * value), 0.0, False
    below_one = is_share or not RATES.search(name)
    if is_share and 0.8 <= value < 1:  # such as a momentum: the distance from 1 matters
        distance = 1 - value
        return _near_one(distance * FACTOR), _near_one(distance / FACTOR), False
    if below_one and 0.5 < value < 1:
        return _rounded(value / 2), _near_one((1 - value) / FACTOR), False
    if is_share and 0.02 <= value <= 1:
        low = 0.0 if MAY_BE_ZERO.search(name) else _rounded(value / RATE_FACTOR)
        return low, _rounded(2.5 * value) if value <= 0.36 else max(value, 0.9), False
    return _rounded(value / RATE_FACTOR), _rounded(value * RATE_FACTOR), True


def _whole(name: str, value: int) -> str:
    if value == 0 and SHARES.search(name):
        return _range("float", 0.0, 0.5)
    is_power = value > 0 and value & (value - 1) == 0 and not SHARES.search(name)
    if is_power and (value >= A_POWER_FROM or (value > 1 and SIZES.search(name))):
        return _range("power_of_two", max(1, value // FACTOR), value * FACTOR)
    if value >= LOG_FROM:
        return _range("int", value // FACTOR, value * FACTOR, log=True)
    if value > 0:
        return _range("int", max(1, value // 2), 2 * value + (value == 1))
    return _range("int", 2 * value, max(1, -value)) if value < 0 else _range("int", 0, 4)


def _range(kind: str, low: float, high: float, *, log: bool = False) -> str:
    if kind != "float" and max(abs(low), abs(high)) > LARGEST_WHOLE:
        return ""  # such as a bit mask
    return f'type = "{kind}", low = {low!r}, high = {high!r}' + (", log = true" if log else "")


def _near_one(distance: float) -> float:
    """Return 1 minus a distance of three digits, e.g. .9875, or .9999999975, which six digits would round to 1."""
    return round(1 - distance, 2 - math.floor(math.log10(distance)))


def _rounded(number: float, digits: int = 1) -> float:
    """Return a bound with few digits, as people write it; the ranges are wide enough for the rounding."""
    return float(f"{number:.{digits}g}")
