"""What deserves a look: each finding beside the threshold that it passed."""

from __future__ import annotations

from collections.abc import Iterator

from local_stack.data.profiling.shape import (
    Alert,
    Correlations,
    Overview,
    Thresholds,
    VariableProfile,
)


def alerts_of(
    overview: Overview,
    variables: list[VariableProfile],
    correlations: Correlations,
    target: str | None,
    limits: Thresholds,
) -> Iterator[Alert]:
    """Yield the alerts of the statistics alone: the table's, each column's, each pair's."""
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
