"""The tunable constants of one script, with their ranges: a search space of that script alone.

They are the names of the task's `[space]` that the script still has, the constants with a comment `# tune: ...`, and
without one the script's new constants, whose ranges are guessed as `agent init` does. A task without `[space]` has
declared nothing to leave alone, so there every constant counts as new.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from agent.edits.assignments import all_constants, read_constants
from agent.edits.edit import Params
from agent.edits.syntax import parse_script
from agent.edits.tune_comments import declared_ranges, faults_text
from agent.errors import EditError
from agent.search.constraints.feasible import FeasiblePoints
from agent.search.parameters import Parameter
from agent.search.space import SearchSpace
from agent.task.init.python_file import Source
from agent.task.init.settings.find_settings import constants
from agent.task.init.settings.left_out import why_left_out
from agent.task.init.settings.ranges import keys_of


def check_ranges(source: str) -> None:
    """Check the comments `# tune: ...` of a script. Raises EditError with a line for each that is wrong, up to five."""
    tables, faults = declared_ranges(source), []
    values = read_constants(source, tables)
    for name, table in tables.items():
        try:
            _parameter(name, table).read(values[name])
        except ValueError as fault:
            why = str(fault).removeprefix(f"space.{name}: ")
            faults.append(
                f"{name} = {values[name]!r} and its comment `# tune: ...` do not fit: {why}; change one of them"
            )
    if faults:
        raise EditError(faults_text(faults))


def tunable_space(source: str, baseline_source: str, declared: SearchSpace | None) -> SearchSpace | None:
    """Return the space of the numbers of a script that passed `check_ranges`; None if it has none to tune.

    The script's own values are a point of it: a name that the script no longer has as a constant, or with a value
    outside its range, is left out, and so are the task's constraints and derived coordinates that this concerns.

    Args:
        source: the script.
        baseline_source: the baseline's, whose constants are not new.
        declared: the task's space, whose ranges come first; None: it declares none.
    """
    own = all_constants(source, any_case=True)
    found: dict[str, Parameter] = {}
    for parameter in declared.parameters if declared is not None else ():
        if parameter.name in own and _fits(parameter, own[parameter.name]):
            found[parameter.name] = parameter
    known = set(declared.names) if declared is not None else set()
    tables = {name: table for name, table in declared_ranges(source).items() if name not in known}
    if declared is not None:
        known |= all_constants(baseline_source, any_case=True).keys()
    tables = {**tables, **{n: table for n, table in _guessed(source).items() if n not in known and n not in tables}}
    of_script = {name: _parameter(name, table) for name, table in tables.items()}
    found |= {name: parameter for name, parameter in of_script.items() if _fits(parameter, own.get(name))}
    if not found:
        return None
    space = SearchSpace(tuple(found.values()))
    return space if declared is None else _with_rules(space, declared, own)


def own_point(source: str, space: SearchSpace) -> Params:
    """Return the script's own values of the names of its space, as a point of it."""
    return space.canonical(read_constants(source, space.names))


def _fits(parameter: Parameter, value: Any) -> bool:
    try:
        parameter.read(value)
    except ValueError:
        return False
    return True


def _parameter(name: str, table: Mapping[str, Any]) -> Parameter:
    return SearchSpace.from_tables({name: table}).parameters[0]


def _guessed(source: str) -> dict[str, Mapping[str, Any]]:
    """Return the ranges that `agent init` guesses for the constants in capitals, by name, as tables of [space].

    A constant such as 1e-305, of which no valid range can be guessed, has none.
    """
    settings = constants(Source("the script", source, parse_script(source)))
    names = {setting.name for setting in settings}
    keys = {
        setting.name: keys_of(setting.name, setting.value, setting.declared)
        for setting in settings
        if not why_left_out(setting, names)
    }
    tables = {name: tomllib.loads(f"table = {{ {text} }}")["table"] for name, text in keys.items() if text}
    return {name: table for name, table in tables.items() if _is_range(name, table)}


def _is_range(name: str, table: Mapping[str, Any]) -> bool:
    try:
        _parameter(name, table)
    except ValueError:
        return False
    return True


def _with_rules(space: SearchSpace, declared: SearchSpace, own: Params) -> SearchSpace:
    """Return the space with the task's constraints and derived coordinates that the script's own values meet."""
    names = set(space.names)
    met = tuple(rule for rule in declared.constraints if names.issuperset(rule.names) and rule.holds(own))
    with_constraints = replace(space, constraints=met)
    if met and not _has_points(with_constraints):
        with_constraints = space
    whole = replace(with_constraints, derived=declared.derived)
    values = {name: own[name] for name in space.names}
    if names.issuperset(declared.names) and declared.derived and not whole.validate(values):
        return whole
    return with_constraints


def _has_points(space: SearchSpace) -> bool:
    try:
        return bool(FeasiblePoints(space).examples)
    except ValueError:
        return False
