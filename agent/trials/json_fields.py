"""Frozen dataclasses to and from plain JSON fields, with an exact round trip."""

from collections.abc import Mapping
from dataclasses import MISSING
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


_Record = TypeVar("_Record", bound="DataclassInstance")


def from_fields(kind: type[_Record], fields: Mapping[str, Any]) -> _Record:
    """Return what `kind(**fields)` does without calling `__post_init__`; TypeError for a wrong name.

    A frozen dataclass sets its fields one by one, which for ten thousand trials takes longer than parsing them.
    """
    defaults, required = _names(kind)
    values = {**defaults, **fields}
    if not required <= fields.keys() or len(values) != len(defaults) + len(required):
        wrong = values.keys() ^ kind.__dataclass_fields__.keys()
        raise TypeError(f"{kind.__name__}: unknown or missing {', '.join(sorted(wrong))}")
    record = object.__new__(kind)
    object.__setattr__(record, "__dict__", values)
    return record


@cache
def _names(kind: type["DataclassInstance"]) -> tuple[Mapping[str, Any], frozenset[str]]:
    """Return the defaults of a record's fields by name, and the names that have none."""
    defaults = {
        name: spec.default_factory() if callable(spec.default_factory) else spec.default
        for name, spec in kind.__dataclass_fields__.items()
        if spec.default is not MISSING or spec.default_factory is not MISSING
    }
    return defaults, frozenset(kind.__dataclass_fields__.keys() - defaults.keys())


def changed_fields(record: Any) -> dict[str, Any]:
    """Return the fields of a frozen dataclass that differ from their defaults. Nested records are left as they are."""
    data: dict[str, Any] = {}
    for name, spec in record.__dataclass_fields__.items():
        value = getattr(record, name)
        default = spec.default_factory() if callable(spec.default_factory) else spec.default
        if value != default:
            data[name] = list(value) if isinstance(value, tuple) else value
    return data
