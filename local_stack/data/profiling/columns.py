"""Statistics of one column: exact, from one sort, never NaN and never a warning.

A column is one of six types: long, double, string, boolean, date, datetime. A statistic that
is not defined, or that no 64-bit float can hold, is None.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from local_stack.data.profiling.shape import (
    DateStatistics,
    Histogram,
    Lengths,
    NumberStatistics,
    ValueCount,
    VariableProfile,
)
from local_stack.data.profiling.tallies import (
    NO_MOMENTS,
    Tally,
    counts_between,
    moments,
    most_frequent,
    n_bins,
    quantile,
    tally,
    whole_sum,
)

if TYPE_CHECKING:
    import numpy as np
    import polars
    from numpy.typing import NDArray

N_TOP = 10
"""Values listed in ``top_values``."""

MAX_CODED = 1000
"""Texts of at most this many distinct values are coded row by row."""

MAX_TEXT = 1000
"""Longer text is cut in ``top_values``, and ends in an ellipsis there."""

IDENTIFIER_ROWS = 20
"""With fewer rows than this, values that never repeat say nothing."""

Unit = Literal["D", "us"]

QUANTILES = {"q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95}


@dataclass(frozen=True, slots=True)
class Column:
    """A profiled column, and what is known of its rows.

    ``tally`` is of numbers (their finite values) and of dates (days or microseconds since 1970).
    ``texts`` has the distinct texts, the most frequent first, with columns ``value`` and
    ``count``. ``codes``, shape (n_rows,), is the place of each row's text in ``texts`` (or 0 for
    false and 1 for true), -1 where it is missing: for texts of at most ``MAX_CODED`` distinct
    values, and booleans.
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
    describe = _DESCRIBE[kind]
    n_missing = series.null_count()
    found = describe(series)
    profile = VariableProfile(
        name=series.name,
        type=kind,
        kind=_kind(series, kind, found.n_distinct, n_missing),
        n_missing=n_missing,
        p_missing=n_missing / series.len() if series.len() else 0.0,
        n_distinct=found.n_distinct,
        memory_bytes=memory_bytes,
        top_values=found.top,
        numbers=found.numbers,
        lengths=found.lengths,
        dates=found.dates,
    )
    return Column(profile, found.tally)


@dataclass(frozen=True, slots=True)
class _Found:
    n_distinct: int
    top: tuple[ValueCount, ...]
    tally: Tally | None = None
    numbers: NumberStatistics | None = None
    lengths: Lengths | None = None
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
    present = series.is_not_null().to_numpy()
    if is_whole:
        x = series.fill_null(0).to_numpy()
        n_infinite, negative_infinite, infinities = 0, 0, 0
    else:
        x = series.to_numpy()
        infinite = np.isinf(x)
        n_infinite, negative_infinite = int(infinite.sum()), int((x == -np.inf).sum())
        infinities = (negative_infinite > 0) + (n_infinite > negative_infinite)
        present = present & ~infinite
    counted = tally(x, present)
    return _Found(
        n_distinct=counted.values.size + infinities,
        top=_top(counted),
        tally=counted,
        numbers=_numbers(counted, is_whole, n_infinite, negative_infinite),
    )


def _numbers(
    counted: Tally, is_whole: bool, n_infinite: int, n_negative_infinite: int
) -> NumberStatistics:
    values, counts = counted.values, counted.counts
    n = counted.n
    shape = moments(values, counts) if n else NO_MOMENTS
    quantiles = {name: quantile(values, counts, q) for name, q in QUANTILES.items()}
    total = whole_sum(values, counts) if is_whole else shape.total
    return NumberStatistics(
        mean=float(total / n) if is_whole and n and total is not None else shape.mean,
        std=shape.std,
        variance=shape.variance,
        min=values[0].item() if n else None,
        max=values[-1].item() if n else None,
        sum=total if n else 0,
        skewness=shape.skewness,
        kurtosis=shape.kurtosis,
        mad=shape.mad,
        n_zeros=int(counts[values == 0].sum()),
        n_negative=int(counts[values < 0].sum()) + n_negative_infinite,
        n_infinite=n_infinite,
        histogram=_histogram(counted) if n else None,
        **quantiles,
    )


