"""Correlations of columns, each pair over the rows that hold both.

Columns that miss the same rows are ranked and multiplied together, so that a table without
missing values costs one matrix product and one with many costs no more than its patterns.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local_stack.data.profiling.shape import Correlations, Matrix
from local_stack.data.profiling.tallies import Tally, scaled

if TYPE_CHECKING:
    import numpy as np
    import polars
    from numpy.typing import NDArray

MAX_COLUMNS = 100
"""Columns correlated; the matrix names those left out."""

MAX_CATEGORIES = 100
_MAX_CELLS = 20_000_000  # of a block of columns in memory, eight bytes each


@dataclass(frozen=True, slots=True)
class _Numbers:
    series: polars.Series
    tally: Tally


_Vector = Callable[["_Numbers", "NDArray[np.bool_] | None"], "NDArray[np.float64] | None"]


def correlate(frame: polars.DataFrame, tallies: dict[str, Tally]) -> Correlations:
    """Correlate the numbers (``tallies`` by column) and the categories of ``frame``."""
    numbers = [name for name, counted in tallies.items() if counted.values.size > 1]
    kept, left_out = numbers[:MAX_COLUMNS], tuple(numbers[MAX_COLUMNS:])
    columns = [_Numbers(frame[name], tallies[name]) for name in kept]
    pearson, spearman = _numeric(columns, frame.height)
    names = tuple(kept)
    return Correlations(
        pearson=Matrix(names, _plain(pearson), left_out),
        spearman=Matrix(names, _plain(spearman), left_out),
        cramers_v=_associations(frame),
    )


def _plain(matrix: NDArray[np.float64]) -> tuple[tuple[float | None, ...], ...]:
    return tuple(
        tuple(value if math.isfinite(value) else None for value in row) for row in matrix.tolist()
    )


def _numeric(
    columns: Sequence[_Numbers], n_rows: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    import numpy as np

    shape = (len(columns), len(columns))
    pearson, spearman = np.full(shape, np.nan), np.full(shape, np.nan)
    groups = _groups(columns)
    for i, (present, first) in enumerate(groups):
        for also_present, second in groups[: i + 1]:
            rows = None if present.all() and also_present.all() else present & also_present
            n = n_rows if rows is None else int(rows.sum())
            if n < 2:
                continue
            _fill(pearson, columns, first, second, rows, n, _distances)
            _fill(spearman, columns, first, second, rows, n, _ranks)
    for matrix in (pearson, spearman):
        diagonal = np.einsum("ii->i", matrix)
        diagonal[np.isfinite(diagonal)] = 1.0  # not 0.9999999999999998
    return pearson, spearman


def _groups(columns: Sequence[_Numbers]) -> list[tuple[NDArray[np.bool_], list[int]]]:
    """Return, for each set of rows that columns hold values in, those columns' indexes."""
    import numpy as np

    found: dict[bytes, tuple[NDArray[np.bool_], list[int]]] = {}
    for index, column in enumerate(columns):
        present = column.tally.codes >= 0
        found.setdefault(np.packbits(present).tobytes(), (present, []))[1].append(index)
    return list(found.values())


def _fill(
    matrix: NDArray[np.float64],
    columns: Sequence[_Numbers],
    first: list[int],
    second: list[int],
    rows: NDArray[np.bool_] | None,
    n: int,
    vector: _Vector,
) -> None:
    """Write the correlations of ``first`` with ``second`` over ``rows`` into ``matrix``."""
    import numpy as np

    size = max(1, _MAX_CELLS // n)
    for left in _tiles(first, size):
        units = _block(columns, left, rows, n, vector)
        for right in _tiles(second, size):
            others = units if left == right else _block(columns, right, rows, n, vector)
            found = np.clip(units @ others.T, -1.0, 1.0)
            matrix[np.ix_(left, right)] = found
            matrix[np.ix_(right, left)] = found.T


def _tiles(indexes: list[int], size: int) -> Iterator[list[int]]:
    for start in range(0, len(indexes), size):
        yield indexes[start : start + size]


def _block(
    columns: Sequence[_Numbers],
    indexes: list[int],
    rows: NDArray[np.bool_] | None,
    n: int,
    vector: _Vector,
) -> NDArray[np.float64]:
    """Return one vector of unit length for each column, centred; NaN for a constant."""
    import numpy as np

    block = np.empty((len(indexes), n))
    for place, index in enumerate(indexes):
        y = vector(columns[index], rows)
        if y is None:
            block[place] = np.nan
            continue
        y -= y.mean()
        y -= y.mean()  # what rounding left of the mean
        np.multiply(y, y, out=block[place])
        np.divide(y, math.sqrt(float(block[place].sum())), out=block[place])
    return block


def _distances(column: _Numbers, rows: NDArray[np.bool_] | None) -> NDArray[np.float64] | None:
    """Return the values of the rows, moved and scaled so that squares are finite."""
    import numpy as np

    x = column.series.to_numpy() if rows is None else _held(column.series, rows)
    low, high = x.min(), x.max()
    if low == high:
        return None
    return scaled(x, np.array([low, high]))[0].copy()


def _held(series: polars.Series, rows: NDArray[np.bool_]) -> NDArray[Any]:
    """Return the rows as NumPy holds their type: whole numbers must not pass through floats."""
    values: NDArray[Any] = series.fill_null(0).to_numpy()[rows]
    return values


def _ranks(column: _Numbers, rows: NDArray[np.bool_] | None) -> NDArray[np.float64] | None:
    """Return the ranks of the rows among themselves, equal values sharing their mean rank."""
    import numpy as np

    codes = column.tally.codes if rows is None else column.tally.codes[rows]
    counts = np.bincount(codes, minlength=column.tally.values.size)
    if int(counts.max()) == codes.size:
        return None
    ranks = np.cumsum(counts) - (counts - 1) / 2
    return ranks.take(codes)


def _associations(frame: polars.DataFrame) -> Matrix:
    import numpy as np

    coded: dict[str, NDArray[np.int64]] = {}
    left_out: list[str] = []
    for series in frame.iter_columns():
        codes = _category_codes(series)
        if codes is not None and len(coded) < MAX_COLUMNS:
            coded[series.name] = codes
        elif codes is not None:
            left_out.append(series.name)
    columns = list(coded.values())
    values = np.full((len(columns), len(columns)), np.nan)
    for i, a in enumerate(columns):
        for j, b in enumerate(columns[: i + 1]):
            values[i, j] = values[j, i] = cramers_v(_contingency(a, b))
    return Matrix(tuple(coded), _plain(values), tuple(left_out))


def _category_codes(series: polars.Series) -> NDArray[np.int64] | None:
    """Return a number for each category, -1 for missing; None if they are no or many categories."""
    import polars as pl

    if series.dtype not in (pl.String, pl.Boolean):
        return None
    categories = series.drop_nulls().unique()
    if not 2 <= categories.len() <= MAX_CATEGORIES:
        return None
    if series.dtype == pl.String:
        series = series.cast(pl.Enum(categories)).to_physical()
    codes: NDArray[np.int64] = series.cast(pl.Int64).fill_null(-1).to_numpy()
    return codes


def _contingency(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    import numpy as np

    both = (a >= 0) & (b >= 0)
    width = int(b.max()) + 1
    cells = np.bincount(a[both] * width + b[both], minlength=(int(a.max()) + 1) * width)
    return cells.reshape(-1, width)


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
