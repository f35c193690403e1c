"""Groups of rows that a model serves worse than the others: declared ones, and those found.

The loss of a row is a number of which less is better. A group is judged by the difference of its
mean loss to that of all other rows, with Welch's interval; as several groups are looked at, the
intervals are Bonferroni's: together they hold at the level given.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from local_stack.results import Result

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

FEWEST_ROWS: Final = 20
"""Rows of a group, and of the others, below which nothing is said."""
MOST_GROUPS: Final = 12
_FEW_VALUES = 10
_DEPTH = 3
_LEAST_SHARE = 0.05
_MOST_LEVELS = 10
_MOST_COLUMNS = 200
_MOST_ROWS = 20_000
_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Judged(Result):
    """Mean loss of a group against that of the other rows.

    ``low`` and ``high`` are the corrected interval of the ``difference``; ``is_weak`` says that
    it lies above zero.
    """

    n_rows: int
    share: float
    loss: float
    elsewhere: float
    difference: float
    low: float
    high: float

    @property
    def is_weak(self) -> bool:
        """Return whether the group fares worse than chance allows."""
        return self.low > 0


@dataclass(frozen=True, slots=True)
class Condition(Result):
    """What the rows of a segment have in a column: numbers in (low, high], or a value or not."""

    column: str
    low: float | None = None
    high: float | None = None
    value: str | None = None
    is_not: bool = False
    with_missing: bool = False

    def text(self) -> str:
        """Return the condition as a person reads it."""
        if self.value is not None:
            return f"{self.column} is {'not ' if self.is_not else ''}{self.value or 'missing'}"
        if self.low is None:
            return f"{self.column} <= {self.high:.{_DIGITS}g}" + self._missing()
        if self.high is None:
            return f"{self.column} > {self.low:.{_DIGITS}g}" + self._missing()
        return f"{self.low:.{_DIGITS}g} < {self.column} <= {self.high:.{_DIGITS}g}"

    def _missing(self) -> str:
        return " or missing" if self.with_missing else ""

    def holds(self, frame: pl.DataFrame) -> np.ndarray:
        """Return for which rows of a table it is true, bool (n_rows,)."""
        import numpy as np

        if self.value is not None:
            found = np.asarray(_texts(frame[self.column]) == self.value, dtype=bool)
            return ~found if self.is_not else found
        numbers = _numbers(frame[self.column])
        found = np.ones(len(numbers), dtype=bool)
        with np.errstate(invalid="ignore"):
            if self.low is not None:
                found &= numbers > self.low
            if self.high is not None:
                found &= numbers <= self.high
        is_missing = np.isnan(numbers)
        return np.asarray(np.where(is_missing, self.with_missing, found), dtype=bool)


def judged(loss: np.ndarray, inside: np.ndarray, level: float, n_looked_at: int) -> Judged | None:
    """Return how a group fares, or None where it or the rest has fewer than 20 rows.

    Parameters
    ----------
    loss
        Of each row, float64 (n_rows,).
    inside
        Which rows the group holds, bool (n_rows,).
    level
        Of all ``n_looked_at`` intervals together.
    """
    mine, others = loss[inside], loss[~inside]
    if min(len(mine), len(others)) < FEWEST_ROWS:
        return None
    low, high = _welch(mine, others, 1 - (1 - level) / max(1, n_looked_at))
    return Judged(
        n_rows=len(mine),
        share=len(mine) / len(loss),
        loss=float(mine.mean()),
        elsewhere=float(others.mean()),
        difference=float(mine.mean() - others.mean()),
        low=low,
        high=high,
    )


def _welch(one: np.ndarray, other: np.ndarray, level: float) -> tuple[float, float]:
    """Return Welch's interval of the difference of two means."""
    from scipy.special import stdtrit

    gap = float(one.mean() - other.mean())
    a, b = (float(it.var(ddof=1)) / len(it) for it in (one, other))
    if not a + b:
        return gap, gap
    freedom = (a + b) ** 2 / (a**2 / (len(one) - 1) + b**2 / (len(other) - 1))
    half = float(stdtrit(freedom, (1 + level) / 2)) * (a + b) ** 0.5
    return gap - half, gap + half


# ------------------------------------------------------------------ declared groups


def groups_of(series: pl.Series) -> list[tuple[str, np.ndarray]]:
    """Return the groups of a column, with the rows of each, bool (n_rows,).

    Numbers of more than ten values are parted at their quartiles; of other values the twelve most
    frequent are groups, the rest is one, and so are the missing ones.
    """
    import numpy as np

    if series.dtype.is_numeric() and series.n_unique() > _FEW_VALUES:
        numbers = _numbers(series)
        present = ~np.isnan(numbers)
        if not present.any():
            return [(f"{series.name} is missing", ~present)]
        edges = np.unique(np.quantile(numbers[present], [0.25, 0.5, 0.75]))
        place = np.where(present, np.searchsorted(edges, numbers, side="left"), -1)
        bounds = [None, *edges.tolist(), None]
        names = [
            Condition(series.name, low, high).text() for low, high in itertools.pairwise(bounds)
        ]
        found = [(name, place == at) for at, name in enumerate(names)]
        found.append((f"{series.name} is missing", ~present))
    else:
        texts = _texts(series)
        present = series.is_not_null().to_numpy()
        values, counts = np.unique(texts[present].astype(str), return_counts=True)
        order = np.lexsort((values, -counts))
        kept = values[order[:MOST_GROUPS]].tolist()
        found = [(f"{series.name} is {it}", present & (texts == it)) for it in kept]
        others = present & ~np.isin(texts.astype(str), kept)
        found += [(f"{series.name} is another", others), (f"{series.name} is missing", ~present)]
    return [(name, rows) for name, rows in found if rows.any()]