def _top(counted: Tally) -> tuple[ValueCount, ...]:
    return tuple(ValueCount(value, count) for value, count in most_frequent(counted, N_TOP))


def _histogram(counted: Tally) -> Histogram:
    import numpy as np

    values, counts = counted.values, counted.counts
    if values.size == 1:
        edge = values[0].item()
        return Histogram((edge, edge), (int(counts[0]),))
    x = values.astype(np.float64)
    exponent = 2 if max(abs(x[0]), abs(x[-1])) > 2.0**1000 else 0  # the width must be finite
    low, high = math.ldexp(x[0], -exponent), math.ldexp(x[-1], -exponent)
    edges = np.ldexp(np.linspace(low, high, n_bins(int(counts.sum())) + 1), exponent)
    edges[0], edges[-1] = x[0], x[-1]
    edges = np.unique(np.clip(edges, x[0], x[-1]))
    if edges.size == 1:  # whole numbers too large for their difference to show in a float
        edges = np.repeat(edges, 2)
    return Histogram(tuple(edges.tolist()), counts_between(x, counts, edges))


def _describe_strings(series: polars.Series) -> _Found:
    held = series.drop_nulls()
    if not held.len():
        return _Found(0, ())
    counted = held.alias("value").value_counts(name="count")
    top = counted.top_k(N_TOP, by=["count", "value"], reverse=[False, True])
    top = top.sort(["count", "value"], descending=[True, False])
    lengths = held.str.len_chars()
    return _Found(
        n_distinct=counted.height,
        top=tuple(ValueCount(shortened(value), count) for value, count in top.iter_rows()),
        lengths=Lengths(
            min=int(lengths.min()),  # type: ignore[arg-type]
            mean=float(lengths.mean()),  # type: ignore[arg-type]
            median=float(lengths.median()),  # type: ignore[arg-type]
            max=int(lengths.max()),  # type: ignore[arg-type]
        ),
    )


def shortened(text: str) -> str:
    """Return the text, cut to ``MAX_TEXT`` characters with an ellipsis at the end."""
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


def _describe_booleans(series: polars.Series) -> _Found:
    n_true = int(series.sum() or 0)
    n_false = series.len() - series.null_count() - n_true
    found = [ValueCount(False, n_false), ValueCount(True, n_true)]
    top = sorted((item for item in found if item.count), key=lambda item: -item.count)
    return _Found(len(top), tuple(top))


def _describe_dates(series: polars.Series) -> _Found:
    import polars as pl

    unit: Unit = "D" if series.dtype == pl.Date else "us"
    numbers = series.to_physical().cast(pl.Int64)
    counted = tally(numbers.fill_null(0).to_numpy(), numbers.is_not_null().to_numpy())
    if not counted.n:
        return _Found(0, (), dates=DateStatistics(None, None, None))
    first, last = counted.values[0].item(), counted.values[-1].item()
    top = most_frequent(counted, N_TOP)
    return _Found(
        n_distinct=counted.values.size,
        top=tuple(ValueCount(moment(value, unit), count) for value, count in top),
        dates=DateStatistics(
            moment(first, unit), moment(last, unit), _date_histogram(counted, unit)
        ),
    )


def _date_histogram(counted: Tally, unit: Unit) -> Histogram:
    """Return equal bins of whole days or microseconds, so that every edge can be written."""
    import numpy as np

    first, last = counted.values[0].item(), counted.values[-1].item()
    step = max(1, math.ceil((last - first) / n_bins(counted.n)))
    edges = [*range(first, last, step), last] if last > first else [first, first]
    texts = tuple(moment(edge, unit) for edge in edges)
    bounds = np.array(edges, dtype=np.int64)
    return Histogram(texts, counts_between(counted.values, counted.counts, bounds))


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
