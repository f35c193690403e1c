"""Operations on moments: the numbers in a date, and where it stands in a cycle."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from local_stack.preparation.numbers import microseconds
from local_stack.preparation.operations import Bound, Operation, declared, of_numbers, widths
from local_stack.preparation.values import NAN, Values, each

if TYPE_CHECKING:
    import numpy as np

PARTS = (
    "year",
    "month",
    "day",
    "dayofweek",
    "hour",
    "quarter",
    "elapsed_days",
    "minute",
    "week",
    "dayofyear",
    "is_weekend",
)
"""Numbers a date can be turned into; ``dayofweek`` is 0 on Monday, ``week`` is that of ISO."""
PERIODS = {"month": 12, "day": 31, "dayofweek": 7, "hour": 24, "minute": 60, "dayofyear": 365.25}
"""Parts that come round again, and after how many."""
_DAY = 86_400_000_000
_EPOCH = datetime(1970, 1, 1)


@declared
@dataclass(frozen=True, slots=True)
class Part(Operation):
    """Return one number of a date; ``origin`` (ISO 8601, UTC) is where elapsed days start."""

    word: ClassVar[str] = "part"
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    part: str
    origin: str

    def check(self) -> None:
        """See :meth:`Operation.check`."""
        widths(self, 1, 1)
        if self.part not in PARTS or datetime.fromisoformat(self.origin).tzinfo is not None:
            raise ValueError("part")

    def bind(self, kinds: tuple[str, ...]) -> Bound:
        """See :meth:`Operation.bind`."""
        _moments_only(kinds)
        part, origin = self.part, datetime.fromisoformat(self.origin)
        read = part_reader(part, origin)
        return of_numbers(
            lambda moment: NAN if moment is None else read(moment),
            lambda moments: (part_of_array(moments, part, origin),),
        )


@declared
@dataclass(frozen=True, slots=True)
class Cycle(Operation):
    """Write the sine and the cosine of a part of a date, 2 pi being its period."""

    word: ClassVar[str] = "cycle"
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    part: str

    def check(self) -> None:
        """See :meth:`Operation.check`."""
        widths(self, 1, 2)
        if self.part not in PERIODS:
            raise ValueError("part")

    def bind(self, kinds: tuple[str, ...]) -> Bound:
        """See :meth:`Operation.bind`."""
        _moments_only(kinds)
        part = self.part
        read = part_reader(part, _EPOCH)
        turn = 2 * math.pi / PERIODS[part]

        def row(moment: datetime | None) -> tuple[float, float]:
            if moment is None:
                return NAN, NAN
            angle = turn * read(moment)
            return math.sin(angle), math.cos(angle)

        def many(moments: np.ndarray) -> list[Values]:
            angles = turn * part_of_array(moments, part, _EPOCH)
            return [each(math.sin, angles), each(math.cos, angles)]

        return of_numbers(row, many, 2)


def _moments_only(kinds: tuple[str, ...]) -> None:
    if kinds != ("moment",):
        raise ValueError("not a date")


def part_reader(part: str, origin: datetime) -> Callable[[datetime], float]:
    """Return the function that gives one part of a moment."""
    if part == "elapsed_days":
        return lambda moment: float(microseconds(moment, origin)) / float(_DAY)
    return _READERS[part]


_READERS: dict[str, Callable[[datetime], float]] = {
    "year": lambda m: float(m.year),
    "month": lambda m: float(m.month),
    "day": lambda m: float(m.day),
    "dayofweek": lambda m: float(m.weekday()),
    "hour": lambda m: float(m.hour),
    "quarter": lambda m: float((m.month + 2) // 3),
    "minute": lambda m: float(m.minute),
    "second": lambda m: float(m.second),
    "week": lambda m: float(m.isocalendar().week),
    "dayofyear": lambda m: float(m.timetuple().tm_yday),
    "is_weekend": lambda m: 1.0 if m.weekday() > 4 else 0.0,
}


def part_of_array(moments: np.ndarray, part: str, origin: datetime = _EPOCH) -> np.ndarray:
    """Return one part of datetime64[us] moments, float64 (n_rows,), NaN where missing."""
    import numpy as np

    absent = np.isnat(moments)
    ticks = np.where(absent, np.datetime64(0, "us"), moments).astype(np.int64)
    days = np.floor_divide(ticks, _DAY)
    if part == "elapsed_days":
        found = (ticks - microseconds(origin, _EPOCH)).astype(np.float64) / float(_DAY)
    elif part in _CLOCK:
        unit, turn = _CLOCK[part]
        found = ((ticks - days * _DAY) // unit % turn).astype(np.float64)
    else:
        found = _CALENDAR[part](days).astype(np.float64)
    found[absent] = NAN
    return found


_CLOCK = {"hour": (3_600_000_000, 24), "minute": (60_000_000, 60), "second": (1_000_000, 60)}


def _year(days: np.ndarray) -> np.ndarray:
    return days.astype("datetime64[D]").astype("datetime64[Y]").astype("int64") + 1970


def _month(days: np.ndarray) -> np.ndarray:
    return days.astype("datetime64[D]").astype("datetime64[M]").astype("int64") % 12 + 1


def _since(days: np.ndarray, unit: str) -> np.ndarray:
    """Return days since the start of the month (M) or year (Y)."""
    start = days.astype("datetime64[D]").astype(f"datetime64[{unit}]").astype("datetime64[D]")
    found: np.ndarray = days - start.astype("int64")
    return found


def _week(days: np.ndarray) -> np.ndarray:
    """Return the ISO week: that of the year in which the week's Thursday lies."""
    found: np.ndarray = _since(days - (days + 3) % 7 + 3, "Y") // 7 + 1
    return found


_CALENDAR: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "year": _year,
    "month": _month,
    "day": lambda days: _since(days, "M") + 1,
    "dayofweek": lambda days: (days + 3) % 7,
    "quarter": lambda days: (_month(days) + 2) // 3,
    "week": _week,
    "dayofyear": lambda days: _since(days, "Y") + 1,
    "is_weekend": lambda days: (days + 3) % 7 > 4,
}
