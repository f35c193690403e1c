"""Columns as the parts of rules about all rows: keys, and what decides what."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from local_stack.data.profiling.coding import TextHashes, codes_of, hash_of_missing, n_codes
from local_stack.data.profiling.columns import Column
from local_stack.data.profiling.table import Table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MIN_ROWS = 20
"""Rules of fewer rows say nothing."""

TRIED_ROWS = 5_000
"""Rows that a rule is tried on before it is counted."""


class Part:
    """A column in a rule: its codes, and all its rows of a few values to try the rule on.

    Parameters
    ----------
    codes
        A number for each row's value, -1 where it is missing; None to make them of ``hashes``.
    size
        The number of different values.
    counts
        How often each occurs, in any order.
    """

    def __init__(
        self,
        name: str,
        codes: NDArray[np.int32] | None,
        size: int,
        counts: NDArray[np.int64],
        hashes: NDArray[np.uint64] | None = None,
    ) -> None:
        self.name, self.size, self.n = name, size, int(counts.sum())
        self.most = int(counts.max(initial=0))
        self.concentration = float((counts * (counts - 1.0)).sum()) / max(
            1.0, self.n * (self.n - 1.0)
        )
        """The chance that two different rows hold the same value."""
        self._given, self._counts, self._hashes = codes, counts, hashes

    @cached_property
    def codes(self) -> NDArray[np.int32]:
        """The codes of all rows (n_rows,)."""
        return self._coded(slice(None)) if self._given is None else self._given

    def at(self, rows: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return codes of some rows, the same for the same value among them."""
        return self._coded(rows) if self._given is None else self._given[rows]

    def _coded(self, rows: NDArray[np.int64] | slice) -> NDArray[np.int32]:
        import numpy as np

        assert self._hashes is not None
        hashes = self._hashes[rows]
        held = hashes != hash_of_missing()
        codes = np.full(hashes.size, -1, dtype=np.int32)
        codes[held] = np.unique(hashes[held], return_inverse=True)[1]
        return codes

    @cached_property
    def tried(self) -> NDArray[np.int64]:
        """All rows of some values, or every so many of them: at most about ``TRIED_ROWS``."""
        import numpy as np

        if self._given is None:
            assert self._hashes is not None
            n_rows = max(TRIED_ROWS, self._hashes.size)
            chosen = self._hashes <= np.uint64((2**64 - 1) * TRIED_ROWS // n_rows)
            chosen &= self._hashes != hash_of_missing()
        else:
            n_few = int(np.searchsorted(np.cumsum(self._counts), TRIED_ROWS))
            chosen = (self._given >= 0) & (self._given < max(1, n_few))
        found = np.flatnonzero(chosen)
        return found[:: max(1, found.size // TRIED_ROWS)]


def parts_of(
    table: Table, columns: Mapping[str, Column], hashes: TextHashes | None = None
) -> dict[str, Part]:
    """Return the columns that can stand in a rule: not decimals, constants, or all different."""
    import numpy as np

    known = hashes or TextHashes(table)
    parts: dict[str, Part] = {}
    for name, column in columns.items():
        profile = column.profile
        n = table.n_rows - profile.n_missing
        if profile.type == "double" or profile.n_distinct < 2 or profile.n_distinct >= n:
            continue
        codes = codes_of(column)
        if codes is not None:
            size = n_codes(column)
            counts = (
                np.bincount(codes + 1, minlength=size + 1)[1:]
                if column.tally is None
                else column.tally.counts
            )
            parts[name] = Part(name, codes, size, counts)
        elif column.texts is not None and 2 * profile.n_distinct <= n:
            counts = column.texts["count"].to_numpy().astype(np.int64)
            parts[name] = Part(name, None, profile.n_distinct, counts, known.of(name))
    return parts
