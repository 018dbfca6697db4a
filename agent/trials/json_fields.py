"""Conversion of frozen dataclasses to and from JSON fields, with an exact round trip."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime
from functools import cache
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


_Record = TypeVar("_Record", bound="DataclassInstance")
_Fits = Callable[[Any], bool]
_LARGEST = sys.float_info.max


def from_fields(kind: type[_Record], given: Mapping[str, Any]) -> _Record:
    """Return `kind(**given)`, without a call of `__post_init__`. Raises TypeError for an unknown or missing name.

    The constructor of a frozen dataclass sets each field separately: slower, for ten thousand trials, than parsing.
    """
    defaults, required = _names(kind)
    values = {**defaults, **given}
    if not required <= given.keys() or len(values) != len(defaults) + len(required):
        wrong = values.keys() ^ kind.__dataclass_fields__.keys()
        raise TypeError(f"{kind.__name__}: unknown or missing {', '.join(sorted(wrong))}")
    record = object.__new__(kind)
    object.__setattr__(record, "__dict__", values)
    return record


@cache
def _names(kind: type["DataclassInstance"]) -> tuple[Mapping[str, Any], frozenset[str]]:
    """Return the defaults of a record's fields by name, and the names without a default."""
    defaults = {
        name: spec.default_factory() if callable(spec.default_factory) else spec.default
        for name, spec in kind.__dataclass_fields__.items()
        if spec.default is not MISSING or spec.default_factory is not MISSING
    }
    return defaults, frozenset(kind.__dataclass_fields__.keys() - defaults.keys())


def changed_fields(record: Any) -> dict[str, Any]:
    """Return the fields of a frozen dataclass that differ from their defaults. Nested records are not converted."""
    data: dict[str, Any] = {}
    for name, spec in record.__dataclass_fields__.items():
        value = getattr(record, name)
        default = spec.default_factory() if callable(spec.default_factory) else spec.default
        if value != default:
            data[name] = list(value) if isinstance(value, tuple) else value
    return data


def check_types(record: Any) -> None:
    """Check a dataclass that was read from untrusted JSON, and those nested in it.

    Raises:
        TypeError: a field has a value of a wrong type; the message names it.
        ValueError: a number is too large or not a number, or `at` is not a time.
    """
    values = record.__dict__
    kind: Any = type(record)
    for name, default, fits in _checks(kind):
        value = values[name]
        if value is not default and not fits(value):
            raise TypeError(f"{type(record).__name__}.{name} should not be {value!r:.60}")


@cache
def _checks(kind: type["DataclassInstance"]) -> tuple[tuple[str, Any, _Fits], ...]:
    """Return (name, default, check of the type) for each field of a dataclass."""
    hints = get_type_hints(kind)
    return tuple(
        (spec.name, spec.default, _is_moment if spec.name == "at" else _check_of(hints[spec.name]))
        for spec in fields(kind)
    )


def _check_of(hint: Any) -> _Fits:  # noqa: PLR0911 (one return a kind of type)
    """Return a function that checks whether a value, as JSON represents it, has the type `hint`."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        several = tuple(_check_of(each) for each in inner)
        return lambda value: any(fits(value) for fits in several)
    if origin is Literal:
        return lambda value: value in inner
    if origin is tuple and inner[1:] == (...,):
        each = _check_of(inner[0])
        return lambda value: isinstance(value, tuple) and all(each(item) for item in value)
    if origin is tuple:
        places = tuple(_check_of(each) for each in inner)
        return lambda value: (
            isinstance(value, tuple)
            and len(value) == len(places)
            and all(fits(item) for fits, item in zip(places, value, strict=True))
        )
    if isinstance(origin, type) and issubclass(origin, Mapping):
        named = _check_of(inner[1])
        return lambda value: isinstance(value, dict) and all(map(named, value.values()))
    if hint is float:
        return lambda value: type(value) in (float, int) and -_LARGEST <= value <= _LARGEST
    if hint is int:
        return lambda value: type(value) is int and -_LARGEST <= value <= _LARGEST
    if hint in (str, bool, NoneType):
        return lambda value: type(value) is hint
    if hint is Any:
        return lambda _value: True
    if getattr(hint, "_is_protocol", False):
        return _is_sound
    return lambda value: isinstance(value, hint) and (not is_dataclass(hint) or _is_sound(value))


def _is_sound(record: Any) -> bool:
    check_types(record)
    return True


def _is_moment(value: Any) -> bool:
    return type(value) is str and datetime.fromisoformat(value) is not None
