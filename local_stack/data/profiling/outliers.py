"""Rows that stand far out in some number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from local_stack.data.profiling.coding import N_ROWS
from local_stack.data.profiling.columns import Column
from local_stack.data.profiling.sentinels import stand_ins
from local_stack.data.profiling.shape import Alert, Thresholds, ValueCount
from local_stack.data.profiling.tallies import Tally, quantile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MIN_DISTINCT = 10
"""Numbers of fewer distinct values have no scale to measure distances by."""

MAX_SHARE = 0.01
"""What more rows than this share do in a column is a heavy tail, not outlying."""

_IQR_OF_NORMAL = 1.349  # the interquartile range of the standard normal distribution


def robust_distances(counted: Tally) -> NDArray[np.float64] | None:
    """Return how far each distinct value lies from the median, in robust standard deviations.

    The unit is the interquartile range over 1.349 (of the normal distribution), or twice the
    distance between the median and the quartile of that side where this is more. A long upper
    tail of numbers that are not negative is measured in logarithms too, and the lesser distance
    counts. None where half of the values are the same.
    """
    import numpy as np

    values, ends = counted.values.astype(np.float64), counted.ends
    if values.size < MIN_DISTINCT:
        return None
    linear = _distances(values, ends)
    if linear is None or values[0] < 0:
        return linear
    low, middle, high = (quantile(values, ends, q) for q in (0.25, 0.5, 0.75))
    assert low is not None
    assert middle is not None
    assert high is not None
    if high - middle <= 1.2 * (middle - low):
        return linear
    logarithmic = _distances(np.log1p(values), ends)
    if logarithmic is None:
        return linear
    return np.where(values > middle, np.minimum(linear, logarithmic), linear)


def _distances(values: NDArray[np.float64], ends: NDArray[np.int64]) -> NDArray[np.float64] | None:
    import numpy as np

    low, middle, high = (quantile(values, ends, q) for q in (0.25, 0.5, 0.75))
    assert low is not None
    assert middle is not None
    assert high is not None
    half = (high - low) / _IQR_OF_NORMAL
    below = max(half, 2 * (middle - low) / _IQR_OF_NORMAL)
    above = max(half, 2 * (high - middle) / _IQR_OF_NORMAL)
    if half <= 0 or not np.isfinite(half):
        return None
    return np.where(values < middle, (middle - values) / below, (values - middle) / above)


def outlier_findings(columns: Mapping[str, Column], thresholds: Thresholds) -> Iterator[Alert]:
    """Yield one alert of the rows farthest out, with the columns that make them so."""
    import numpy as np

    limit = thresholds.outlier_score
    scores: dict[int, float] = {}
    causes: dict[int, str] = {}
    n_far = Counter[str]()
    for name, column in columns.items():
        counted = column.tally
        if counted is None or column.profile.numbers is None:
            continue
        if column.profile.kind == "identifier-suspect":
            continue
        distances = robust_distances(counted)
        if distances is None:
            continue
        distances[list(stand_ins(counted))] = 0.0  # sentinels have an alert of their own
        far = np.flatnonzero(distances >= limit)
        n_rows = int(counted.counts[far].sum())
        if not n_rows or n_rows > MAX_SHARE * counted.n:
            continue
        n_far[name] = n_rows
        for row, score in _rows(counted, distances, far):
            if score > scores.get(row, 0.0):
                scores[row], causes[row] = score, name
    if not scores:
        return
    rows = sorted(scores, key=lambda row: (-scores[row], row))[:N_ROWS]
    listed = ", ".join(f"'{name}' ({n})" for name, n in n_far.most_common(4))
    more = f" and {len(n_far) - 4} columns more" if len(n_far) > 4 else ""
    message = (
        f"Values {limit:g} or more robust standard deviations from the median, in {listed}"
        f"{more}; the farthest, {scores[rows[0]]:.0f} of them, in row {rows[0]} of "
        f"'{causes[rows[0]]}'."
    )
    yield Alert(
        "outlier_rows",
        None,
        scores[rows[0]],
        limit,
        message,
        method="robust distance from the median",
        values=tuple(ValueCount(name, n) for name, n in n_far.most_common()),
        rows=tuple(rows),
    )


def _rows(
    counted: Tally, distances: NDArray[np.float64], far: NDArray[np.int64]
) -> Iterator[tuple[int, float]]:
    """Yield the rows of the farthest values, ten or a few more, with their distances."""
    import numpy as np

    chosen = far[np.argsort(-distances[far], kind="stable")][:N_ROWS]
    is_chosen = np.zeros(distances.size + 1, dtype=bool)  # the last is for rows without a value
    is_chosen[chosen] = True
    for row in np.flatnonzero(is_chosen[counted.codes])[: 10 * N_ROWS].tolist():
        yield row, float(distances[counted.codes[row]])
