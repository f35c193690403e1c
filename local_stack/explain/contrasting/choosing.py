"""Which rows of a table are meant: a window of time, a range of numbers, or a value."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from local_stack.errors import InputError, named, nearest

if TYPE_CHECKING:
    import polars as pl

AT: Final = "paceml.at"
"""Column with the times of logged predictions; no data set has a column of that name."""
_FORM = "2026, 2026-05, 2026-05-31 or 2026-05-31T12:30"
_MOMENT = re.compile(
    r"(\d{4})(?:-(\d{2})(?:-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?"
    r"([+-]\d{2}:\d{2})?)?)?)?"
)
MISSING = ("missing", "(missing)")
"""Rows without a value, where no value is called so: as one says it, as groups are called."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A time as precise as it was written: from ``start`` to before ``end``."""

    start: datetime
    end: datetime


def moment(text: str) -> Moment:
    """Return what a year, month, day, minute, second or part of one spans, in UTC."""
    found = _MOMENT.fullmatch(text.strip().removesuffix("Z"))
    try:
        if found is None:
            raise ValueError
        year, month, *rest = [int(it) if it else None for it in found.groups()[:6]]
        fraction, offset = found.groups()[6:]
        assert year is not None
        if month is None:
            return Moment(datetime(year, 1, 1), datetime(year + 1, 1, 1))
        if rest[0] is None:
            following = (year + 1, 1) if month == 12 else (year, month + 1)
            return Moment(datetime(year, month, 1), datetime(*following, 1))
        day, hour, minute, second = rest
        start = datetime(year, month, day or 1, hour or 0, minute or 0, second or 0)
        step = timedelta(days=1)
        if fraction:
            start += timedelta(microseconds=int(fraction[:6].ljust(6, "0")))
            step = timedelta(microseconds=10 ** (6 - min(6, len(fraction))))
        elif hour is not None:
            step = timedelta(minutes=1) if second is None else timedelta(seconds=1)
        if offset:  # what is ahead of UTC was there earlier
            ahead = timedelta(hours=int(offset[1:3]), minutes=int(offset[4:]))
            start += ahead if offset[0] == "-" else -ahead
        return Moment(start, start + step)
    except (ValueError, OverflowError):
        raise InputError(f"'{text[:60]}' is not a time.", f"Write it as {_FORM}, in UTC.") from None


def chosen(frame: pl.DataFrame, column: str, text: str) -> pl.DataFrame:
    """Return the rows whose ``column`` is, or lies within, what ``text`` says.

    Times and numbers take FROM..TO, of which either end may be left out; both are included, a
    time as long as it is written (2026-05 lasts a month).

    Raises
    ------
    InputError
        There is no such column, the text does not fit it, or no row is meant.
    """
    import polars as pl

    series = column_of(frame, column)
    if text in MISSING and not (series.dtype == pl.String and text in series):
        found = frame.filter(~_is_known(series))
    elif _is_time(series):
        found = frame.filter(_within(series.cast(pl.Datetime("us")), *_ends(text, moment)))
    elif series.dtype.is_numeric():
        found = frame.filter(_between(series, *_ends(text, _number)))
    else:
        is_truth = series.dtype == pl.Boolean  # a class of a model is called True, a group true
        found = frame.filter(series.cast(pl.String) == (text.lower() if is_truth else text))
    if found.height == 0:
        raise InputError(
            f"No row has a {said(column)} of '{text[:60]}'.",
            nearest(text, _values(series)) or _known(series),
        )
    return found


def since(
    frame: pl.DataFrame, column: str, start: str, until: str | None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the rows before a time or number, and those from it on, ``until`` included."""
    import polars as pl

    series = column_of(frame, column)
    if _is_time(series):
        times = series.cast(pl.Datetime("us"))
        first = moment(start)
        last = None if until is None else moment(until)
        if last is not None and last.end <= first.start:
            raise _empty_window(start, until)
        sides = times < first.start, _within(times, first, last)
    elif series.dtype.is_numeric():
        number, end = _number(start), None if until is None else _number(until)
        if end is not None and end < number:
            raise _empty_window(start, until)
        sides = _is_known(series) & (series < number), _between(series, number, end)
    else:
        raise InputError(
            f"Column '{column}' holds texts, which have no before and after.",
            "Name a column of times or numbers, or two values of it with --by, --a and --b.",
        )
    before, after = (frame.filter(side) for side in sides)
    for side, word in ((before, "before"), (after, "from")):
        if side.height == 0:
            raise InputError(f"There is no row {word} {start[:60]}.", _known(series))
    return before, after


def _empty_window(start: str, until: str | None) -> InputError:
    return InputError(
        f"The window ends at {str(until)[:60]}, before it begins at {start[:60]}.",
        "Give --since the earlier and --until the later end.",
    )


def said(column: str) -> str:
    """Return how a column is called to whoever did not name it."""
    return "time" if column == AT else column


def column_of(frame: pl.DataFrame, column: str) -> pl.Series:
    """Return a column; one that is not there is an :class:`InputError` with the nearest."""
    if column not in frame.columns:
        names = [it for it in frame.columns if not it.startswith("paceml.")]
        raise InputError(
            f"There is no column '{column[:80]}'.",
            nearest(column, names) or f"Columns: {named(names)}.",
        )
    return frame[column]


def _ends(text: str, read: Any) -> tuple[Any, Any]:
    low, mark, high = text.partition("..")
    if not mark:
        return read(low), read(low)
    if not low and not high:
        raise InputError("A window needs at least one end.", "Write it as FROM..TO.")
    return (read(low) if low else None), (read(high) if high else None)


def _within(times: pl.Series, first: Moment | None, last: Moment | None) -> pl.Series:
    kept = _is_known(times)
    if first is not None:
        kept &= (times >= first.start).fill_null(value=False)
    if last is not None:
        kept &= (times < last.end).fill_null(value=False)
    return kept


def _between(numbers: pl.Series, low: float | None, high: float | None) -> pl.Series:
    kept = _is_known(numbers)
    if low is not None:
        kept &= (numbers >= low).fill_null(value=False)
    if high is not None:
        kept &= (numbers <= high).fill_null(value=False)
    return kept


def _is_time(series: pl.Series) -> bool:
    import polars as pl

    return isinstance(series.dtype, pl.Date | pl.Datetime)


def _is_known(series: pl.Series) -> pl.Series:
    """Return which values are there; NaN is none."""
    known = series.is_not_null()
    return known & series.is_not_nan().fill_null(value=False) if series.dtype.is_float() else known


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(
            f"'{text[:60]}' is not a number.", "Write a number, or a range as 18..25."
        ) from None


def _values(series: pl.Series) -> list[str]:
    import polars as pl

    if _is_time(series) or series.dtype.is_numeric():
        return []
    return [str(it) for it in series.drop_nulls().cast(pl.String).unique().head(1_000)]


def _known(series: pl.Series) -> str:
    """Return a hint at what the column holds."""
    values = sorted(_values(series))
    if values:
        less = " and rows without a value: missing" if not _is_known(series).all() else ""
        return f"It holds {', '.join(it[:40] for it in values[:10])}{less}."
    if series.drop_nulls().len() == 0:
        return "It holds no value."
    return f"It goes from {series.min()!s} to {series.max()!s}."
