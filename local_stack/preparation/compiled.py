"""The operations of a preparation, and their compiled form for one row or for many.

The compiled form turns one row (pure Python, tens of microseconds) or many (NumPy) into the
same bits. What is not there has a defined outcome: a missing or unknown category is NaN when
the column is encoded natively, all zeros when one-hot, -1 when ordinal; a missing number or
date stays NaN unless the recipe fills it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np

Scalar: TypeAlias = "str | int | float | bool"
Values: TypeAlias = "Sequence[Any] | np.ndarray"
"""Raw values of one column: plain values with None for missing, or an array with NaN, NaT."""
PARTS = ("year", "month", "day", "dayofweek", "hour", "quarter", "elapsed_days")
"""Numbers a date can be turned into; ``dayofweek`` is 0 on Monday."""
_DAY = 86_400_000_000
_HOUR = 3_600_000_000
_NAN = math.nan
_EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Fill:
    """Put ``value`` where the value is missing."""

    value: Scalar


@dataclass(frozen=True, slots=True)
class Codes:
    """Turn a category into its place in ``categories``; anything else into NaN or -1."""

    categories: tuple[Scalar, ...]
    is_native: bool

    @property
    def other(self) -> float:
        """Return the code of a missing or unknown category."""
        return _NAN if self.is_native else -1.0


@dataclass(frozen=True, slots=True)
class OneHot:
    """Return 1 for ``category`` and 0 for anything else."""

    category: Scalar


@dataclass(frozen=True, slots=True)
class Part:
    """Return one number of a date; ``origin`` (ISO 8601, UTC) is where elapsed days start."""

    part: str
    origin: str


@dataclass(frozen=True, slots=True)
class Clip:
    """Limit a number to [lower, upper]."""

    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class Scale:
    """Return (x - centre) / scale."""

    centre: float
    scale: float


Op: TypeAlias = Fill | Codes | OneHot | Part | Clip | Scale


@dataclass(frozen=True, slots=True)
class Feature:
    """One column of the feature matrix; ``n_categories`` is 0 unless it is a native category."""

    name: str
    column: str
    ops: tuple[Op, ...] = ()
    n_categories: int = 0

    @property
    def reader(self) -> Codes | OneHot | Part | None:
        """Return the operation that reads the raw value, or None for a number as it is."""
        return next((op for op in self.ops if isinstance(op, Codes | OneHot | Part)), None)


class Compiled:
    """A preparation as a function of one row or of many; both give the same bits."""

    def __init__(self, features: Sequence[Feature]) -> None:
        self.n_features = len(features)
        self._blocks = [
            _block(column, list(group)) for (column, _), group in groupby(features, key=_block_key)
        ]
        self._calls = [(block.column, block.row) for block in self._blocks]

    def row(self, values: Mapping[str, Any]) -> list[float]:
        """Return the features of one validated raw row (absent columns are missing)."""
        found: list[float] = []
        get = values.get
        for column, call in self._calls:
            found += call(get(column))
        return found

    def matrix(self, columns: Mapping[str, Values]) -> np.ndarray:
        """Return the features of validated raw columns, float64 (n_rows, n_features)."""
        import numpy as np

        n_rows = max((len(values) for values in columns.values()), default=0)
        filled = np.empty((n_rows, self.n_features), dtype=np.float64)
        place = 0
        for block in self._blocks:
            values = columns.get(block.column)
            end = place + block.width
            filled[:, place:end] = block.many([None] * n_rows if values is None else values)
            place = end
        return filled


def _block_key(feature: Feature) -> tuple[str, str]:
    return feature.column, type(feature.reader).__name__


def _block(column: str, features: list[Feature]) -> _Numbers | _Table | _Parts:
    reader = features[0].reader
    if reader is None:
        return _Numbers(column, features)
    return _Parts(column, features) if isinstance(reader, Part) else _Table(column, features)


class _Numbers:
    """Features that are a raw number, filled, clipped and scaled."""

    def __init__(self, column: str, features: list[Feature]) -> None:
        self.column = column
        self.width = len(features)
        self._ops = [feature.ops for feature in features]
        self.row = _number_row([[_number_call(op) for op in ops] for ops in self._ops])

    def many(self, values: Values) -> np.ndarray:
        import numpy as np

        numbers = _numbers(values)
        return np.column_stack([apply_to_array(ops, numbers) for ops in self._ops])


def _number_row(
    chains: list[list[Callable[[float], float]]],
) -> Callable[[Any], tuple[float, ...]]:
    """Return the function of one raw number; the plain and the single case cost least."""
    if chains == [[]]:
        return _as_is
    chain = chains[0]

    def single(raw: Any) -> tuple[float]:
        x = _NAN if raw is None else float(raw)
        for call in chain:
            x = call(x)
        return (x,)

    if len(chains) == 1:
        return single

    def several(raw: Any) -> tuple[float, ...]:
        start = _NAN if raw is None else float(raw)
        return tuple([functools.reduce(lambda x, call: call(x), c, start) for c in chains])

    return several


def _number_call(op: Op) -> Callable[[float], float]:
    if isinstance(op, Scale):
        centre, scale = op.centre, op.scale
        return lambda x: (x - centre) / scale
    if isinstance(op, Clip):
        lower, upper = op.lower, op.upper
        return lambda x: lower if x < lower else upper if x > upper else x
    return lambda x: apply_ops((op,), x)


def _as_is(raw: Any) -> tuple[float]:
    return (_NAN if raw is None else float(raw),)


class _Table:
    """Features of a category: a finite function, so a table of rows."""

    def __init__(self, column: str, features: list[Feature]) -> None:
        self.column = column
        self.width = len(features)
        known = {key: None for feature in features for key in _categories(feature)}
        self._rows = {key: tuple(_code(f, key) for f in features) for key in known}
        self._other = tuple(_code(f, object()) for f in features)
        self._missing = tuple(_code(f, None) for f in features)

    def row(self, raw: Any) -> tuple[float, ...]:
        if raw is None or raw != raw:
            return self._missing
        return self._rows.get(raw, self._other)

    def many(self, values: Values) -> np.ndarray:
        import numpy as np

        raws = values.tolist() if isinstance(values, np.ndarray) else values
        rows = [self.row(raw) for raw in raws]
        return np.array(rows, dtype=np.float64).reshape(len(rows), self.width)


def _categories(feature: Feature) -> tuple[Scalar, ...]:
    reader = feature.reader
    if isinstance(reader, Codes):
        return reader.categories
    return (reader.category,) if isinstance(reader, OneHot) else ()


def _code(feature: Feature, raw: object) -> float:
    """Return one category's feature through every operation."""
    for place, op in enumerate(feature.ops):
        if isinstance(op, Fill):
            raw = op.value if raw is None else raw
        elif isinstance(op, OneHot):
            return apply_ops(feature.ops[place + 1 :], 1.0 if raw == op.category else 0.0)
        elif isinstance(op, Codes):
            codes = {key: float(code) for code, key in enumerate(op.categories)}
            return apply_ops(feature.ops[place + 1 :], codes.get(raw, op.other))  # type: ignore[call-overload]
    raise ValueError(feature.name)


