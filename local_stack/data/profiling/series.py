"""Numbers in the order of a time column: autocorrelation, unit root, season."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING

from local_stack.data.profiling.columns import Column
from local_stack.data.profiling.shape import SeriesStatistics

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

N_LAGS = 48
"""Lags whose autocorrelation is given."""

N_POINTS = 60
"""Means of equal stretches that draw the series."""

ADF_ROWS = 20_000
"""The unit-root test looks at so many last values at most."""

P_VALUE = 0.05
"""A series whose unit root is refused at this level is called stationary."""

_LEAST = 8  # values without which nothing can be said


def in_time_order(time: Column) -> NDArray[np.int64]:
    """Return the rows that have a time, earliest first; equal times stay in the order of rows."""
    import numpy as np

    assert time.tally is not None
    order = np.argsort(time.tally.codes, kind="stable")
    return order[time.tally.codes.size - time.tally.n :]


def series_statistics(column: Column, order: NDArray[np.int64]) -> SeriesStatistics | None:
    """Describe a number in the ``order`` of its rows; None when too few rows hold one."""
    import numpy as np

    assert column.tally is not None
    codes = column.tally.codes[order]
    x = column.tally.values.astype(np.float64)[codes[codes >= 0]]
    if x.size < _LEAST:
        return None
    correlations = autocorrelation(x, min(N_LAGS, x.size // 2))
    statistic, p_value = _unit_root(x)
    return SeriesStatistics(
        autocorrelation=tuple(correlations),
        adf_statistic=statistic,
        adf_p_value=p_value,
        is_stationary=None if p_value is None else p_value < P_VALUE,
        season=_season(correlations, x.size),
        points=tuple(float(part.mean()) for part in np.array_split(x, min(N_POINTS, x.size))),
        partial_autocorrelation=tuple(partial_autocorrelation(correlations)),
    )


def autocorrelation(x: NDArray[np.float64], n_lags: int) -> list[float | None]:
    """Return the autocorrelation of lags 1 to ``n_lags`` (biased, by Fourier transform)."""
    import numpy as np

    d = x - x.mean()
    size = 1 << (2 * x.size - 1).bit_length()
    spectrum = np.fft.rfft(d, size)
    products = np.fft.irfft(spectrum * np.conj(spectrum), size)[: n_lags + 1]
    if not products[0] > 0:
        return [None] * n_lags
    return [float(value) for value in products[1:] / products[0]]


def partial_autocorrelation(correlations: list[float | None]) -> list[float | None]:
    """Return what each lag adds to those before it, by Levinson's and Durbin's recursion."""
    import numpy as np

    if None in correlations or not correlations:
        return [None] * len(correlations)
    rho = np.array(correlations, dtype=np.float64)
    found: list[float | None] = []
    phi = np.zeros(0)
    for lag in range(rho.size):
        left = 1.0 - float(phi @ rho[:lag])
        if left <= 1e-12:
            return found + [None] * (rho.size - lag)
        last = float(rho[lag] - phi @ rho[:lag][::-1]) / left
        phi = np.append(phi - last * phi[::-1], last)
        found.append(last)
    return found


def _season(correlations: list[float | None], n: int) -> int | None:
    """Return the lag, from 2 on, of the highest peak beyond the noise's 99.9 % band."""
    bound = 3.29 / math.sqrt(n)
    values = [value or 0.0 for value in correlations]
    peaks = [
        (values[place], place + 1)
        for place in range(1, len(values) - 1)
        if values[place - 1] < values[place] > values[place + 1] and values[place] > bound
    ]
    return max(peaks)[1] if peaks else None


def _unit_root(x: NDArray[np.float64]) -> tuple[float | None, float | None]:
    """Return statistic and p-value of the augmented Dickey-Fuller test with a constant."""
    from statsmodels.tsa.stattools import adfuller

    x = x[-ADF_ROWS:]
    if x.size < 20 or x.min() == x.max():
        return None, None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a perfect fit divides by zero: no number, said below
        try:
            statistic, p_value = adfuller(
                x, autolag="AIC", maxlag=min(20, x.size // 4), result_object=False
            )[:2]
        except ValueError:
            return None, None
    if not (math.isfinite(statistic) and math.isfinite(p_value)):
        return None, None
    return float(statistic), float(p_value)
