"""What a profile finds beyond statistics: of each column, and at the end of the table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from local_stack.data.profiling.coding import (
    N_VALUES,
    TextHashes,
    codes_of,
    n_codes,
    rows_where,
    value_count,
)
from local_stack.data.profiling.columns import Column
from local_stack.data.profiling.dependencies import dependency_findings
from local_stack.data.profiling.keys import key_findings
from local_stack.data.profiling.leakage import leakage_findings
from local_stack.data.profiling.missing import missing_findings
from local_stack.data.profiling.outliers import outlier_findings
from local_stack.data.profiling.parts import parts_of
from local_stack.data.profiling.personal import personal_findings, personal_numbers
from local_stack.data.profiling.repetition import repeated_findings
from local_stack.data.profiling.sentinels import date_findings, number_findings
from local_stack.data.profiling.shape import Alert, Thresholds
from local_stack.data.profiling.spellings import spelling_findings
from local_stack.data.profiling.table import Table
from local_stack.data.profiling.wordings import quoted, wordings_of
from local_stack.data.profiling.writing import writing_findings
from local_stack.progress import Progress, Step, silent

if TYPE_CHECKING:
    import numpy as np
    import polars
    from numpy.typing import NDArray

MAX_CLASSES = 20
"""A number of at most so many distinct values is taken for classes when it is the target."""

MIN_ROWS = 1_000
"""With fewer rows than this, every second category is rare."""


def column_findings(
    series: polars.Series, column: Column, thresholds: Thresholds
) -> Iterator[Alert]:
    """Yield what is found in one column, from its distinct values.

    Parameters
    ----------
    series
        The column (n_rows,) as :func:`columns.narrowed` returns it.
    column
        What :func:`columns.profile_column` made of it.
    """
    profile = column.profile
    if not series.len() or not profile.n_distinct:
        return
    texts = wordings_of(column)
    if texts is not None:
        personal = list(personal_findings(texts, thresholds))
        yield from personal
        texts = replace(texts, is_private=bool(personal))
        yield from spelling_findings(texts, thresholds)
        yield from writing_findings(texts, thresholds)
        if profile.kind == "categorical":
            yield from rare_categories(column, thresholds)
        return
    if profile.dates is not None:
        yield from date_findings(column, thresholds)
    elif profile.numbers is not None:
        yield from number_findings(column, thresholds)
    yield from personal_numbers(column, thresholds)


def table_findings(
    table: Table,
    columns: Mapping[str, Column],
    target: str | None,
    thresholds: Thresholds,
    progress: Progress = silent,
) -> Iterator[Alert]:
    """Yield what is found between columns, and between rows.

    Parameters
    ----------
    table
        The rows that ``columns`` were made from.
    columns
        Every column of the table, by name.
    target
        The column that a model is to predict, if it is known.
    """
    if not table.n_rows:
        return
    progress(Step("findings", 0, 5))
    hashes = TextHashes(table)
    if target is not None:
        yield from leakage_findings(table, columns, target, thresholds, progress, hashes)
        if columns[target].tally is not None and n_codes(columns[target]) <= MAX_CLASSES:
            yield from rare_categories(columns[target], thresholds)
    yield from missing_findings(table, columns, target, thresholds)
    progress(Step("findings", 2, 5))
    repeated = list(repeated_findings(table, columns))
    yield from repeated
    same = {
        frozenset((alert.column, alert.other_column))
        for alert in repeated
        if alert.column and alert.other_column
    }
    parts = parts_of(table, columns, hashes)
    yield from key_findings(table, columns, parts, progress)
    yield from dependency_findings(parts, same, thresholds, progress)
    progress(Step("findings", 4, 5))
    yield from outlier_findings(columns, thresholds)
    yield from _sorted(columns, target)


def rare_categories(column: Column, thresholds: Thresholds) -> Iterator[Alert]:
    """Yield the categories of fewer than ``n_rare`` rows, where categories are few."""
    import numpy as np

    profile = column.profile
    counted, texts = column.tally, column.texts
    if counted is not None:
        counts = counted.counts
    elif texts is not None:
        counts = texts["count"].to_numpy()
    else:
        return
    n = int(counts.sum())
    if n < MIN_ROWS or not 2 <= counts.size <= thresholds.n_categories:
        return
    rare = np.flatnonzero(counts < thresholds.n_rare)
    if not rare.size:
        return
    values = tuple(value_count(column, place) for place in rare.tolist())
    codes = codes_of(column)
    has = "has" if rare.size == 1 else "have"
    message = (
        f"{rare.size} of {counts.size} categories {has} fewer than {thresholds.n_rare} rows "
        f"(threshold), too few to learn from and to test on: {quoted(values)}."
    )
    yield Alert(
        "rare_categories",
        profile.name,
        int(counts[rare].min()),
        thresholds.n_rare,
        message,
        values=values[:N_VALUES],
        rows=() if codes is None else rows_where(np.isin(codes, rare)),
    )


def _sorted(columns: Mapping[str, Column], target: str | None) -> Iterator[Alert]:
    """Yield a target, and dates, that follow the order of the rows."""
    for name, column in columns.items():
        codes = codes_of(column)
        is_target = name == target
        if codes is None or not (is_target or column.profile.dates is not None):
            continue
        if column.profile.n_missing or column.profile.n_distinct < 2 or codes.size < 20:
            continue
        order = _order(codes, n_codes(column), column.tally is not None)
        if order is None:
            continue
        advice = (
            "shuffle before a split, or the test set has other values than the training set"
            if is_target
            else "train on the earlier rows and test on the later ones"
        )
        yield Alert("sorted", name, 1.0, 1.0, f"The rows are {order}: {advice}.")


def _order(codes: NDArray[np.int32], n_distinct: int, is_ordered: bool) -> str | None:
    """Return how the rows follow the values, or None: most columns differ after a few rows."""
    import numpy as np

    for rows in (codes[:1_000], codes):
        steps = np.diff(rows)
        is_rising, is_falling = bool((steps >= 0).all()), bool((steps <= 0).all())
        n_blocks = 1 + int(np.count_nonzero(steps))
        if not is_ordered and n_blocks > n_distinct:
            return None
        if is_ordered and not (is_rising or is_falling):
            return None
    if not is_ordered:
        return "in blocks of one value each" if n_blocks == n_distinct else None
    return "in rising order" if is_rising else "in falling order"
