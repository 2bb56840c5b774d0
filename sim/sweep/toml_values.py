"""Reading typed values from a TOML table; what does not fit is refused in one sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from sim.sweep.errors import SweepError

Value = TypeVar("Value")

#: Most values of one field.
MAXIMUM_VALUES = 100_000
_NAMES = {dict: "a table", list: "a list", str: "a text", int: "an integer"}
_RANGE = (
    "a list of different values or a range such as {from = 4, to = 12, step = 2} or {from = 4, to = 64, factor = 2}"
)


def typed(data: Mapping[str, object], key: str, kind: type[Value], default: Value | None, prefix: str = "") -> Value:
    """Return the value of a key, or a default.

    Raises
    ------
    SweepError
        If the value is of another kind, or there is none and no default either.
    """
    value = data.get(key, default)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise SweepError(f"{prefix}{key} must be {_NAMES[kind]}, not {value!r}")
    return value


def texts(data: Mapping[str, object], key: str, default: list[str], prefix: str = "") -> list[str]:
    """Return the value of a key that must be a list of texts, or a default.

    Raises
    ------
    SweepError
        If it is anything else.
    """
    value: list[str] = typed(data, key, list, default, prefix)
    if not all(isinstance(item, str) for item in value):
        raise SweepError(f"{prefix}{key} must be a list of texts, not {value!r}")
    return value


def check_keys(data: Mapping[str, object], allowed: Sequence[str], what: str) -> None:
    """Check that a table has no other keys.

    Raises
    ------
    SweepError
        If it has.
    """
    for key in data:
        if key not in allowed:
            raise SweepError(f"{what} must be some of {', '.join(allowed)}, not {key!r}")


def field_values(field: str, value: object) -> tuple[object, ...]:
    """Return the values of a swept field, from a list or a range.

    Raises
    ------
    SweepError
        If it is neither.
    """
    if isinstance(value, list):
        return tuple(value)
    if not isinstance(value, dict):
        raise SweepError(f"fields.{field} must be {_RANGE}, not {value!r}")
    prefix = f"fields.{field}."
    check_keys(value, ("from", "to", "step", "factor"), f"keys of fields.{field}")
    first, last = typed(value, "from", int, None, prefix), typed(value, "to", int, None, prefix)
    if "step" in value and "factor" in value:
        raise SweepError(f"fields.{field} must have step or factor, not both")
    if first > last:
        raise SweepError(f"fields.{field} must go from a value to one that is not less, not from {first} to {last}")
    if "factor" in value:
        return _factors(field, first, last, typed(value, "factor", int, None, prefix))
    step = typed(value, "step", int, 1, prefix)
    if step < 1:
        raise SweepError(f"fields.{field}.step must be at least 1, not {step}")
    if (last - first) // step >= MAXIMUM_VALUES:
        raise SweepError(f"fields.{field} must have at most {MAXIMUM_VALUES} values, not more")
    return tuple(range(first, last + 1, step))


def _factors(field: str, first: int, last: int, factor: int) -> tuple[int, ...]:
    if factor < 2:
        raise SweepError(f"fields.{field}.factor must be at least 2, not {factor}")
    if first < 1:
        raise SweepError(f"fields.{field}.from must be at least 1 with a factor, not {first}")
    values = []
    while first <= last:
        values.append(first)
        first *= factor
    return tuple(values)
