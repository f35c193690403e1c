"""The rows of a profiled column as codes: what findings of several columns are made from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from local_stack.data.profiling.columns import Column, moment, narrowed, shortened
from local_stack.data.profiling.shape import ValueCount
from local_stack.data.profiling.table import Table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

N_ROWS = 10
"""Rows named as examples of a finding."""

N_VALUES = 10
"""Values named as examples of a finding."""


def codes_of(column: Column) -> NDArray[np.int32] | None:
    """Return a number for the value of each row (n_rows,), -1 where there is none.

    Numbers and dates are numbered in rising order, texts from the most frequent on. None when
    the column has too many texts. An infinite number counts as no value.
    """
    return column.codes if column.tally is None else column.tally.codes


class TextHashes:
    """64-bit hashes of the texts of columns that have no codes, each column read once."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._known: dict[str, NDArray[np.uint64]] = {}

    def of(self, name: str) -> NDArray[np.uint64]:
        """Return the hash of each row's text (n_rows,), the same for the same text."""
        if name not in self._known:
            self._known[name] = narrowed(self._table.column(name)).hash(seed=0).to_numpy()
        return self._known[name]


def hash_of_missing() -> np.uint64:
    """Return what :class:`TextHashes` has where a text is missing."""
    import polars as pl

    found: np.uint64 = pl.Series([None], dtype=pl.String).hash(seed=0).to_numpy()[0]
    return found


def n_codes(column: Column) -> int:
    """Return how many different codes :func:`codes_of` gives, -1 left out."""
    if column.tally is not None:
        return int(column.tally.values.size)
    if column.profile.type == "boolean":
        return 2
    return column.profile.n_distinct


def is_missing(table: Table, name: str, column: Column) -> NDArray[np.bool_] | None:
    """Return whether each row misses the value (n_rows,); None when none does."""
    if not column.profile.n_missing:
        return None
    codes = codes_of(column)
    numbers = column.profile.numbers
    if codes is None or (numbers is not None and numbers.n_infinite):
        found: NDArray[np.bool_] = narrowed(table.column(name)).is_null().to_numpy()
        return found
    return codes < 0


def value_of(column: Column, code: int) -> bool | int | float | str:
    """Return the value that a code stands for, as a profile shows it."""
    if column.tally is not None:
        return number_of(column, column.tally.values[code])
    if column.texts is not None:
        return shortened(str(column.texts["value"][code]))
    return bool(code)


def number_of(column: Column, value: Any) -> int | float | str:
    """Return a value of a tally, as a profile shows it: dates as ISO 8601."""
    if column.profile.type == "date":
        return moment(int(value), "D")
    if column.profile.type == "datetime":
        return moment(int(value), "us")
    plain: int | float = value.item()
    return plain


def value_count(column: Column, code: int) -> ValueCount:
    """Return the value that a code stands for, with its count."""
    if column.tally is not None:
        return ValueCount(value_of(column, code), int(column.tally.counts[code]))
    if column.texts is not None:
        return ValueCount(value_of(column, code), int(column.texts["count"][code]))
    counts = {top.value: top.count for top in column.profile.top_values}
    return ValueCount(bool(code), counts.get(bool(code), 0))


def percent(share: float) -> str:
    """Return a share in per cent without figures that say nothing: ``0.1%``, ``90%``."""
    shown = f"{100 * share:.3g}"
    return f"{100 * share:.6g}%" if shown == "100" and share < 1 else f"{shown}%"


def rows_where(holds: NDArray[np.bool_], n: int = N_ROWS) -> tuple[int, ...]:
    """Return the numbers of the first ``n`` rows (from 0) where ``holds`` (n_rows,) is true."""
    found: list[int] = []
    size = 1 << 14
    for start in range(0, holds.size, size):
        if len(found) >= n:
            break
        found += (holds[start : start + size].nonzero()[0] + start).tolist()
    return tuple(found[:n])


def sampled_rows(n_rows: int, n_most: int) -> NDArray[np.int64] | None:
    """Return ``n_most`` seeded random rows in rising order, or None to take all of them."""
    import numpy as np

    if n_rows <= n_most:
        return None
    random = np.random.default_rng(0)
    if n_rows <= 4 * n_most:
        return np.sort(random.choice(n_rows, n_most, replace=False, shuffle=False))
    distinct = np.unique(random.integers(0, n_rows, n_most + n_most // 4))  # 7 % more than asked
    return distinct[np.linspace(0, distinct.size - 1, n_most).astype(np.int64)]
