"""A first search space for a script: its upper-case constants with guessed ranges around their values."""

import json
import math
import re
from collections.abc import Iterator, Mapping

from agent.edits.assignments import all_constants
from agent.edits.edit import Value

NEVER = re.compile(
    r"(^|_)(SEED|PORT|VERSION|EPOCHS?|STEPS?|ITERS?|ITERATIONS|EVAL|LOG|SAVE|INTERVAL|EVERY|WORKERS|THREADS|PATH|DIR|NAME"
    r"|DEVICE|RANK|BUDGET|SECONDS|MINUTES)$|VOCAB|^(EVAL|VAL|TEST|PRINT|SAVE)_"
)
"""Names that do not affect quality, or that set the budget: they appear only as comments."""
SIZES = re.compile(r"BATCH|DIM|SIZE|WIDTH|HEADS?|CHANNELS|EMBD|HIDDEN|CHUNK")
SHARES = re.compile(r"RATIO|FRAC|SHARE|DROPOUT|PROB|MIX|MOMENTUM|BETA|DECAY|SMOOTH|ALPHA|GAMMA")
FACTOR = 4  # of a size or a count, in each direction: two powers of two
RATE_FACTOR = 10  # of a rate, in each direction
LOG_FROM = 100  # whole numbers from here on are searched on a log scale
A_POWER_FROM = 8  # smaller powers of two may just be small numbers


def proposed_space(source: str, choices: Mapping[str, tuple[str, ...]] | None = None) -> str:
    """Return a [space] table in TOML, one line per constant; constants without a guess are comments.

    Every value of the script is inside its range, so that the table is valid unchanged.

    Args:
        source: the script.
        choices: the possible words of a constant, by name, including its current value.

    Raises:
        EditError: the script does not parse.
    """
    lines = ["[space]"]
    for name, value in all_constants(source).items():
        lines += _lines(name, value, (choices or {}).get(name, ()))
    if not any(line[0] not in "[#" for line in lines):
        lines.append("# the script has no constant NAME = number at module level; give it one for each value to search")
    return "\n".join(lines) + "\n"


def is_searched(name: str, value: Value, choices: tuple[str, ...] = ()) -> bool:
    """Return whether the proposed space has a range for a constant."""
    return not next(_lines(name, value, choices)).startswith("#")


def _lines(name: str, value: Value, choices: tuple[str, ...]) -> Iterator[str]:
    if isinstance(value, str) and value in choices and len(choices) > 1:
        yield f'{name} = {{ type = "categorical", choices = {json.dumps(choices, ensure_ascii=False)} }}'
    elif isinstance(value, str):
        alone = f"choices = [{json.dumps(value, ensure_ascii=False)}]"
        yield f'# {name} = {{ type = "categorical", {alone} }}  # list the others, and remove the first #'
    elif not math.isfinite(value) or NEVER.search(name):
        yield f"# {name} = {value!r}  # left out: it seems not to affect quality"
    else:
        yield f"{name} = {{ {_kind(name, value)} }}"


def _kind(name: str, value: int | float) -> str:
    """Return the keys of a parameter whose range contains `value`."""
    if isinstance(value, int):
        return _whole(name, value)
    if value == 0:
        return _range("float", 0.0, 0.5 if SHARES.search(name) else 1.0)
    if value < 0:
        return _range("float", _rounded(2 * value), 0.0)
    if SHARES.search(name) and 0.8 <= value < 1:  # such as a momentum: the distance from 1 matters
        distance = 1 - value
        return _range("float", *(_near_one(distance * share) for share in (FACTOR, 1 / FACTOR)))
    if SHARES.search(name) and 0.02 <= value <= 1:
        return _range("float", 0.0, min(1.0, _rounded(2.5 * value)))
    return _range("float", _rounded(value / RATE_FACTOR), _rounded(value * RATE_FACTOR), log=True)


def _whole(name: str, value: int) -> str:
    is_power = value > 0 and value & (value - 1) == 0 and not SHARES.search(name)
    if is_power and (value >= A_POWER_FROM or (value > 1 and SIZES.search(name))):
        return _range("power_of_two", max(1, value // FACTOR), value * FACTOR)
    if value >= LOG_FROM:
        return _range("int", value // FACTOR, value * FACTOR, log=True)
    if value > 0:
        return _range("int", max(1, value // 2), 2 * value + (value == 1))
    return _range("int", 2 * value, max(1, -value)) if value < 0 else _range("int", 0, 4)


def _range(kind: str, low: float, high: float, *, log: bool = False) -> str:
    return f'type = "{kind}", low = {low!r}, high = {high!r}' + (", log = true" if log else "")


def _near_one(distance: float) -> float:
    """Return 1 minus a distance of three digits, e.g. .9875, or .9999999975, which six digits would round to 1."""
    return round(1 - distance, 2 - math.floor(math.log10(distance)))


def _rounded(number: float, digits: int = 1) -> float:
    """Return a bound with few digits, as people write it; the ranges are wide enough for the rounding."""
    return float(f"{number:.{digits}g}")
