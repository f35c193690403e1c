"""Columns, and sets of columns, that name a row.

Candidates are thrown out by counts, then by all rows of a few values of one column (which any
repetition among them disproves); only what is left is counted exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

from local_stack.data.profiling.columns import Column
from local_stack.data.profiling.parts import MIN_ROWS, Part
from local_stack.data.profiling.shape import Alert
from local_stack.data.profiling.table import Table
from local_stack.data.profiling.wordings import quote
from local_stack.progress import Progress, Step, silent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_PARTS = 30
"""Columns that pairs are made of, those of the most distinct values."""

MAX_TRIPLE_PARTS = 12
MAX_EXACT = 20
"""Candidates that are counted over all rows."""

MIN_COLLISIONS = {2: 30.0, 3: 100.0}
"""Uniqueness surprises where chance alone would give at least so many repetitions: by columns."""


def key_findings(
    table: Table,
    columns: Mapping[str, Column],
    parts: Mapping[str, Part],
    progress: Progress = silent,
) -> Iterator[Alert]:
    """Yield columns, and minimal pairs and triples of columns, that no two rows share.

    A column that is called an identifier is not named again. Pairs that chance alone may have
    made unique are left out: those with fewer than ``MIN_COLLISIONS`` expected repetitions if
    the columns were independent.
    """
    n = table.n_rows
    if n < MIN_ROWS:
        return
    for name, column in columns.items():
        profile = column.profile
        is_key = profile.n_distinct == n and not profile.n_missing and profile.type != "double"
        if is_key and profile.kind != "identifier-suspect":
            message = f"No two of the {n:,} rows share a value: it may serve as a key."
            yield Alert("candidate_key", name, 1, 1, message, columns=(name,))
    whole = [part for name, part in parts.items() if not columns[name].profile.n_missing]
    whole.sort(key=lambda part: -part.size)
    search = _Search(n, progress)
    pairs = [names for names in _sets(whole[:MAX_PARTS], 2) if search.is_key(names)]
    keys = list(pairs)
    for names in _sets(whole[:MAX_TRIPLE_PARTS], 3):
        inner = {frozenset(part.name for part in pair) for pair in combinations(names, 2)}
        known = {frozenset(part.name for part in pair) for pair in pairs}
        if not inner & known and search.is_key(names):
            keys.append(names)
    for found in keys:
        listed = [part.name for part in found]
        message = (
            f"No two of the {n:,} rows share their values of {_listed(listed)} together: they may "
            "serve as a key."
        )
        yield Alert(
            "candidate_key",
            listed[0],
            len(listed),
            3,
            message,
            listed[1],
            columns=tuple(listed),
        )


def _sets(parts: Sequence[Part], size: int) -> Iterator[tuple[Part, ...]]:
    return combinations(parts, size)


class _Search:
    """Tests sets of columns, until so many have been counted exactly."""

    def __init__(self, n_rows: int, progress: Progress) -> None:
        self._n, self._progress = n_rows, progress
        self._n_exact = 0

    def is_key(self, parts: tuple[Part, ...]) -> bool:
        """Return whether no two rows share their values, and chance would not make it so."""
        if self._n_exact >= MAX_EXACT or not self._may_be_key(parts):
            return False
        tried = parts[0].tried
        if _n_distinct(parts, tried) < tried.size:
            return False
        self._progress(Step("keys", self._n_exact, MAX_EXACT))
        self._n_exact += 1
        return _n_distinct(parts, None) == self._n

    def _may_be_key(self, parts: tuple[Part, ...]) -> bool:
        product, together = 1, 1.0
        for part in parts:
            product *= part.size
            together *= part.concentration
        if product < self._n or product >= 2**62:
            return False
        if any(part.most * part.size > product for part in parts):  # too many rows of one value
            return False
        return self._n * (self._n - 1) / 2 * together >= MIN_COLLISIONS[len(parts)]


def _n_distinct(parts: tuple[Part, ...], rows: NDArray[np.int64] | None) -> int:
    import numpy as np
    import polars as pl

    combined = np.zeros(1, dtype=np.int64)
    for part in parts:
        codes = part.codes if rows is None else part.at(rows)
        combined = combined * part.size + codes
    if rows is not None:
        return int(np.unique(combined).size)
    return pl.Series(combined).n_unique()


def _listed(names: Sequence[str]) -> str:
    quoted = [quote(name) for name in names]
    return " and ".join([", ".join(quoted[:-1]), quoted[-1]]) if len(quoted) > 1 else quoted[0]
