"""Rows that stand far out in some number."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local_stack.data.profiling.coding import N_ROWS
from local_stack.data.profiling.columns import Column
from local_stack.data.profiling.sentinels import stand_ins
from local_stack.data.profiling.shape import Alert, Thresholds, ValueCount
from local_stack.data.profiling.tallies import Tally, quantile
from local_stack.data.profiling.wordings import quote

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MIN_DISTINCT = 10
"""Numbers of fewer distinct values have no scale to measure distances by."""

MAX_SHARE = 0.01
"""What more rows than this share do in a column is a heavy tail, not outlying."""

_IQR_OF_NORMAL = 1.3489795003921634  # the interquartile range of the standard normal distribution
_LONG = 1.2  # an upper half this much wider than the lower one has a long tail


@dataclass(frozen=True, slots=True)
class Scale:
    """A robust scale: the median, and what counts as one standard deviation on either side.

    The unit is the interquartile range over 1.349 (of the normal distribution), or twice the
    distance between the median and the quartile of that side where this is more. A long upper
    tail of numbers that are not negative is measured in logarithms (of 1 + x) too, and the
    lesser distance counts.
    """

    middle: float
    below: float
    above: float
    logarithmic: Scale | None = None

    def distances(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Return how many units each value lies from the median."""
        import numpy as np

        x = values.astype(np.float64)
        is_above = x > self.middle
        with np.errstate(over="ignore"):  # farther than a float can say is infinitely far
            found = np.where(
                is_above, (x - self.middle) / self.above, (self.middle - x) / self.below
            )
        if self.logarithmic is not None:
            found[is_above] = np.minimum(
                found[is_above], self.logarithmic.distances(np.log1p(x[is_above]))
            )
        return found

    def far(self, values: NDArray[Any], limit: float) -> NDArray[np.int64]:
        """Return the places of those of rising values that lie ``limit`` or more units away."""
        import numpy as np

        low = int(values.searchsorted(self.middle - limit * self.below, side="right"))
        high = int(values.searchsorted(self.middle + limit * self.above, side="left"))
        places = np.concatenate([np.arange(low), np.arange(max(low, high), values.size)])
        return places[self.distances(values[places]) >= limit]


def scale_of(counted: Tally) -> Scale | None:
    """Return the scale of numbers; None where they are few, or half of them the same."""
    if counted.values.size < MIN_DISTINCT:
        return None
    quartiles = [quantile(counted.values, counted.ends, q) for q in (0.25, 0.5, 0.75)]
    low, middle, high = (math.nan if value is None else value for value in quartiles)
    linear = _scale(low, middle, high)
    if linear is None or counted.values[0] < 0 or high - middle <= _LONG * (middle - low):
        return linear
    logarithmic = _scale(math.log1p(low), math.log1p(middle), math.log1p(high))
    return Scale(linear.middle, linear.below, linear.above, logarithmic)


def _scale(low: float, middle: float, high: float) -> Scale | None:
    range_ = high - low
    if not (range_ > 0 and math.isfinite(range_)):
        return None
    below, above = max(range_, 2 * (middle - low)), max(range_, 2 * (high - middle))
    return Scale(middle, below / _IQR_OF_NORMAL, above / _IQR_OF_NORMAL)


def outlier_findings(columns: Mapping[str, Column], thresholds: Thresholds) -> Iterator[Alert]:
    """Yield one alert of the rows farthest out, with the columns that make them so.

    Identifiers and sentinels do not count.
    """
    limit = thresholds.outlier_score
    scores: dict[int, tuple[float, str]] = {}
    n_far = Counter[str]()
    for name, column in columns.items():
        profile, counted = column.profile, column.tally
        if counted is None or profile.numbers is None or profile.kind == "identifier-suspect":
            continue
        found = _far_rows(counted, limit)
        if found is None:
            continue
        n_far[name], rows = found
        for row, score in rows.items():
            scores[row] = max(scores.get(row, (0.0, "")), (score, name))
    if scores:
        yield _alert(scores, n_far, limit)


def _far_rows(counted: Tally, limit: float) -> tuple[int, dict[int, float]] | None:
    """Return how many rows lie far out, and the farthest of them with their distances."""
    import numpy as np

    scale = scale_of(counted)
    if scale is None:
        return None
    far = scale.far(counted.values, limit)
    if far.size:  # sentinels have an alert of their own
        far = np.setdiff1d(far, np.array(stand_ins(counted), dtype=np.int64))
    n_rows = int(counted.counts[far].sum())
    if not n_rows or n_rows > MAX_SHARE * counted.n:
        return None
    distances = scale.distances(counted.values[far])
    order = np.argsort(-distances, kind="stable")[:N_ROWS]
    score_of = np.zeros(counted.values.size + 1)  # the last is for rows without a value
    score_of[far[order]] = distances[order]
    rows = np.flatnonzero(score_of[counted.codes])[: 10 * N_ROWS].tolist()
    return n_rows, {row: float(score_of[counted.codes[row]]) for row in rows}


def _alert(scores: Mapping[int, tuple[float, str]], n_far: Counter[str], limit: float) -> Alert:
    rows = sorted(scores, key=lambda row: (-scores[row][0], row))[:N_ROWS]
    farthest, cause = scores[rows[0]]
    listed = ", ".join(f"{quote(name)} ({n:,})" for name, n in n_far.most_common(4))
    more = f" and {len(n_far) - 4} more columns" if len(n_far) > 4 else ""
    message = (
        f"Rows with values {limit:g} or more robust standard deviations from the median, in "
        f"{listed}{more}; the farthest, {farthest:.0f} of them, in row {rows[0]} of {quote(cause)}."
    )
    return Alert(
        "outlier_rows",
        None,
        farthest,
        limit,
        message,
        method="robust distance from the median",
        values=tuple(ValueCount(name, n) for name, n in n_far.most_common()),
        rows=tuple(rows),
    )
