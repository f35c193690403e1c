"""A profile as text for people: what matters first, in as many columns as the terminal has."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.cells import cell_len, chop_cells, set_cell_size

from paceml_tui import render
from paceml_tui.safe import safe

Values = Mapping[str, Any]

_NARROWEST, _WIDEST = 60, 140
_MOST_ALERTS = 40
_MOST_VARIABLES = 200
_MOST_PAIRS = 12
_STRONG = 0.3
"""Correlations below it are left to ``--json``."""

_TYPES = {
    "long": "whole",
    "double": "real",
    "string": "text",
    "boolean": "boolean",
    "date": "date",
    "datetime": "time",
}
_KINDS = {"categorical": "category", "constant": "constant", "identifier-suspect": "id?"}
_METHODS = (
    ("pearson", "Pearson"),
    ("spearman", "Spearman"),
    ("kendall", "Kendall"),
    ("cramers_v", "Cramer's V"),
    ("mixed", "eta"),  # what is no eta in it stands in the others, too
)
_UNSIGNED = ("Cramer's V", "eta")
_NUMBERS = (
    (("mean", "Mean"), ("min", "Minimum")),
    (("std", "Standard deviation"), ("q05", "5th percentile")),
    (("variance", "Variance"), ("q25", "Q1")),
    (("cv", "Coefficient of variation"), ("median", "Median")),
    (("mad", "Median abs. deviation"), ("q75", "Q3")),
    (("skewness", "Skewness"), ("q95", "95th percentile")),
    (("kurtosis", "Kurtosis (excess)"), ("max", "Maximum")),
    (("sum", "Sum"), ("range", "Range")),
    (("n_zeros", "Zeros"), ("iqr", "Interquartile range")),
    (("n_negative", "Negative"), ("n_outliers", "Outliers (Tukey)")),
    (("n_infinite", "Infinite"), ("monotonicity", "Monotonicity")),
)


def lines(values: Values) -> Iterator[str]:
    """Yield the lines of a profile, the JSON of ``data profile``, without colour.

    The variables that ``reproduction.columns`` names follow in full, and nothing else does.
    """
    width = min(max(shutil.get_terminal_size((80, 24)).columns, _NARROWEST), _WIDEST)
    asked = values["reproduction"].get("columns") or []
    yield from _overview(values, width)
    if asked:
        for name in asked:
            yield ""
            yield from _in_full(name, values, width)
        return
    for part in (_alerts, _variables, _correlations, _missing, _rest):
        shown = list(part(values, width))
        if shown:
            yield ""
            yield from shown


# ------------------------------------------------------------------ the table


def _overview(values: Values, width: int) -> Iterator[str]:
    seen, made = values["overview"], values["reproduction"]
    name = made.get("dataset", "table")
    version = f"@{made['version']}" if made.get("version") else ""
    target = f", target {safe(values['target'], 40)}" if values.get("target") else ""
    shape = f"{seen['n_rows']:,} rows, {seen['n_columns']:,} columns{target}"
    yield _cut(f"{safe(name, 60)}{safe(version, 20)}  {shape}", width)
    if made.get("is_sample"):
        yield f"  over a random sample of {made['n_rows_used']:,} of {made['n_rows_total']:,} rows"
    types = ", ".join(f"{n:,} {_TYPES.get(kind, safe(kind))}" for kind, n in seen["types"].items())
    yield f"  missing cells   {_share(seen['n_missing'], seen['p_missing'])}"
    yield f"  duplicate rows  {_share(seen['n_duplicate_rows'], seen['p_duplicate_rows'])}"
    yield _cut(f"  in memory       {_size(seen['memory_bytes'])}", width)
    yield _cut(f"  types           {types or '-'}", width)


def _alerts(values: Values, width: int) -> Iterator[str]:
    alerts, changes = values["alerts"], values["changes"]
    if not alerts and not changes["resolved"]:
        yield "Alerts: none"
        return
    fresh = [_key(alert) for alert in changes["new"]]
    yield f"Alerts: {len(alerts)}{_since(changes)}"
    for alert in alerts[:_MOST_ALERTS]:
        yield from _alert(alert, "new" if _key(alert) in fresh else "", width)
    if len(alerts) > _MOST_ALERTS:
        yield f"  ({len(alerts) - _MOST_ALERTS} more; --html FILE or --json gives all)"
    for alert in changes["resolved"][:_MOST_ALERTS]:
        yield from _alert(alert, "resolved", width)


def _since(changes: Values) -> str:
    if changes["previous"] is None:
        return ""
    counts = f"{len(changes['new'])} new, {len(changes['resolved'])} resolved"
    return f" ({counts} since {safe(changes['previous'], 60)})"


def _key(alert: Values) -> tuple[Any, ...]:
    return alert["code"], alert["column"], alert["other_column"], *(alert.get("columns") or ())


def _alert(alert: Values, state: str, width: int) -> Iterator[str]:
    mark = {"new": "*", "resolved": render.glyph("none")}.get(state, render.glyph("warning"))
    about = alert.get("columns") or ([alert["column"]] if alert["column"] is not None else [])
    names = ", ".join(safe(name, 40) for name in about[:4])
    names += f" and {len(about) - 4} more" if len(about) > 4 else ""
    code = safe(alert["code"].replace("_", " "), 30)
    head = f"{code}: {names}." if names else f"{code}."
    words = [f"({state})"] if state else []
    words += [*head.split(" "), *safe(alert["message"], 0).split(" ")]
    yield from _wrapped(words, width, f"  {mark} ", "    ")


def _variables(values: Values, width: int) -> Iterator[str]:
    held = list(values["variables"].items())
    if not held:
        return
    longest = max([cell_len(safe(name)) for name, _ in held[:_MOST_VARIABLES]] + [8])
    n_name = min(longest, 20 if width < 100 else 32)
    n_drawn = min(24, width - n_name - 48)
    yield f"Variables: {len(held):,}"
    yield (
        f"  {_set('', n_name)}  {'type':<8} {'missing':>7} {'distinct':>9} "
        f"{'mean or most':>15}  {'distribution' if n_drawn >= 12 else ''}"
    ).rstrip()
    for name, variable in held[:_MOST_VARIABLES]:
        yield (
            f"  {_set(safe(name, n_name), n_name)}  {_type(variable):<8} "
            f"{_percent(variable['p_missing']) if variable['n_missing'] else '-':>7} "
            f"{variable['n_distinct']:>9,} {_right(_centre(variable), 15)}  "
            f"{_drawn(variable, n_drawn)}"
        ).rstrip()
    if len(held) > _MOST_VARIABLES:
        yield f"  ({len(held) - _MOST_VARIABLES:,} more; --html FILE or --json gives all)"


def _type(variable: Values) -> str:
    if not variable["n_distinct"]:
        return "empty"
    kind = _TYPES.get(variable["type"], "other")
    return _KINDS.get(variable["kind"], kind)


def _centre(variable: Values) -> str:
    """Return the mean of numbers, the first date, or the most frequent value."""
    if "mean" in variable:
        return render.number(variable["mean"]).plain
    if variable["kind"] == "datetime":
        return safe(str(variable.get("min") or "-")[:10])
    top = variable["top_values"]
    return _value(top[0]["value"], 15) if top else "-"


def _drawn(variable: Values, width: int) -> str:
    """Return a histogram in one line, or the shares of the most frequent values."""
    histogram = variable.get("histogram")
    if histogram is not None:
        return render.histogram(histogram["counts"], width).plain if width > 0 else ""
    counts = [item["count"] for item in variable["top_values"]]
    if width <= 0 or len(counts) < 2 or counts[0] == 1:  # no value repeats: nothing to see
        return ""
    return render.histogram(counts, width).plain


def _correlations(values: Values, width: int) -> Iterator[str]:
    pairs = sorted(_pairs(values["correlations"]), key=lambda pair: -abs(pair[2]))
    strong = [pair for pair in pairs if abs(pair[2]) >= _STRONG]
    if not strong:
        return
    yield f"Correlations: {len(strong):,} of {len(pairs):,} pairs from {_STRONG:g} on"
    shown = strong[:_MOST_PAIRS]
    n_name = min(max(cell_len(safe(name)) for pair in shown for name in pair[:2]), 24)
    n_bar = min(20, width - 2 * n_name - 30)
    for first, second, value, method in shown:
        bar = render.bar(abs(value), n_bar).plain if n_bar >= 8 else ""
        names = f"{_set(safe(first, n_name), n_name)}  {_set(safe(second, n_name), n_name)}"
        yield f"  {names}  {_signed(value, method)}  {method:<10}  {bar}".rstrip()
    if len(strong) > len(shown):
        yield f"  ({len(strong) - len(shown):,} more; --html FILE or --json gives all)"


def _pairs(correlations: Values) -> Iterator[tuple[str, str, float, str]]:
    """Yield each pair of columns once, with the method that finds the most."""
    found: dict[tuple[str, str], tuple[float, str]] = {}
    for key, method in _METHODS:
        matrix = correlations.get(key) or {"columns": [], "values": []}
        names = matrix["columns"]
        for i, row in enumerate(matrix["values"]):
            for j in range(i):
                pair = names[j], names[i]
                if row[j] is not None and abs(row[j]) > abs(found.get(pair, (0.0, ""))[0]):
                    found[pair] = row[j], method
    for (first, second), (value, method) in found.items():
        yield first, second, value, method


def _signed(value: float, method: str) -> str:
    return f"{value:6.3f}" if method in _UNSIGNED else f"{value:+6.3f}"


def _missing(values: Values, width: int) -> Iterator[str]:
    held = [(n, v) for n, v in values["variables"].items() if v["n_missing"]]
    if not held:
        return
    held.sort(key=lambda item: -item[1]["n_missing"])
    yield f"Missing values: in {len(held):,} of {len(values['variables']):,} columns"
    n_name = min(max(cell_len(safe(name)) for name, _ in held[:20]), 24)
    n_bar = min(30, width - n_name - 26)
    for name, variable in held[:20]:
        bar = render.bar(variable["p_missing"], n_bar).plain
        yield (
            f"  {_set(safe(name, n_name), n_name)}  {bar}  "
            f"{_percent(variable['p_missing']):>7}  {variable['n_missing']:,}"
        )
    if len(held) > 20:
        yield f"  ({len(held) - 20:,} more; --json gives all)"


def _rest(values: Values, width: int) -> Iterator[str]:
    name = shlex.quote(safe(values["reproduction"].get("dataset", "NAME"), 40))
    if values["variables"]:
        column = shlex.quote(safe(next(iter(values["variables"])), 40))
        words = f"One variable in full: paceml-tui data profile {name} --column {column}".split(" ")
        yield from _wrapped(words, width, "", "  ")
        yield f"As a page: paceml-tui data profile {name} --html page.html"


# ------------------------------------------------------------------ one variable


def _in_full(name: str, values: Values, width: int) -> Iterator[str]:
    variable, n_rows = values["variables"][name], values["overview"]["n_rows"]
    n = n_rows - variable["n_missing"]
    yield _cut(f"{safe(name, 60)}  {_type(variable)}", width)
    yield f"  distinct        {_share(variable['n_distinct'], variable['p_distinct'])}"
    yield f"  occurring once  {_share(variable['n_unique'], variable['p_unique'])}"
    yield f"  missing         {_share(variable['n_missing'], variable['p_missing'])}"
    yield f"  in memory       {_size(variable['memory_bytes'])}"
    for alert in values["alerts"]:
        if name in (alert["column"], alert["other_column"], *(alert.get("columns") or ())):
            yield from _alert(alert, "", width)
    if "mean" in variable:
        yield from _statistics(variable)
    if variable["kind"] == "datetime" and "n_future" in variable:
        yield from _dates(variable)
    if variable.get("histogram"):
        yield from _histogram(variable["histogram"], width)
    yield from _values("Common values", variable["top_values"], n_rows, width)
    rest = n - sum(item["count"] for item in variable["top_values"])
    if rest > 0:
        n_others = variable["n_distinct"] - len(variable["top_values"])
        yield f"  ({n_others:,} other values in {rest:,} rows)"
    if rest > 0:  # else every value is listed already
        yield from _values("Smallest values", variable.get("smallest") or (), n_rows, width)
        yield from _values("Largest values", variable.get("largest") or (), n_rows, width)
    yield from _text(variable, width)
    yield from _related(name, values["correlations"], width)


def _statistics(variable: Values) -> Iterator[str]:
    yield ""
    for (first, left), (second, right) in _NUMBERS:
        value = _number(variable.get(second))
        yield (
            f"  {left:<24}{_number(variable.get(first)):>12}    {right}{value:>{34 - len(right)}}"
        )


def _dates(variable: Values) -> Iterator[str]:
    yield ""
    yield f"  first           {safe(variable.get('min') or '-')}"
    yield f"  last            {safe(variable.get('max') or '-')}"
    yield f"  range           {_number(variable.get('range_days'))} days"
    yield f"  in the future   {variable['n_future']:,} rows"
    if variable.get("largest_gap_at"):
        yield f"  median step     {_number(variable['step_days'])} days"
        largest = _number(variable["largest_gap_days"])
        yield f"  largest gap     {largest} days from {safe(variable['largest_gap_at'])}"


def _histogram(histogram: Values, width: int) -> Iterator[str]:
    """Yield a line for each bin, with neighbours put together when there are many."""
    edges, counts = histogram["edges"], histogram["counts"]
    step = -(-len(counts) // 15)
    merged = [sum(counts[i : i + step]) for i in range(0, len(counts), step)]
    starts = [edges[i] for i in range(0, len(counts), step)]
    labels = [_edge(edge) for edge in starts]
    n_label = max(map(cell_len, labels))
    highest = max(merged, default=0) or 1
    n_bar = max(10, width - n_label - 18)
    last = edges[-1] - 1 if histogram.get("is_whole") else edges[-1]
    yield ""
    yield f"Histogram ({len(merged)} bins from {_edge(edges[0])} to {_edge(last)})"
    for label, count in zip(labels, merged, strict=True):
        bar = render.bar(count / highest, n_bar).plain
        yield f"  {_right(label, n_label)}  {bar} {count:>10,}"


def _edge(edge: Any) -> str:
    return safe(edge.removesuffix("Z"), 19) if isinstance(edge, str) else _number(edge)


def _values(title: str, items: Sequence[Values], n: int, width: int) -> Iterator[str]:
    if not items:
        return
    names = [_value(item["value"], min(56, width - 36)) for item in items]
    place = _set if isinstance(items[0]["value"], str) else _right
    n_name = max(map(cell_len, names))
    n_bar = max(8, min(30, width - n_name - 28))
    highest = max(item["count"] for item in items) or 1
    yield ""
    yield title
    for name, item in zip(names, items, strict=True):
        bar = render.bar(item["count"] / highest, n_bar).plain
        share = _percent(item["count"] / n) if n else "-"
        yield f"  {place(name, n_name)}  {bar} {item['count']:>10,}  {share:>8}"


def _text(variable: Values, width: int) -> Iterator[str]:
    lengths, text = variable.get("lengths"), variable.get("text")
    if lengths:
        yield ""
        told = ", ".join(
            f"{name} {_number(lengths[key])}"
            for key, name in (
                ("min", "shortest"),
                ("median", "median"),
                ("mean", "mean"),
                ("max", "longest"),
            )
        )
        yield _cut(f"Lengths: {told}", width)
        if lengths.get("histogram"):
            counts = lengths["histogram"]["counts"]
            yield f"  {render.histogram(counts, width - 4).plain}"
    if not text:
        return
    if text["is_sample"]:
        yield f"Words and characters of a sample of {text['n_texts']:,} texts"
    yield from _values("Words", text["words"], text["n_words"], width)
    yield from _values("Characters", text["characters"], text["n_characters"], width)
    for title in ("category", "script", "block"):
        yield from _groups(title, text, width)
    for part in text["parts"]:
        title = f"{text['form'].upper()}: {part['name']}"
        yield from _values(title, part["values"], text["n_texts"], width)


_PLURALS = {"category": "Categories", "script": "Scripts", "block": "Blocks"}


def _groups(kind: str, text: Values, width: int) -> Iterator[str]:
    """Yield groups of characters, each in a line with its most frequent ones."""
    groups, title = text[f"by_{kind}"], _PLURALS[kind]
    if not groups:
        return
    total = sum(group["count"] for group in text["by_category"])
    names = [safe(group["name"].replace("_", " "), 28) for group in groups]
    n_name = max(map(cell_len, names))
    yield ""
    yield f"{title} of characters, the most frequent in each"
    for name, group in zip(names, groups, strict=True):
        listed = " ".join(_value(item["value"], 8) for item in group["characters"])
        share = _percent(group["count"] / total)
        line = f"  {_set(name, n_name)} {group['count']:>10,}  {share:>7}  {listed}"
        yield _cut(line, width)
    n = text[f"n_{title.lower()}"]
    if n > len(groups):
        yield f"  ({n - len(groups):,} more)"


def _related(name: str, correlations: Values, width: int) -> Iterator[str]:
    pairs = [pair for pair in _pairs(correlations) if name in pair[:2] and abs(pair[2]) >= 0.1]
    if not pairs:
        return
    yield ""
    yield "Moves with"
    pairs.sort(key=lambda pair: -abs(pair[2]))
    for first, second, value, method in pairs[:10]:
        other = second if first == name else first
        yield _cut(f"  {_signed(value, method)}  {method:<10}  {safe(other, 40)}", width)


# ------------------------------------------------------------------ small parts


def _share(n: int, share: float) -> str:
    return f"{n:,} ({_percent(share)})" if n else "0"


def _percent(share: float) -> str:
    if 0 < share < 0.001:
        return "<0.1%"
    return render.percent(share).plain


def _size(n_bytes: float) -> str:
    return render.size(n_bytes).plain


def _number(value: Any) -> str:
    """Return six significant digits without the zeros at their end."""
    if isinstance(value, str):
        return safe(value, 24)
    text = render.number(value, 6).plain
    return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text


def _value(value: Any, limit: int) -> str:
    """Return a value of a column; an empty text and spaces at its ends can be told."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return safe(_number(value), limit)
    return safe(f"'{value}'" if not value or value != value.strip() else value, limit)


def _set(text: str, width: int) -> str:
    return set_cell_size(text, width)


def _right(text: str, width: int) -> str:
    return " " * max(0, width - cell_len(text)) + text


def _cut(line: str, width: int) -> str:
    return safe(line, width)


def _wrapped(words: Iterable[str], width: int, first: str, rest: str) -> Iterator[str]:
    """Yield words in lines of at most ``width`` cells; a word longer than a line is broken."""
    line, is_empty = first, True
    for word in words:
        for part in chop_cells(word, width - cell_len(rest)) or [""]:
            if not is_empty and cell_len(line) + 1 + cell_len(part) > width:
                yield line
                line, is_empty = rest, True
            line += part if is_empty else f" {part}"
            is_empty = False
    yield line
