"""The search space: names, their ranges, and the mapping between values and the unit cube."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.edits.edit import Params, Value
from agent.search.constraints.constraint import Constraint, read_constraint
from agent.search.derived_axes import Derived, read_derived
from agent.search.parameters import Categorical, Float, Int, Parameter, PowerOfTwo

KINDS: dict[str, type[Parameter]] = {
    "float": Float,
    "int": Int,
    "power_of_two": PowerOfTwo,
    "categorical": Categorical,
}

MOST_LISTED = 100_000  # points of a grid that are looked at for those that meet the constraints


@dataclass(frozen=True)
class SpaceRow:
    """One parameter of a space, as people and models read it."""

    name: str
    kind: str  # float, int, power_of_two or categorical
    low: float | None  # None for a categorical
    high: float | None
    log: bool
    choices: tuple[Any, ...]  # empty for float and int


@dataclass(frozen=True)
class SearchSpace:
    """The searched parameters with their ranges, in the order of task.toml."""

    parameters: tuple[Parameter, ...]
    derived: tuple[Derived, ...] = ()  # each replaces the axis of one parameter
    constraints: tuple[Constraint, ...] = ()  # which every point of the space meets

    @classmethod
    def from_tables(
        cls,
        tables: Mapping[str, Mapping[str, Any]],
        derived: Mapping[str, Mapping[str, Any]] | None = None,
        constraints: Any = (),
        constants: Mapping[str, Value] | None = None,
    ) -> "SearchSpace":
        """Return the space that `[space]` and `[derived]` of a task.toml declare.

        Args:
            tables: the parameters of `[space]`, by name.
            derived: the tables of `[derived]`, by name.
            constraints: the list of conditions, `[space] constraints`.
            constants: values of the script that the conditions may name.

        Raises:
            ValueError: a table is wrong; the message begins "space.NAME: ", "derived.NAME: " or "space.constraints: ".
        """
        if not tables:
            raise ValueError("space: the table is empty; declare at least one name")
        parameters = {name: _parameter(name, table) for name, table in tables.items()}
        coordinates = tuple(read_derived(name, table, parameters) for name, table in (derived or {}).items())
        _check_order(coordinates)
        space = cls(tuple(parameters.values()), coordinates)
        return replace(space, constraints=_constraints(space, constraints, constants or {}))

    def constraint(self, text: Any, constants: Mapping[str, Value]) -> Constraint:
        """Return the condition on points of this space that `text` states.

        Args:
            text: as in `[space] constraints`.
            constants: values of the script that the condition may name.

        Raises:
            ValueError: it is no such condition.
        """
        return read_constraint(text, {p.name: not _has_texts(p) for p in self.parameters}, constants)

    def plain(self) -> "SearchSpace":
        """Return this space without derived coordinates: every parameter is searched directly."""
        return SearchSpace(self.parameters, constraints=self.constraints)

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(parameter.name for parameter in self.parameters)

    @cached_property
    def axes(self) -> tuple[slice, ...]:
        """The coordinates of each parameter in a point of the unit cube."""
        ends = list(accumulate(p.n_axes for p in self.parameters))
        return tuple(slice(end - p.n_axes, end) for p, end in zip(self.parameters, ends, strict=True))

    @property
    def n_dims(self) -> int:
        """The dimension of the unit cube: one per parameter, but one per choice of an unordered parameter."""
        return sum(p.n_axes for p in self.parameters)

    def decode(self, u: NDArray[np.float64]) -> Params:
        """Return the values at `u`, shape (n_dims,), in [0, 1]: snapped to levels, plain Python scalars."""
        values = {p.name: p.decode(*at) for p, at in self._by_parameter(u) if p.name not in self._derived}
        for name, derived in self._derived.items():
            values[name] = derived.decode(float(u[self._axis(name)]), values)
        return {name: values[name] for name in self.names}

    def encode(self, params: Params) -> NDArray[np.float64]:
        """Return the coordinates of `params`, shape (n_dims,), in [0, 1]; `decode` returns the same values."""
        places = [
            self._derived[p.name].encode(params) if p.name in self._derived else p.encode(params[p.name])
            for p in self.parameters
        ]
        return np.array([u for place in places for u in place])

    def all_points(self) -> Iterator[Params]:
        """Yield the points, in the order of the levels; none if a parameter is continuous.

        Of a space with constraints, only those among the first MOST_LISTED points of the grid.
        """
        levels = [
            () if isinstance(p, Float) else range(p.low, p.high + 1) if isinstance(p, Int) else p.choices
            for p in self.parameters
        ]
        n_points = math.prod(map(len, levels))
        for index in range(min(n_points, MOST_LISTED) if self.constraints else n_points):
            rest, params = index, dict[str, Value]()
            for name, values in zip(self.names, levels, strict=True):
                rest, level = divmod(rest, len(values))
                params[name] = values[level]
            if not self.validate(params):
                yield params

    def place(self, u: NDArray[np.float64]) -> Params:
        """Return the values at `u`, shape (n_dims,), before snapping, e.g. 5.3 layers."""
        values = {p.name: p.place(*at) for p, at in self._by_parameter(u) if p.name not in self._derived}
        for name, derived in self._derived.items():
            values[name] = derived.place(float(u[self._axis(name)]), values)
        return {name: values[name] for name in self.names}

    def spread(self, stds: NDArray[np.float64]) -> dict[str, float]:
        """Return `stds`, shape (n_dims,), in [0, 1], by name, in the parameters' units.

        On log scales they are factors, for a derived coordinate of the product; for choices, steps.
        """
        return {p.name: self._derived.get(p.name, p).spread(max(at)) for p, at in self._by_parameter(stds)}

    def coordinate(self, name: str) -> str:
        """Return the name of a parameter's axis: its own name, or that of the product that replaces it."""
        return self._derived[name].name if name in self._derived else name

    @property
    def steps(self) -> NDArray[np.float64]:
        """The distance between adjacent levels on each axis, shape (n_dims,), in [0, 1]; 0 without levels."""
        return np.array([self._derived.get(p.name, p).step for p in self.parameters for _ in range(p.n_axes)])

    @cached_property
    def _derived(self) -> dict[str, Derived]:
        """The derived coordinates, by the name of the parameter that they replace."""
        return {derived.parameter.name: derived for derived in self.derived}

    def _axis(self, name: str) -> int:
        start: int = self.axes[self.names.index(name)].start
        return start

    def _by_parameter(self, u: NDArray[np.float64]) -> list[tuple[Parameter, list[float]]]:
        return [(p, u[axes].tolist()) for p, axes in zip(self.parameters, self.axes, strict=True)]

    def validate(self, params: Mapping[str, Any]) -> list[str]:
        """Return one line for each fault of `params`; empty if they are a point of the space."""
        faults = [f"{name}: is not a name of the space" for name in params if name not in self.names]
        for parameter in self.parameters:
            if parameter.name not in params:
                faults.append(f"{parameter.name}: is missing")
                continue
            try:
                parameter.read(params[parameter.name])
            except ValueError as fault:
                faults.append(f"{parameter.name}: {fault}")
        if faults:
            return faults
        plain = {p.name: p.read(params[p.name]) for p in self.parameters}
        rules: tuple[Derived | Constraint, ...] = (*self.derived, *self.constraints)
        return [beyond for rule in rules if (beyond := rule.fault(plain)) is not None]

    def meets_constraints(self, params: Params) -> bool:
        """Return whether `params`, a point of the ranges, meets all constraints."""
        return all(constraint.holds(params) for constraint in self.constraints)

    def canonical(self, params: Mapping[str, Any]) -> Params:
        """Return valid `params` in canonical form: in the order of the space, plain types, floats at six digits.

        A model's reply takes this form before it is written, run, journaled and reported to the searcher.

        Raises:
            ValueError: they are not valid; the message joins all faults.
        """
        faults = self.validate(params)
        if faults:
            raise ValueError("; ".join(faults))
        return {p.name: p.read(params[p.name]) for p in self.parameters}

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON schema of a point: every name is required, no other is allowed."""
        return {
            "type": "object",
            "properties": {p.name: p.json_schema() for p in self.parameters},
            "required": list(self.names),
            "additionalProperties": False,
        }

    def table(self) -> list[SpaceRow]:
        """Return one row per parameter, for prompts and screens."""
        return [
            SpaceRow(
                name=p.name,
                kind=p.kind,
                low=None if isinstance(p, Categorical) else p.low,
                high=None if isinstance(p, Categorical) else p.high,
                log=p.log,
                choices=p.choices if isinstance(p, Categorical | PowerOfTwo) else (),
            )
            for p in self.parameters
        ]


def _constraints(space: SearchSpace, texts: Any, constants: Mapping[str, Value]) -> tuple[Constraint, ...]:
    """Return the constraints that a list of texts states. Raises ValueError as `from_tables` does."""
    if not isinstance(texts, list | tuple):
        raise ValueError(f'space.constraints: {texts!r} is not a list; write ["N_EMBD % N_HEAD == 0"]')
    try:
        return tuple(space.constraint(text, constants) for text in texts)
    except ValueError as fault:
        raise ValueError(f"space.constraints: {fault}") from None


def _has_texts(parameter: Parameter) -> bool:
    return isinstance(parameter, Categorical) and any(isinstance(choice, str) for choice in parameter.choices)


def _check_order(coordinates: tuple[Derived, ...]) -> None:
    """Raise ValueError if a coordinate needs the value of a name that it or a later one determines."""
    for i, derived in enumerate(coordinates):
        later = {other.parameter.name for other in coordinates[i:]} - {derived.parameter.name}
        if derived.parameter.name in {earlier.parameter.name for earlier in coordinates[:i]}:
            raise ValueError(f"derived.{derived.name}: an earlier one replaces {derived.parameter.name} already")
        if needed := sorted(later & {name for name, _ in derived.exponents}):
            raise ValueError(f"derived.{derived.name}: a later one replaces {needed[0]}; declare that one first")


def _parameter(name: str, table: Mapping[str, Any]) -> Parameter:
    """Return the parameter that one table of task.toml declares. Raises ValueError as `from_tables` does."""
    if not isinstance(table, Mapping):
        raise ValueError(f"space.{name}: it should be a table, not {table!r}")
    keys = dict(table)
    kind = keys.pop("type", None)
    if kind not in KINDS:
        raise ValueError(f"space.{name}: type = {kind!r} is not one of {', '.join(KINDS)}")
    known = set(KINDS[kind].__dataclass_fields__) - {"name"}
    if unknown := sorted(set(keys) - known):
        raise ValueError(f"space.{name}: unknown key {unknown[0]!r}; known are {', '.join(sorted(known))}")
    for flag in {"log", "ordered"} & set(keys):
        if type(keys[flag]) is not bool:
            raise ValueError(f"space.{name}: {flag} = {keys[flag]!r} is neither true nor false")
    for bound in {"low", "high"} & set(keys):
        if type(keys[bound]) not in (int, float):
            raise ValueError(f"space.{name}: {bound} = {keys[bound]!r} is not a number")
    if "choices" in keys:
        if not isinstance(keys["choices"], list | tuple):
            raise ValueError(f"space.{name}: choices = {keys['choices']!r} is not a list")
        keys["choices"] = tuple(keys["choices"])
    required = {"choices"} if kind == "categorical" else {"low", "high"}
    if missing := sorted(required - set(keys)):
        raise ValueError(f"space.{name}: {missing[0]!r} is missing")
    try:
        return KINDS[kind](name=name, **keys)
    except ValueError as fault:
        raise ValueError(f"space.{name}: {fault}") from None
