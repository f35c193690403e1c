"""The profile of a table: every column, their correlations, and what deserves a look."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from local_stack.data.profiling.alerts import alerts_of, ranked
from local_stack.data.profiling.columns import Column, narrowed, profile_column
from local_stack.data.profiling.correlations import correlate
from local_stack.data.profiling.findings import column_findings, table_findings
from local_stack.data.profiling.interactions import interactions_of, points_of
from local_stack.data.profiling.missing import missing_of
from local_stack.data.profiling.rows import RowHashes, duplicates_of, sample_of
from local_stack.data.profiling.series import in_time_order, series_statistics
from local_stack.data.profiling.shape import (
    Alert,
    DatasetProfile,
    Interaction,
    Missing,
    Overview,
    Rows,
    Thresholds,
)
from local_stack.data.profiling.table import Table
from local_stack.data.profiling.texts import MAX_SORTED
from local_stack.data.profiling.threads import in_threads
from local_stack.errors import InputError, nearest
from local_stack.progress import Progress, Step, silent

if TYPE_CHECKING:
    import polars


@dataclass(frozen=True, slots=True)
class _Profiled:
    """A column with what was found in it alone."""

    column: Column
    alerts: tuple[Alert, ...]


def profile_frame(
    frame: polars.DataFrame,
    *,
    target: str | None = None,
    time: str | None = None,
    kendall: bool = False,
    thresholds: Thresholds | None = None,
    progress: Progress = silent,
) -> DatasetProfile:
    """Describe a frame of any types as :func:`profile_table` does."""
    return profile_table(
        Table(frame),
        target=target,
        time=time,
        kendall=kendall,
        thresholds=thresholds,
        progress=progress,
    )


def profile_table(
    table: Table,
    *,
    target: str | None = None,
    time: str | None = None,
    kendall: bool = False,
    thresholds: Thresholds | None = None,
    progress: Progress = silent,
) -> DatasetProfile:
    """Describe a table, exactly, a column on each core.

    Parameters
    ----------
    table
        Any number of rows and columns, none included. Types other than the six of a
        normalised table are described as the nearest of them.
    target
        The column that a model is to predict; others are checked for what they tell of it.
    time
        A date or datetime; numbers are then also described as series in its order.
    kendall
        Whether Kendall's tau-b is wanted too.

    Raises
    ------
    InputError
        When ``target`` or ``time`` is not a column, or ``time`` holds no dates.
    """
    for role, name in (("target", target), ("time column", time)):
        _check_column(table, role, name)
    limits = thresholds or Thresholds()
    hashes = RowHashes(table.n_rows, len(table.names))
    columns: dict[str, Column] = {}
    alerts: list[Alert] = []
    total = len(table.names) + 3
    for name, found in _profiled(table, limits, hashes):
        progress(Step(name, len(columns), total))
        columns[name] = found.column
        alerts += found.alerts
    columns = {name: columns[name] for name in table.names}
    if time is not None:
        columns = _with_series(columns, time)
    with ThreadPoolExecutor(1) as pool:  # what needs little of the processor goes on meanwhile
        parts = pool.submit(_parts_of, table, columns)
        progress(Step("correlations", total - 3, total))
        correlations = correlate(columns, kendall=kendall)
        progress(Step("duplicate rows", total - 2, total))
        n_duplicates, duplicates = duplicates_of(table, columns, hashes)
        overview = _overview(table, columns, n_duplicates)
        progress(Step("findings", total - 1, total))
        variables = [column.profile for column in columns.values()]
        alerts += alerts_of(overview, variables, correlations, target, limits, columns)
        alerts += table_findings(
            table,
            columns,
            target,
            limits,
            lambda step: progress(Step(step.label, total - 1, total)),
        )
        missing, interactions, sample = parts.result()
    profile = DatasetProfile(
        overview=overview,
        variables=tuple(variables),
        correlations=correlations,
        alerts=ranked(alerts, table.names),
        thresholds=limits,
        target=target,
        missing=missing,
        interactions=interactions,
        duplicates=duplicates,
        points=points_of(columns, table.n_rows),
        sample=sample,
    )
    progress(Step("profile", total, total))
    return profile


def _within(progress: Progress, total: int) -> Progress:
    """Return what tells the steps of the last step but one."""
    return lambda step: progress(Step(step.label, total - 1, total))


def _parts_of(
    table: Table, columns: Mapping[str, Column]
) -> tuple[Missing, tuple[Interaction, ...], Rows]:
    return missing_of(table, columns), interactions_of(columns, table.n_rows), sample_of(table)


def _check_column(table: Table, role: str, name: str | None) -> None:
    if name is not None and name not in table.names:
        raise InputError(
            f"The {role} '{name}' is not a column of the table.",
            nearest(name, table.names) or f"Columns: {', '.join(table.names[:20])}.",
        )


def _profiled(
    table: Table, limits: Thresholds, hashes: RowHashes
) -> Iterator[tuple[str, _Profiled]]:
    """Yield each column as it is done; texts, which take longest, are begun first."""
    import polars as pl

    names = sorted(table.names, key=lambda name: table.schema[name] != pl.String)

    def described(name: str) -> _Profiled:
        given = table.column(name)
        series = narrowed(given)
        column = profile_column(series, memory_bytes=int(given.estimated_size()))
        hashes.add(table.names.index(name), series, column)
        alerts = tuple(column_findings(series, column, limits))
        if column.tally is not None:
            column.tally.forget()
        if column.profile.n_distinct > max(MAX_SORTED, table.n_rows // 2):
            column = replace(column, texts=None)  # they hardly repeat: of no use between columns
        return _Profiled(column, alerts)

    yield from zip(names, in_threads(described, names), strict=True)


def _with_series(columns: Mapping[str, Column], time: str) -> dict[str, Column]:
    if columns[time].profile.dates is None:
        raise InputError(
            f"The time column '{time}' holds {columns[time].profile.type} values.",
            "Name a date or datetime column.",
        )
    order = in_time_order(columns[time])
    return {
        name: replace(it, profile=replace(it.profile, series=series_statistics(it, order)))
        if it.profile.numbers
        else it
        for name, it in columns.items()
    }


def _overview(table: Table, columns: Mapping[str, Column], n_duplicates: int) -> Overview:
    variables = [column.profile for column in columns.values()]
    n_cells = table.n_rows * len(variables)
    n_missing = sum(variable.n_missing for variable in variables)
    memory_bytes = sum(variable.memory_bytes for variable in variables)
    return Overview(
        n_rows=table.n_rows,
        n_columns=len(variables),
        n_missing=n_missing,
        p_missing=n_missing / n_cells if n_cells else 0.0,
        n_duplicate_rows=n_duplicates,
        p_duplicate_rows=n_duplicates / table.n_rows if table.n_rows else 0.0,
        memory_bytes=memory_bytes,
        types=dict(Counter(variable.type for variable in variables)),
        record_bytes=memory_bytes / table.n_rows if table.n_rows else 0.0,
    )
