"""What deserves a look: each finding beside the threshold that it passed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from local_stack.data.profiling.coding import codes_of, percent, rows_where
from local_stack.data.profiling.columns import Column
from local_stack.data.profiling.shape import (
    Alert,
    Correlations,
    NumberStatistics,
    Overview,
    Thresholds,
    ValueCount,
    VariableProfile,
)
from local_stack.data.profiling.wordings import quote

IMPORTANCE = (
    "leakage",
    "leakage_suspect",
    "personal_data",
    "sentinel",
    "null_spellings",
    "duplicates",
    "infinite",
    "odd_characters",
    "constant",
    "equal_columns",
    "missing",
    "missing_depends_on_target",
    "missing_together",
    "mixed_types",
    "numbers_as_text",
    "dates_as_text",
    "dates_as_numbers",
    "similar_categories",
    "padded",
    "markup",
    "future_dates",
    "sorted",
    "unique",
    "identifier",
    "candidate_key",
    "dependency",
    "derived",
    "outlier_rows",
    "heaped",
    "imbalance",
    "rare_categories",
    "high_correlation",
    "high_cardinality",
    "skewed",
    "outliers",
    "zeros",
)
"""Codes of alerts, what spoils a model or a release first."""

_IMPLIED = {
    "leakage": ("high_correlation",),
    "leakage_suspect": ("high_correlation",),
    "equal_columns": ("high_correlation",),
    "derived": ("high_correlation",),
    "dependency": ("high_correlation",),
    "candidate_key": ("high_cardinality",),
}

MIN_ROWS = 20
"""The shape of fewer values, and correlations of fewer rows, say nothing."""

MIN_ROWS_IN_GROUP = 10
"""With fewer rows than this for each category, a correlation ratio is high by chance."""

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_METHODS = {
    "pearson": "Pearson",
    "spearman": "Spearman",
    "cramers_v": "Cramer's V",
    "correlation_ratio": "correlation ratio",
}


def ranked(alerts: Iterable[Alert], names: Sequence[str] = ()) -> tuple[Alert, ...]:
    """Return the alerts, the most important first, each pair of columns named by one of them.

    Two columns that are the same, or one of which follows from the other, need no second alert
    that says that they correlate; nor a text that is a key one that says that it has many values.
    Alerts of one code stand in the order of the columns ``names``. Personal data is not quoted.
    """
    found = list(alerts)
    private = {alert.column for alert in found if alert.code == "personal_data"}
    found = [
        replace(alert, values=())
        if alert.column in private and alert.code in ("unique", "high_cardinality")
        else alert
        for alert in found
    ]
    places = {code: place for place, code in enumerate(IMPORTANCE)}
    columns = {name: place for place, name in enumerate(names)}
    told = {
        (weaker, frozenset((alert.column, alert.other_column)))
        for alert in found
        for weaker in _IMPLIED.get(alert.code, ())
    }
    kept = [
        alert
        for alert in found
        if (alert.code, frozenset((alert.column, alert.other_column))) not in told
    ]
    kept.sort(
        key=lambda alert: (
            places.get(alert.code, len(places)),
            columns.get(alert.column or "", len(columns)),
        )
    )
    return tuple(kept)


def alerts_of(
    overview: Overview,
    variables: list[VariableProfile],
    correlations: Correlations,
    target: str | None,
    limits: Thresholds,
    columns: Mapping[str, Column] | None = None,
) -> Iterator[Alert]:
    """Yield the alerts of the statistics alone: the table's, each column's, each pair's.

    With ``columns`` the alerts name some of the rows behind them.
    """
    if overview.n_duplicate_rows > limits.n_duplicate_rows:
        yield Alert(
            "duplicates",
            None,
            overview.n_duplicate_rows,
            limits.n_duplicate_rows,
            f"{overview.n_duplicate_rows:,} of {overview.n_rows:,} rows "
            f"({percent(overview.p_duplicate_rows)}) repeat an earlier row "
            f"(threshold {limits.n_duplicate_rows}).",
        )
    for variable in variables:
        column = columns.get(variable.name) if columns else None
        yield from _column_alerts(
            variable, column, overview.n_rows, variable.name == target, limits
        )
    yield from _correlation_alerts(overview.n_rows, variables, correlations, limits)


def _column_alerts(
    variable: VariableProfile,
    column: Column | None,
    n_rows: int,
    is_target: bool,
    limits: Thresholds,
) -> Iterator[Alert]:
    n = n_rows - variable.n_missing
    if variable.p_missing > limits.p_missing:
        yield Alert(
            "missing",
            variable.name,
            variable.p_missing,
            limits.p_missing,
            f"{amount(variable.n_missing)} missing "
            f"({percent(variable.p_missing)}; threshold {percent(limits.p_missing)}).",
            rows=_missing_rows(variable, column),
        )
    yield from _distinct_alerts(variable, n, limits)
    yield from _imbalance(variable, n, is_target, limits)
    if variable.numbers is not None:
        yield from _number_alerts(variable, variable.numbers, column, n_rows, limits)


def _missing_rows(variable: VariableProfile, column: Column | None) -> tuple[int, ...]:
    """Return rows without a value: where codes do not tell them from infinities, none."""
    codes = None if column is None else codes_of(column)
    is_mixed = variable.numbers is not None and variable.numbers.n_infinite and variable.n_missing
    return () if codes is None or is_mixed else rows_where(codes < 0)


def _distinct_alerts(variable: VariableProfile, n: int, limits: Thresholds) -> Iterator[Alert]:
    name, n_distinct, top = variable.name, variable.n_distinct, variable.top_values
    if n and n_distinct == 1:
        shown = f": {quote(top[0].value)}" if top else ""
        message = f"Every value is the same{shown}: it tells nothing (threshold 1 value)."
        yield Alert("constant", name, 1, 1, message, values=top[:1])
    if variable.kind == "identifier-suspect":
        what = "a key of the table, or an identifier, from which nothing can be learnt"
        if variable.numbers is not None:
            what += ", unless it is a measure too fine to repeat"
        message = f"None of the {n:,} values repeats{_id_manner(variable, n)}: {what}."
        yield Alert("unique", name, n_distinct, n, message, values=top[:3])
    elif variable.type == "string" and n_distinct > limits.n_categories:
        message = (
            f"{n_distinct:,} different texts in {n:,} values "
            f"(threshold {limits.n_categories} texts)."
        )
        yield Alert(
            "high_cardinality", name, n_distinct, limits.n_categories, message, values=top[:5]
        )


def _id_manner(variable: VariableProfile, n: int) -> str:
    numbers, top = variable.numbers, variable.top_values
    if numbers is not None and isinstance(numbers.min, int) and isinstance(numbers.max, int):
        if numbers.max - numbers.min + 1 == n:
            order = ", in order" if numbers.monotonicity else ""
            return f" and they count from {numbers.min} to {numbers.max}{order}"
        return ""
    is_uuid = bool(top) and all(_UUID.fullmatch(str(item.value)) for item in top)
    return " (UUIDs)" if is_uuid else ""


def _imbalance(
    variable: VariableProfile, n: int, is_target: bool, limits: Thresholds
) -> Iterator[Alert]:
    is_class = variable.kind in ("categorical", "boolean") or is_target or variable.n_distinct == 2
    if not is_class or variable.n_distinct < 2 or not variable.top_values:
        return
    top = variable.top_values[0]
    share = top.count / n
    if share >= limits.p_imbalance:
        role = "target values" if is_target else "values"
        message = (
            f"{top.count:,} of the {role} ({percent(share)}) are {quote(top.value)} "
            f"(threshold {percent(limits.p_imbalance)})."
        )
        yield Alert(
            "imbalance",
            variable.name,
            share,
            limits.p_imbalance,
            message,
            values=variable.top_values[:5],
        )


def _number_alerts(
    variable: VariableProfile,
    numbers: NumberStatistics,
    column: Column | None,
    n_rows: int,
    limits: Thresholds,
) -> Iterator[Alert]:
    name = variable.name
    n = n_rows - variable.n_missing
    if numbers.n_infinite > limits.n_infinite:
        message = (
            f"{amount(numbers.n_infinite)} infinite, and left out of the statistics "
            f"(threshold {limits.n_infinite})."
        )
        codes = None if column is None or variable.n_missing else codes_of(column)
        rows = () if codes is None else rows_where(codes < 0)
        yield Alert("infinite", name, numbers.n_infinite, limits.n_infinite, message, rows=rows)
    if variable.n_distinct > 2:  # 0/1 columns are no surprise, and neither leans
        yield from _zeros(name, numbers, column, n_rows, limits)
        yield from _shape_alerts(name, numbers, n, limits)


def _zeros(
    name: str, numbers: NumberStatistics, column: Column | None, n_rows: int, limits: Thresholds
) -> Iterator[Alert]:
    p_zeros = numbers.n_zeros / n_rows if n_rows else 0.0
    if p_zeros <= limits.p_zeros:
        return
    rows: tuple[int, ...] = ()
    if column is not None and column.tally is not None:
        rows = rows_where(column.tally.codes == column.tally.values.searchsorted(0))
    message = (
        f"{amount(numbers.n_zeros)} zero ({percent(p_zeros)}; threshold {percent(limits.p_zeros)})."
    )
    values = (ValueCount(0, numbers.n_zeros),)
    yield Alert("zeros", name, p_zeros, limits.p_zeros, message, values=values, rows=rows)


def _shape_alerts(
    name: str, numbers: NumberStatistics, n: int, limits: Thresholds
) -> Iterator[Alert]:
    if n < MIN_ROWS:
        return
    skewness = numbers.skewness
    if skewness is not None and abs(skewness) > limits.skewness:
        side = "high" if skewness > 0 else "low"
        message = (
            f"A long tail of {side} values: skewness {skewness:.2f} "
            f"(threshold {limits.skewness:g})."
        )
        far = numbers.largest if skewness > 0 else numbers.smallest
        yield Alert("skewed", name, skewness, limits.skewness, message, values=far)
        return  # a long tail lies beyond the fences by its nature
    share = numbers.n_outliers / n
    if numbers.iqr and share > limits.p_outliers:
        message = (
            f"{amount(numbers.n_outliers)} beyond Tukey's fences, 1.5 times the interquartile "
            f"range away ({percent(share)}; threshold {percent(limits.p_outliers)})."
        )
        values = (*numbers.smallest[:3], *numbers.largest[:3])
        yield Alert("outliers", name, share, limits.p_outliers, message, values=values)


def amount(n: int) -> str:
    """Return ``1 value is`` or ``12,345 values are``."""
    return "1 value is" if n == 1 else f"{n:,} values are"


def _correlation_alerts(
    n_rows: int, variables: list[VariableProfile], correlations: Correlations, limits: Thresholds
) -> Iterator[Alert]:
    """Yield one alert for each pair of columns, of the method that finds the most."""
    strongest: dict[tuple[str, str], tuple[float, str]] = {}
    held = {variable.name: n_rows - variable.n_missing for variable in variables}
    distinct = {variable.name: variable.n_distinct for variable in variables}
    categories = set(correlations.cramers_v.columns)
    for method, first, second, value in _pairs(correlations):
        n = min(held[first], held[second])
        if n < MIN_ROWS:
            continue
        if method == "correlation_ratio":  # many small groups explain anything
            n_groups = distinct[first if first in categories else second]
            if n < MIN_ROWS_IN_GROUP * n_groups:
                continue
        known = strongest.get((first, second), (0.0, ""))
        if abs(value) >= limits.correlation and abs(value) > abs(known[0]):
            strongest[first, second] = (value, method)
    for (first, second), (value, method) in strongest.items():
        message = (
            f"Moves with {quote(second)}: {_METHODS[method]} {value:.3f} "
            f"(threshold {limits.correlation:g})."
        )
        yield Alert("high_correlation", first, value, limits.correlation, message, second, method)


def _pairs(correlations: Correlations) -> Iterator[tuple[str, str, str, float]]:
    for method in ("pearson", "spearman", "cramers_v"):
        for first, second, value in getattr(correlations, method).pairs():
            yield method, first, second, value
    categories = set(correlations.cramers_v.columns)
    for first, second, value in correlations.mixed.pairs():
        if (first in categories) != (second in categories):
            yield "correlation_ratio", first, second, value
