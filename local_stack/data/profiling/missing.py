"""Missing values: where they lie, which columns miss them together, and whether they tell."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local_stack.data.profiling.coding import (
    codes_of,
    is_missing,
    n_codes,
    percent,
    rows_where,
    value_of,
)
from local_stack.data.profiling.columns import Column
from local_stack.data.profiling.shape import Alert, Matrix, Missing, MissingPattern, Thresholds
from local_stack.data.profiling.table import Table
from local_stack.data.profiling.wordings import quote

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_BLOCKS = 100
"""Blocks of rows in the missing matrix."""

MAX_COLUMNS = 100
"""Columns of the nullity correlation; the matrix names those left out."""

N_PATTERNS = 20
"""Patterns listed, the most frequent first."""

MIN_ROWS = 20
"""Fewer missing or present values than this say nothing of the target."""

MIN_EFFECT = 0.1
"""Smaller effects are true and useless on a big table."""

MAX_CLASSES = 50

_BITS = 63


def missing_of(table: Table, columns: Mapping[str, Column]) -> Missing:
    """Return where values are missing, exactly.

    The nullity correlation is Pearson's of the 0/1 columns "is missing" (pandas'
    ``isnull().corr()``), from the counts of the patterns.

    Parameters
    ----------
    columns
        Every column of ``table``.
    """
    import numpy as np

    n_rows, names = table.n_rows, tuple(columns)
    if not n_rows:
        return Missing(columns=names)
    block_rows = math.ceil(n_rows / MAX_BLOCKS)
    matrix = np.zeros((math.ceil(n_rows / block_rows), len(names)))
    collected = _Patterns(n_rows)
    for place, name in enumerate(names):
        holds = is_missing(table, name, columns[name])
        if holds is not None:
            matrix[:, place] = _shares(holds, block_rows)
            collected.add(name, holds)
    patterns = collected.counted()
    return Missing(
        columns=names,
        block_rows=block_rows,
        matrix=tuple(tuple(row) for row in matrix.tolist()),
        nullity=_nullity(patterns, n_rows),
        patterns=_most_frequent(patterns),
        n_complete_rows=int(patterns.counts[~patterns.holds.any(axis=1)].sum()),
    )


def _shares(holds: NDArray[np.bool_], block_rows: int) -> NDArray[np.float64]:
    import numpy as np

    n_whole = holds.size // block_rows
    whole = holds[: n_whole * block_rows].reshape(n_whole, block_rows)
    shares = np.count_nonzero(whole, axis=1) / block_rows
    rest = holds[n_whole * block_rows :]
    return np.append(shares, rest.mean()) if rest.size else shares


@dataclass(frozen=True, slots=True)
class _Counted:
    """Sets of columns missing together: ``holds`` (n_patterns, n_columns) and their rows."""

    columns: tuple[str, ...]
    holds: NDArray[np.bool_]
    counts: NDArray[np.int64]


class _Patterns:
    """One number for each row and ``_BITS`` columns, so that rows alike are counted at once."""

    def __init__(self, n_rows: int) -> None:
        self._n_rows = n_rows
        self._columns: list[str] = []
        self._words: list[NDArray[np.int64]] = []

    def add(self, name: str, holds: NDArray[np.bool_]) -> None:
        import numpy as np

        bit = len(self._columns) % _BITS
        if not bit:
            self._words.append(np.zeros(self._n_rows, dtype=np.int64))
        self._words[-1] |= holds.astype(np.int64) << bit
        self._columns.append(name)

    def counted(self) -> _Counted:
        import numpy as np
        import polars as pl

        names = tuple(self._columns)
        if not names:
            return _Counted((), np.zeros((1, 0), dtype=bool), np.array([self._n_rows]))
        words = [f"word{i}" for i in range(len(self._words))]
        frame = pl.DataFrame(dict(zip(words, self._words, strict=True)))
        found = (
            frame.group_by(words)
            .len()
            .sort("len", *words, descending=[True, *[False] * len(words)])
        )
        bits = np.arange(_BITS)
        parts = [(found[word].to_numpy()[:, None] >> bits & 1).astype(bool) for word in words]
        holds = np.concatenate(parts, axis=1)[:, : len(names)]
        return _Counted(names, holds, found["len"].to_numpy().astype(np.int64))


def _most_frequent(patterns: _Counted) -> tuple[MissingPattern, ...]:
    return tuple(
        MissingPattern(
            tuple(name for name, held in zip(patterns.columns, row, strict=True) if held),
            int(count),
        )
        for row, count in zip(
            patterns.holds[:N_PATTERNS].tolist(), patterns.counts[:N_PATTERNS], strict=True
        )
    )


def _nullity(patterns: _Counted, n_rows: int) -> Matrix:
    import numpy as np

    held = patterns.holds[:, :MAX_COLUMNS].astype(np.float64)
    left_out = patterns.columns[MAX_COLUMNS:]
    both = held.T @ (held * patterns.counts[:, None])
    n_missing = both.diagonal()
    kept = np.flatnonzero(n_missing < n_rows)
    n, one = float(n_rows), n_missing[kept]
    spread = np.sqrt(one * (n - one))
    values = (n * both[np.ix_(kept, kept)] - np.outer(one, one)) / np.outer(spread, spread)
    values = np.clip(values, -1.0, 1.0)
    np.fill_diagonal(values, 1.0)
    names = tuple(patterns.columns[place] for place in kept)
    return Matrix(names, tuple(tuple(row) for row in values.tolist()), left_out)


def missing_findings(
    table: Table,
    columns: Mapping[str, Column],
    target: str | None,
    thresholds: Thresholds,
) -> Iterator[Alert]:
    """Yield columns that miss the same rows, and columns whose gaps tell of the target."""
    masks = {
        name: mask
        for name, column in columns.items()
        if column.profile.n_missing < table.n_rows
        and (mask := is_missing(table, name, column)) is not None
    }
    groups = _groups(masks)
    yield from _together(masks, groups, table.n_rows)
    if target is not None:
        yield from _telling(masks, groups, columns, target, thresholds)


def _groups(masks: Mapping[str, NDArray[np.bool_]]) -> list[tuple[str, ...]]:
    """Return the names of columns that miss the same rows."""
    import numpy as np

    groups: dict[bytes, list[str]] = {}
    for name, mask in masks.items():
        groups.setdefault(np.packbits(mask).tobytes(), []).append(name)
    return [tuple(names) for names in groups.values()]


def _listed(names: Sequence[str]) -> str:
    listed = ", ".join(quote(name) for name in names[:5])
    return f"{listed} and {len(names) - 5} more" if len(names) > 5 else listed


def _together(
    masks: Mapping[str, NDArray[np.bool_]], groups: Sequence[tuple[str, ...]], n_rows: int
) -> Iterator[Alert]:
    for names in groups:
        n_missing = int(masks[names[0]].sum())
        if len(names) < 2 or n_missing < 2:
            continue
        message = (
            f"Missing in the same {n_missing:,} rows ({percent(n_missing / n_rows)}) as "
            f"{_listed(names[1:])}: one cause may have left them all out."
        )
        rows = rows_where(masks[names[0]])
        yield Alert(
            "missing_together",
            names[0],
            n_missing,
            2,
            message,
            names[1],
            rows=rows,
            columns=names,
        )


@dataclass(frozen=True, slots=True)
class Dependence:
    """How "is missing" goes with a target. ``effect`` is in [0, 1], ``method`` names it."""

    p_value: float
    effect: float
    method: str
    message: str


def _telling(
    masks: Mapping[str, NDArray[np.bool_]],
    groups: Sequence[tuple[str, ...]],
    columns: Mapping[str, Column],
    target: str,
    thresholds: Thresholds,
) -> Iterator[Alert]:
    aim = columns[target]
    tested = {
        names: found
        for names in groups
        if target not in names and (found := depends(masks[names[0]], aim)) is not None
    }
    limit = thresholds.missingness_p_value
    corrected = f" after correction for {len(tested)} tests" if len(tested) > 1 else ""
    for names, found in tested.items():
        p_value = min(1.0, found.p_value * len(tested))
        if p_value < limit and found.effect >= MIN_EFFECT:
            also = f" (as {_listed(names[1:])} in the same rows)" if len(names) > 1 else ""
            message = (
                f"Whether it is missing{also} goes with the target {quote(target)}: "
                f"{found.message}; {found.method}, p = {p_value:.2g}{corrected} "
                f"(threshold {limit:g})."
            )
            yield Alert(
                "missing_depends_on_target",
                names[0],
                p_value,
                limit,
                message,
                target,
                method=found.method,
                columns=names if len(names) > 1 else (),
            )


def depends(missing: NDArray[np.bool_], target: Column) -> Dependence | None:
    """Test whether values are missing independently of the target.

    Classes: Pearson's chi-squared without continuity correction, effect Cramer's V. Numbers:
    the Mann-Whitney U test (normal approximation, ties corrected, no continuity correction),
    effect the rank-biserial correlation. None when too few rows are missing or present.
    """
    import numpy as np

    codes = codes_of(target)
    if codes is None:
        return None
    size = n_codes(target)
    here = np.bincount(codes[missing] + 1, minlength=size + 1)[1:]
    everywhere = np.bincount(codes + 1, minlength=size + 1)[1:]
    there = everywhere - here
    if min(here.sum(), there.sum()) < MIN_ROWS or np.count_nonzero(everywhere) < 2:
        return None
    if target.tally is not None and size > MAX_CLASSES:
        return _ranked(here, there)
    return _classed(target, here, there) if size <= MAX_CLASSES else None


def _classed(
    target: Column, here: NDArray[np.int64], there: NDArray[np.int64]
) -> Dependence | None:
    import numpy as np

    table = np.stack([here, there])[:, here + there > 0].astype(np.float64)
    n = table.sum()
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0, keepdims=True) / n
    if expected.min() < 1:  # the approximation needs a few in each cell (Cochran 1954)
        return None
    chi2 = float(((table - expected) ** 2 / expected).sum())
    p_value = chi2_tail(chi2, table.shape[1] - 1)
    effect = math.sqrt(chi2 / n)
    shares, others = here / here.sum(), there / there.sum()
    most = int(np.abs(shares - others).argmax())
    message = (
        f"{quote(value_of(target, most))} in {percent(shares[most])} of the rows that miss it, in "
        f"{percent(others[most])} of the others (Cramer's V {effect:.2f})"
    )
    return Dependence(p_value, effect, "chi-squared test", message)


def chi2_tail(x: float, n_degrees: int) -> float:
    """Return the probability that chi-squared of so many degrees of freedom exceeds ``x``.

    The finite sums for even and odd degrees (Abramowitz and Stegun 26.4.4 and 26.4.5).
    """
    if n_degrees % 2:
        total, term = math.erfc(math.sqrt(x / 2)), math.sqrt(2 * x / math.pi) * math.exp(-x / 2)
        powers = range(3, n_degrees + 1, 2)
    else:
        total, term = 0.0, math.exp(-x / 2)
        powers = range(2, n_degrees + 1, 2)
    for power in powers:
        total += term
        term *= x / power
    return min(1.0, total)


def _ranked(here: NDArray[np.int64], there: NDArray[np.int64]) -> Dependence | None:
    import numpy as np

    a, b, ties = here.astype(np.float64), there.astype(np.float64), (here + there).astype(float)
    n_a, n_b, n = a.sum(), b.sum(), ties.sum()
    u = float((a * (np.cumsum(b) - b / 2)).sum())
    middle = n_a * n_b / 2
    variance = n_a * n_b / 12 * ((n + 1) - float((ties**3 - ties).sum()) / (n * (n - 1)))
    if variance <= 0:
        return None
    z = abs(u - middle) / math.sqrt(variance)
    effect = 2 * u / (n_a * n_b) - 1
    where = "higher" if effect > 0 else "lower"
    return Dependence(
        math.erfc(z / math.sqrt(2)),
        abs(effect),
        "Mann-Whitney test",
        f"the target is {where} in the rows that miss it (rank-biserial correlation {effect:.2f})",
    )
