"""One variable of a profile: its statistics, its shape, its values, and what it goes with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

from paceml_tui.charts import column_chart, figure, named, share, value_bars
from paceml_tui.render import (
    Block,
    Text,
    bar,
    cells,
    fields,
    grid,
    heading,
    histogram,
    join,
    number,
    size,
    stack,
    styled,
    value_text,
)
from paceml_tui.tasks import Row
from paceml_tui.widgets.table import Column, LargestFirst

METHODS = {
    "mixed": "All types",
    "pearson": "Pearson",
    "spearman": "Spearman",
    "kendall": "Kendall",
    "cramers_v": "Cramer's V",
    "nullity": "Missing together",
}
"""Matrices of a profile, and what they are called."""

_STRONGEST = 6
_WEAKEST = 0.005
_MOST_BADGES = 4
_MOST_VALUES = 10
_WIDEST_VALUE = 38

Pair = tuple[str, Text]


def variable_block(result: Mapping[str, Any], name: str) -> Block:
    """Return everything that a profile knows of a column."""
    it = (result.get("variables") or {}).get(name) or {}
    n_rows = (result.get("overview") or {}).get("n_rows") or 0
    alerts = alerts_by_column(result).get(name, [])
    codes = {str(a.get("code")): code_of(a) for a in alerts}
    badges = join(*list(codes.values())[:_MOST_BADGES], gap="  ")
    is_target = result.get("target") == name
    role = styled("target", "accent") if is_target else styled("")
    kind = styled(f"{it.get('type')}, {it.get('kind')}", "quiet", 60)
    return stack(
        join(styled(name, "strong", 60), kind, role, gap="  "),
        badges if alerts else None,
        styled(""),
        *_shape(it),
        columns(_counts(it, n_rows)),
        *_numbers(it),
        *_dates(it),
        *_common(it, n_rows),
        *_extremes(it, n_rows),
        *_lengths(it),
        *_text(it),
        *_series(it),
        *_strongest(result, name),
        *_alerts(alerts, name),
    )


def code_of(alert: Mapping[str, Any]) -> Text:
    """Return what an alert is called."""
    return styled(str(alert.get("code")).replace("_", " "), "warning", 26)


def alerts_by_column(result: Mapping[str, Any]) -> dict[str, list[Row]]:
    """Return the alerts that concern each column, whichever of several it is.

    What tells too much of the target is no fault of the target.
    """
    found: dict[str, list[Row]] = {}
    for alert in result.get("alerts") or []:
        names = [alert.get("column"), *(alert.get("columns") or [])]
        if alert.get("other_column") != result.get("target"):
            names.append(alert.get("other_column"))
        for name in dict.fromkeys(names):
            if name is not None:
                found.setdefault(str(name), []).append(alert)
    return found


def section(title: str, *blocks: Block) -> list[Block]:
    """Return blocks under a title, with a line before it."""
    return [styled(""), heading(title), *blocks]


def columns(pairs: Sequence[Pair]) -> Block:
    """Return names and values in two columns, read down the left one first."""
    half = (len(pairs) + 1) // 2
    none = ("", styled(""))
    rows = [
        (styled(a, "quiet"), b, styled(c, "quiet"), d)
        for (a, b), (c, d) in zip_longest(pairs[:half], pairs[half:], fillvalue=none)
    ]
    return grid(("", "", "", ""), rows, (1, 3))


def _of(n: Any, p: Any) -> Text:
    return join(number(n), styled(f"({share(p).plain})", "quiet"))


def _counts(it: Mapping[str, Any], n_rows: int) -> list[Pair]:
    found = [
        ("distinct", _of(it.get("n_distinct"), it.get("p_distinct"))),
        ("occur once", _of(it.get("n_unique"), it.get("p_unique"))),
        ("missing", _of(it.get("n_missing"), it.get("p_missing"))),
        ("memory", size(it.get("memory_bytes"))),
    ]
    for label, key in (
        ("zeros", "n_zeros"),
        ("negative", "n_negative"),
        ("infinite", "n_infinite"),
    ):
        if it.get(key) is not None:
            found.append((label, _of(it[key], it[key] / n_rows if n_rows else 0.0)))
    if it.get("n_outliers") is not None:
        found.append(("outliers (Tukey)", number(it["n_outliers"])))
    return found


def _shape(it: Mapping[str, Any]) -> list[Block]:
    shape = it.get("histogram")
    if not isinstance(shape, Mapping) or not shape.get("counts"):
        return []
    chart = column_chart(shape["counts"], axis_of(shape, it.get("max")), width=56)
    return [*chart, styled("")]


def axis_of(shape: Mapping[str, Any], highest: Any) -> Sequence[Any]:
    """Return the edges of a histogram as its axis names them.

    Bins of whole numbers end beyond the last of them: where each holds one number, the numbers
    are named, and where each holds several, the axis ends at the highest.
    """
    edges: list[Any] = list(shape["edges"])
    if not shape.get("is_whole"):
        return edges
    return edges[:-1] if edges[1] - edges[0] == 1 else [*edges[:-1], highest]


_QUANTILES = (
    ("minimum", "min"),
    ("5%", "q05"),
    ("first quartile", "q25"),
    ("median", "median"),
    ("third quartile", "q75"),
    ("95%", "q95"),
    ("maximum", "max"),
    ("range", "range"),
    ("interquartile range", "iqr"),
)
_MOMENTS = (
    ("mean", "mean"),
    ("standard deviation", "std"),
    ("variation (CV)", "cv"),
    ("sum", "sum"),
    ("variance", "variance"),
    ("skewness", "skewness"),
    ("kurtosis, excess", "kurtosis"),
    ("median dev. (MAD)", "mad"),
)


def _numbers(it: Mapping[str, Any]) -> list[Block]:
    if "mean" not in it:
        return []
    order = [("order of rows", value_text(it["monotonicity"]))] if it.get("monotonicity") else []
    return [
        *section("Quantiles", columns([(a, figure(it.get(key))) for a, key in _QUANTILES])),
        *section(
            "Descriptive statistics",
            columns([*((a, figure(it.get(key))) for a, key in _MOMENTS), *order]),
        ),
    ]


def _dates(it: Mapping[str, Any]) -> list[Block]:
    if "range_days" not in it:
        return []
    shown = [
        ("first", value_text(it.get("min"))),
        ("last", value_text(it.get("max"))),
        ("days between", number(it.get("range_days"))),
        ("in the future", number(it.get("n_future"))),
        ("median step, days", number(it.get("step_days"))),
        ("largest gap, days", number(it.get("largest_gap_days"))),
        ("largest gap from", value_text(it.get("largest_gap_at"))),
        ("order of rows", value_text(it.get("monotonicity"))),
    ]
    return section("Dates", fields(shown))


def _common(it: Mapping[str, Any], n_rows: int) -> list[Block]:
    top = named(it.get("top_values") or [])[:_MOST_VALUES]
    if not top:
        return []
    if top[0][1] == 1:
        return section("Common values", styled("Every value occurs once.", "quiet"))
    n_held = n_rows - (it.get("n_missing") or 0)
    rest = n_held - sum(n for _, n in top)
    widest = min(max(cells(label) for label, _ in top), _WIDEST_VALUE)
    width = min(20, 48 - widest)
    return section("Common values", value_bars(top, n_held, width=width, rest=rest, most=widest))


def _extremes(it: Mapping[str, Any], n_rows: int) -> list[Block]:
    low, high = named(it.get("smallest") or []), named(it.get("largest") or [])
    if not (low or high) or (it.get("n_distinct") or 0) <= _MOST_VALUES:
        return []  # texts have no order that tells, and few values are all common ones
    none = (styled(""), 0)
    rows = [
        (a, number(n) if n else styled(""), styled(""), b, number(m) if m else styled(""))
        for (a, n), (b, m) in zip_longest(low[:10], high[:10], fillvalue=none)
    ]
    titles = ("smallest", "rows", "", "largest", "rows")
    return section("Extreme values", grid(titles, rows, (0, 1, 3, 4)))


def _lengths(it: Mapping[str, Any]) -> list[Block]:
    found = it.get("lengths")
    if not isinstance(found, Mapping):
        return []
    shown = [
        (label, figure(found.get(key), 4))
        for label, key in (("shortest", "min"), ("mean", "mean"), ("median", "median"))
    ]
    shape = found.get("histogram") or {}
    chart = (
        column_chart(shape["counts"], axis_of(shape, found.get("max")), width=40, height=4)
        if shape.get("counts") and found.get("min") != found.get("max")
        else []
    )
    return section(
        "Lengths in characters",
        columns([*shown, ("longest", number(found.get("max")))]),
        *([styled(""), *chart] if chart else []),
    )


def _text(it: Mapping[str, Any]) -> list[Block]:
    found = it.get("text")
    if not isinstance(found, Mapping):
        return []
    facts = [
        ("characters", number(found.get("n_characters"))),
        ("different ones", number(found.get("n_distinct_characters"))),
        ("words", number(found.get("n_words"))),
        ("empty texts", number(found.get("n_empty"))),
        ("padded texts", number(found.get("n_padded"))),
    ]
    sampled = [styled(f"Counted over {found.get('n_texts'):,} texts.", "quiet")]
    n_characters, n_texts = found.get("n_characters") or 0, found.get("n_texts") or 0
    parts: list[Block] = section(
        "Text", columns(facts), *(sampled if found.get("is_sample") else [])
    )
    for title, counted, total in (
        ("Words", named(found.get("words") or []), found.get("n_words") or 0),
        *(
            (str(part.get("name")).capitalize(), named(part.get("values") or []), n_texts)
            for part in found.get("parts") or []
        ),
        ("Characters", named(found.get("characters") or []), n_characters),
    ):
        if counted:
            parts += section(title, value_bars(counted[:_MOST_VALUES], total, width=14))
    for title, kind in _GROUPS:
        parts += _character_groups(found, title, kind)
    return parts


_GROUPS = (("Categories", "category"), ("Scripts", "script"), ("Blocks", "block"))


def _character_groups(found: Mapping[str, Any], title: str, kind: str) -> list[Block]:
    """Return the groups of one kind, each in a line with its most frequent characters."""
    groups = [it for it in found.get(f"by_{kind}") or [] if isinstance(it, Mapping)]
    if not groups:
        return []
    total = sum(int(it.get("count") or 0) for it in found.get("by_category") or []) or 1
    n = found.get(f"n_{_PLURALS[kind]}") or len(groups)
    rows = [
        (
            styled(it.get("name"), limit=22),
            number(it.get("count")),
            share((it.get("count") or 0) / total),
            bar((it.get("count") or 0) / total, 8),
            join(*(label for label, _ in named(it.get("characters") or []))),
        )
        for it in groups
    ]
    more = [styled(f"and {n - len(groups):,} more", "quiet")] if n > len(groups) else []
    return section(title, grid(("", "", "", "", "most frequent"), rows, (1, 2)), *more)


_PLURALS = {"category": "categories", "script": "scripts", "block": "blocks"}


def _series(it: Mapping[str, Any]) -> list[Block]:
    found = it.get("series")
    if not isinstance(found, Mapping):
        return []
    facts = [
        ("stationary", value_text(found.get("is_stationary"))),
        ("season, in rows", number(found.get("season"))),
        ("Dickey-Fuller", number(found.get("adf_statistic"))),
        ("its p-value", number(found.get("adf_p_value"))),
    ]
    partial = found.get("partial_autocorrelation") or []
    lags = [
        (
            number(lag),
            bar(abs(r), 20, "accent" if r >= 0 else "warning"),
            number(r, 3),
            number(partial[lag - 1] if lag <= len(partial) else None, 3),
        )
        for lag, r in enumerate(found.get("autocorrelation") or [], 1)
        if isinstance(r, int | float)
    ]
    points = [p for p in found.get("points") or [] if isinstance(p, int | float)]
    low = min(points, default=0.0)
    line = histogram([p - low for p in points], 60) if points else styled("")
    shown: list[Block] = (
        [grid(("lag", "autocorrelation", "", "partial"), lags[:12], (0, 2, 3))] if lags else []
    )
    return section("In the order of time", line, columns(facts), *shown)


def strongest(result: Mapping[str, Any], name: str) -> list[tuple[str, str, float]]:
    """Return the columns that ``name`` goes with most: column, method and value."""
    best: dict[str, tuple[str, float]] = {}
    for method in METHODS:
        if method == "nullity":
            continue
        for other, value in row_of((result.get("correlations") or {}).get(method), name):
            known = best.get(other)
            if known is None or abs(value) > abs(known[1]) or known[0] == "mixed":
                best[other] = (method, value)
    ordered = sorted(best.items(), key=lambda pair: -abs(pair[1][1]))
    return [(other, method, value) for other, (method, value) in ordered]


def row_of(matrix: Any, name: str) -> list[tuple[str, float]]:
    """Return what a matrix says of a column and each other one."""
    if not isinstance(matrix, Mapping) or name not in (matrix.get("columns") or []):
        return []
    names = matrix["columns"]
    values = matrix["values"][names.index(name)]
    return [
        (other, float(value))
        for other, value in zip(names, values, strict=False)
        if other != name and isinstance(value, int | float) and math.isfinite(value)
    ]


def _strongest(result: Mapping[str, Any], name: str) -> list[Block]:
    found = [it for it in strongest(result, name) if abs(it[2]) >= _WEAKEST][:_STRONGEST]
    if not found:
        return []
    rows = [
        (
            styled(other, limit=24),
            styled("eta" if method == "mixed" else METHODS[method], "quiet"),
            styled(f"{value:.3f}"),
            bar(abs(value), 16, "accent" if value >= 0 else "warning"),
        )
        for other, method, value in found
    ]
    return section("Goes with", grid(("", "", "", ""), rows, (2,)))


def _alerts(alerts: Sequence[Row], name: str) -> list[Block]:
    if not alerts:
        return []
    shown = [(code_of(a), _said_of(a, name)) for a in alerts]
    return section("Alerts", grid(("", ""), shown))


def _said_of(alert: Row, name: str) -> Text:
    """Return what an alert says; one that tells of another column names that first."""
    column = alert.get("column")
    subject = styled(f"{column}:", "quiet", 41) if column not in (None, name) else styled("")
    return join(subject, styled(alert.get("message"), limit=600))


# The list.


def rows_of(result: Mapping[str, Any]) -> list[Row]:
    """Return a line for each variable."""
    alerts = alerts_by_column(result)
    target = result.get("target")
    return [
        {
            **it,
            "name": name,
            "place": place,
            "n_alerts": len(alerts.get(name, [])),
            "is_target": name == target,
        }
        for place, (name, it) in enumerate((result.get("variables") or {}).items())
        if isinstance(it, Mapping)
    ]


def _name(row: Row) -> Text:
    mark = styled("target", "accent") if row["is_target"] else styled("")
    return join(styled(row["name"], limit=40), mark)


def _distribution(row: Row) -> Text:
    shape = row.get("histogram")
    if isinstance(shape, Mapping) and shape.get("counts"):
        return histogram(shape["counts"], 16)
    top = named(row.get("top_values") or [])
    counted = histogram([n for _, n in top[:6]], 6)
    return join(counted, styled(top[0][0].plain, "quiet", 12)) if top else styled("")


def _center(row: Row) -> Text:
    if row.get("mean") is not None:
        return number(row["mean"])
    return styled("")


COLUMNS = (
    Column("variable", _name, rank=0, most=28),
    Column("type", lambda row: styled(row.get("type"), "accent", 10), rank=1, most=10),
    Column(
        "missing", lambda row: share(row.get("p_missing") or None), is_number=True, rank=3, most=8
    ),
    Column("distinct", lambda row: number(row.get("n_distinct")), is_number=True, rank=4, most=11),
    Column("mean", _center, is_number=True, rank=6, most=11),
    Column("distribution", _distribution, rank=2, most=18),
    Column("alerts", lambda row: number(row["n_alerts"] or None), is_number=True, rank=5, most=6),
)
ORDERS: Mapping[str, Any] = {
    "": lambda row: row["place"],
    "variable": lambda row: str(row["name"]).lower(),
    "type": lambda row: str(row.get("type")),
    "missing": LargestFirst(lambda row: row.get("p_missing") or 0),
    "distinct": LargestFirst(lambda row: row.get("n_distinct") or 0),
    "alerts": LargestFirst(lambda row: row["n_alerts"]),
}
"""What the list is sorted by, in the order of the key that turns it; first as in the table."""
