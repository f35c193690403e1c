"""Tallies of numbers: one sort, from which every statistic of a column can be read.

A tally keeps distinct values in order, how often each occurs, and which row holds which.
A statistic that is not defined, or that no 64-bit float can hold, is None.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_BINS = 30

_SAFE_BITS = 100  # |x| within 2**±100 cannot overflow or vanish when raised to the fourth


@dataclass(frozen=True, slots=True)
class Tally:
    """Distinct finite values in rising order, how often each occurs, and each row's place.

    ``values`` and ``counts`` have one entry for each distinct value; ``codes`` has one entry
    for each row: the index into ``values``, or -1 where the row holds no finite value.
    """

    values: NDArray[Any]
    counts: NDArray[np.int64]
    codes: NDArray[np.int32]

    @property
    def n(self) -> int:
        """Return the number of rows that hold a finite value."""
        return int(self.counts.sum())


def tally(values: NDArray[Any], present: NDArray[np.bool_]) -> Tally:
    """Count the distinct values of the rows that are ``present``, with one sort at most."""
    import numpy as np

    held = values[present] if not present.all() else values
    distinct, counts, places = _distinct(held)
    codes = np.full(values.size, -1, dtype=np.int32)
    codes[present] = places
    return Tally(distinct, counts, codes)


def _distinct(x: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[Any]]:
    import numpy as np

    if x.size == 0:
        return x, np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int32)
    if x.dtype.kind in "iu" and int(x.max()) - int(x.min()) < 2 * x.size + 1024:
        offsets = (x - x.min()).astype(np.int64)
        all_counts = np.bincount(offsets)
        present = all_counts > 0
        values = np.flatnonzero(present).astype(x.dtype) + x.min()
        return values, all_counts[present], (np.cumsum(present, dtype=np.int32) - 1)[offsets]
    order = np.argsort(x)
    in_order = x[order]
    starts_run = np.ones(x.size, dtype=bool)
    np.not_equal(in_order[1:], in_order[:-1], out=starts_run[1:])
    starts = np.flatnonzero(starts_run)
    places = np.empty(x.size, dtype=np.int32)
    places[order] = np.cumsum(starts_run, dtype=np.int32) - 1
    # adding zero turns -0.0 into 0.0
    return in_order[starts] + x.dtype.type(0), np.diff(np.append(starts, x.size)), places


@dataclass(frozen=True, slots=True)
class Moments:
    """Moments of the finite values, and ``mad``, their median distance from the median."""

    mean: float | None = None
    total: float | None = None
    std: float | None = None
    variance: float | None = None
    skewness: float | None = None
    kurtosis: float | None = None
    mad: float | None = None


NO_MOMENTS = Moments()


def moments(values: NDArray[Any], counts: NDArray[np.int64]) -> Moments:
    """Return the moments of weighted values, about a mean that is corrected by its residual."""
    x, exponent = scaled(values, values[[0, -1]])
    n = int(counts.sum())
    mean = float((x * counts).sum()) / n
    residual = float(((x - mean) * counts).sum()) / n
    d = (x - mean) - residual
    squares = d * d
    m2 = float((squares * counts).sum()) if values.size > 1 else 0.0
    variance = m2 / (n - 1) if n > 1 else None
    is_shaped = m2 > 0
    m3 = float((squares * d * counts).sum())
    m4 = float((squares * squares * counts).sum())
    mean += residual
    return Moments(
        mean=_unscaled(mean, exponent) if values.size > 1 else float(values[0]),
        total=_unscaled(mean * n, exponent),
        std=None if variance is None else _unscaled(math.sqrt(variance), exponent),
        variance=None if variance is None else _unscaled(variance, 2 * exponent),
        skewness=_skewness(n, m2, m3) if is_shaped and n > 2 else None,
        kurtosis=_kurtosis(n, m2, m4) if is_shaped and n > 3 else None,
        mad=_unscaled(_median_distance(x, counts), exponent),
    )


def scaled(values: NDArray[Any], extremes: NDArray[Any]) -> tuple[NDArray[np.float64], int]:
    """Return ``(x, e)`` with distances of ``values`` being those of ``x * 2**e``.

    ``extremes`` are the smallest and the largest value. Whole numbers beyond 2**53 are taken
    from their smallest, so that no two fall together; floats too large or too small to be
    raised to the fourth are scaled.
    """
    import numpy as np

    largest = max(abs(extremes[0].item()), abs(extremes[-1].item()))
    if values.dtype.kind in "iu":
        if largest < 2**53:
            return values.astype(np.float64), 0
        offsets = values.view(np.uint64) - extremes.view(np.uint64)[0]
        return offsets.astype(np.float64), 0
    exponent = math.frexp(largest)[1]
    if abs(exponent) <= _SAFE_BITS:
        return values, 0
    return np.ldexp(values, -exponent), exponent


def _unscaled(value: float, exponent: int) -> float | None:
    try:
        return finite(math.ldexp(value, exponent))
    except OverflowError:
        return None


def finite(value: float) -> float | None:
    """Return the value, or None for NaN and infinities."""
    return value if math.isfinite(value) else None


def _skewness(n: int, m2: float, m3: float) -> float | None:
    return finite(n * math.sqrt(n - 1) / (n - 2) * (m3 / m2**1.5))


def _kurtosis(n: int, m2: float, m4: float) -> float | None:
    rest = (n - 2) * (n - 3)
    return finite(n * (n + 1) * (n - 1) / rest * (m4 / m2**2) - 3 * (n - 1) ** 2 / rest)


def _median_distance(x: NDArray[np.float64], counts: NDArray[np.int64]) -> float:
    import numpy as np

    middle = quantile(x, counts, 0.5)
    assert middle is not None
    distances = np.abs(x - middle)
    if int(counts.max()) > 1:
        distances = np.repeat(distances, counts)
    halves = [(distances.size - 1) // 2, distances.size // 2]
    distances.partition(halves)
    return float(distances[halves].mean())


def quantile(values: NDArray[Any], counts: NDArray[np.int64], q: float) -> float | None:
    """Return the linear quantile (NumPy's default) of weighted, ordered values."""
    import numpy as np

    if not values.size:
        return None
    ends = np.cumsum(counts)
    position = q * (int(ends[-1]) - 1)
    low = math.floor(position)
    share = position - low
    below, above = np.searchsorted(ends, [low, math.ceil(position)], side="right")
    a, b = values[below].item(), values[above].item()
    if not math.isfinite(b - a):
        return float(a * (1 - share) + b * share)
    return float(a + (b - a) * share if share < 0.5 else b - (b - a) * (1 - share))


def whole_sum(values: NDArray[Any], counts: NDArray[np.int64]) -> int:
    """Return the exact sum of weighted 64-bit whole numbers, which may need more than 64 bits."""
    import numpy as np

    if not values.size:
        return 0
    unsigned = values.view(np.uint64)
    offsets = unsigned - unsigned[0]  # wraps around to the true distance from the smallest
    low = int(np.dot((offsets & np.uint64(0xFFFFFFFF)).astype(np.int64), counts))
    high = int(np.dot((offsets >> np.uint64(32)).astype(np.int64), counts))
    return int(values[0]) * int(counts.sum()) + (high << 32) + low


def n_bins(n: int) -> int:
    """Return Sturges' number of bins for ``n`` values, at most ``MAX_BINS``."""
    return min(MAX_BINS, math.ceil(math.log2(n)) + 1) if n else 1


def counts_between(
    values: NDArray[Any], counts: NDArray[np.int64], edges: NDArray[Any]
) -> tuple[int, ...]:
    """Return how many weighted, ordered values lie in each bin; the last bin is closed."""
    import numpy as np

    upto = np.concatenate(([0], np.cumsum(counts)))
    places = np.searchsorted(values, edges, side="left")
    places[-1] = values.size
    return tuple(np.diff(upto[places]).tolist())


def most_frequent(counted: Tally, n_most: int) -> list[tuple[Any, int]]:
    """Return the most frequent values, the smaller one first when they are equally frequent."""
    import numpy as np

    values, counts = counted.values, counted.counts
    if not values.size:
        return []
    place = max(0, counts.size - n_most)
    least = np.partition(counts, place)[place]
    more = np.flatnonzero(counts > least)
    equal = np.flatnonzero(counts == least)[: n_most - more.size]
    chosen = np.concatenate((more, equal))
    chosen = chosen[np.lexsort((chosen, -counts[chosen]))]
    return [(values[i].item(), int(counts[i])) for i in chosen]
