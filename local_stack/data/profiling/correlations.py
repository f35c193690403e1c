"""Correlations of columns, each pair over the rows that hold both.

Everything is summed up block by block of rows, so that a matrix product does the work and no
table of numbers has to be in memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from local_stack.data.profiling.associations import (
    contingency,
    correlation_ratio,
    cramers_v,
)
from local_stack.data.profiling.correlated import Number, Numbers
from local_stack.data.profiling.shape import Correlations, Matrix
from local_stack.data.profiling.tallies import Tally, scaled
from local_stack.data.profiling.threads import in_threads

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from local_stack.data.profiling.columns import Column

    Floats: TypeAlias = NDArray[np.float64]

MAX_COLUMNS = 100
"""Columns correlated; the matrix names those left out."""

MAX_CATEGORIES = 100
"""Texts of more distinct values are not taken for categories."""

KENDALL_ROWS = 20_000
"""Kendall's tau is taken over a seeded sample of so many rows where there are more."""

_BLOCK_CELLS = 500_000  # of one block of rows, eight bytes each: what a core keeps near
_HELD_COLUMNS = 4
_RELIABLE = 1e-3  # less of a sum of squares left by its mean has lost digits: taken row by row
_MOST_ONE_HOT = 32


def correlate(columns: Mapping[str, Column], *, kendall: bool = False) -> Correlations:
    """Correlate the numbers and the categories of a table.

    Parameters
    ----------
    columns
        Every column of the table by name, with tallies and codes.
    kendall
        Whether Kendall's tau-b is wanted too, whose time grows with the square of the columns.
    """
    names = [name for name, it in columns.items() if it.profile.numbers and _varies(it)]
    kept, left_out = tuple(names[:MAX_COLUMNS]), tuple(names[MAX_COLUMNS:])
    numbers = _numbers(kept, [columns[name].tally for name in kept])
    codes, codes_left_out = _categories(columns)
    pearson, spearman, ratios = _sums(numbers, codes)
    associations = _associations(list(codes.values()))
    tau, n_rows = _kendall(numbers) if kendall else (None, None)
    return Correlations(
        pearson=Matrix(kept, _plain(pearson), left_out),
        spearman=Matrix(kept, _plain(spearman), left_out),
        cramers_v=Matrix(tuple(codes), _plain(associations), codes_left_out),
        mixed=_mixed(kept, tuple(codes), spearman, associations, ratios, left_out + codes_left_out),
        kendall=None if tau is None else Matrix(kept, _plain(tau), left_out),
        kendall_rows=n_rows,
    )


def _varies(column: Column) -> bool:
    return column.tally is not None and column.tally.values.size > 1


def _plain(matrix: Floats) -> tuple[tuple[float | None, ...], ...]:
    return tuple(
        tuple(value if math.isfinite(value) else None for value in row) for row in matrix.tolist()
    )


def _numbers(names: tuple[str, ...], tallies: Sequence[Tally | None]) -> Numbers:
    held = list(in_threads(Number, [counted for counted in tallies if counted is not None]))
    return Numbers(names, held, [place for place, it in enumerate(held) if it.is_holed])


def _categories(
    columns: Mapping[str, Column],
) -> tuple[dict[str, NDArray[np.int32]], tuple[str, ...]]:
    """Return the codes of texts and booleans of 2 to ``MAX_CATEGORIES`` values."""
    found = {
        name: column.codes
        for name, column in columns.items()
        if column.codes is not None and 2 <= column.profile.n_distinct <= MAX_CATEGORIES
    }
    names = list(found)
    return {name: found[name] for name in names[:MAX_COLUMNS]}, tuple(names[MAX_COLUMNS:])


# ------------------------------------------------------------------ sums over blocks of rows


class _Sums:
    """Sums over rows from which every correlation but that of ranks with holes is read."""

    def __init__(self, n_numbers: int, n_holed: int, sizes: Sequence[int]) -> None:
        import numpy as np

        square, narrow = (n_numbers, n_numbers), (n_numbers, n_holed)
        self.products = np.zeros(square)
        self.rank_products = np.zeros(square)
        self.sums = np.zeros(narrow)
        self.squares = np.zeros(narrow)
        self.held = np.zeros((n_holed, n_holed))
        self.by_category = [np.zeros((size, n_numbers)) for size in sizes]
        self.n_by_category = [np.zeros((size, n_numbers)) for size in sizes]
        self.squares_by_category = [np.zeros(n_numbers) for _ in sizes]

    def __iadd__(self, other: _Sums) -> _Sums:
        import numpy as np

        for name, mine in vars(self).items():
            theirs = getattr(other, name)
            pairs = zip(mine, theirs, strict=True) if isinstance(mine, list) else [(mine, theirs)]
            for left, right in pairs:
                np.add(left, right, out=left)
        return self


