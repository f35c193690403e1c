"""The profile of a table: every column, their correlations, and what deserves a look."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from local_stack.data.profiling.columns import VariableProfile, narrowed, profile_column
from local_stack.data.profiling.correlations import Correlations, correlate
from local_stack.data.profiling.tallies import Tally
from local_stack.errors import InputError, nearest
from local_stack.progress import Progress, Step, silent
from local_stack.results import Result, plain

if TYPE_CHECKING:
    import polars


@dataclass(frozen=True, slots=True)
class Thresholds(Result):
    """Where a finding becomes an alert: above the number, or from it on where "or more" stands.

    Shares (``p_``) are of rows, ``p_imbalance`` of rows that hold a value. ``skewness`` and
    ``correlation`` are absolute values.
    """

    p_missing: float = 0.05
    p_zeros: float = 0.10
    skewness: float = 2.0
    n_categories: int = 50
    p_imbalance: float = 0.90  # or more
    correlation: float = 0.90  # or more
    n_infinite: int = 0
    n_duplicate_rows: int = 0


@dataclass(frozen=True, slots=True)
class Overview(Result):
    """The table as a whole. ``n_duplicate_rows`` counts repeats beyond the first."""

    n_rows: int
    n_columns: int
    n_missing: int
    p_missing: float
    n_duplicate_rows: int
    p_duplicate_rows: float
    memory_bytes: int
    types: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Alert(Result):
    """A finding that passed its threshold. ``column`` is None when it is of the whole table."""

    code: str
    column: str | None
    value: float | int
    threshold: float | int
    message: str
    other_column: str | None = None
    method: str | None = None


@dataclass(frozen=True, slots=True)
class DatasetProfile(Result):
    """Statistics of a table. The caller fills ``reproduction``."""

    overview: Overview
    variables: tuple[VariableProfile, ...]
    correlations: Correlations
    alerts: tuple[Alert, ...]
    thresholds: Thresholds
    target: str | None = None
    reproduction: Mapping[str, Any] = field(default_factory=dict)

    def variable(self, name: str) -> VariableProfile:
        """Return the profile of a column; raise :class:`InputError` when there is none."""
        for variable in self.variables:
            if variable.name == name:
                return variable
        names = [variable.name for variable in self.variables]
        raise InputError(f"The profile has no column '{name}'.", nearest(name, names))

    def to_dict(self) -> dict[str, Any]:
        """Return the ``result`` of ``data profile``, with variables by name."""
        return {
            "overview": plain(self.overview),
            "variables": {variable.name: variable.to_dict() for variable in self.variables},
            "correlations": plain(self.correlations),
            "alerts": plain(self.alerts),
            "thresholds": plain(self.thresholds),
            "target": self.target,
            "reproduction": plain(self.reproduction),
        }


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
    alerts = tuple(_alerts(overview, variables, correlations, target, limits))
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


def _alerts(
    overview: Overview,
    variables: list[VariableProfile],
    correlations: Correlations,
    target: str | None,
    limits: Thresholds,
) -> Iterator[Alert]:
    if overview.n_duplicate_rows > limits.n_duplicate_rows:
        yield Alert(
            "duplicates",
            None,
            overview.n_duplicate_rows,
            limits.n_duplicate_rows,
            f"{overview.n_duplicate_rows} rows ({overview.p_duplicate_rows:.1%}) repeat an "
            "earlier row.",
        )
    for variable in variables:
        yield from _column_alerts(variable, overview.n_rows, variable.name == target, limits)
    yield from _correlation_alerts(correlations, limits)


def _column_alerts(
    variable: VariableProfile, n_rows: int, is_target: bool, limits: Thresholds
) -> Iterator[Alert]:
    name = variable.name
    n = n_rows - variable.n_missing
    if variable.p_missing > limits.p_missing:
        message = f"{variable.n_missing} values ({variable.p_missing:.1%}) are missing."
        yield Alert("missing", name, variable.p_missing, limits.p_missing, message)
    if n and variable.n_distinct == 1:
        yield Alert("constant", name, 1, 1, "Every value is the same.")
    if variable.kind == "identifier-suspect":
        message = "No value repeats: this may be an identifier, from which nothing can be learnt."
        yield Alert("unique", name, variable.n_distinct, n, message)
    elif variable.type == "string" and variable.n_distinct > limits.n_categories:
        message = f"{variable.n_distinct} different texts in {n} values."
        yield Alert("high_cardinality", name, variable.n_distinct, limits.n_categories, message)
    yield from _imbalance(variable, n, is_target, limits)
    yield from _number_alerts(variable, n_rows, limits)


def _imbalance(
    variable: VariableProfile, n: int, is_target: bool, limits: Thresholds
) -> Iterator[Alert]:
    is_class = variable.kind in ("categorical", "boolean") or is_target
    if not is_class or variable.n_distinct < 2 or not variable.top_values:
        return
    top = variable.top_values[0]
    share = top.count / n
    if share >= limits.p_imbalance:
        role = "target values" if is_target else "values"
        message = f"{share:.1%} of the {role} are '{top.value}'."
        yield Alert("imbalance", variable.name, share, limits.p_imbalance, message)


def _number_alerts(variable: VariableProfile, n_rows: int, limits: Thresholds) -> Iterator[Alert]:
    numbers = variable.numbers
    if numbers is None:
        return
    name = variable.name
    if numbers.n_infinite > limits.n_infinite:
        message = f"{numbers.n_infinite} values are infinite and left out of the statistics."
        yield Alert("infinite", name, numbers.n_infinite, limits.n_infinite, message)
    p_zeros = numbers.n_zeros / n_rows if n_rows else 0.0
    if p_zeros > limits.p_zeros and variable.n_distinct > 2:  # 0/1 columns are no surprise
        message = f"{numbers.n_zeros} values ({p_zeros:.1%}) are zero."
        yield Alert("zeros", name, p_zeros, limits.p_zeros, message)
    skewness = numbers.skewness
    if skewness is not None and abs(skewness) > limits.skewness:
        message = f"The distribution leans far to one side: skewness {skewness:.2f}."
        yield Alert("skewed", name, skewness, limits.skewness, message)


def _correlation_alerts(correlations: Correlations, limits: Thresholds) -> Iterator[Alert]:
    """Yield one alert for each pair of columns, of the method that finds the most."""
    strongest: dict[tuple[str, str], tuple[float, str]] = {}
    for method in ("pearson", "spearman", "cramers_v"):
        for first, second, value in getattr(correlations, method).pairs():
            known = strongest.get((first, second), (0.0, ""))
            if abs(value) >= limits.correlation and abs(value) > abs(known[0]):
                strongest[first, second] = (value, method)
    for (first, second), (value, method) in strongest.items():
        message = f"Moves with '{second}': {_METHODS[method]} {value:.3f}."
        yield Alert("high_correlation", first, value, limits.correlation, message, second, method)


_METHODS = {"pearson": "Pearson", "spearman": "Spearman", "cramers_v": "Cramer's V"}