# ------------------------------------------------------------------ found segments


def find(frame: pl.DataFrame, loss: np.ndarray, seed: int = 0) -> list[tuple[Condition, ...]]:
    """Return segments of a table by what rows of high loss have in common.

    They are the leaves of a regression tree of depth 3 on the loss whose mean is above that of
    all rows; a leaf holds at least 5 percent of the rows, and 20. What is found has to be judged
    on other rows than these.
    """
    import numpy as np
    from sklearn.tree import DecisionTreeRegressor

    rows = np.arange(len(loss))
    if len(rows) > _MOST_ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(len(rows), _MOST_ROWS, replace=False))
        frame, loss = frame[rows], loss[rows]
    fewest = max(FEWEST_ROWS, int(np.ceil(_LEAST_SHARE * len(loss))))
    columns = _columns(frame, fewest)
    if not columns or len(loss) < 2 * fewest:
        return []
    matrix = np.column_stack([values for _, _, _, values in columns])
    tree = DecisionTreeRegressor(max_depth=_DEPTH, min_samples_leaf=fewest, random_state=0)
    tree.fit(matrix, loss)
    found = _leaves(tree.tree_, [(name, value, gaps) for name, value, gaps, _ in columns])
    return [conditions for mean, conditions in found if conditions and mean > loss.mean()]


_Column = tuple[str, str | None, bool]
"""Name, the value that a column of 0 and 1 stands for (or None), whether values are missing."""


def _columns(frame: pl.DataFrame, fewest: int) -> list[tuple[str, str | None, bool, np.ndarray]]:
    """Return the columns of a matrix: numbers, missing ones below all others, or one of a value."""
    import numpy as np
    import polars as pl

    found: list[tuple[str, str | None, bool, np.ndarray]] = []
    for name, kind in frame.schema.items():
        if kind.is_numeric():
            numbers = _numbers(frame[name])
            is_missing = np.isnan(numbers)
            if is_missing.all():
                continue
            lowest = float(numbers[~is_missing].min())
            filled = np.where(is_missing, lowest - max(1.0, abs(lowest)), numbers)
            found.append((name, None, bool(is_missing.any()), filled))
        elif kind in (pl.String, pl.Boolean) or isinstance(kind, pl.Categorical | pl.Enum):
            texts = _texts(frame[name])
            values, counts = np.unique(texts.astype(str), return_counts=True)
            order = np.lexsort((values, -counts))[:_MOST_LEVELS]
            found += [
                (name, str(values[at]), False, (texts == values[at]).astype(np.float64))
                for at in order
                if fewest <= counts[at] <= len(texts) - fewest
            ]
    return found[:_MOST_COLUMNS]


def _leaves(tree: Any, columns: Sequence[_Column]) -> list[tuple[float, tuple[Condition, ...]]]:
    """Return the mean loss of each leaf and the conditions that lead to it."""
    found: list[tuple[float, tuple[Condition, ...]]] = []

    def walk(node: int, conditions: dict[tuple[str, str | None], Condition]) -> None:
        left, right = int(tree.children_left[node]), int(tree.children_right[node])
        if left < 0:
            found.append((float(tree.value[node].ravel()[0]), _told(conditions)))
            return
        name, value, has_gaps = columns[tree.feature[node]]
        cut, key = float(tree.threshold[node]), (name, value)
        before = conditions.get(key)
        for child, is_left in ((left, True), (right, False)):
            if value is not None:
                made = Condition(name, value=value, is_not=is_left)
            elif is_left:  # missing values lie below all others
                gaps = before.with_missing if before else has_gaps
                made = replace(before or Condition(name), high=cut, with_missing=gaps)
            else:
                made = replace(before or Condition(name), low=cut, with_missing=False)
            walk(child, {**conditions, key: made})

    walk(0, {})
    return found


def _told(conditions: dict[tuple[str, str | None], Condition]) -> tuple[Condition, ...]:
    """Return the conditions without those that another one says already."""
    settled = {it.column for it in conditions.values() if it.value is not None and not it.is_not}
    return tuple(it for it in conditions.values() if not (it.is_not and it.column in settled))


def _numbers(series: pl.Series) -> np.ndarray:
    """Return float64 (n_rows,), NaN where nothing finite is."""
    import numpy as np
    import polars as pl

    found = series.cast(pl.Float64, strict=False).to_numpy().copy()
    found[~np.isfinite(found)] = np.nan
    return found


def _texts(series: pl.Series) -> np.ndarray:
    """Return the values as texts, an empty one where they are missing; object (n_rows,)."""
    import numpy as np
    import polars as pl

    texts = series.cast(pl.String, strict=False).fill_null("")
    return np.array(texts.to_list(), dtype=object)