def _sums(
    numbers: Numbers, codes: Mapping[str, NDArray[np.int32]]
) -> tuple[Floats, Floats, Floats]:
    """Return Pearson, Spearman and the correlation ratios (categories x numbers)."""
    import numpy as np

    n = len(numbers.names)
    categories = list(codes.values())
    sizes = [int(each.max()) + 1 for each in categories]
    total = _Sums(n, len(numbers.holed), sizes)
    if not n:
        return np.zeros((0, 0)), np.zeros((0, 0)), np.zeros((len(codes), 0))
    size = max(1, _BLOCK_CELLS // (2 * n + len(numbers.holed)))
    blocks = [slice(start, start + size) for start in range(0, numbers.n_rows, size)]

    def summed(rows: slice) -> _Sums:
        return _block_sums(numbers, categories, sizes, rows)

    for found in in_threads(summed, blocks):
        total += found
    pearson = _pearson(numbers, total)
    return pearson, _spearman(numbers, total), _ratios(total, numbers, categories)


def _block_sums(
    numbers: Numbers,
    categories: Sequence[NDArray[np.int32]],
    sizes: Sequence[int],
    rows: slice,
) -> _Sums:
    import numpy as np

    found = _Sums(len(numbers.names), len(numbers.holed), sizes)
    codes = [column.codes[rows] for column in numbers.columns]
    pairs = list(zip(numbers.columns, codes, strict=True))
    shape = (len(codes), codes[0].size)
    z, r = np.empty(shape), np.empty(shape)
    for (column, some), distances, ranks in zip(pairs, z, r, strict=True):
        column.distances(some, distances)
        column.ranks(some, ranks)
    found.products = z @ z.T
    found.rank_products = r @ r.T
    present = np.ones((0, z.shape[1]))
    squares = z * z if numbers.holed or categories else z
    if numbers.holed:
        present = np.stack([(codes[place] >= 0).astype(np.float64) for place in numbers.holed])
        found.sums = z @ present.T
        found.squares = squares @ present.T
        found.held = present @ present.T
    for place, (each, size) in enumerate(zip(categories, sizes, strict=True)):
        some = each[rows]
        _add_category(found, place, some, size, z, present, numbers.holed)
        held = some >= 0
        if held.all():
            found.squares_by_category[place] = found.products.diagonal().copy()
        else:
            found.squares_by_category[place] = squares @ held.astype(np.float64)
    return found


def _add_category(
    found: _Sums,
    place: int,
    codes: NDArray[np.int32],
    size: int,
    z: Floats,
    present: Floats,
    holed: list[int],
) -> None:
    """Add the sums of every number in each category of one column."""
    import numpy as np

    counts = np.bincount(codes[codes >= 0], minlength=size).astype(np.float64)
    if size <= _MOST_ONE_HOT:
        one_hot = (codes == np.arange(size, dtype=np.int32)[:, None]).astype(np.float64)
        sums, held = one_hot @ z.T, one_hot @ present.T
    else:
        sums, held = _binned(codes, size, z), _binned(codes, size, present)
    n = np.repeat(counts[:, None], z.shape[0], axis=1)
    n[:, holed] = held
    found.by_category[place] = sums
    found.n_by_category[place] = n


def _binned(codes: NDArray[np.int32], size: int, values: Floats) -> Floats:
    import numpy as np

    shifted = codes + 1  # bin 0 takes the rows without a category
    sums = [np.bincount(shifted, weights=row, minlength=size + 1)[1:] for row in values]
    return np.stack(sums, axis=1) if sums else np.zeros((size, 0))


# ------------------------------------------------------------------ from sums to correlations


def _pearson(numbers: Numbers, total: _Sums) -> Floats:
    """Return Pearson's correlations; pairs whose sums cancel out are taken anew, row by row."""
    import numpy as np

    n = len(numbers.names)
    found = np.clip(total.products, -1.0, 1.0)
    np.fill_diagonal(found, 1.0)
    place_of = {column: place for place, column in enumerate(numbers.holed)}
    for i in range(n):
        for j in range(i):
            if i in place_of or j in place_of:
                found[i, j] = found[j, i] = _pearson_of_holed(numbers, total, place_of, i, j)
    return found


def _pearson_of_holed(
    numbers: Numbers, total: _Sums, place_of: Mapping[int, int], i: int, j: int
) -> float:
    """Return Pearson's correlation over the rows that hold both, from their sums."""
    n = _n_both(numbers, total, place_of, i, j)
    if n < 2:
        return math.nan
    # The rows that hold both are those of j as far as i is concerned, since i is zero elsewhere.
    parts = []
    for own, other in ((i, j), (j, i)):
        place = place_of.get(other)
        if place is None:
            squares, mean = total.products[own, own], 0.0
        else:
            squares, mean = total.squares[own, place], total.sums[own, place] / n
        spread = squares - n * mean * mean
        if spread <= _RELIABLE * squares:
            return _pearson_of_rows(numbers, i, j)
        parts.append((mean, spread))
    (mean, spread), (other_mean, other_spread) = parts
    covariance = total.products[i, j] - n * mean * other_mean
    return float(min(1.0, max(-1.0, covariance / math.sqrt(spread * other_spread))))


def _n_both(numbers: Numbers, total: _Sums, place_of: Mapping[int, int], i: int, j: int) -> int:
    if i in place_of and j in place_of:
        return round(float(total.held[place_of[i], place_of[j]]))
    return numbers.columns[i if i in place_of else j].n


def _pearson_of_rows(numbers: Numbers, i: int, j: int) -> float:
    import numpy as np

    both = (numbers.columns[i].codes >= 0) & (numbers.columns[j].codes >= 0)
    units = []
    for place in (i, j):
        counted = numbers.columns[place].tally
        held = counted.values.take(counted.codes[both])
        low, high = held.min(), held.max()
        if low == high:
            return math.nan
        y = scaled(held, np.array([low, high]))[0].copy()
        y -= y.mean()
        y -= y.mean()
        units.append(y / math.sqrt(float((y * y).sum())))
    return float(np.clip((units[0] * units[1]).sum(), -1.0, 1.0))


def _spearman(numbers: Numbers, total: _Sums) -> Floats:
    """Return Spearman's correlations: Pearson's of ranks among the rows that hold both."""
    import numpy as np

    lengths = np.sqrt(np.diag(total.rank_products))
    found: Floats = np.clip(total.rank_products / np.outer(lengths, lengths), -1.0, 1.0)
    groups = _groups(numbers)
    tasks = [
        task for place, a in enumerate(groups) for b in groups[:place] for task in _tasks(a, b)
    ]

    def ranked(task: tuple[_Group, _Group]) -> Floats:
        return _rank_correlations(numbers, *task)

    for (few, many), values in zip(tasks, in_threads(ranked, tasks), strict=True):
        found[np.ix_(few.columns, many.columns)] = values
        found[np.ix_(many.columns, few.columns)] = values.T
    np.fill_diagonal(found, 1.0)
    return found


@dataclass(frozen=True, slots=True)
class _Group:
    """Columns that hold values in the same rows (``present``; None: in all)."""

    present: NDArray[np.bool_] | None
    columns: list[int]


def _groups(numbers: Numbers) -> list[_Group]:
    import numpy as np

    full = [place for place in range(len(numbers.names)) if place not in numbers.holed]
    groups = [_Group(None, full)] if full else []
    by_rows: dict[bytes, _Group] = {}
    for place in numbers.holed:
        present = numbers.columns[place].codes >= 0
        key = np.packbits(present).tobytes()
        by_rows.setdefault(key, _Group(present, [])).columns.append(place)
    return groups + list(by_rows.values())


def _tasks(first: _Group, second: _Group) -> Iterator[tuple[_Group, _Group]]:
    """Cut a pair of groups into pieces: few columns to be held in memory, many to walk along."""
    few, many = sorted((first, second), key=lambda group: len(group.columns))
    for start in range(0, len(few.columns), _HELD_COLUMNS):
        held = _Group(few.present, few.columns[start : start + _HELD_COLUMNS])
        for place in range(0, len(many.columns), _HELD_COLUMNS):
            yield held, _Group(many.present, many.columns[place : place + _HELD_COLUMNS])


def _rank_correlations(numbers: Numbers, few: _Group, many: _Group) -> Floats:
    """Return the correlations of the columns of two groups over the rows of both."""
    import numpy as np

    masks = [group.present for group in (few, many) if group.present is not None]
    rows = _Rows(masks[0] if len(masks) == 1 else masks[0] & masks[1])
    found = np.full((len(few.columns), len(many.columns)), math.nan)
    if rows.n < 2:
        return found
    held = [_ranks_among(numbers.columns[column], rows) for column in few.columns]
    for place, column in enumerate(many.columns):
        other = _ranks_among(numbers.columns[column], rows)
        for row, ranks in enumerate(held):
            if ranks is not None and other is not None:
                found[row, place] = min(1.0, max(-1.0, float(np.dot(ranks, other))))
    return found


class _Rows:
    """The rows that two groups hold, as a mask (n_rows,) or, where they are few, as numbers."""

    def __init__(self, both: NDArray[np.bool_]) -> None:
        import numpy as np

        self.n = int(np.count_nonzero(both))
        self.are_few = 2 * self.n < both.size
        self.chosen = np.flatnonzero(both if self.are_few else ~both)


def _ranks_among(number: Number, rows: _Rows) -> Floats | None:
    """Return ranks among ``rows``, centred and of unit length; None for a constant.

    Where the rows are many there is a rank for every row of the table, zero for all others.
    """
    import numpy as np

    codes = number.codes.take(rows.chosen) if rows.are_few else number.codes
    if number.n == rows.n:  # every row that holds a value: the ranks are those it has
        found = number.ranks(codes, np.empty(codes.size))
    else:
        size = number.tally.values.size
        if rows.are_few:
            counts = np.bincount(codes, minlength=size)
        else:
            without = codes.take(rows.chosen)
            counts = np.bincount(without[without >= 0], minlength=size)
            np.subtract(number.tally.counts, counts, out=counts)
        if int(counts.max()) == rows.n:
            return None
        ranks = counts.cumsum()  # made twice the distances from the mean rank, in place
        ranks *= 2
        ranks -= counts
        ranks -= rows.n
        found = ranks.take(codes, mode="clip").astype(np.float64)
    if not rows.are_few:
        found[rows.chosen] = 0.0
    found /= math.sqrt(float(np.dot(found, found)))
    return found


def _ratios(total: _Sums, numbers: Numbers, categories: Sequence[NDArray[np.int32]]) -> Floats:
    """Return the correlation ratios of each category (rows) with each number (columns)."""
    import numpy as np

    found = np.full((len(categories), len(numbers.names)), math.nan)
    for place in range(len(categories)):
        sums, n = total.by_category[place], total.n_by_category[place]
        found[place] = correlation_ratio(sums, n, total.squares_by_category[place])
    return found


def _associations(columns: Sequence[NDArray[np.int32]]) -> Floats:
    import numpy as np

    values = np.full((len(columns), len(columns)), np.nan)
    pairs = [(i, j) for i in range(len(columns)) for j in range(i + 1)]

    def associated(pair: tuple[int, int]) -> float:
        return cramers_v(contingency(columns[pair[0]], columns[pair[1]]))

    for (i, j), value in zip(pairs, in_threads(associated, pairs), strict=True):
        values[i, j] = values[j, i] = value
    return values


def _mixed(
    numbers: tuple[str, ...],
    categories: tuple[str, ...],
    spearman: Floats,
    associations: Floats,
    ratios: Floats,
    left_out: tuple[str, ...],
) -> Matrix:
    import numpy as np

    values = np.block([[np.abs(spearman), ratios.T], [ratios, associations]])
    return Matrix(numbers + categories, _plain(values), left_out)


def _kendall(numbers: Numbers) -> tuple[Floats, int]:
    """Return Kendall's tau-b and the number of rows it was taken over."""
    import numpy as np
    from scipy.stats import kendalltau

    n_rows = numbers.n_rows
    rows = np.arange(n_rows)
    if n_rows > KENDALL_ROWS:
        rows = np.sort(np.random.default_rng(0).choice(n_rows, KENDALL_ROWS, replace=False))
    codes = [column.codes[rows] for column in numbers.columns]
    found = np.full((len(codes), len(codes)), math.nan)
    for i, a in enumerate(codes):
        for j, b in enumerate(codes[: i + 1]):
            both = (a >= 0) & (b >= 0)
            if both.sum() > 1:
                found[i, j] = found[j, i] = kendalltau(a[both], b[both]).statistic
    return found, int(rows.size)
