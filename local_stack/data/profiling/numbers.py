"""Statistics of a column of numbers, all of them read from its tally."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from local_stack.data.profiling.shape import Histogram, NumberStatistics, ValueCount
from local_stack.data.profiling.tallies import (
    NO_MOMENTS,
    Tally,
    counts_between,
    even_edges,
    moments,
    n_bins,
    quantile,
    whole_sum,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

QUANTILES = {"q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95}

N_EXTREMES = 10
"""Values listed in ``smallest`` and in ``largest``."""

FENCE = 1.5
"""Interquartile ranges from the quartiles to Tukey's inner fences (Tukey 1977)."""

_PROBE = 1000


def number_statistics(
    counted: Tally, *, is_whole: bool, n_infinite: int, n_negative_infinite: int
) -> NumberStatistics:
    """Describe a tally of finite values; the infinite ones are counted beside it."""
    values, n = counted.values, counted.n
    shape = moments(counted) if n else NO_MOMENTS
    quantiles = {name: quantile(values, counted.ends, q) for name, q in QUANTILES.items()}
    total = whole_sum(values, counted.counts) if is_whole else shape.total
    mean = float(total / n) if is_whole and n and total is not None else shape.mean
    low, high = quantiles["q25"], quantiles["q75"]
    return NumberStatistics(
        mean=mean,
        std=shape.std,
        variance=shape.variance,
        min=values[0].item() if n else None,
        q05=quantiles["q05"],
        q25=low,
        median=quantiles["median"],
        q75=high,
        q95=quantiles["q95"],
        max=values[-1].item() if n else None,
        sum=total if n else 0,
        skewness=shape.skewness,
        kurtosis=shape.kurtosis,
        mad=shape.mad,
        n_zeros=counted.upto(0) - counted.upto(0, "left"),
        n_negative=counted.upto(0, "left") + n_negative_infinite,
        n_infinite=n_infinite,
        histogram=_histogram(counted) if n else None,
        range=_finite_difference(values[-1].item(), values[0].item()) if n else None,
        iqr=_finite_difference(high, low),
        cv=_ratio(shape.std, mean),
        monotonicity=monotonicity(counted.codes),
        n_outliers=_n_outliers(counted, low, high),
        smallest=_listed(counted, range(min(N_EXTREMES, values.size))),
        largest=_listed(counted, range(values.size - 1, -1, -1)[:N_EXTREMES]),
    )


def _finite_difference(high: Any, low: Any) -> Any:
    if high is None or low is None:
        return None
    difference = high - low
    return difference if isinstance(difference, int) or math.isfinite(difference) else None


def _ratio(part: float | None, whole: float | None) -> float | None:
    if part is None or not whole:
        return None
    ratio = part / whole
    return ratio if math.isfinite(ratio) else None


def _listed(counted: Tally, places: range) -> tuple[ValueCount, ...]:
    return tuple(
        ValueCount(counted.values[place].item(), int(counted.counts[place])) for place in places
    )


def _n_outliers(counted: Tally, low: float | None, high: float | None) -> int:
    if low is None or high is None or not math.isfinite(FENCE * (high - low)):
        return 0
    fence = FENCE * (high - low)
    return counted.upto(low - fence, "left") + counted.n - counted.upto(high + fence)


def monotonicity(codes: NDArray[np.int32]) -> str | None:
    """Return how the rows that hold a value are ordered; None for fewer than two, or neither.

    ``codes`` are places of values in rising order, -1 where there is none.
    """
    probe = codes[:_PROBE]
    if codes.size < 2 or _direction(probe[probe >= 0]) is None:
        return None
    return _direction(codes[codes >= 0] if codes.min() < 0 else codes) or None


def _direction(codes: NDArray[np.int32]) -> str | None:
    """Return the order of the codes: empty when every one is the same, None when there is none."""
    before, after = codes[:-1], codes[1:]
    rises, falls = bool((after >= before).all()), bool((after <= before).all())
    if rises and falls:
        return ""
    if rises:
        return "strictly increasing" if bool((after > before).all()) else "increasing"
    if falls:
        return "strictly decreasing" if bool((after < before).all()) else "decreasing"
    return None


def _histogram(counted: Tally) -> Histogram:
    values = counted.values
    if values.size == 1:
        edge = values[0].item()
        return Histogram((edge, edge), (int(counted.counts[0]),))
    low, high = values[0].item(), values[-1].item()
    bins = n_bins(counted.n)
    is_whole = max(-low, high) < 2**52 and _are_whole(values)
    if is_whole:
        edges = whole_edges(int(low), int(high), bins)
    else:
        edges = even_edges(float(low), float(high), bins)
    return Histogram(tuple(edges.tolist()), counts_between(counted, edges), is_whole)


def _are_whole(values: NDArray[Any]) -> bool:
    """Return whether every value is a whole number, of whatever type."""
    import numpy as np

    if values.dtype.kind in "iu":
        return True
    return all(bool((np.rint(some) == some).all()) for some in (values[:_PROBE], values))


def whole_edges(low: int, high: int, bins: int) -> NDArray[np.float64]:
    """Return edges whose bins hold the same number of whole numbers each, none of them empty.

    Bins of a broken width would hold now more, now fewer of them, which looks like a comb.
    """
    import numpy as np

    width = -(-(high - low + 1) // bins)
    n = -(-(high - low + 1) // width)
    return low + width * np.arange(n + 1, dtype=np.float64)
