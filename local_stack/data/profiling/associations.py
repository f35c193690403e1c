"""How categories go with numbers and with one another."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]

RELIABLE = 1e-7
"""Share of a sum of squares that must be left when the mean is taken out of it."""


def correlation_ratio(sums: Floats, n: Floats, squares: Floats) -> Floats:
    """Return the bias-corrected correlation ratio, NaN where it is not defined.

    The square root of Kelley's epsilon squared (Kelley 1935, "An unbiased correlation ratio
    measure"), 0 where that is negative.

    Parameters
    ----------
    sums, n
        Sum of the number and count of rows in each category, shape (n_categories, n_numbers).
    squares
        Sum of squares of the number over all of these rows, shape (n_numbers,).
    """
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore"):
        n_rows, n_categories = n.sum(axis=0), (n > 0).sum(axis=0)
        middle = sums.sum(axis=0) ** 2 / n_rows
        between = np.where(n > 0, sums**2 / n, 0.0).sum(axis=0) - middle
        spread = squares - middle
        share = np.clip(between / spread, 0.0, 1.0)
        share = 1.0 - (1.0 - share) * (n_rows - 1) / (n_rows - n_categories)
        is_defined = (n_categories > 1) & (n_rows > n_categories) & (spread > RELIABLE * squares)
    found: Floats = np.where(is_defined, np.sqrt(np.clip(share, 0.0, 1.0)), math.nan)
    return found


def contingency(a: NDArray[np.int32], b: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return how many rows hold each pair of categories; rows that miss one are left out."""
    import numpy as np

    height, width = int(a.max()) + 2, int(b.max()) + 2
    cells = np.bincount((a + 1) * width + (b + 1), minlength=height * width)
    return cells.reshape(height, width)[1:, 1:]


def cramers_v(table: NDArray[np.int64]) -> float:
    """Return the bias-corrected Cramer's V of a table of counts, NaN where it is not defined."""
    import numpy as np

    table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    n = int(table.sum())
    if n < 2 or min(table.shape) < 2:
        return math.nan
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / n
    phi2 = float(((table - expected) ** 2 / expected).sum()) / n
    rows, columns = table.shape
    phi2 = max(0.0, phi2 - (rows - 1) * (columns - 1) / (n - 1))
    least = min(rows - (rows - 1) ** 2 / (n - 1), columns - (columns - 1) ** 2 / (n - 1)) - 1
    return min(1.0, math.sqrt(phi2 / least)) if least > 0 else math.nan
