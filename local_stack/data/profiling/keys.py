"""Columns that name a row, decide another column, or repeat it.

Candidates are thrown out by counts, then by all rows of a few values of one column (which any
repetition among them disproves); only what is left is counted exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING

from local_stack.data.profiling.coding import (
    TextHashes,
    codes_of,
    hash_of_missing,
    n_codes,
    percent,
)
from local_stack.data.profiling.columns import Column, narrowed
from local_stack.data.profiling.shape import Alert, Thresholds
from local_stack.data.profiling.table import Table
from local_stack.progress import Progress, Step, silent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_PARTS = 30
"""Columns that pairs are made of, those of the most distinct values."""

MAX_TRIPLE_PARTS = 12
MAX_EXACT = 20
"""Candidates that are counted over all rows."""

MIN_ROWS = 20
MIN_COLLISIONS = {2: 30.0, 3: 100.0}
"""Uniqueness surprises where chance alone would give at least so many repetitions: by columns."""

MIN_FUNCTION = 10
"""Fewer distinct values than this lie in the same order by chance."""

MAX_DECIDED = 1_000
"""Distinct values of a column that another one may decide."""

ROWS_IN_GROUP = 5
"""A column that decides another has at least so many rows for each of its values."""

TRIED_ROWS = 5_000
"""Rows that a rule is tried on before it is counted."""

_MAX_CELLS = 20_000_000


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


# ------------------------------------------------------------------ keys


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
    quoted = [f"'{name}'" for name in names]
    return " and ".join([", ".join(quoted[:-1]), quoted[-1]]) if len(quoted) > 1 else quoted[0]


# ------------------------------------------------------------------ dependencies


def dependency_findings(
    parts: Mapping[str, Part],
    same: set[frozenset[str]],
    thresholds: Thresholds,
    progress: Progress = silent,
) -> Iterator[Alert]:
    """Yield pairs of columns of which one decides the other.

    ``value`` is the share of rows that keep the rule if every value of the one column stands
    for the most frequent value of the other beside it. Rows that miss either are left out.

    Parameters
    ----------
    same
        Pairs of columns that need no further word.
    """
    limit = thresholds.p_dependency
    strengths: dict[tuple[str, str], float] = {}
    for done, first in enumerate(parts.values()):
        progress(Step("dependencies", done, len(parts)))
        if first.size * ROWS_IN_GROUP > first.n:
            continue
        for second in parts.values():
            pair = frozenset((first.name, second.name))
            if first is second or pair in same or not _may_decide(first, second, limit):
                continue
            strength = _strength(first, second)
            if strength >= limit:
                strengths[first.name, second.name] = strength
    for one, other in essential(strengths):
        strength, is_mutual = strengths[one, other], (other, one) in strengths
        how = "decides, and is decided by," if is_mutual else "decides"
        advice = ": one of them is enough" if is_mutual else ""
        share = f"{strength:.2%} of the rows (threshold {percent(limit)})"
        message = f"It {how} '{other}' in {share}{advice}."
        yield Alert("dependency", one, strength, limit, message, other)


def essential(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the dependencies that the others do not imply.

    Of columns that decide one another the first stands for all; what follows by way of a third
    column is left out.
    """
    known = dict.fromkeys(pairs)
    stands_for: dict[str, str] = {}
    mutual: list[tuple[str, str]] = []
    for one, other in known:
        if (other, one) in known and one not in stands_for and other not in stands_for:
            stands_for[other] = one
            mutual.append((one, other))
    rest = {pair for pair in known if not stands_for.keys() & set(pair)} - set(mutual)
    implied = {(one, third) for one, other in rest for second, third in rest if other == second}
    return mutual + [pair for pair in known if pair in rest and pair not in implied]


def _may_decide(first: Part, second: Part, limit: float) -> bool:
    """Return whether counts and the tried rows leave room for a dependency."""
    import numpy as np

    if second.size > MAX_DECIDED or (limit >= 1.0 and second.size > first.size):
        return False
    a, b = first.at(first.tried), second.at(first.tried)
    held = b >= 0
    order = np.lexsort((b[held], a[held]))
    a, b = a[held][order], b[held][order]
    n_broken = int(((a[1:] == a[:-1]) & (b[1:] != b[:-1])).sum())
    return n_broken <= (1 - limit) * a.size * 1.5


