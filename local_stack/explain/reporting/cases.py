"""Explained rows on the page: how the prediction comes about, as a waterfall, and in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from local_stack.data.profiling.page_html import (
    Markup,
    cut,
    left_out,
    plain_number,
    table,
    tag,
    within,
)
from local_stack.explain.reporting.drawings import bar_strip, interval_strip, strips
from local_stack.explain.reporting.geometry import Span, span_of

MOST_ROWS: Final = 20
"""Explained rows that a page holds."""

_MOST_BARS = 12
_MOST_LISTED = 200
_MOST_BYTES = 800_000  # of all cards, which are cut after it


def rows(found: Sequence[Mapping[str, Any]]) -> Markup:
    """Return a card for each explained row."""
    drawn = (_case(place, row) for place, row in enumerate(found[:MOST_ROWS], start=1))
    cards, n = within(drawn, _MOST_BYTES)
    return tag("div", cards, left_out(n, len(found), "row"))


def _case(place: int, row: Mapping[str, Any]) -> Markup:
    reasons = [tag("li", cut(str(it), 400)) for it in (row.get("reasons") or ())[:20]]
    title = cut(str(row.get("title") or f"Row {place}"), 120)
    summary = row.get("summary")
    return tag(
        "article",
        tag("h3", title),
        tag("p", "Prediction: ", tag("b", _value(row.get("prediction")), class_="name")),
        tag("p", cut(str(summary), 600), class_="note") if summary else None,
        tag("ul", *reasons, class_="reasons") if reasons else None,
        _other_outcome(row.get("counterfactual")),
        waterfall(
            row.get("contributions") or (),
            float(row.get("base_value") or 0.0),
            str(row.get("unit") or ""),
        ),
        class_="card row-of",
    )


def _other_outcome(found: Mapping[str, Any] | None) -> Markup | None:
    """Return the smallest change that leads to another outcome, in words."""
    if not found or not found.get("text"):
        return None
    return tag("p", tag("b", "Another outcome: "), cut(str(found["text"]), 600), class_="name")


def waterfall(
    contributions: Sequence[Mapping[str, Any]], base: float, unit: str, most: int = _MOST_BARS
) -> Markup:
    """Return the way from the base value to a row's raw prediction, a bar for each column.

    Parameters
    ----------
    contributions
        ``feature``, ``value`` and ``shap`` of each column; the largest ones are drawn, and the
        rest is one bar.
    """
    ranked = sorted(contributions, key=lambda it: -abs(_shap(it)))
    drawn, rest = ranked[:most], ranked[most:]
    steps = [(_label(it), _shap(it)) for it in drawn]
    if rest:
        steps.append((f"{len(rest)} other columns", math.fsum(_shap(it) for it in rest)))
    ends, at = [base], base
    for _, shap in steps:
        at += shap
        ends.append(at)
    span = span_of(ends, margin=0.06)
    bars = [_end("base value", base, span)]
    for place, (name, shap) in enumerate(steps):
        tone = "bar-up" if shap >= 0 else "bar-down"
        bars.append(_bar(name, ends[place], ends[place + 1], span, f"{shap:+.3g}", tone))
    bars.append(_end("sum", ends[-1], span))
    listed = [
        (_feature(it), _value(it.get("value")), f"{_shap(it):+.6g}") for it in ranked[:_MOST_LISTED]
    ]
    caption = f"From the base value to the sum, in {unit}." if unit else ""
    return tag(
        "div",
        tag("div", strips(bars, span), class_="waterfall"),
        tag("p", caption, class_="note"),
        tag(
            "details",
            tag("summary", "All columns"),
            table(("Column", "Value", "SHAP value"), listed, numbers=(2,)),
            left_out(len(listed), len(ranked), "column"),
        ),
    )


def _bar(
    name: str, start: float, end: float, span: Span, number: str, tone: str
) -> tuple[Markup, Markup, str]:
    label = f"{cut(name, 80)}: {number}"
    drawn = bar_strip(start, end, span, label, tone)
    return tag("span", cut(name, 80), class_="name"), drawn, number


def _end(name: str, value: float, span: Span) -> tuple[Markup, Markup, str]:
    """Return where the way begins or ends, as a point."""
    number = plain_number(value, 4)
    drawn = interval_strip(value, None, None, span, f"{name}: {number}")
    return tag("b", name), drawn, number


def _shap(item: Mapping[str, Any]) -> float:
    value = item.get("shap")
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else 0.0


def _feature(item: Mapping[str, Any]) -> str:
    return cut(str(item.get("feature", "")), 80)


def _label(item: Mapping[str, Any]) -> str:
    return f"{cut(str(item.get('feature', '')), 40)} = {cut(_value(item.get('value')), 36)}"


def _value(value: Any) -> str:
    if value is None:
        return "missing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return plain_number(value, 4)
    return cut(str(value), 80) or "(empty)"
