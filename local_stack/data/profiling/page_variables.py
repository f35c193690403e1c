"""One card for each variable: what matters at once, and the rest behind tabs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from local_stack.data.profiling.page_charts import bars, edge, small_histogram
from local_stack.data.profiling.page_context import Context, label_of, link
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
)
from local_stack.data.profiling.shape import Alert, ValueCount, VariableProfile

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
    codes = dict.fromkeys((alert.code, label_of(alert)) for alert in alerts)
    badges = joined(tag("b", label, class_=f"badge {_tone(code)}") for code, label in codes)
    return tag(
        "header",
        tag("h3", link(variable.name, context)),
        tag("p", type_of(variable), class_="type"),
        tag("p", target, badges, class_="badges"),
    )


_GRAVE = {"leakage", "personal_data", "duplicates", "infinite", "constant"}


def _tone(code: str) -> str:
    return "grave" if code in _GRAVE else "plain"


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


def row(variable: VariableProfile, context: Context) -> Markup:
    """Return a variable in one line, for tables with more columns than cards can be made of."""
    numbers = variable.numbers
    codes = ", ".join(dict.fromkeys(label_of(a) for a in context.alerts.get(variable.name, ())))
    cells: list[Markup | str] = [
        tag("span", cut(variable.name, 60), class_="name"),
        type_of(variable),
        percent(variable.p_missing) if variable.n_missing else "",
        f"{variable.n_distinct:,}",
        number(numbers.mean, 4) if numbers else "",
        number(numbers.min, 4) if numbers else "",
        number(numbers.max, 4) if numbers else "",
        codes,
    ]
    return tag(
        "tr",
        joined(tag("td", cell) for cell in cells),
        id=f"v{context.places[variable.name]}",
    )


ROW_TITLES = ("Column", "Type", "Missing", "Distinct", "Mean", "Minimum", "Maximum", "Alerts")
"""Titles of the table of :func:`row`."""