def _strength(first: Part, second: Part) -> float:
    """Return the share of rows that keep the rule, 0 where chance keeps it."""
    import numpy as np

    combined = first.codes.astype(np.int64) * second.size + second.codes
    combined[(first.codes < 0) | (second.codes < 0)] = -1
    if first.size * second.size <= _MAX_CELLS:
        cells = np.bincount(combined + 1, minlength=first.size * second.size + 1)[1:]
        table = cells.reshape(first.size, second.size)
        groups, kept = table.sum(axis=1), table.max(axis=1)
    else:
        found, counts = np.unique(combined[combined >= 0], return_counts=True)
        owners = found // second.size
        starts = np.flatnonzero(np.append(True, owners[1:] != owners[:-1]))
        groups, kept = np.add.reduceat(counts, starts), np.maximum.reduceat(counts, starts)
    n = int(groups.sum())
    is_shared = groups > 1
    n_shared = int(groups[is_shared].sum())
    n_lesser = n_shared - second.most
    if n < MIN_ROWS or n_lesser < MIN_ROWS // 2:
        return 0.0
    return int(kept.sum()) / n


# ------------------------------------------------------------------ columns that repeat another


def repeated_findings(table: Table, columns: Mapping[str, Column]) -> Iterator[Alert]:
    """Yield columns with the content of another, and those computed from it.

    Numbers and dates: another in the same or the reverse order in every row, so that it is a
    straight line ``k * x + c`` of it or another rising or falling function of it.
    """
    groups: dict[tuple[int, int], list[str]] = {}
    if table.n_rows < MIN_ROWS:
        return
    for name, column in columns.items():
        if column.profile.n_distinct > 1:
            key = (column.profile.n_distinct, column.profile.n_missing)
            groups.setdefault(key, []).append(name)
    for names in groups.values():
        told: set[str] = set()
        for first, second in combinations(names, 2):
            if first in told or second in told:
                continue
            alert = _repetition(table, columns[first], columns[second])
            if alert is not None:
                told.add(second)
                yield alert


def _repetition(table: Table, first: Column, second: Column) -> Alert | None:
    one, other = first.profile.name, second.profile.name
    if _is_equal(table, first, second):
        message = f"It holds the same value as '{one}' in every row: one of them is enough."
        return Alert("equal_columns", other, 1.0, 1.0, message, one)
    how = _derivation(first, second)
    if how is None:
        return None
    return Alert("derived", other, 1.0, 1.0, f"In every row it is {how}.", one)


def _is_equal(table: Table, first: Column, second: Column) -> bool:
    import numpy as np

    a, b = first.profile, second.profile
    if a.type != b.type or a.top_values != b.top_values:
        return False
    if first.tally is not None and second.tally is not None:
        is_same = np.array_equal(first.tally.values, second.tally.values)
        return is_same and np.array_equal(first.tally.codes, second.tally.codes)
    one, other = codes_of(first), codes_of(second)
    if one is not None and other is not None and first.texts is None:
        return np.array_equal(one, other)
    if a.lengths != b.lengths:
        return False
    return narrowed(table.column(a.name)).equals(narrowed(table.column(b.name)))


def _derivation(first: Column, second: Column) -> str | None:
    import numpy as np

    if first.tally is None or second.tally is None or first.tally.values.size < 3:
        return None
    a, b, name = first.tally.codes, second.tally.codes, first.profile.name
    size = first.tally.values.size
    few = slice(0, 2_000)
    is_rising = np.array_equal(a[few], b[few]) and np.array_equal(a, b)
    if not is_rising:
        mirrored = np.where(b[few] >= 0, size - 1 - b[few], -1)
        if not np.array_equal(a[few], mirrored):
            return None
        if not np.array_equal(a, np.where(b >= 0, size - 1 - b, -1)):
            return None
    line = _line(first, second, is_rising)
    if line is not None:
        return line
    if size < MIN_FUNCTION or np.all(np.diff(a) >= 0):  # they follow the order of the rows
        return None
    return f"a {'rising' if is_rising else 'falling'} function of '{name}'"


def _line(first: Column, second: Column, is_rising: bool) -> str | None:
    import numpy as np

    assert first.tally is not None
    assert second.tally is not None
    x = first.tally.values.astype(np.float64)
    y = second.tally.values.astype(np.float64)
    y = y if is_rising else y[::-1]
    with np.errstate(over="ignore", invalid="ignore"):
        slope = (y[-1] - y[0]) / (x[-1] - x[0])
        offset = y[0] - slope * x[0]
        scale = max(abs(y[0]), abs(y[-1]), abs(slope * x[0]), abs(slope * x[-1]))
        is_line = np.isfinite(scale) and np.abs(slope * x + offset - y).max() <= 1e-9 * scale
    if not is_line:
        return None
    name = first.profile.name
    if first.profile.dates is not None or second.profile.dates is not None:
        return f"a straight line of '{name}'"
    line = f"'{name}'" if slope == 1 else f"{slope:.6g} times '{name}'"
    sign = "+" if offset > 0 else "-"
    return line if abs(offset) <= 1e-9 * scale else f"{line} {sign} {abs(offset):.6g}"
