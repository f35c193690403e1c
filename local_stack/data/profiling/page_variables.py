"""One card for each variable: what matters at once, and the rest behind tabs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from local_stack.data.profiling.page_charts import bars, edge, small_histogram, sparkline
from local_stack.data.profiling.page_context import Context, badge, link
from local_stack.data.profiling.page_details import days, details
from local_stack.data.profiling.page_html import (
    Markup,
    counted,
    cut,
    facts,
    joined,
    number,
    percent,
    size,
    tabs,
    tag,
    value_of,
)
from local_stack.data.profiling.shape import Alert, Histogram, ValueCount, VariableProfile

N_SHOWN = 5
"""Bars of a card that is closed."""

_KINDS = {
    "constant": "Constant",
    "boolean": "Boolean",
    "categorical": "Categorical",
    "text": "Text",
    "identifier-suspect": "Identifier?",
}
_TYPES = {
    "long": "Whole number (\u2124)",
    "double": "Real number (\u211d)",
    "string": "Text",
    "boolean": "Boolean",
    "date": "Date",
    "datetime": "Date and time",
}


def type_of(variable: VariableProfile) -> str:
    """Return the type as a profile calls it, such as ``Categorical``."""
    if not variable.n_distinct:
        return "Empty"
    if variable.kind in _KINDS and variable.kind != "constant":
        if variable.kind == "identifier-suspect":
            return f"{_TYPES.get(variable.type, variable.type)}, maybe an identifier"
        return _KINDS[variable.kind]
    text = _TYPES.get(variable.type, variable.type)
    numbers = variable.numbers
    if numbers is not None and numbers.min is not None and numbers.min >= 0:
        text = text.replace(")", "≥0)")
    return f"{text}, constant" if variable.kind == "constant" else text


def card(variable: VariableProfile, context: Context) -> Markup:
    """Return everything that is known of a variable."""
    place = context.places[variable.name]
    alerts = context.alerts.get(variable.name, ())
    return tag(
        "article",
        tag(
            "div",
            _head(variable, context, alerts),
            _summary(variable, context, {alert.code for alert in alerts}),
            _preview(variable, context),
            class_="front",
        ),
        tag(
            "details",
            tag("summary", "More details"),
            tabs(f"t{place}", details(variable, context, alerts)),
        ),
        id=f"v{place}",
        class_="card variable",
        data_name=variable.name.lower(),
        data_kind=variable.kind,
        data_alerts=len(alerts),
        data_missing=f"{variable.p_missing:.6g}",
        data_distinct=variable.n_distinct,
    )


def _head(variable: VariableProfile, context: Context, alerts: Iterable[Alert]) -> Markup:
    target = tag("b", "Target", class_="badge target") if variable.name == context.target else None
    badges = joined(dict.fromkeys(badge(alert) for alert in alerts))
    return tag(
        "header",
        tag("h3", link(variable.name, context)),
        tag("p", type_of(variable), class_="type"),
        tag("p", target, badges, class_="badges"),
    )


def _share(count: int, n: int) -> Markup:
    share = tag("small", percent(count / n)) if n and count else None
    return joined((Markup(f"{count:,} "), share))


def _summary(variable: VariableProfile, context: Context, codes: set[str]) -> Markup:
    n = context.n_rows - variable.n_missing
    rows = [
        (
            "Distinct",
            _share(variable.n_distinct, n),
            bool(codes & {"constant", "unique", "high_cardinality"}),
        ),
        ("Unique", _share(variable.n_unique, n), "unique" in codes),
        ("Missing", _share(variable.n_missing, context.n_rows), "missing" in codes),
        ("Memory size", Markup(size(variable.memory_bytes)), False),
    ]
    numbers = variable.numbers
    if numbers is None:
        return tag("div", facts(rows), _other_facts(variable), class_="facts-pair")
    first = [
        *rows[:3],
        ("Infinite", _share(numbers.n_infinite, context.n_rows), "infinite" in codes),
        ("Mean", number(numbers.mean), False),
        ("Median", number(numbers.median), False),
    ]
    second = [
        ("Minimum", number(numbers.min), False),
        ("Maximum", number(numbers.max), False),
        ("Zeros", _share(numbers.n_zeros, context.n_rows), "zeros" in codes),
        ("Negative", _share(numbers.n_negative, context.n_rows), False),
        ("Outliers", _share(numbers.n_outliers, n), bool(codes & {"outliers", "skewed"})),
        rows[3],
    ]
    return tag("div", facts(first), facts(second), class_="facts-pair")


def _other_facts(variable: VariableProfile) -> Markup | None:
    dates, lengths = variable.dates, variable.lengths
    if dates is not None:
        return facts(
            [
                ("Minimum", edge(dates.min or "-"), False),
                ("Maximum", edge(dates.max or "-"), False),
                ("Range", days(dates.range_days), False),
            ]
        )
    if lengths is not None:
        return facts(
            [
                ("Shortest", counted(lengths.min, "character"), False),
                ("Median length", number(lengths.median), False),
                ("Longest", counted(lengths.max, "character"), False),
            ]
        )
    return None


def _preview(variable: VariableProfile, context: Context) -> Markup:
    """Return the small chart of a card: a histogram, or the most frequent values as bars."""
    histogram = None
    if variable.numbers is not None and variable.n_distinct > N_SHOWN:
        histogram = variable.numbers.histogram
    if variable.dates is not None:
        histogram = variable.dates.histogram
    drawn = small_histogram(histogram, variable.name)
    if drawn is not None:
        return drawn
    if variable.kind == "text" and variable.text is not None and variable.text.words:
        words = variable.text.words[:N_SHOWN]
        held = bars(words, variable.text.n_words)
        return tag("div", tag("p", "Most frequent words", class_="note"), held, class_="chart")
    n = context.n_rows - variable.n_missing
    held = bars(
        _ordered(variable),
        n,
        n_distinct=variable.n_distinct,
        n_rows=context.n_rows,
    )
    return tag("div", held, class_="chart")


def _ordered(variable: VariableProfile) -> Sequence[ValueCount]:
    """Return the values of a closed card: few numbers by size, anything else by frequency."""
    top = variable.top_values[:N_SHOWN]
    if variable.numbers is None or variable.n_distinct > len(top):
        return top
    return sorted(top, key=lambda item: item.value)


def row(variable: VariableProfile, context: Context, *, is_linked: bool = True) -> Markup:
    """Return a variable in one line.

    It links to its card, or stands for it where the table has more columns than cards can be
    made of.
    """
    numbers = variable.numbers
    drawn = sparkline(_shape_of(variable), "Histogram")
    name = tag("span", cut(variable.name, 60), class_="name")
    codes = dict.fromkeys(badge(alert) for alert in context.alerts.get(variable.name, ()))
    centre: Markup | str = number(numbers.mean, 4) if numbers else ""
    if numbers is None and variable.top_values:
        centre = value_of(variable.top_values[0].value, 24)
    cells: list[tuple[Markup | str | None, str | None]] = [
        (link(variable.name, context) if is_linked else name, None),
        (type_of(variable), "type"),
        (percent(variable.p_missing) if variable.n_missing else "", "n"),
        (f"{variable.n_distinct:,}", "n"),
        (centre, "n"),
        (drawn, "spark"),
        (joined(codes), None),
    ]
    place = context.places[variable.name]
    return tag(
        "tr",
        joined(tag("td", cell, class_=class_) for cell, class_ in cells),
        id=None if is_linked else f"v{place}",
    )


def _shape_of(variable: VariableProfile) -> Histogram:
    """Return the histogram of a variable, or of its most frequent values."""
    for part in (variable.numbers, variable.dates):
        if part is not None and part.histogram is not None:
            return part.histogram
    counts = tuple(item.count for item in variable.top_values)
    return Histogram(tuple(range(len(counts) + 1)), counts if max(counts, default=0) > 1 else ())


def rows_table(rows: Markup) -> Markup:
    """Return lines of :func:`row` under their titles."""
    titles = ("Column", "Type", "Missing", "Distinct", "Mean or most frequent", "", "Alerts")
    numbers = ("Missing", "Distinct", "Mean or most frequent")
    head = joined(
        tag("th", title, scope="col", class_="n" if title in numbers else None) for title in titles
    )
    held = tag("table", tag("thead", tag("tr", head)), tag("tbody", rows), class_="list")
    return tag("div", held, class_="scroll", tabindex=0)
