"""What stands behind the tabs of a variable."""

from __future__ import annotations

from collections.abc import Sequence

from local_stack.data.profiling.page_charts import (
    bars,
    box_plot,
    edge,
    lags,
    large_histogram,
    line_chart,
    meter,
    small_histogram,
)
from local_stack.data.profiling.page_context import Context, label_of, link
from local_stack.data.profiling.page_html import (
    Markup,
    counted,
    facts,
    joined,
    left_out,
    number,
    percent,
    table,
    tag,
    value_of,
)
from local_stack.data.profiling.shape import (
    Alert,
    CharacterGroup,
    NumberStatistics,
    TextStatistics,
    ValueCount,
    VariableProfile,
)


def details(
    variable: VariableProfile, context: Context, alerts: Sequence[Alert]
) -> list[tuple[str | Markup, Markup | None]]:
    """Return the tabs of a variable, in order; a part that is None is not there."""
    parts: list[tuple[str | Markup, Markup | None]] = []
    if variable.numbers is not None:
        parts += _number_parts(variable, variable.numbers)
    if variable.dates is not None:
        parts += _date_parts(variable)
    if variable.lengths is not None:
        parts.append(("Overview", _text_overview(variable, context)))
    parts.append(("Common values", _common(variable, context)))
    if variable.numbers is not None:
        parts.append(("Extreme values", _extremes(variable.numbers, context.n_rows)))
    if variable.text is not None:
        parts.append(("Words", _words(variable.text)))
        parts.append(("Characters", _characters(variable.text)))
        parts.append((f"{variable.text.form or ''} parts".capitalize(), _forms(variable.text)))
    if variable.series is not None:
        parts.append(("Time series", _series(variable, context)))
    parts.append(("Moves with", _moves(variable.name, context)))
    parts.append((f"Alerts ({len(alerts)})", _alerts(alerts)))
    return parts


def _number_parts(
    variable: VariableProfile, numbers: NumberStatistics
) -> list[tuple[str | Markup, Markup | None]]:
    box = None
    histogram = numbers.histogram
    if histogram is not None and numbers.min is not None and numbers.max is not None:
        marks = (numbers.q05, numbers.q25, numbers.median, numbers.q75, numbers.q95)
        low, high = numbers.min, numbers.max
        if histogram.is_whole:  # in the middle of the place that a whole number has there
            low, high = low - 0.5, low - 0.5 + histogram.edges[-1] - histogram.edges[0]  # type: ignore[operator]
        box = box_plot(low, marks, high, variable.name)
    return [
        ("Statistics", tag("div", _quantiles(numbers), _moments(numbers), class_="columns")),
        ("Histogram", large_histogram(histogram, variable.name, box)),
    ]


def _titled(title: str, *parts: Markup | None) -> Markup:
    return tag("div", tag("h4", title), *parts)


def _quantiles(numbers: NumberStatistics) -> Markup:
    rows = (
        ("Minimum", numbers.min),
        ("5th percentile", numbers.q05),
        ("Q1", numbers.q25),
        ("Median", numbers.median),
        ("Q3", numbers.q75),
        ("95th percentile", numbers.q95),
        ("Maximum", numbers.max),
        ("Range", numbers.range),
        ("Interquartile range (IQR)", numbers.iqr),
    )
    return _titled(
        "Quantile statistics", facts((name, number(value), False) for name, value in rows)
    )


def _moments(numbers: NumberStatistics) -> Markup:
    rows = (
        ("Mean", numbers.mean),
        ("Standard deviation", numbers.std),
        ("Variance", numbers.variance),
        ("Coefficient of variation (CV)", numbers.cv),
        ("Median absolute deviation (MAD)", numbers.mad),
        ("Skewness", numbers.skewness),
        ("Kurtosis (excess)", numbers.kurtosis),
        ("Sum", numbers.sum),
    )
    order: tuple[str, Markup | str, bool] = (
        "Monotonicity",
        (numbers.monotonicity or "not monotonic").capitalize(),
        False,
    )
    return _titled(
        "Descriptive statistics",
        facts([*((name, number(value), False) for name, value in rows), order]),
    )


def _date_parts(variable: VariableProfile) -> list[tuple[str | Markup, Markup | None]]:
    dates = variable.dates
    assert dates is not None
    rows: list[tuple[str, Markup | str, bool]] = [
        ("First", edge(dates.min or "-"), False),
        ("Last", edge(dates.max or "-"), False),
        ("Range", days(dates.range_days), False),
        ("In the future", counted(dates.n_future, "row"), dates.n_future > 0),
        ("Median step", days(dates.step_days), False),
        ("Largest gap", days(dates.largest_gap_days), False),
        ("Largest gap begins", edge(dates.largest_gap_at or "-"), False),
        ("Monotonicity", (dates.monotonicity or "not monotonic").capitalize(), False),
    ]
    return [
        ("Statistics", facts(rows)),
        ("Histogram", large_histogram(dates.histogram, variable.name)),
    ]


def _text_overview(variable: VariableProfile, context: Context) -> Markup:
    lengths, text = variable.lengths, variable.text
    assert lengths is not None
    length = _titled(
        "Length",
        facts(
            [
                ("Longest", number(lengths.max), False),
                ("Median", number(lengths.median), False),
                ("Mean", number(lengths.mean), False),
                ("Shortest", number(lengths.min), False),
            ]
        ),
    )
    drawn = None
    if lengths.histogram is not None:
        chart = small_histogram(lengths.histogram, f"the lengths of {variable.name}")
        drawn = _titled("Histogram of lengths", chart)
    values = [value for value in context.examples.get(variable.name, ()) if value is not None]
    sample = tag("ol", joined(tag("li", value_of(value)) for value in values), class_="bare")
    return tag(
        "div",
        length,
        drawn,
        _made_of(text) if text is not None else None,
        _titled("First rows", sample) if values else None,
        class_="columns",
    )


