"""The values of a column as places and colours of points: numbers, dates, categories, missing."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Final

from local_stack.data.profiling.page_html import plain_number
from local_stack.explain.effects.parts import CATEGORICAL, DATE, Dependence, Value
from local_stack.explain.reporting.geometry import shades

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_COLOURS: Final = 6
MOST_CATEGORIES: Final = 12
CATEGORY_COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Colours that people with any kind of colour vision can tell apart (Okabe and Ito, 2008)."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Colouring:
    """The colour of each point: a place on a scale (0 to 10) or of a category, -1 for grey.

    ``names`` are the ends of the scale or the categories; ``grey`` says what is grey, if any is.
    """

    column: str | None
    is_scale: bool
    marks: tuple[int, ...]
    names: tuple[str, ...]
    grey: str | None


@dataclass(frozen=True, slots=True)
class Category:
    """Rows of one category; ``name`` is None for those whose value is missing."""

    name: str | None
    rows: tuple[int, ...]
    mean: float


def in_order(values: Sequence[Value], kind: str) -> NDArray[np.float64]:
    """Return numbers, or seconds for dates and times, float64 (n,); NaN for what is neither."""
    import numpy as np

    read = _seconds if kind == DATE else _number
    return np.asarray([read(value) for value in values], dtype=np.float64)


def _number(value: Value) -> float:
    if isinstance(value, str) or value is None:
        return math.nan
    number = float(value)
    return number if math.isfinite(number) else math.nan


def _seconds(value: Value) -> float:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return _seconds_of_day(str(value))
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (moment - _EPOCH).total_seconds()


def _seconds_of_day(text: str) -> float:
    try:
        held = time.fromisoformat(text)
    except ValueError:
        return math.nan
    return held.hour * 3600.0 + held.minute * 60.0 + held.second + held.microsecond / 1e6


def label_of(values: Sequence[Value], kind: str) -> Callable[[float], str]:
    """Return how a place on the axis of a column is told."""
    if kind != DATE:
        return lambda number: plain_number(number, 4)
    held = [str(value) for value in values if value is not None]
    if held and all(":" in text and "-" not in text for text in held):
        return lambda number: f"{int(number // 3600) % 24:02d}:{int(number // 60) % 60:02d}"
    seconds = [number for number in map(_seconds, held) if math.isfinite(number)]
    is_short = bool(seconds) and max(seconds) - min(seconds) < 3 * _DAY
    return lambda number: _moment(number, is_short)


def _moment(seconds: float, is_short: bool) -> str:
    try:
        moment = _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        return ""
    return moment.strftime("%Y-%m-%d %H:%M" if is_short else "%Y-%m-%d")


def colouring_of(dependence: Dependence) -> Colouring:
    """Return the colours of a dependence's points, by its interaction column."""
    column, values = dependence.colour, dependence.colour_values
    if column is None or len(values) != len(dependence.values):
        return Colouring(None, False, (0,) * len(dependence.values), (), None)
    if dependence.colour_kind == CATEGORICAL:
        return _by_category(column, values)
    return _by_scale(column, values, dependence.colour_kind)


def _by_scale(column: str, values: Sequence[Value], kind: str) -> Colouring:
    import numpy as np

    numbers = in_order(values, kind)
    known = numbers[np.isfinite(numbers)]
    grey = "missing" if len(known) < len(numbers) else None
    if not len(known):
        return Colouring(column, True, (-1,) * len(numbers), ("", ""), grey)
    low, high = (float(end) for end in np.percentile(known, [5, 95]))
    if low == high:
        low, high = float(known.min()), float(known.max())
    width = (high - low) or 1.0
    told = label_of(values, kind)
    marks = tuple(shades([float(it) for it in (numbers - low) / width]))
    return Colouring(column, True, marks, (told(low), told(high)), grey)


def _by_category(column: str, values: Sequence[Value]) -> Colouring:
    counts = Counter(str(value) for value in values if value is not None)
    ranked = sorted(counts, key=lambda name: (-counts[name], name))
    places = {name: place for place, name in enumerate(ranked[:MOST_COLOURS])}
    marks = tuple(-1 if it is None else places.get(str(it), -1) for it in values)
    rest = [f"{len(ranked) - MOST_COLOURS} others"] if len(ranked) > MOST_COLOURS else []
    rest += ["missing"] if any(value is None for value in values) else []
    return Colouring(column, False, marks, tuple(places), " and ".join(rest) or None)


def categories_of(dependence: Dependence) -> tuple[list[Category], int]:
    """Return the rows of each category, the largest mean SHAP value first, missing ones last.

    They are the most frequent ones; the second value is how many others there are.
    """
    rows: dict[str | None, list[int]] = {}
    for row, value in enumerate(dependence.values):
        rows.setdefault(None if value is None else str(value), []).append(row)
    missing = rows.pop(None, None)
    ranked = sorted(rows, key=lambda name: (-len(rows[name]), str(name)))[:MOST_CATEGORIES]
    found = [_category(name, rows[name], dependence) for name in ranked]
    found.sort(key=lambda it: (-it.mean, str(it.name)))
    if missing:
        found.append(_category(None, missing, dependence))
    return found, len(rows) - len(ranked)


def _category(name: str | None, rows: Sequence[int], dependence: Dependence) -> Category:
    return Category(name, tuple(rows), sum(dependence.shap[row] for row in rows) / len(rows))
