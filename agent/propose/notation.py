"""How a configuration is written for those who read it: in few digits, and in enough of them to hand it back."""

import json
import math
from collections.abc import Mapping

from agent.edits.edit import Params, Value
from agent.search.parameters import Categorical, Parameter
from agent.search.space import SearchSpace

DIGITS, SHARE = 3, 1 / 1000
"""Of a float that can be copied: so many significant digits, and more until rounding moves it by no more than this
share of its range (of the range's logarithm on a log scale). What "the same" means, too."""
DIGITS_OF_STATE, SHARE_OF_STATE = 2, 1 / 100  # of means: nobody needs more of them


def written(parameter: Parameter, value: Value) -> str:
    """Return a value in few digits, within its range as written: 61000, 0.0371, 0.99987, SSSL."""
    if isinstance(parameter, Categorical) or not isinstance(value, float):
        return str(value)
    return _text(_rounded(parameter, value, DIGITS, SHARE))


def written_mean(parameter: Parameter, value: Value) -> str:
    """Return where a search distribution is centred, in fewer digits still; "4.1" layers are a mean, too."""
    if isinstance(parameter, Categorical):
        return str(value)
    return _text(_rounded(parameter, float(value), DIGITS_OF_STATE, SHARE_OF_STATE))


def written_spread(std: float, *, is_factor: bool) -> str:
    """Return a standard deviation, "0.083", or as a factor, "x1.31": two digits of what it moves a value by."""
    moved = std - 1 if is_factor else std
    decimals = DIGITS_OF_STATE - 1 - math.floor(math.log10(moved)) if moved > 0 else 0
    return f"{'x' if is_factor else ''}{_text(round(std, decimals))}"


def written_range(low: float | None, high: float | None) -> tuple[str, str]:
    """Return the ends of a range in full: "low and high are allowed" must be true as written."""
    return ("" if low is None else repr(low), "" if high is None else repr(high))


def row(space: SearchSpace, params: Params) -> str:
    """Return a configuration as one line, its values in the order of the space."""
    return ",".join(written(parameter, params[parameter.name]) for parameter in space.parameters)


def as_json(space: SearchSpace, params: Params) -> str:
    """Return a configuration as a model should answer it: JSON on one line, at the digits written."""
    values = {name: _copied(parameter, params[name]) for name, parameter in _by_name(space).items()}
    return json.dumps(values, separators=(",", ":"))


def same(space: SearchSpace, first: Params, second: Params) -> bool:
    """Whether two configurations cannot be told apart as they are written."""
    return row(space, first) == row(space, second)


def changes(space: SearchSpace, before: Params, after: Params, n_names: int = 4) -> str:
    """Return what differs as a title, e.g. "DEPTH 3→4, MATRIX_LR 0.04→0.031 and 2 more"."""
    changed = [(name, each) for name, each in _by_name(space).items() if before.get(name) != after[name]]
    if not changed:
        return "no value changes"
    told = [f"{name} {written(each, before[name])}→{written(each, after[name])}" for name, each in changed[:n_names]]
    return ", ".join(told) + (f" and {len(changed) - n_names} more" if len(changed) > n_names else "")


def _copied(parameter: Parameter, value: Value) -> Value:
    return float(written(parameter, value)) if parameter.kind == "float" else value


def _rounded(parameter: Parameter, number: float, digits: int, share: float) -> float:
    assert not isinstance(parameter, Categorical), "choices are written as they are"
    low, high = float(parameter.low), float(parameter.high)
    if number != 0:
        reach = number * math.log(high / low) if parameter.log else high - low  # of the whole range, as seen from here
        decimals = max(digits - 1 - math.floor(math.log10(abs(number))), math.ceil(-math.log10(2 * share * reach)))
        number = round(number, decimals)
    return min(max(number, low), high)


def _text(number: float) -> str:
    return repr(number + 0.0).removesuffix(".0")  # never -0


def _by_name(space: SearchSpace) -> Mapping[str, Parameter]:
    return dict(zip(space.names, space.parameters, strict=True))
