"""Tallies of numbers: one sort, from which every statistic of a column can be read.

A tally keeps distinct values in order, how often each occurs, and which row holds which.
A statistic that is not defined, or that no 64-bit float can hold, is None.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from local_stack.data.profiling.ordering import ordered

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Side: TypeAlias = Literal["left", "right"]

MAX_BINS = 30

_SAFE_BITS = 100  # |x| within 2**±100 cannot overflow or vanish when raised to the fourth


@dataclass(frozen=True, eq=False)
class Tally:
    """Distinct finite values in rising order, how often each occurs, and each row's place.

    ``values`` and ``counts`` have one entry for each distinct value; ``codes`` has one entry
    for each row: the index into ``values``, or -1 where the row holds no finite value.
    """

    values: NDArray[Any]
    counts: NDArray[np.int64]
    codes: NDArray[np.int32]

    @cached_property
    def ends(self) -> NDArray[np.int64]:
        """Return the counts added up."""
        import numpy as np

        return np.cumsum(self.counts)

    def forget(self) -> None:
        """Let go of :attr:`ends`, which is made again when it is asked for."""
        self.__dict__.pop("ends", None)

    @property
    def n(self) -> int:
        """Return the number of rows that hold a finite value."""
        return int(self.ends[-1]) if self.values.size else 0

    @property
    def is_unique(self) -> bool:
        """Return whether no value occurs twice."""
        return self.n == self.values.size

    def upto(self, value: Any, side: Side = "right") -> int:
        """Return how many rows hold a value of at most ``value`` (less than it: ``"left"``)."""
        place = int(self.values.searchsorted(value, side))
        return int(self.ends[place - 1]) if place else 0


def tally(values: NDArray[Any], present: NDArray[np.bool_] | None) -> Tally:
    """Count the distinct values of the rows that are ``present`` (None: all), with one sort."""
    import numpy as np

    if present is None or present.all():
        distinct, counts, codes = _distinct(values)
    else:
        distinct, counts, places = _distinct(values[present])
        codes = np.full(values.size, -1, dtype=np.int32)
        codes[present] = places
    return Tally(distinct, counts, codes)


_Counted: TypeAlias = "tuple[NDArray[Any], NDArray[np.int64], NDArray[np.int32]]"


def _distinct(x: NDArray[Any]) -> _Counted:
    """Return distinct values in rising order, their counts, and the place of each value of x."""
    import numpy as np

    if x.size == 0:
        return x, np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int32)
    found = _distinct_whole(x) if x.dtype.kind in "iu" else _distinct_decimals(x)
    return found or _distinct_sorted(x)


def _distinct_whole(x: NDArray[Any]) -> _Counted | None:
    """Count whole numbers of a small range by bins; None when the range is large."""
    import numpy as np

    low = x.min()
    if int(x.max()) - int(low) >= 2 * x.size + 1024:
        return None
    offsets = (x - low).astype(np.int64)
    all_counts = np.bincount(offsets)
    held = np.flatnonzero(all_counts)
    if held.size == all_counts.size:
        return held.astype(x.dtype) + low, all_counts, offsets.astype(np.int32)
    places = np.zeros(all_counts.size, dtype=np.int32)
    places[held] = np.arange(held.size, dtype=np.int32)
    return held.astype(x.dtype) + low, all_counts[held], places.take(offsets)


_PROBE = 1000
_MOST_DECIMALS = 4


def _distinct_decimals(x: NDArray[np.float64]) -> _Counted | None:
    """Count floats that are whole numbers of hundredths or so by bins; None for any others.

    Every float must be the nearest to its decimal number, so that nothing is rounded.
    """
    import numpy as np

    probe = x[:: max(1, x.size // _PROBE)]
    for power in (10.0**decimals for decimals in range(_MOST_DECIMALS + 1)):
        low, high = float(x.min()) * power, float(x.max()) * power
        if not high - low < 2 * x.size + 1024 or max(-low, high) > 2**53:
            return None
        if (np.rint(probe * power) / power != probe).any():
            continue
        whole = np.rint(x * power)
        if (whole / power != x).any():
            continue
        found = _distinct_whole(whole.astype(np.int64))
        return found and (found[0] / power, *found[1:])
    return None


def _distinct_sorted(x: NDArray[Any]) -> _Counted:
    import numpy as np

    order, in_order = ordered(x)
    starts_run = np.empty(x.size, dtype=bool)
    starts_run[0] = True
    np.not_equal(in_order[1:], in_order[:-1], out=starts_run[1:])
    codes = np.empty(x.size, dtype=np.int32)
    if starts_run.all():
        codes[order] = np.arange(x.size, dtype=np.int32)
        return in_order + x.dtype.type(0), np.broadcast_to(np.int64(1), x.size), codes
    starts = np.flatnonzero(starts_run)
    codes[order] = np.cumsum(starts_run, dtype=np.int32) - 1
    # adding zero turns -0.0 into 0.0
    return in_order[starts] + x.dtype.type(0), np.diff(starts, append=x.size), codes


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


def moments(counted: Tally) -> Moments:
    """Return the moments of the rows, about a mean that is corrected by its residual."""
    import numpy as np

    values = counted.values
    x, exponent = scaled(values, values[[0, -1]])
    n = counted.n
    total = summing(counted)
    mean = total(x) / n
    d = x - mean
    residual = total(d) / n
    d -= residual
    squares = d * d
    m2 = total(squares) if values.size > 1 else 0.0
    variance = m2 / (n - 1) if n > 1 else None
    is_shaped = m2 > 0
    d *= squares
    m3 = total(d)
    np.multiply(squares, squares, out=squares)
    m4 = total(squares)
    mean += residual
    return Moments(
        mean=_unscaled(mean, exponent) if values.size > 1 else float(values[0]),
        total=_unscaled(mean * n, exponent),
        std=None if variance is None else _unscaled(math.sqrt(variance), exponent),
        variance=None if variance is None else _unscaled(variance, 2 * exponent),
        skewness=_skewness(n, m2, m3) if is_shaped and n > 2 else None,
        kurtosis=_kurtosis(n, m2, m4) if is_shaped and n > 3 else None,
        mad=_unscaled(_median_distance(x, counted.ends), exponent),
    )


def summing(counted: Tally) -> Callable[[NDArray[np.float64]], float]:
    """Return the sum over the rows of numbers by place; counts of one cost nothing."""
    if counted.is_unique:
        return lambda x: float(x.sum())
    return lambda x: float((x * counted.counts).sum())


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


def _median_distance(x: NDArray[np.float64], ends: NDArray[np.int64]) -> float:
    """Return the median distance from the median of weighted, ordered values, without a sort."""
    middle = quantile(x, ends, 0.5)
    assert middle is not None
    n = int(ends[-1])
    low, high = (_nearest(x, ends, middle, rank) for rank in ((n - 1) // 2, n // 2))
    return low + (high - low) / 2 if high > low else low


def _nearest(x: NDArray[np.float64], ends: NDArray[np.int64], middle: float, rank: int) -> float:
    """Return the distance from ``middle`` that exactly ``rank`` rows at most are nearer than.

    Distances fall to the left of the middle and rise to its right, so that the rows within one
    are a window of ``x``; the smallest that holds more than ``rank`` rows is found by bisection
    over the distances of each side.
    """
    split = int(x.searchsorted(middle))

    def n_within(distance: float) -> int:
        first = bisect_left(x, -distance, hi=split, key=lambda value: -abs(middle - value))
        end = bisect_right(x, distance, lo=split, key=lambda value: abs(value - middle))
        before = int(ends[first - 1]) if first else 0
        return (int(ends[end - 1]) if end else 0) - before

    best = math.inf
    left = bisect_left(
        range(split), True, key=lambda i: n_within(_gap(x, split - 1 - i, middle)) > rank
    )
    if left < split:
        best = _gap(x, split - 1 - left, middle)
    rest = range(x.size - split)
    right = bisect_left(rest, True, key=lambda i: n_within(_gap(x, split + i, middle)) > rank)
    return min(best, _gap(x, split + right, middle)) if right < len(rest) else best


def _gap(x: NDArray[np.float64], place: int, middle: float) -> float:
    return abs(float(x[place]) - middle)


def quantile(values: NDArray[Any], ends: NDArray[np.int64], q: float) -> float | None:
    """Return the linear quantile (NumPy's default) of ordered values, counted up by ``ends``."""
    if not values.size:
        return None
    position = q * (int(ends[-1]) - 1)
    low = math.floor(position)
    share = position - low
    below, above = ends.searchsorted([low, math.ceil(position)], side="right")
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


def even_edges(low: float, high: float, bins: int) -> NDArray[np.float64]:
    """Return the edges of ``bins`` bins of equal width, fewer where floats do not lie so near.

    There are two equal edges when ``low`` is ``high``.
    """
    import numpy as np

    exponent = 2 if max(abs(low), abs(high)) > 2.0**1000 else 0  # the width must be finite
    edges = np.linspace(math.ldexp(low, -exponent), math.ldexp(high, -exponent), bins + 1)
    edges = np.ldexp(edges, exponent)
    edges[0], edges[-1] = low, high
    edges = np.unique(np.clip(edges, low, high))
    return np.repeat(edges, 2) if edges.size == 1 else edges


def counts_between(counted: Tally, edges: NDArray[Any]) -> tuple[int, ...]:
    """Return how many rows lie in each bin of ``edges``; the last bin is closed."""
    import numpy as np

    places = counted.values.searchsorted(edges, side="left")
    places[-1] = counted.values.size
    upto = np.where(places, counted.ends[np.maximum(places, 1) - 1], 0)
    return tuple(np.diff(upto).tolist())


def most_frequent(counted: Tally, n_most: int) -> list[tuple[Any, int]]:
    """Return the most frequent values, the smaller one first when they are equally frequent."""
    import numpy as np

    values, counts = counted.values, counted.counts
    if not values.size:
        return []
    if counted.is_unique:
        return [(value.item(), 1) for value in values[:n_most]]
    levels = np.bincount(np.minimum(counts, _MOST_LEVELS))  # a partition of equal counts is slow
    n_at_least = levels[::-1].cumsum()[::-1]
    least = int(np.flatnonzero(n_at_least >= min(n_most, values.size))[-1])
    chosen = np.flatnonzero(counts > least)
    if chosen.size < n_most:
        chosen = np.append(chosen, np.flatnonzero(counts == least)[: n_most - chosen.size])
    if least == _MOST_LEVELS:
        chosen = np.flatnonzero(counts >= least)
    chosen = chosen[np.lexsort((chosen, -counts[chosen]))][:n_most]
    return [(values[i].item(), int(counts[i])) for i in chosen]


_MOST_LEVELS = 1 << 16
