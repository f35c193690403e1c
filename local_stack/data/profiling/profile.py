"""The profile of a table: every column, their correlations, and what deserves a look."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from local_stack.data.profiling.alerts import alerts_of
from local_stack.data.profiling.columns import narrowed, profile_column
from local_stack.data.profiling.correlations import correlate
from local_stack.data.profiling.shape import DatasetProfile, Overview, Thresholds, VariableProfile
from local_stack.data.profiling.tallies import Tally
from local_stack.errors import InputError, nearest
from local_stack.progress import Progress, Step, silent

if TYPE_CHECKING:
    import polars


def profile_frame(
    frame: polars.DataFrame,
    *,
    target: str | None = None,
    thresholds: Thresholds | None = None,
    progress: Progress = silent,
) -> DatasetProfile:
    """Describe a table, exactly, one column at a time.

    Parameters
    ----------
    frame
        Any number of rows and columns, none included. Types other than the six of a
        normalised table are described as the nearest of them.
    target
        The column that a model is to predict; it is also checked for imbalance.

    Raises
    ------
    InputError
        When ``target`` is not a column.
    """
    if target is not None and target not in frame.columns:
        raise InputError(
            f"The target '{target}' is not a column of the table.",
            nearest(target, frame.columns) or f"Columns: {', '.join(frame.columns[:20])}.",
        )
    limits = thresholds or Thresholds()
    total = frame.width + 2
    variables: list[VariableProfile] = []
    tallies: dict[str, Tally] = {}
    kept: list[polars.Series] = []
    for done, series in enumerate(frame.iter_columns()):
        progress(Step(series.name, done, total))
        column = narrowed(series)
        found = profile_column(column, memory_bytes=int(series.estimated_size()))
        kept.append(column)
        variables.append(found.profile)
        if found.tally is not None:
            tallies[series.name] = found.tally
    table = frame.clear().with_columns(kept) if not kept else type(frame)(kept)
    progress(Step("correlations", frame.width, total))
    correlations = correlate(table, tallies)
    progress(Step("duplicate rows", frame.width + 1, total))
    overview = _overview(table, variables)
    progress(Step("profile", total, total))
    alerts = tuple(alerts_of(overview, variables, correlations, target, limits))
    return DatasetProfile(overview, tuple(variables), correlations, alerts, limits, target)


def _overview(frame: polars.DataFrame, variables: list[VariableProfile]) -> Overview:
    n_cells = frame.height * frame.width
    n_missing = sum(variable.n_missing for variable in variables)
    n_duplicates = _n_duplicate_rows(frame, variables)
    return Overview(
        n_rows=frame.height,
        n_columns=frame.width,
        n_missing=n_missing,
        p_missing=n_missing / n_cells if n_cells else 0.0,
        n_duplicate_rows=n_duplicates,
        p_duplicate_rows=n_duplicates / frame.height if frame.height else 0.0,
        memory_bytes=sum(variable.memory_bytes for variable in variables),
        types=dict(Counter(variable.type for variable in variables)),
    )


def _n_duplicate_rows(frame: polars.DataFrame, variables: list[VariableProfile]) -> int:
    """Count rows that repeat an earlier one; only rows whose hash repeats are compared."""
    import numpy as np
    import polars as pl

    if not frame.height or not frame.width:
        return 0
    if any(variable.n_distinct == frame.height for variable in variables):
        return 0
    hashes = frame.hash_rows().to_numpy()
    in_order = np.sort(hashes)
    repeated = np.unique(in_order[1:][in_order[1:] == in_order[:-1]])
    if not repeated.size:
        return 0
    places = np.minimum(np.searchsorted(repeated, hashes), repeated.size - 1)
    suspects = frame.filter(pl.Series(repeated[places] == hashes))
    return suspects.height - suspects.n_unique()
