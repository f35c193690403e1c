"""Rows of a table: its ends, and those that occur more than once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import Lock
from typing import TYPE_CHECKING

from local_stack.data.profiling.columns import Column, Unit, moment, narrowed, shortened, type_of
from local_stack.data.profiling.shape import DuplicateRows, Rows
from local_stack.data.profiling.table import Table
from local_stack.data.profiling.texts import is_repeated

if TYPE_CHECKING:
    import numpy as np
    import polars
    from numpy.typing import NDArray

N_ENDS = 10
"""Rows shown from each end of the table."""

N_DUPLICATES = 10
"""Duplicate rows shown, the most frequent first."""


class RowHashes:
    """A 64-bit hash of each row, gathered column by column in any order.

    A multilinear hash: each column's codes (or the hashes of its values) times an odd constant
    of its own, added up modulo 2**64.
    """

    def __init__(self, n_rows: int, n_columns: int) -> None:
        import numpy as np

        bits = np.random.default_rng(0).integers(0, 2**63, n_columns, dtype=np.uint64)
        self._factors = bits * np.uint64(2) + np.uint64(1)
        self._hashes = np.zeros(n_rows, dtype=np.uint64)
        self._lock = Lock()

    def add(self, place: int, series: polars.Series, column: Column) -> None:
        """Add the column at ``place``; equal values must hash alike, missing ones too."""
        import numpy as np

        codes = column.tally.codes if column.tally is not None else column.codes
        part = series.hash().to_numpy() if codes is None else codes.astype(np.uint64)
        part = part * self._factors[place]
        with self._lock:
            self._hashes += part

    def repeated(self) -> NDArray[np.int64]:
        """Return the rows, in their order, whose hash another row has too."""
        import numpy as np

        return np.flatnonzero(is_repeated(self._hashes))


def duplicates_of(
    table: Table, columns: Mapping[str, Column], hashes: RowHashes
) -> tuple[int, DuplicateRows]:
    """Return how many rows repeat an earlier one, and those that occur most often.

    Only the rows whose hash repeats are compared, value by value.
    """
    import polars as pl

    names = table.names
    if not names or not table.n_rows:
        return 0, DuplicateRows()
    if any(it.profile.n_distinct == table.n_rows for it in columns.values()):
        return 0, DuplicateRows(columns=tuple(names))
    suspects = hashes.repeated()
    if not suspects.size:
        return 0, DuplicateRows(columns=tuple(names))
    frame = table.take(suspects)
    frame = pl.DataFrame({series.name: narrowed(series) for series in frame.iter_columns()})
    counted = frame.group_by(names).agg(pl.len().alias(count := _free_name(names)))
    n_repeats = int((counted[count] - 1).sum())
    counted = counted.filter(pl.col(count) > 1)
    top = counted.sort([count, *names], descending=[True, *[False] * len(names)]).head(N_DUPLICATES)
    rows = rows_of(top.select(names))
    return n_repeats, DuplicateRows(tuple(names), rows, tuple(top[count].to_list()))


def _free_name(names: Sequence[str]) -> str:
    name = "count"
    while name in names:
        name += "_"
    return name


def sample_of(table: Table) -> Rows:
    """Return the first and the last rows."""
    if not table.names:
        return Rows()
    numbers, frame = table.ends(N_ENDS)
    return Rows(tuple(table.names), tuple(numbers), rows_of(frame))


def rows_of(frame: polars.DataFrame) -> tuple[tuple[str | None, ...], ...]:
    """Return the cells as text, None where they are missing; long text is cut."""
    columns = [_texts(narrowed(series)) for series in frame.iter_columns()]
    return tuple(zip(*columns, strict=True))


def _texts(series: polars.Series) -> list[str | None]:
    kind = type_of(series)
    if kind in ("date", "datetime"):
        unit: Unit = "D" if kind == "date" else "us"
        moments = series.to_physical().to_list()
        return [None if value is None else moment(value, unit) for value in moments]
    if kind == "boolean":
        return [None if value is None else str(value).lower() for value in series.to_list()]
    return [None if value is None else shortened(str(value)) for value in series.to_list()]