def _made_of(text: TextStatistics) -> Markup:
    rows: list[tuple[str, Markup | str, bool]] = [
        ("Characters", f"{text.n_characters:,}", False),
        ("Distinct characters", f"{text.n_distinct_characters:,}", False),
        ("Categories", f"{text.n_categories:,}", False),
        ("Scripts", f"{text.n_scripts:,}", False),
        ("Blocks", f"{text.n_blocks:,}", False),
        ("Words", f"{text.n_words:,}", False),
        ("Empty texts", f"{text.n_empty:,}", text.n_empty > 0),
        ("Padded with spaces", f"{text.n_padded:,}", text.n_padded > 0),
    ]
    return _titled("Characters and Unicode", facts(rows))


def _common(variable: VariableProfile, context: Context) -> Markup:
    if not variable.top_values:
        return tag("p", "Every value is missing.", class_="none")
    return bars(
        variable.top_values,
        context.n_rows - variable.n_missing,
        n_distinct=variable.n_distinct,
        n_missing=variable.n_missing,
        n_rows=context.n_rows,
    )


def _extremes(numbers: NumberStatistics, n_rows: int) -> Markup | None:
    if not numbers.smallest and not numbers.largest:
        return None
    return tag(
        "div",
        _titled("Smallest values", bars(numbers.smallest, n_rows)),
        _titled("Largest values", bars(numbers.largest, n_rows)),
        class_="columns",
    )


def _sampled(text: TextStatistics) -> Markup | None:
    if not text.is_sample:
        return None
    return tag("p", f"Counted over a sample of {counted(text.n_texts, 'text')}.", class_="cut")


def _words(text: TextStatistics) -> Markup | None:
    if not text.words:
        return None
    return tag("div", _sampled(text), bars(text.words, text.n_words))


def _characters(text: TextStatistics) -> Markup | None:
    if not text.characters:
        return None
    most = _titled(
        "Most frequent characters",
        bars(text.characters, text.n_characters, n_distinct=text.n_distinct_characters),
    )
    n = sum(group.count for group in text.by_category)
    return tag(
        "div",
        _sampled(text),
        most,
        _groups("General categories", text.by_category, text.n_categories, n),
        _groups("Scripts", text.by_script, text.n_scripts, n),
        _groups("Blocks", text.by_block, text.n_blocks, n),
        class_="characters",
    )


def _groups(
    title: str, groups: Sequence[CharacterGroup], n_groups: int, n_characters: int
) -> Markup | None:
    """Return groups of characters, each with its most frequent ones, of ``n_groups`` there are."""
    if not groups:
        return None
    rows = [
        (
            group.name.replace("_", " "),
            f"{group.count:,}",
            percent(group.count / n_characters),
            f"{group.n_distinct:,}",
            joined(_chip(item) for item in group.characters),
        )
        for group in groups
    ]
    heads = (title, "Count", "Share", "Distinct", "Most frequent")
    return tag(
        "div",
        table(heads, rows, numbers=(1, 2, 3)),
        left_out(len(groups), n_groups, "group"),
    )


def _chip(item: ValueCount) -> Markup:
    return tag(
        "span", value_of(item.value), Markup(f" <small>{item.count:,}</small>"), class_="chip"
    )


def _forms(text: TextStatistics) -> Markup | None:
    if text.form is None:
        return None
    parts = [
        _titled(part.name.capitalize(), bars(part.values, text.n_texts)) for part in text.parts
    ]
    return tag("div", _sampled(text), tag("div", *parts, class_="columns"))


def _series(variable: VariableProfile, context: Context) -> Markup:
    series = variable.series
    assert series is not None
    verdict = {True: "stationary", False: "not stationary", None: "-"}[series.is_stationary]
    rows: list[tuple[str, Markup | str, bool]] = [
        ("Augmented Dickey-Fuller", number(series.adf_statistic, 4), False),
        ("p-value", number(series.adf_p_value, 3), False),
        ("Read as", verdict, False),
        ("Season", counted(series.season, "step") if series.season else "none found", False),
    ]
    n = context.n_rows - variable.n_missing
    parts = [
        line_chart(series.points, variable.name),
        _titled("Autocorrelation", lags(series.autocorrelation, n))
        if series.autocorrelation
        else None,
        _titled("Partial autocorrelation", lags(series.partial_autocorrelation, n))
        if series.partial_autocorrelation
        else None,
        facts(rows),
    ]
    return tag("div", *parts, class_="columns")


def _moves(name: str, context: Context) -> Markup | None:
    related = context.related.get(name)
    if not related:
        return None
    rows = [
        (link(other, context), meter(abs(value), "neg" if value < 0 else ""), f"{value:+.3f}")
        for other, value in related
    ]
    return table(("Column", "Strength", "Correlation"), rows, "list short", (2,))


def _alerts(alerts: Sequence[Alert]) -> Markup | None:
    if not alerts:
        return None
    return tag(
        "ul",
        joined(
            tag("li", tag("b", label_of(alert)), Markup(" "), tag("span", alert.message))
            for alert in alerts
        ),
        class_="found",
    )


def days(n_days: float | None) -> Markup:
    """Return a length of time in days, or a dash for none."""
    shown = number(n_days, 4)
    return shown if n_days is None else Markup(f"{shown} days")
