"""Results cross floors frozen and typed, and turn into plain JSON values in one place."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any


class Result:
    """Base of every frozen dataclass that a command returns."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """Return exactly what ``--json`` prints as ``result``."""
        return {name: plain(getattr(self, name)) for name in _names(type(self))}


_PLAIN = frozenset((type(None), bool, int, str))


def plain(value: Any) -> Any:
    """Return ``value`` as JSON can hold it: no NaN or Infinity (null), times in UTC ISO 8601."""
    kind = type(value)
    if kind in _PLAIN:  # by far the most values
        return value
    if kind is float:
        return value if math.isfinite(value) else None
    if isinstance(value, Result):
        return value.to_dict()  # a result may tell itself in another shape than its fields
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        kinds = set(map(type, value))
        if kinds <= _PLAIN or (kinds == {float} and all(map(math.isfinite, value))):
            return list(value)
        return [plain(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: plain(getattr(value, name)) for name in _names(kind)}
    return _plain_scalar(value)


_names_of: dict[Any, tuple[str, ...]] = {}


def _names(kind: Any) -> tuple[str, ...]:
    names = _names_of.get(kind)
    if names is None:
        names = _names_of[kind] = tuple(field.name for field in dataclasses.fields(kind))
    return names


def _plain_scalar(value: Any) -> Any:
    if isinstance(value, bool | int | str):  # of a type derived from these
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, Enum):
        return plain(value.value)
    if hasattr(value, "item"):  # a NumPy scalar
        return plain(value.item())
    return str(value)


def iso(moment: datetime) -> str:
    """Return ``moment`` as UTC ISO 8601 with microseconds, so that text order is time order."""
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return f"{moment.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"  # year 1 is 0001


def now() -> str:
    """Return the time of the call as :func:`iso` writes it."""
    return iso(datetime.now(UTC))
