"""A table that is read one column at a time, so that it need not fit into memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import polars
    from numpy.typing import NDArray


_PLACE = "\x00place"  # no column of a stored table may hold a NUL in its name


class Table:
    """A Parquet file or a frame, or ``rows`` (ascending row numbers) of it."""

    def __init__(
        self, source: Path | polars.DataFrame, rows: NDArray[np.int64] | None = None
    ) -> None:
        import polars as pl

        self._frame = source if isinstance(source, pl.DataFrame) else None
        self._path = source if isinstance(source, Path) else None
        self._rows = rows
        lazy = self._lazy()
        self.schema = lazy.collect_schema()
        self.names = self.schema.names()
        self.n_rows_total = int(lazy.select(pl.len()).collect().item())
        self.n_rows = self.n_rows_total if rows is None else int(rows.size)

    def _lazy(self) -> polars.LazyFrame:
        import polars as pl

        if self._frame is not None:
            return self._frame.lazy()
        assert self._path is not None
        return pl.scan_parquet(self._path, glob=False)

    def column(self, name: str) -> polars.Series:
        """Return one column (n_rows,) as it is stored."""
        return self.columns([name])[name]

    def columns(self, names: Sequence[str]) -> polars.DataFrame:
        """Return some columns, in the order of ``names``."""
        import polars as pl

        if self._frame is not None:
            frame = self._frame.select(names)
        else:
            assert self._path is not None
            frame = pl.read_parquet(self._path, columns=list(names), glob=False)
        return frame if self._rows is None else frame[self._rows]

    def ends(self, n: int) -> tuple[list[int], polars.DataFrame]:
        """Return the numbers of the first and the last ``n`` rows, and these rows."""
        import polars as pl

        numbers = [*range(min(n, self.n_rows)), *range(max(n, self.n_rows - n), self.n_rows)]
        if self._rows is not None:
            return numbers, self.take(numbers)
        first, last = self._lazy().head(n), self._lazy().tail(len(numbers) - min(n, self.n_rows))
        return numbers, pl.concat([first.collect(), last.collect()])

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> polars.DataFrame:
        """Return the rows with these numbers (from 0), in that order; none may stand twice."""
        import numpy as np
        import polars as pl

        wanted = np.asarray(rows, dtype=np.int64)
        places = wanted if self._rows is None else self._rows[wanted]
        if self._frame is not None:
            return self._frame[places]
        order = pl.DataFrame({_PLACE: places}, schema={_PLACE: pl.UInt32})
        found = self._lazy().with_row_index(_PLACE)
        chosen = found.join(order.lazy(), on=_PLACE, how="semi").collect()
        return order.join(chosen, on=_PLACE, how="left").drop(_PLACE)