class _Parts:
    """Features that are numbers of one date."""

    def __init__(self, column: str, features: list[Feature]) -> None:
        self.column = column
        self.width = len(features)
        self._plans = [_part_plan(feature) for feature in features]

    def row(self, raw: Any) -> tuple[float, ...]:
        if raw is None:
            return tuple([apply_ops(ops, _NAN) for _, _, ops in self._plans])
        moment = as_moment(raw)
        return tuple([apply_ops(ops, _part(moment, p, o)) for p, o, ops in self._plans])

    def many(self, values: Values) -> np.ndarray:
        import numpy as np

        moments = _moments(values)
        parts = [
            apply_to_array(ops, _part_of_array(moments, part, origin))
            for part, origin, ops in self._plans
        ]
        return np.column_stack(parts)


def _part_plan(feature: Feature) -> tuple[str, datetime, tuple[Op, ...]]:
    place = next(i for i, op in enumerate(feature.ops) if isinstance(op, Part))
    op = feature.ops[place]
    assert isinstance(op, Part)
    return op.part, datetime.fromisoformat(op.origin), feature.ops[place + 1 :]


def as_moment(value: date) -> datetime:
    """Return a date or time as naive UTC."""
    if not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day)
    return value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)


def _part(moment: datetime, part: str, origin: datetime) -> float:
    if part == "elapsed_days":
        passed = moment - origin
        seconds = passed.days * 86_400 + passed.seconds
        return float(seconds * 1_000_000 + passed.microseconds) / float(_DAY)
    if part == "dayofweek":
        return float(moment.weekday())
    return float((moment.month + 2) // 3 if part == "quarter" else getattr(moment, part))


def parts_of(moments: np.ndarray, op: Part) -> np.ndarray:
    """Return one part of dates, float64 (n_rows,), NaN where missing."""
    return _part_of_array(moments, op.part, datetime.fromisoformat(op.origin))


def _moments(values: Values) -> np.ndarray:
    """Return datetime64[us] (n_rows,), NaT where missing."""
    import numpy as np

    if isinstance(values, np.ndarray) and values.dtype.kind == "M":
        return values.astype("datetime64[us]")
    return np.array([None if v is None else as_moment(v) for v in values], dtype="datetime64[us]")


def _part_of_array(moments: np.ndarray, part: str, origin: datetime) -> np.ndarray:
    import numpy as np

    is_missing = np.isnat(moments)
    ticks = np.where(is_missing, np.datetime64(0, "us"), moments).astype(np.int64)
    days = np.floor_divide(ticks, _DAY)
    if part == "elapsed_days":
        start = origin - _EPOCH
        offset = (start.days * 86_400 + start.seconds) * 1_000_000 + start.microseconds
        found = (ticks - offset).astype(np.float64) / float(_DAY)
    elif part == "dayofweek":
        found = ((days + 3) % 7).astype(np.float64)
    elif part == "hour":
        found = ((ticks - days * _DAY) // _HOUR).astype(np.float64)
    else:
        found = _calendar(days, part).astype(np.float64)
    found[is_missing] = _NAN
    return found


def _calendar(days: np.ndarray, part: str) -> np.ndarray:
    dates = days.astype("datetime64[D]")
    months = dates.astype("datetime64[M]")
    month = months.astype("int64") % 12 + 1
    found: np.ndarray = month if part == "month" else (month + 2) // 3
    if part == "year":
        found = dates.astype("datetime64[Y]").astype("int64") + 1970
    elif part == "day":
        found = (dates - months.astype("datetime64[D]")).astype("int64") + 1
    return found


def _numbers(values: Values) -> np.ndarray:
    """Return float64 (n_rows,), NaN where missing."""
    import numpy as np

    if isinstance(values, np.ndarray) and values.dtype.kind in "fiub":
        return values.astype(np.float64)
    return np.array([_NAN if v is None else float(v) for v in values], dtype=np.float64)


def apply_ops(ops: Sequence[Op], x: float) -> float:
    """Return a number after the numeric operations ``ops``."""
    for op in ops:
        if isinstance(op, Scale):
            x = (x - op.centre) / op.scale
        elif isinstance(op, Clip):
            x = op.lower if x < op.lower else op.upper if x > op.upper else x
        elif isinstance(op, Fill) and x != x:
            x = float(op.value)
    return x


def apply_to_array(ops: Sequence[Op], x: np.ndarray) -> np.ndarray:
    """Return float64 numbers after the numeric operations ``ops``, as :func:`apply_ops`."""
    import numpy as np

    with np.errstate(over="ignore", invalid="ignore"):
        for op in ops:
            if isinstance(op, Scale):
                x = (x - op.centre) / op.scale
            elif isinstance(op, Clip):
                x = np.where(x < op.lower, op.lower, np.where(x > op.upper, op.upper, x))
            elif isinstance(op, Fill):
                x = np.where(np.isnan(x), float(op.value), x)
    return x
