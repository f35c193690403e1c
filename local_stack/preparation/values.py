"""What flows between the operations of a preparation: columns of four kinds, for one row or many.

=========  ==========================  ===========================  ============
kind       one value                   a column                     missing
=========  ==========================  ===========================  ============
number     float                       float64 array                NaN
boolean    float (1 or 0)              float64 array                NaN
text       str                         list of str                  None
moment     datetime (naive, UTC)       datetime64[us] array         None, NaT
=========  ==========================  ===========================  ============
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np

Scalar: TypeAlias = "str | int | float | bool"
Values: TypeAlias = "Sequence[Any] | np.ndarray"
"""Values of one column: plain values with None for missing, or an array with NaN, NaT."""
NAN = math.nan
KINDS: Mapping[str, str] = {
    "long": "number",
    "double": "number",
    "boolean": "boolean",
    "string": "text",
    "date": "moment",
    "datetime": "moment",
}
"""The kind of each type of raw column."""
NUMBERS = ("number", "boolean")
"""Kinds that are held as floats."""


def as_moment(value: date) -> datetime:
    """Return a date or time as naive UTC."""
    if not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day)
    return value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)


def _one_number(raw: Any) -> float:
    return NAN if raw is None else float(raw)


def _one_text(raw: Any) -> str | None:
    return None if raw is None or raw != raw else raw


def _one_moment(raw: Any) -> datetime | None:
    return None if raw is None or raw != raw else as_moment(raw)


LOADERS: Mapping[str, Callable[[Any], Any]] = {
    "number": _one_number,
    "boolean": _one_number,
    "text": _one_text,
    "moment": _one_moment,
}
"""How one raw value of each kind becomes the value that operations see."""


def column_of(kind: str, values: Values) -> Values:
    """Return raw values as a column of ``kind``."""
    if kind in NUMBERS:
        return numbers_of(values)
    return moments_of(values) if kind == "moment" else texts_of(values)


def numbers_of(values: Values) -> np.ndarray:
    """Return float64 (n_rows,), NaN where missing."""
    import numpy as np

    if isinstance(values, np.ndarray) and values.dtype.kind in "fiub":
        return values.astype(np.float64)
    return np.array([NAN if v is None else float(v) for v in values], dtype=np.float64)


def moments_of(values: Values) -> np.ndarray:
    """Return datetime64[us] (n_rows,), NaT where missing."""
    import numpy as np

    if isinstance(values, np.ndarray) and values.dtype.kind == "M":
        return values.astype("datetime64[us]")
    return np.array([None if v is None else as_moment(v) for v in values], dtype="datetime64[us]")


def texts_of(values: Values) -> list[str | None]:
    """Return texts (n_rows,), None where missing."""
    return [None if v is None or v != v else v for v in plain_of(values)]


def plain_of(values: Values) -> list[Any]:
    """Return arrays and series as Python values."""
    if isinstance(values, list):
        return values
    for name in ("tolist", "to_list"):
        if hasattr(values, name):
            return list(getattr(values, name)())
    return list(values)


def keys_of(values: Values) -> list[Any]:
    """Return a column of numbers or texts as dictionary keys, None where missing."""
    return [None if v is None or v != v else v for v in plain_of(values)]


def datetimes_of(values: np.ndarray) -> list[datetime | None]:
    """Return datetime64[us] (n_rows,) as the values that one row would hold."""
    return list(values.astype("datetime64[us]").astype(object).tolist())


def is_missing(kind: str, values: Values) -> np.ndarray:
    """Return where a column is missing, bool (n_rows,)."""
    import numpy as np

    if kind in NUMBERS:
        return np.isnan(values)
    if kind == "moment":
        return np.isnat(values)
    return np.array([value is None for value in values], dtype=bool)


def take(values: Values, rows: np.ndarray) -> Values:
    """Return some rows (int64) of a column."""
    import numpy as np

    if isinstance(values, np.ndarray):
        return np.asarray(values[rows])
    return [values[row] for row in rows.tolist()]


def each(function: Callable[..., float], *columns: Values) -> np.ndarray:
    """Return ``function`` of every row, float64 (n_rows,).

    This is the way of functions whose last bit NumPy and Python do not agree on.
    """
    import numpy as np

    rows: Iterable[Any] = map(function, *(plain_of(column) for column in columns))
    return np.fromiter(rows, dtype=np.float64, count=len(columns[0]))
