"""The raw columns of training rows as numbers, and how far two rows lie apart.

The distance is Gower's with ranks (Podani 1999): two numbers are as far apart as the share of
training values that lies between them, two categories 0 or 1, missing and known 1. It has no
unit, needs no scale, and an outlier cannot stretch it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from local_stack.preparation.values import Values, as_moment, keys_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from local_stack.preparation.fitted import Column

    Array = NDArray[np.float64]

_TIMES: Final = ("date", "datetime")
_EPOCH: Final = datetime(1970, 1, 1)


@dataclass
class Axis:
    """A raw column as numbers: ``codes`` (n_rows,), NaN where missing.

    A number stands for itself, a time for its microseconds since 1970, and a category for its
    place in ``levels``, which grows with categories that training rows do not have.
    """

    column: Column
    codes: Array
    levels: list[Any] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Return the name of the column."""
        return self.column.name

    @property
    def is_ordered(self) -> bool:
        """Return whether the values are numbers or times, so that there is a between."""
        return self.column.type not in ("string", "boolean")

    @cached_property
    def _known(self) -> tuple[Array, NDArray[np.int64]]:
        import numpy as np

        values, counts = np.unique(self.codes[~np.isnan(self.codes)], return_counts=True)
        return values, counts

    @cached_property
    def values(self) -> Array:
        """Return the different values of the training rows, ascending, without missing ones."""
        return self._known[0]

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Return how many training rows have each of the values."""
        return self._known[1]

    @cached_property
    def _shares(self) -> Array:
        """Return which share of the training values lies below each value, itself counted half."""
        import numpy as np

        counts = self.counts
        return np.asarray((np.cumsum(counts) - counts / 2) / max(1, counts.sum()))

    def distances(self, codes: Array, code: float) -> Array:
        """Return how far each of ``codes`` (n,) lies from ``code``, in [0, 1]."""
        import numpy as np

        known = ~np.isnan(codes)
        if code != code:
            return known.astype(np.float64)
        if not self.is_ordered or not len(self.values):
            return np.asarray(codes != code, dtype=np.float64)
        found = np.abs(self._place(codes) - self._place(np.array([code])))
        return np.where(known, found, 1.0)

    def _place(self, codes: Array) -> Array:
        import numpy as np

        return np.asarray(np.interp(codes, self.values, self._shares))

    def usual(self, values: Array) -> float:
        """Return the one of some values that is nearest to the median of the training rows."""
        import numpy as np

        return float(values[np.abs(self._place(values) - 0.5).argmin()])

    def code_of(self, value: Any) -> float:
        """Return the number of a validated raw value; a new category is given the next place."""
        if value is None or value != value:
            return float("nan")
        if self.column.type in _TIMES:
            return (as_moment(value) - _EPOCH) / timedelta(microseconds=1)
        if self.is_ordered:
            return float(value)
        if value not in self.levels:
            self.levels.append(value)
        return float(self.levels.index(value))

    def plain_of(self, code: float) -> Any:
        """Return the value of a number as JSON holds it, as the preparation validates it."""
        if code != code:
            return None
        if not self.is_ordered:
            return self.levels[int(code)]
        if self.column.type == "long":
            return int(code)
        if self.column.type == "double":
            return float(code)
        moment = _EPOCH + timedelta(microseconds=int(code))
        if self.column.type == "date":
            return moment.date().isoformat()
        return moment.isoformat() + "Z"

    def raw_of(self, codes: Array) -> Values:
        """Return numbers (n,) as a column that a model prepares."""
        import numpy as np

        if self.column.type in _TIMES:
            known = ~np.isnan(codes)
            found = np.full(len(codes), "NaT", dtype="datetime64[us]")
            found[known] = codes[known].astype(np.int64).astype("datetime64[us]")
            return found
        if self.is_ordered:
            return codes
        return [None if it != it else self.levels[int(it)] for it in codes.tolist()]


@dataclass(frozen=True)
class Space:
    """The raw columns of a model's training rows, (n_rows, n_columns) by :attr:`coded`."""

    axes: tuple[Axis, ...]

    @property
    def n_rows(self) -> int:
        """Return how many training rows there are."""
        return len(self.axes[0].codes) if self.axes else 0

    @property
    def names(self) -> list[str]:
        """Return the names of the columns."""
        return [axis.name for axis in self.axes]

    @cached_property
    def coded(self) -> Array:
        """Return the training rows as numbers, float64 (n_rows, n_columns)."""
        import numpy as np

        return np.column_stack([axis.codes for axis in self.axes])

    def code(self, row: Mapping[str, Any]) -> Array:
        """Return a validated row as numbers, (n_columns,)."""
        import numpy as np

        return np.array([axis.code_of(row.get(axis.name)) for axis in self.axes])

    def row(self, coded: Array) -> dict[str, Any]:
        """Return numbers (n_columns,) as a row of JSON values."""
        pairs = zip(self.axes, coded.tolist(), strict=True)
        return {axis.name: axis.plain_of(code) for axis, code in pairs}

    def columns(self, coded: Array) -> dict[str, Values]:
        """Return rows of numbers (n, n_columns) as columns that a model prepares."""
        return {axis.name: axis.raw_of(coded[:, at]) for at, axis in enumerate(self.axes)}

    def distances(self, rows: Array, row: Array) -> Array:
        """Return how far rows lie from one in each column, in [0, 1], (n, n_columns) as they."""
        import numpy as np

        found = np.empty(rows.shape)
        for at, axis in enumerate(self.axes):
            found[:, at] = axis.distances(rows[:, at], float(row[at]))
        return found


def space_of(inputs: Sequence[Column], columns: Mapping[str, Values]) -> Space:
    """Return raw columns, as :func:`raw_columns` reads them, as numbers."""
    return Space(tuple(_axis(column, columns[column.name]) for column in inputs))


def _axis(column: Column, values: Values) -> Axis:
    import numpy as np

    if column.type in _TIMES:
        moments = np.asarray(values, dtype="datetime64[us]")
        codes = moments.astype(np.int64).astype(np.float64)
        codes[np.isnat(moments)] = np.nan
        return Axis(column, codes)
    if column.type not in ("string", "boolean"):
        return Axis(column, np.array(values, dtype=np.float64))
    keys = keys_of(values)
    if column.type == "boolean":
        keys = [None if it is None else bool(it) for it in keys]
    levels = sorted({it for it in keys if it is not None})
    place = {level: float(at) for at, level in enumerate(levels)}
    codes = np.array([np.nan if it is None else place[it] for it in keys], dtype=np.float64)
    return Axis(column, codes, levels)


def plain_value(value: Any) -> Any:
    """Return a value of a table as JSON holds it: times as ISO 8601 in UTC."""
    if isinstance(value, datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=UTC)
        return moment.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
    return value.isoformat() if isinstance(value, date) else value
