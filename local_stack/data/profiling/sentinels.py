"""Numbers and dates that stand for something else: sentinels, caps, dates yet to come."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from local_stack.data.profiling.coding import number_of, percent, rows_where
from local_stack.data.profiling.columns import Column
from local_stack.data.profiling.shape import Alert, Thresholds, ValueCount
from local_stack.data.profiling.tallies import Tally, quantile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NEGATIVE = (-1, -9, -99, -999, -9999, -99999, -999999, -99999999, -32768, -(2**31), -(2**63))
POSITIVE = (9, 99, 999, 9999, 99999, 999999, 9999999, 99999999, 999999999, 9999999999)
LIMITS = (32767, 65535, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1, 1e20, 1e30, 1e300)
"""Numbers that programs write for "no value": codes, and the largest that a type can hold."""

DAYS = {
    -719162: "0001-01-01",
    -79257: "1753-01-01",
    -25569: "1899-12-30",
    -25568: "1899-12-31",
    -25567: "1900-01-01",
    -25202: "1901-01-01",
    0: "1970-01-01",
    47481: "2099-12-31",
    84006: "2200-01-01",
    376199: "2999-12-31",
    2932532: "9999-01-01",
    2932896: "9999-12-31",
}
"""Days since 1970 that programs write for "no date"."""

MIN_DISTINCT = 20
"""Fewer distinct values than this have no tail that a heap could stand out from."""

_DAY = 86_400_000_000  # microseconds
_N_ENDS = 6
_MOST = 0.5  # what more than half of the values are is what is usual, not a limit


def number_findings(column: Column, thresholds: Thresholds) -> Iterator[Alert]:
    """Yield sentinels, heaped extremes and dates written as numbers, from the tally alone."""
    counted = column.tally
    if counted is None or counted.values.size < 4:
        return
    low, high, found = _peeled(counted, _number_manner)
    yield from _sentinels(column, counted, found, thresholds)
    yield from _heaped(column, counted, (low, high), thresholds)
    yield from _written_dates(column, counted)


def date_findings(column: Column, thresholds: Thresholds) -> Iterator[Alert]:
    """Yield sentinels and dates in the future (a day from now on), from the tally alone."""
    counted = column.tally
    if counted is None or not counted.values.size:
        return
    size = 1 if column.profile.type == "date" else _DAY
    manner = _date_manner(size)
    _, high, found = _peeled(counted, manner)
    found |= _heaped_days(counted, size, found)
    yield from _sentinels(column, counted, found, thresholds)
    limit = (time.time() / 86_400 + 1) * size
    first = int(counted.values.searchsorted(limit, side="right"))
    places = [place for place in range(first, min(high + 1, first + 5)) if place not in found]
    n_future = int(counted.counts[first : high + 1].sum())
    if places and 0 < n_future < counted.n / 2:  # mostly future: a plan, not a mistake
        latest = number_of(column, counted.values[high])
        share = f"{n_future:,} of {counted.n:,} dates"
        message = f"{share} lie in the future, the latest {latest} (threshold 0)."
        rows = rows_where((counted.codes >= first) & (counted.codes <= high))
        values = tuple(_value(column, counted, place) for place in places)
        yield Alert(
            "future_dates", column.profile.name, n_future, 0, message, values=values, rows=rows
        )


def stand_ins(counted: Tally) -> tuple[int, ...]:
    """Return the places of the numbers that :func:`number_findings` calls sentinels."""
    return tuple(_peeled(counted, _number_manner)[2]) if counted.values.size >= 4 else ()


_Ends = tuple[int, int, dict[int, str]]


def _peeled(counted: Tally, manner: Any) -> _Ends:
    """Take sentinels off both ends; return the ends that are left, and why each was taken."""
    found: dict[int, str] = {}
    low, high = 0, counted.values.size - 1
    for _ in range(_N_ENDS):
        if high - low < 2:
            break
        if why := manner(counted, low, high, True):
            found[high], high = why, high - 1
        elif why := manner(counted, low, high, False):
            found[low], low = why, low + 1
        else:
            break
    return low, high, found


def _gaps(counted: Tally, low: int, high: int, is_high: bool) -> tuple[float, float]:
    """Return how far the end lies from the next value, and how far the rest reaches."""
    values = counted.values
    if is_high:
        end, near, far = values[high], values[high - 1], values[low]
    else:
        end, near, far = values[low], values[low + 1], values[high]
    return abs(float(end) - float(near)), abs(float(near) - float(far))


def _number_manner(counted: Tally, low: int, high: int, is_high: bool) -> str | None:
    """Return why the value at an end is no ordinary one, or None."""
    place, near = (high, high - 1) if is_high else (low, low + 1)
    value, count = counted.values[place].item(), int(counted.counts[place])
    gap, reach = _gaps(counted, low, high, is_high)
    if not reach > 0:
        return None
    ends = (low, near) if is_high else (near, high)
    others = " to ".join(_short(counted.values[end]) for end in ends)
    if is_high:
        is_known = _is_high_code(value, count, int(counted.counts[near]), gap, reach)
    else:
        least = counted.values[near].item()
        is_known = _is_low_code(value, least, high - low, gap, reach)
        if is_known and least >= 0:
            return f"no other value is negative ({others})"
    is_odd = is_known or _is_spike(counted, place, high - low, gap, reach)
    return f"the others are {others}" if is_odd else None


def _is_spike(counted: Tally, place: int, n_rest: int, gap: float, reach: float) -> bool:
    """Return whether a frequent value lies far outside of the rest, or is a zero on its own.

    A zero stands on its own if the gap to the next value is a third of the median or more, and
    five times as many values are zero as are equal to any of the next three.
    """
    value, count = counted.values[place].item(), int(counted.counts[place])
    if n_rest < 10 or count < 5:
        return False
    if value == 0 and place == 0 and n_rest >= MIN_DISTINCT and count < _MOST * counted.n:
        middle = quantile(counted.values, counted.ends, 0.5) or 0.0
        if gap >= middle / 3 and count >= 5 * int(counted.counts[1:4].max()):
            return True
    is_share = value == 1 and counted.values[0] >= 0  # all of something, not a code
    return not is_share and count >= 0.01 * counted.n and gap >= 3 * reach


def _is_high_code(value: float, count: int, near: int, gap: float, reach: float) -> bool:
    if value in LIMITS:
        return gap >= reach
    if value >= 1e300:
        return gap >= 10 * reach
    if value not in POSITIVE:
        return False
    is_heap = count >= 5 and count >= 5 * near
    return gap >= 0.5 * reach and (is_heap or (count >= 2 and value >= 99 and gap >= 2 * reach))


def _is_low_code(value: float, least: float, n_rest: int, gap: float, reach: float) -> bool:
    if value not in NEGATIVE:
        return value <= -1e300 and gap >= 10 * reach
    if least >= 0:
        return n_rest >= (10 if value == -1 else 3)
    return value < -9 and gap >= 0.5 * reach


def _short(value: Any) -> str:
    return f"{value.item():.6g}"


def _date_manner(size: int) -> Any:
    """Return the rule for the ends of dates, ``size`` of whose units make a day."""

    def manner(counted: Tally, low: int, high: int, is_high: bool) -> str | None:
        place = high if is_high else low
        day, rest = divmod(counted.values[place].item(), size)
        if day not in DAYS or rest:
            return None
        gap, reach = _gaps(counted, low, high, is_high)
        is_far = gap >= max(0.5 * reach, 366.0 * size)
        return "it lies far from the others" if is_far else None

    return manner


def _heaped_days(counted: Tally, size: int, found: dict[int, str]) -> dict[int, str]:
    """Return known days that are ten times as frequent as those beside them."""
    heaped: dict[int, str] = {}
    for day in DAYS:
        place = int(counted.values.searchsorted(day * size))
        if place in found or place >= counted.values.size:
            continue
        if counted.values[place] != day * size or counted.counts[place] < 10:
            continue
        beside = counted.counts[max(0, place - 3) : place + 4].tolist()
        beside.remove(int(counted.counts[place]))
        if beside and counted.counts[place] >= 10 * max(beside):
            heaped[place] = "it is far more frequent than the days beside it"
    return heaped


def _sentinels(
    column: Column, counted: Tally, found: dict[int, str], thresholds: Thresholds
) -> Iterator[Alert]:
    import numpy as np

    if not found:
        return
    n = int(sum(counted.counts[place] for place in found))
    share = n / counted.n
    if share < thresholds.p_sentinel:
        return
    listed = "; ".join(
        f"{number_of(column, counted.values[place])} ({_amount(counted.counts[place])}): {why}"
        for place, why in found.items()
    )
    message = (
        f"May stand for a missing value: {listed}. That is {percent(share)} of the values "
        f"(threshold {percent(thresholds.p_sentinel)})."
    )
    rows = rows_where(np.isin(counted.codes, np.array(list(found), dtype=np.int32)))
    yield Alert(
        "sentinel",
        column.profile.name,
        share,
        thresholds.p_sentinel,
        message,
        values=tuple(_value(column, counted, place) for place in found),
        rows=rows,
    )


def _amount(n: Any) -> str:
    return "1 value" if n == 1 else f"{int(n):,} values"


def _value(column: Column, counted: Tally, place: int) -> ValueCount:
    return ValueCount(number_of(column, counted.values[place]), int(counted.counts[place]))


def _heaped(
    column: Column, counted: Tally, ends: tuple[int, int], thresholds: Thresholds
) -> Iterator[Alert]:
    """Yield the maximum, then the minimum, where far more values lie than just beside it."""
    low, high = ends
    if high - low < MIN_DISTINCT:
        return
    counts = counted.counts
    sides = [("maximum", high, counts[high - 3 : high])]
    if counted.values[low] not in (0, 1):  # counts and amounts start there by nature
        sides.append(("minimum", low, counts[low + 1 : low + 4]))
    heaps = [
        (side, place, float(counts[place] / counted.n))
        for side, place, beside in sides
        if _is_heap(int(counts[place]), beside)
        and thresholds.p_heaped <= counts[place] / counted.n < _MOST
    ]
    if not heaps:
        return
    listed = " and ".join(
        f"{_amount(counts[place])} ({percent(share)}) at the {side}, "
        f"{_short(counted.values[place])}"
        for side, place, share in heaps
    )
    message = (
        f"{listed}: at least five times as many as just beside it, as if cut off there "
        f"(threshold {percent(thresholds.p_heaped)})."
    )
    yield Alert(
        "heaped",
        column.profile.name,
        max(share for _, _, share in heaps),
        thresholds.p_heaped,
        message,
        values=tuple(_value(column, counted, place) for _, place, _ in heaps),
        rows=rows_where(counted.codes == heaps[0][1]),
    )


def _is_heap(count: int, beside: NDArray[np.int64]) -> bool:
    return count >= 10 and count >= 5 * int(beside.max())


def _written_dates(column: Column, counted: Tally) -> Iterator[Alert]:
    """Yield whole numbers that all read as YYYYMMDD."""
    import numpy as np

    values = counted.values
    if column.profile.type != "long" or values.size < MIN_DISTINCT:
        return
    if not (values[0] >= 19_000_101 and values[-1] <= 21_001_231):
        return
    months, days = values // 100 % 100, values % 100
    lengths = np.array([0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
    if ((months >= 1) & (months <= 12) & (days >= 1) & (days <= lengths[months % 13])).all():
        message = (
            f"Every value reads as a date, from {_short_date(values[0])} to "
            f"{_short_date(values[-1])}: as numbers their distances mean nothing."
        )
        yield Alert("dates_as_numbers", column.profile.name, 1.0, 1.0, message)


def _short_date(value: Any) -> str:
    text = str(int(value))
    return f"{text[:4]}-{text[4:6]}-{text[6:]}"
