"""The comparison of two tables column by column, with the verdicts of Evidently's defaults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local_stack.data.profiling.columns import Unit, moment, narrowed, shortened, type_of
from local_stack.drift.methods import Method, Outcome, automatic, parse
from local_stack.drift.scores import NumericPair
from local_stack.errors import InputError, nearest
from local_stack.progress import Progress, Step, silent
from local_stack.results import Result

if TYPE_CHECKING:
    import numpy as np
    import polars
    from numpy.typing import NDArray

    Counts = NDArray[np.int64]

N_HANDFUL = 5
"""A column with fewer values than this on a side is not compared."""

N_INTEGER_CATEGORIES = 10
"""Whole numbers with no more distinct current values than this are categories (Evidently)."""

N_BINS = 20
N_CATEGORIES = 20
"""Bars of a distribution; further categories are added up in the ``rest``."""


@dataclass(frozen=True, slots=True)
class DriftThresholds(Result):
    """A test drifts below ``p_value``, a distance at ``distance`` or more.

    The data set drifts when ``share`` or more of the compared columns do. Evidently's
    defaults; a method's own threshold in ``methods`` goes first.
    """

    p_value: float = 0.05
    distance: float = 0.1
    share: float = 0.5
    methods: Mapping[str, float] | None = None

    def of(self, method: Method) -> float:
        """Return the threshold of a method."""
        own = (self.methods or {}).get(method.name)
        return own if own is not None else self.p_value if method.is_test else self.distance


@dataclass(frozen=True, slots=True)
class Distribution(Result):
    """Both samples in the same bins (``edges``, the last bin closed) or categories.

    ``reference`` and ``current`` are counts; the ``rest`` are counts of further categories.
    """

    edges: tuple[float | str, ...] | None
    categories: tuple[str, ...] | None
    reference: tuple[int, ...]
    current: tuple[int, ...]
    reference_rest: int = 0
    current_rest: int = 0


@dataclass(frozen=True, slots=True)
class ColumnDrift(Result):
    """The verdict on one column. Without a method, ``reason`` says why it was not compared.

    ``score`` is the p-value of a test or a distance; ``missing_delta`` is the share missing
    in current less that in reference; ``n_reference`` and ``n_current`` count the values
    compared.
    """

    column: str
    type: str
    method: str | None
    score: float | None
    threshold: float | None
    p_value: float | None
    drifted: bool
    missing_delta: float | None
    n_reference: int
    n_current: int
    statistic: float | None = None
    reason: str | None = None
    distribution: Distribution | None = None


@dataclass(frozen=True, slots=True)
class DatasetDrift(Result):
    """``share`` is ``n_drifted`` over ``n_columns``, the columns that could be compared."""

    drifted: bool
    share: float
    n_drifted: int
    n_columns: int
    share_threshold: float


@dataclass(frozen=True, slots=True)
class DriftComparison(Result):
    """What moved between a reference and a current table."""

    dataset: DatasetDrift
    columns: tuple[ColumnDrift, ...]
    n_reference: int
    n_current: int
    methods: str


def compare_frames(
    reference: polars.DataFrame,
    current: polars.DataFrame,
    *,
    columns: Sequence[str] | None = None,
    methods: str = "auto",
    thresholds: DriftThresholds | None = None,
    progress: Progress = silent,
) -> DriftComparison:
    """Compare each column of two tables.

    Parameters
    ----------
    columns
        Columns to compare; all columns of either table when left out.
    methods
        ``auto`` or ``evidently``: what Evidently 0.7 chooses by type, distinct values and
        number of rows. Else names of :data:`METHODS` with commas between: the first that
        applies to a column, or the automatic choice when none does.

    Raises
    ------
    InputError
        When a method is not known or a column is in neither table.
    """
    wanted = parse(methods)
    limits = thresholds or DriftThresholds()
    names = _names(reference, current, columns)
    found: list[ColumnDrift] = []
    for done, name in enumerate(names):
        progress(Step(name, done, len(names)))
        found.append(_compare(name, reference, current, wanted, limits))
    progress(Step("drift", len(names), len(names)))
    n_columns = sum(column.method is not None for column in found)
    n_drifted = sum(column.drifted for column in found)
    share = n_drifted / n_columns if n_columns else 0.0
    is_drifted = n_columns > 0 and share >= limits.share
    dataset = DatasetDrift(is_drifted, share, n_drifted, n_columns, limits.share)
    return DriftComparison(dataset, tuple(found), reference.height, current.height, methods)


def _names(
    reference: polars.DataFrame, current: polars.DataFrame, columns: Sequence[str] | None
) -> list[str]:
    known = [*reference.columns, *(c for c in current.columns if c not in reference.columns)]
    for name in columns or ():
        if name not in known:
            raise InputError(
                f"Neither table has a column '{name}'.",
                nearest(name, known) or f"Columns: {', '.join(known[:20])}.",
            )
    return known if columns is None else list(columns)


_FAMILIES = {
    "long": "numeric",
    "double": "numeric",
    "string": "text",
    "boolean": "categorical",
    "date": "datetime",
    "datetime": "datetime",
}


@dataclass(frozen=True, slots=True)
class _Sides:
    """A column of both tables, and its values that can be compared."""

    name: str
    reference: polars.Series
    current: polars.Series
    first: polars.Series
    second: polars.Series

    @classmethod
    def of(cls, name: str, reference: polars.Series, current: polars.Series) -> _Sides:
        a, b = narrowed(reference), narrowed(current)
        return cls(name, a, b, _held(a), _held(b))

    @property
    def missing_delta(self) -> float:
        a, b = self.reference, self.current
        return b.null_count() / max(1, b.len()) - a.null_count() / max(1, a.len())


def _held(series: polars.Series) -> polars.Series:
    """Return the values that can be compared: neither missing nor infinite."""
    held = series.drop_nulls()
    return held.filter(held.is_finite()) if held.dtype.is_float() else held


def _compare(
    name: str,
    reference: polars.DataFrame,
    current: polars.DataFrame,
    wanted: tuple[Method, ...],
    limits: DriftThresholds,
) -> ColumnDrift:
    if name not in reference.columns:
        return _absent(name, narrowed(current[name]), "current")
    if name not in current.columns:
        return _absent(name, narrowed(reference[name]), "reference")
    sides = _Sides.of(name, reference[name], current[name])
    kind = _kind(sides)
    reason = _obstacle(sides, kind)
    if reason:
        return _skipped(sides, kind, reason)
    if kind == "categorical":
        return _compare_categories(sides, wanted, limits)
    return _compare_numbers(sides, kind, wanted, limits)


def _absent(name: str, held: polars.Series, where: str) -> ColumnDrift:
    n = held.len() - held.null_count()
    return ColumnDrift(
        column=name,
        type=_FAMILIES[type_of(held)],
        method=None,
        score=None,
        threshold=None,
        p_value=None,
        drifted=False,
        missing_delta=None,
        n_reference=n if where == "reference" else 0,
        n_current=n if where == "current" else 0,
        reason=f"The column is only in {where}.",
    )


def _skipped(sides: _Sides, kind: str, reason: str) -> ColumnDrift:
    return ColumnDrift(
        column=sides.name,
        type=kind,
        method=None,
        score=None,
        threshold=None,
        p_value=None,
        drifted=False,
        missing_delta=sides.missing_delta,
        n_reference=sides.first.len(),
        n_current=sides.second.len(),
        reason=reason,
    )


def _kind(sides: _Sides) -> str:
    """Return the kind that Evidently's ``infer_column_type`` gives the current column.

    Whole numbers with missing values are numbers: pandas, and so Evidently, holds them as
    floats. Dates, which Evidently leaves out, are compared as numbers.
    """
    kind = _FAMILIES[type_of(sides.current)]
    n = sides.second.len()
    if kind == "text":
        return "text" if sides.second.n_unique() > 0.5 * n else "categorical"
    is_whole = sides.current.dtype.is_integer() and not sides.current.null_count()
    if is_whole and sides.second.n_unique() <= N_INTEGER_CATEGORIES:
        return "categorical"
    return kind


def _obstacle(sides: _Sides, kind: str) -> str | None:
    """Return why the column cannot be compared, or None."""
    for side, held in (("reference", sides.first), ("current", sides.second)):
        if not held.len():
            return f"Every {side} value is missing."
    was, now = type_of(sides.reference), type_of(sides.current)
    if _FAMILIES[was] != _FAMILIES[now]:
        return f"The type changed from {was} to {now}."
    if min(sides.first.len(), sides.second.len()) < N_HANDFUL:
        return f"Fewer than {N_HANDFUL} values on a side."
    if kind == "text":
        return "More than half of the texts differ from each other, so there is nothing to count."
    return None


def _chosen(wanted: tuple[Method, ...], is_numeric: bool, sides: _Sides, n_values: int) -> Method:
    for method in wanted:
        if method.applies(is_numeric, n_values):
            return method
    return automatic(is_numeric, sides.first.len(), n_values)


def _compare_numbers(
    sides: _Sides, kind: str, wanted: tuple[Method, ...], limits: DriftThresholds
) -> ColumnDrift:
    unit: Unit | None = None
    if kind == "datetime":
        unit = "D" if type_of(sides.reference) == type_of(sides.current) == "date" else "us"
    pair = NumericPair.of(_numbers(sides.first, unit), _numbers(sides.second, unit))
    n_values = int(pair.values.size)
    method = _chosen(wanted, True, sides, n_values)
    assert method.numeric is not None
    outcome = method.numeric(pair)
    return _judged(sides, kind, method, outcome, limits, n_values, _bins(pair, unit))


def _numbers(held: polars.Series, unit: Unit | None) -> NDArray[Any]:
    import polars as pl

    if unit == "us":
        held = held.cast(pl.Datetime("us"))
    return (held.to_physical().cast(pl.Int64) if unit else held).to_numpy()


def _bins(pair: NumericPair, unit: Unit | None) -> Distribution:
    import numpy as np

    low, high = float(pair.values[0]), float(pair.values[-1])
    bounds = np.unique(np.linspace(low, high, N_BINS + 1))
    if bounds.size == 1:
        bounds = np.repeat(bounds, 2)
    reference, current = pair.between(bounds)
    edges = np.ldexp(bounds, pair.exponent).tolist()
    return Distribution(
        edges=tuple(moment(int(edge), unit) if unit else edge for edge in edges),
        categories=None,
        reference=tuple(reference.tolist()),
        current=tuple(current.tolist()),
    )


def _compare_categories(
    sides: _Sides, wanted: tuple[Method, ...], limits: DriftThresholds
) -> ColumnDrift:
    import numpy as np

    before, after = _counted(sides.first), _counted(sides.second)
    keys = sorted(before.keys() | after.keys())
    reference = np.array([before.get(key, 0) for key in keys], dtype=np.int64)
    current = np.array([after.get(key, 0) for key in keys], dtype=np.int64)
    method = _chosen(wanted, False, sides, len(keys))
    assert method.categorical is not None
    outcome = method.categorical(reference, current)
    drawn = _bars(keys, reference, current)
    return _judged(sides, "categorical", method, outcome, limits, len(keys), drawn)


def _counted(held: polars.Series) -> dict[Any, int]:
    return dict(held.alias("value").value_counts(name="count").iter_rows())


def _bars(keys: list[Any], reference: Counts, current: Counts) -> Distribution:
    import numpy as np

    order = np.argsort(-(reference + current), kind="stable")
    shown = order[:N_CATEGORIES]
    return Distribution(
        edges=None,
        categories=tuple(shortened(str(keys[i])) for i in shown),
        reference=tuple(reference[shown].tolist()),
        current=tuple(current[shown].tolist()),
        reference_rest=int(reference.sum() - reference[shown].sum()),
        current_rest=int(current.sum() - current[shown].sum()),
    )


def _judged(
    sides: _Sides,
    kind: str,
    method: Method,
    outcome: Outcome,
    limits: DriftThresholds,
    n_values: int,
    drawn: Distribution,
) -> ColumnDrift:
    threshold = limits.of(method)
    return ColumnDrift(
        column=sides.name,
        type=kind,
        method=method.name,
        score=outcome.score,
        threshold=threshold,
        p_value=outcome.p_value,
        drifted=method.is_drift(outcome.score, threshold),
        missing_delta=sides.missing_delta,
        n_reference=sides.first.len(),
        n_current=sides.second.len(),
        statistic=outcome.statistic,
        reason="One and the same value on both sides." if n_values == 1 else None,
        distribution=drawn,
    )
