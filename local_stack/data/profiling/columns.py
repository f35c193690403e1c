"""Statistics of one column: exact, from one sort, never NaN and never a warning.

A column is one of six types: long, double, string, boolean, date, datetime. A statistic that
is not defined, or that no 64-bit float can hold, is None.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from local_stack.data.profiling.characters import N_TOP
from local_stack.data.profiling.numbers import monotonicity, number_statistics
from local_stack.data.profiling.shape import (
    DateStatistics,
    Histogram,
    Lengths,
    NumberStatistics,
    TextStatistics,
    ValueCount,
    VariableProfile,
)
from local_stack.data.profiling.tallies import (
    Tally,
    counts_between,
    most_frequent,
    n_bins,
    tally,
)
from local_stack.data.profiling.texts import (
    counted_texts,
    lengths_of,
    shortened,
    text_statistics,
    top_texts,
)

__all__ = ["Column", "Unit", "moment", "narrowed", "profile_column", "shortened", "type_of"]

if TYPE_CHECKING:
    import numpy as np
    import polars
    from numpy.typing import NDArray

MAX_CODED = 1000
"""Texts of at most this many distinct values are coded row by row."""

IDENTIFIER_ROWS = 20
"""With fewer rows than this, values that never repeat say nothing."""

Unit = Literal["D", "us"]


@dataclass(frozen=True, slots=True)
class Column:
    """A profiled column, and what is known of its rows.

    ``tally`` is of numbers (their finite values) and of dates (days or microseconds since 1970).
    ``texts`` has the distinct texts with columns ``value`` and ``count``, the most frequent first
    unless there are more than ``texts.MAX_SORTED``. ``codes``, shape (n_rows,), is the place of
    each row's text in ``texts`` (or 0 for false and 1 for true), -1 where it is missing: for
    texts of at most ``MAX_CODED`` distinct values, and booleans.
    """

    profile: VariableProfile
    tally: Tally | None = None
    texts: polars.DataFrame | None = None
    codes: NDArray[np.int32] | None = None


def type_of(series: polars.Series) -> str:
    """Return the type of the six that holds the series."""
    import polars as pl

    kind = series.dtype
    if kind == pl.Boolean:
        return "boolean"
    if kind == pl.Date:
        return "date"
    if kind == pl.Datetime:
        return "datetime"
    if kind.is_float() or kind.is_decimal() or kind in (pl.Int128, pl.UInt128):
        return "double"
    return "long" if kind.is_integer() else "string"


def narrowed(series: polars.Series) -> polars.Series:
    """Return the series in the polars type of :func:`type_of`; NaN becomes null."""
    import polars as pl

    kind = type_of(series)
    if kind == "double":
        return series.cast(pl.Float64).fill_nan(None)
    if kind == "long":
        return series if series.dtype == pl.UInt64 else series.cast(pl.Int64)
    if kind == "datetime":
        return _in_utc(series)
    if kind != "string" or series.dtype == pl.String:
        return series
    if series.dtype in (pl.Null, pl.Categorical, pl.Enum):
        return series.cast(pl.String)
    texts = [None if value is None else str(value) for value in series.to_list()]
    return pl.Series(series.name, texts, dtype=pl.String)


def _in_utc(series: polars.Series) -> polars.Series:
    import polars as pl

    if getattr(series.dtype, "time_zone", None):
        series = series.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return series.cast(pl.Datetime("us"))


def profile_column(series: polars.Series, *, memory_bytes: int) -> Column:
    """Describe one series of :func:`narrowed` type.

    Parameters
    ----------
    memory_bytes
        Size of the column as it was given.
    """
    kind = type_of(series)
    n_rows, n_missing = series.len(), series.null_count()
    n = n_rows - n_missing
    found = _DESCRIBE[kind](series)
    profile = VariableProfile(
        name=series.name,
        type=kind,
        kind=_kind(series, kind, found.n_distinct, n_missing),
        n_missing=n_missing,
        p_missing=n_missing / n_rows if n_rows else 0.0,
        n_distinct=found.n_distinct,
        memory_bytes=memory_bytes,
        top_values=found.top,
        p_distinct=found.n_distinct / n if n else 0.0,
        n_unique=found.n_unique,
        p_unique=found.n_unique / n if n else 0.0,
        numbers=found.numbers,
        lengths=found.lengths,
        text=found.text,
        dates=found.dates,
    )
    return Column(profile, found.tally, found.texts, found.codes)


@dataclass(frozen=True, slots=True)
class _Found:
    n_distinct: int
    n_unique: int
    top: tuple[ValueCount, ...]
    tally: Tally | None = None
    texts: polars.DataFrame | None = None
    codes: NDArray[np.int32] | None = None
    numbers: NumberStatistics | None = None
    lengths: Lengths | None = None
    text: TextStatistics | None = None
    dates: DateStatistics | None = None


def _kind(series: polars.Series, kind: str, n_distinct: int, n_missing: int) -> str:
    n = series.len() - n_missing
    if n_distinct <= 1:
        return "constant"
    if kind == "boolean":
        return "boolean"
    if kind in ("date", "datetime"):
        return "datetime"
    never_repeats = n_distinct == n and not n_missing and n >= IDENTIFIER_ROWS
    if kind == "string":
        if never_repeats and not series.head(1000).str.contains(r"\s").any():
            return "identifier-suspect"
        return "text" if n_distinct > 0.5 * n else "categorical"
    return "identifier-suspect" if never_repeats and kind == "long" else "numeric"


def _describe_numbers(series: polars.Series) -> _Found:
    import numpy as np

    is_whole = series.dtype.is_integer()
    present: NDArray[np.bool_] | None = None
    n_infinite, n_negative_infinite, n_signs = 0, 0, 0
    if is_whole:
        x = series.fill_null(0).to_numpy() if series.null_count() else series.to_numpy()
        present = series.is_not_null().to_numpy() if series.null_count() else None
    else:
        x = series.to_numpy()
        present = np.isfinite(x)
        n_infinite = series.len() - series.null_count() - int(np.count_nonzero(present))
        n_negative_infinite = int((x == -np.inf).sum()) if n_infinite else 0
        n_signs = (n_negative_infinite > 0) + (n_infinite > n_negative_infinite)
    counted = tally(x, present)
    once = int(np.count_nonzero(counted.counts == 1))
    return _Found(
        n_distinct=counted.values.size + n_signs,
        n_unique=once + (n_negative_infinite == 1) + (n_infinite - n_negative_infinite == 1),
        top=tuple(ValueCount(value, count) for value, count in most_frequent(counted, N_TOP)),
        tally=counted,
        numbers=number_statistics(
            counted,
            is_whole=is_whole,
            n_infinite=n_infinite,
            n_negative_infinite=n_negative_infinite,
        ),
    )


def _describe_strings(series: polars.Series) -> _Found:
    held = series.drop_nulls()
    counted = counted_texts(held)
    if not held.len():
        return _Found(0, 0, (), texts=counted)
    lengths, n_characters = lengths_of(counted)
    return _Found(
        n_distinct=counted.height,
        n_unique=int((counted["count"] == 1).sum()),
        top=top_texts(counted),
        texts=counted,
        codes=_text_codes(series, counted) if counted.height <= MAX_CODED else None,
        lengths=lengths,
        text=text_statistics(counted, n_characters),
    )


def _text_codes(series: polars.Series, counted: polars.DataFrame) -> NDArray[np.int32]:
    import numpy as np
    import polars as pl

    places = series.cast(pl.Enum(counted["value"])).to_physical()
    codes = places.cast(pl.Int32).fill_null(-1).to_numpy()
    return codes.astype(np.int32, copy=False)


def _describe_booleans(series: polars.Series) -> _Found:
    import numpy as np
    import polars as pl

    codes = series.cast(pl.Int32).fill_null(-1).to_numpy().astype(np.int32, copy=False)
    n_true = int(series.sum() or 0)
    n_false = series.len() - series.null_count() - n_true
    found = [ValueCount(False, n_false), ValueCount(True, n_true)]
    top = sorted((item for item in found if item.count), key=lambda item: -item.count)
    return _Found(len(top), sum(item.count == 1 for item in top), tuple(top), codes=codes)


def _describe_dates(series: polars.Series) -> _Found:
    import numpy as np
    import polars as pl

    unit: Unit = "D" if series.dtype == pl.Date else "us"
    numbers = series.to_physical().cast(pl.Int64)
    present = numbers.is_not_null().to_numpy() if numbers.null_count() else None
    counted = tally(numbers.fill_null(0).to_numpy(), present)
    if not counted.n:
        return _Found(0, 0, (), tally=counted, dates=DateStatistics(None, None, None))
    first, last = counted.values[0].item(), counted.values[-1].item()
    top = most_frequent(counted, N_TOP)
    return _Found(
        n_distinct=counted.values.size,
        n_unique=int(np.count_nonzero(counted.counts == 1)),
        top=tuple(ValueCount(moment(value, unit), count) for value, count in top),
        tally=counted,
        dates=DateStatistics(
            min=moment(first, unit),
            max=moment(last, unit),
            histogram=_date_histogram(counted, unit),
            range_days=(last - first) / (1 if unit == "D" else _DAY),
            n_future=counted.n - counted.upto(_now(unit)),
            monotonicity=monotonicity(counted.codes),
            **_steps(counted, unit),
        ),
    )


def _steps(counted: Tally, unit: Unit) -> dict[str, Any]:
    """Return the distances between neighbouring moments as they stand in the statistics."""
    import numpy as np

    if counted.values.size < 2:
        return {}
    steps = np.diff(counted.values)
    place = int(steps.argmax())
    day = 1 if unit == "D" else _DAY
    return {
        "step_days": float(np.median(steps)) / day,
        "largest_gap_days": float(steps[place]) / day,
        "largest_gap_at": moment(counted.values[place].item(), unit),
    }


_DAY = 86_400_000_000


def _now(unit: Unit) -> int:
    import time

    return int(time.time() / 86_400) if unit == "D" else int(time.time() * 1_000_000)


def _date_histogram(counted: Tally, unit: Unit) -> Histogram:
    """Return equal bins of whole days or microseconds, so that every edge can be written."""
    import numpy as np

    first, last = counted.values[0].item(), counted.values[-1].item()
    step = max(1, math.ceil((last - first) / n_bins(counted.n)))
    edges = [*range(first, last, step), last] if last > first else [first, first]
    texts = tuple(moment(edge, unit) for edge in edges)
    return Histogram(texts, counts_between(counted, np.array(edges, dtype=np.int64)))


def moment(value: int, unit: Unit) -> str:
    """Return ISO 8601 of days (``"D"``) or microseconds (``"us"``) since 1970, in UTC.

    NumPy writes any year; datetime and polars end or panic outside of theirs.
    """
    import numpy as np

    if unit == "D":
        return str(np.datetime64(value, "D"))
    return f"{np.datetime64(value, 'us')}Z"


_DESCRIBE = {
    "long": _describe_numbers,
    "double": _describe_numbers,
    "string": _describe_strings,
    "boolean": _describe_booleans,
    "date": _describe_dates,
    "datetime": _describe_dates,
}
