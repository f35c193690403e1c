"""Columns that decide another one: functional dependencies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from local_stack.data.profiling.coding import percent
from local_stack.data.profiling.parts import MIN_ROWS, Part
from local_stack.data.profiling.shape import Alert, Thresholds
from local_stack.data.profiling.wordings import quote
from local_stack.progress import Progress, Step, silent

if TYPE_CHECKING:
    pass

MAX_COLUMNS = 200
"""Columns tried on one another."""

MAX_DECIDED = 1_000
"""Distinct values of a column that another one may decide."""

ROWS_IN_GROUP = 5
"""A column that decides another has at least so many rows for each of its values."""

_FEW = 256
_MAX_CELLS = 20_000_000


def dependency_findings(
    parts: Mapping[str, Part],
    same: set[frozenset[str]],
    thresholds: Thresholds,
    progress: Progress = silent,
) -> Iterator[Alert]:
    """Yield pairs of columns of which one decides the other, among the first ``MAX_COLUMNS``.

    ``value`` is the share of rows that keep the rule if every value of the one column stands
    for the most frequent value of the other beside it. Rows that miss either are left out.

    Parameters
    ----------
    same
        Pairs of columns that need no further word.
    """
    limit = thresholds.p_dependency
    strengths: dict[tuple[str, str], float] = {}
    compared = list(parts.values())[:MAX_COLUMNS]
    for done, first in enumerate(compared):
        progress(Step("dependencies", done, len(compared)))
        if first.size * ROWS_IN_GROUP > first.n:
            continue
        trial = _Trial(first)
        for second in compared:
            pair = frozenset((first.name, second.name))
            if first is second or pair in same or not trial.may_decide(second, limit):
                continue
            strength = _strength(first, second)
            if strength >= limit:
                strengths[first.name, second.name] = strength
    for one, other in essential(strengths):
        strength, is_mutual = strengths[one, other], (other, one) in strengths
        how = "decides, and is decided by," if is_mutual else "decides"
        advice = ": one of them is enough" if is_mutual else ""
        share = f"{percent(strength)} of the rows (threshold {percent(limit)})"
        message = f"It {how} {quote(other)} in {share}{advice}."
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


class _Trial:
    """The tried rows of a column, value by value, for one column after another to be tried on."""

    def __init__(self, first: Part) -> None:
        import numpy as np

        codes = first.at(first.tried)
        order = np.argsort(codes, kind="stable")
        self._size, self._rows, self._codes = first.size, first.tried[order], codes[order]

    def may_decide(self, second: Part, limit: float) -> bool:
        """Return whether counts and the tried rows leave room for a dependency."""
        if second.size > MAX_DECIDED:
            return False
        if limit < 1:
            return self._n_broken(second) <= (1 - limit) * self._rows.size * 1.5
        if second.size > self._size:
            return False
        few = slice(0, _FEW)  # most are disproved at once
        return self._is_kept(second, few) and self._is_kept(second, slice(None))

    def _is_kept(self, second: Part, part: slice) -> bool:
        a, b = self._codes[part], second.at(self._rows[part])
        differs = (a[1:] == a[:-1]) & (b[1:] != b[:-1]) & (b[1:] >= 0) & (b[:-1] >= 0)
        return not differs.any()

    def _n_broken(self, second: Part) -> int:
        import numpy as np

        b = second.at(self._rows)
        a, b = self._codes[b >= 0], b[b >= 0]
        order = np.lexsort((b, a))
        a, b = a[order], b[order]
        return int(((a[1:] == a[:-1]) & (b[1:] != b[:-1])).sum())


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
