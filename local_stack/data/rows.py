"""Rows of a table by their number, read where they lie: the whole of it is never in memory."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from local_stack.data import compute

_LONGEST = 1_000_000


class RowReader:
    """The rows of a Parquet file, in their order.

    Columns are named by their place, for two of one file may differ in case alone. One thread
    reads at a time; the others wait. Close it, or use it as a context manager.
    """

    def __init__(self, path: Path, *, scratch: Path) -> None:
        self._lock = threading.Lock()
        self._left = contextlib.ExitStack()
        self._duck = self._left.enter_context(compute.connect(path.parent, scratch=scratch))
        self._table = f"read_parquet({compute.only(path)})"
        described = self._duck.execute(f"DESCRIBE SELECT * FROM {self._table}").fetchall()
        self._columns = [(str(name), str(type_)) for name, type_, *_ in described]
        counted = self._duck.execute(f"SELECT count(*) FROM {self._table}").fetchall()
        self.n_rows = int(counted[0][0])

    def __enter__(self) -> RowReader:
        """Return the reader itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the reader."""
        self.close()

    @property
    def n_columns(self) -> int:
        """Return how many columns the table has."""
        return len(self._columns)

    def close(self) -> None:
        """Let the file go; a read that is at work ends first."""
        with self._lock:
            self._left.close()

    def window(
        self, start: int, n: int, places: Sequence[int] | None = None, *, longest: int = 0
    ) -> tuple[tuple[Any, ...], ...]:
        """Return rows ``start`` (from 0) to ``start + n``, fewer at the end of the table.

        Parameters
        ----------
        places
            The columns to return, by their place from 0; None for all of them.
        longest
            Cut texts after so many characters; 0 leaves them whole.
        """
        chosen = range(self.n_columns) if places is None else places
        if not chosen or n <= 0:
            return ()
        wanted = ", ".join(self._selected(place, longest) for place in chosen)
        with self._lock:
            found = self._duck.execute(
                f"SELECT {wanted} FROM {self._table} LIMIT ? OFFSET ?", [n, max(0, start)]
            )
            return tuple(found.fetchall())

    def cell(self, row: int, place: int) -> Any:
        """Return one value; a text is cut after a million characters, and None is no value."""
        found = self.window(row, 1, [place], longest=_LONGEST)
        return found[0][0] if found else None

    def _selected(self, place: int, longest: int) -> str:
        name, type_ = self._columns[place]
        column = compute.identifier(name)
        return f"left({column}, {longest:d})" if longest and type_ == "VARCHAR" else column
