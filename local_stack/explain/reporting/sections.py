"""What the page tells of a whole model, a section each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from local_stack.data.profiling.page_html import (
    Markup,
    counted,
    cut,
    joined,
    left_out,
    number,
    percent,
    plain_number,
    table,
    tag,
    within,
)
from local_stack.explain.attributing.attributions import TARGET
from local_stack.explain.effects.parts import (
    Dependence,
    Explained,
    Interactions,
    ModelExplanation,
    Partial,
    Permutation,
)
from local_stack.explain.reporting.drawings import (
    axis,
    bar_strip,
    beeswarm_strip,
    column_name,
    dependence_plot,
    interval_strip,
    partial_plot,
    scale,
    strips,
    value_name,
)
from local_stack.explain.reporting.geometry import Span, span_of

MOST_FEATURES: Final = 40
"""Features that are drawn, the most important ones; all are told in a table, up to 500."""

_MOST_LISTED, _MOST_RULES, _MOST_INTERACTIONS, _MOST_CONDITIONS = 500, 80, 14, 8
_MOST_BYTES = 2_500_000  # of the cards of features, which are cut after it


_ROWS: Final = {
    "test": "that the model did not learn from",
    "other": "of other data than the model learnt from",
    "all": "that the model learnt from",
}


def unit_of(found: ModelExplanation) -> str:
    """Return the unit of SHAP values in words."""
    if found.unit != TARGET:
        return found.unit
    return f"the unit of {cut(found.target, 40)}" if found.target else "the unit of the target"


def output_of(found: ModelExplanation) -> str:
    """Return what is predicted: the target, or one of its classes."""
    target, output = cut(found.target or "the target", 60), cut(found.output, 60)
    return f"{target} = {output}" if output and output != target else target


def importance(explained: Explained) -> Markup:
    """Return the mean |SHAP value| of each feature as bars, beside its permutation importance."""
    found = explained.explanation
    shown = found.importance[:MOST_FEATURES]
    permuted = found.permutation
    links = {it.column: f"#f{place}" for place, it in _drawn(explained)}
    span = Span(0.0, max((it.mean_abs_shap for it in shown), default=0.0) * 1.04 or 1.0)
    across = _permuted_span(permuted, [it.feature for it in shown]) if permuted else None
    cells = list(_heads(found, permuted))
    for item in shown:
        name = column_name(item.feature)
        link = links.get(item.feature)
        label = f"mean |SHAP value| {plain_number(item.mean_abs_shap, 4)}"
        cells += [
            tag("div", tag("a", name, href=link) if link else name, class_="of"),
            bar_strip(0.0, item.mean_abs_shap, span, label, "bar-plain"),
            tag("span", plain_number(item.mean_abs_shap, 3), class_="n"),
        ]
        if permuted and across:
            cells += _permuted_cells(permuted, item.feature, across)
    cells += [tag("i"), axis(span), tag("i")]
    if across:
        cells += [axis(across), tag("i")]
    grid = tag("div", *cells, class_="weigh" if permuted else "weigh alone")
    n = found.n_summed
    summed = f"Summed over {n} classes; the table tells of each." if n > 1 else None
    return tag(
        "div",
        tag("p", summed, class_="note") if summed else None,
        grid,
        left_out(len(shown), len(found.importance), "feature"),
        tag("p", _permutation_note(permuted), class_="note") if permuted else None,
        _importance_table(found),
        class_="card",
    )


def _heads(found: ModelExplanation, permuted: Permutation | None) -> Sequence[Markup]:
    first = (tag("i"), tag("b", f"mean |SHAP value| ({unit_of(found)})", class_="head"), tag("i"))
    if permuted is None:
        return first
    title = f"{_words(permuted.metric)} gets worse by, when shuffled"
    return (*first, tag("b", title, class_="head"), tag("i"))


def _words(name: str) -> str:
    return cut(name.replace("_", " "), 60)


def _permuted_span(permuted: Permutation, names: Sequence[str]) -> Span:
    held = [it for it in permuted.columns if it.column in set(names)]
    ends = [end for it in held for end in (it.low, it.mean, it.high)]
    return span_of(ends, with_zero=True)


def _permuted_cells(permuted: Permutation, column: str, span: Span) -> list[Markup]:
    item = next((it for it in permuted.columns if it.column == column), None)
    if item is None:
        return [tag("i"), tag("span", "-", class_="n")]
    interval = f"[{item.low:+.2g}, {item.high:+.2g}]"
    label = f"permutation importance {item.mean:+.3g} {interval}"
    return [
        interval_strip(item.mean, item.low, item.high, span, label),
        tag("span", f"{item.mean:+.3g} ", tag("small", interval), class_="n"),
    ]


def _permutation_note(permuted: Permutation) -> str:
    where = _ROWS.get(permuted.rows, "of the data")
    score = f"{_words(permuted.metric)} is {plain_number(permuted.score, 4)}"
    return (
        f"On {counted(permuted.n_rows, 'row')} {where}, {score}; each column is shuffled "
        f"{counted(permuted.repeats, 'time')}. Interval: {cut(permuted.interval, 200)}."
    )


def _importance_table(found: ModelExplanation) -> Markup:
    total = sum(item.mean_abs_shap for item in found.importance) or 1.0
    classes = found.outputs if len(found.outputs) > 1 else ()
    classes = classes[:12]
    permuted = {it.column: it for it in found.permutation.columns} if found.permutation else {}
    titles = ["Feature", "Mean |SHAP|", "Share", *(cut(name, 30) for name in classes)]
    titles += ["Permutation", "Low", "High"] if permuted else []
    rows = []
    for item in found.importance[:_MOST_LISTED]:
        row = [
            column_name(item.feature),
            number(item.mean_abs_shap),
            percent(item.mean_abs_shap / total),
            *(number(value) for value in item.by_class[: len(classes)]),
        ]
        if permuted:
            one = permuted.get(item.feature)
            row += [number(it) for it in ((one.mean, one.low, one.high) if one else (None,) * 3)]
        rows.append(row)
    held = table(titles, rows, numbers=range(1, len(titles)))
    more = left_out(len(rows), len(found.importance), "feature")
    return tag("details", tag("summary", "Table of all numbers"), held, more)


def beeswarm(explained: Explained) -> Markup | None:
    """Return the SHAP values of all rows, a strip for each feature."""
    import numpy as np

    found = explained.beeswarm
    shown = found.columns[:MOST_FEATURES]
    if not shown or not found.n_rows:
        return None
    values = np.asarray(found.shap[: len(shown)], dtype=np.float64)
    span = span_of([float(values.min()), float(values.max())], with_zero=True)
    rows = [
        (column_name(name), beeswarm_strip(name, values[at], found.scaled[at], span), "")
        for at, name in enumerate(shown)
    ]
    quantiles = np.percentile(values, [0, 25, 50, 75, 100], axis=1).T
    titles = ("Feature", "Lowest", "Q1", "Median", "Q3", "Highest")
    listed = [
        (column_name(name), *(number(float(it)) for it in quantiles[at]))
        for at, name in enumerate(shown)
    ]
    unit = unit_of(explained.explanation)
    what = output_of(explained.explanation)
    lead = f"Each point is one of {counted(found.n_rows, 'row')}. To the right the value of the "
    lead += f"column raises the prediction of {what}, to the left it lowers it (in {unit})."
    key = tag("span", "Feature value: low ", scale(), " high", class_="scale")
    grey = tag("span", Markup('<i class="grey"></i>'), " a category, or missing")
    return tag(
        "div",
        tag("p", lead, class_="note"),
        tag("p", key, grey, class_="legend"),
        tag("div", strips(rows, span), class_="swarm"),
        tag("p", "SHAP value (impact on model output)", class_="under"),
        left_out(len(shown), len(found.columns), "feature"),
        tag(
            "details",
            tag("summary", "Table of the SHAP values"),
            table(titles, listed, numbers=range(1, 6)),
        ),
        class_="card",
    )


# ------------------------------------------------------------------ a card for each feature


def _drawn(explained: Explained) -> list[tuple[int, Dependence]]:
    return list(enumerate(explained.dependences[:MOST_FEATURES]))


def features(explained: Explained) -> Markup | None:
    """Return dependence, partial dependence and single rows' lines of each feature."""
    partials = {it.column: it for it in explained.partials}
    drawn = [
        _feature(place, found, partials.pop(found.column, None), explained.explanation)
        for place, found in _drawn(explained)
    ]
    hidden = {it.column for it in explained.dependences[MOST_FEATURES:]}
    rest = [it for it in partials.values() if it.column not in hidden][: MOST_FEATURES - len(drawn)]
    drawn += [_alone(found, output_of(explained.explanation)) for found in rest]
    if not drawn:
        return None
    cards, n = within(drawn, _MOST_BYTES)
    return tag("div", left_out(n, len(explained.dependences) + len(rest), "feature"), cards)


def _feature(
    place: int, found: Dependence, partial: Partial | None, explanation: ModelExplanation
) -> Markup:
    parts = [dependence_plot(found, unit_of(explanation))]
    if partial is not None:
        parts.append(partial_plot(partial, found, output_of(explanation)))
    return tag(
        "article",
        tag("h3", column_name(found.column)),
        tag("div", *parts, class_="pair-of"),
        tag("p", cut(found.why, 400), class_="note"),
        _feature_table(found, partial),
        class_="card feature",
        id=f"f{place}",
    )


def _alone(found: Partial, output: str) -> Markup:
    """Return a raw column whose SHAP values stand under the features that are made of it."""
    return tag(
        "article",
        tag("h3", column_name(found.column)),
        tag("div", partial_plot(found, None, output), class_="pair-of"),
        tag("p", "Its SHAP values stand under the features that are made of it.", class_="note"),
        class_="card feature",
    )


def _feature_table(found: Dependence, partial: Partial | None) -> Markup | None:
    parts = []
    if partial is not None and partial.grid:
        rows = [
            (value_name(value), number(mean))
            for value, mean in zip(partial.grid, partial.mean, strict=True)
        ]
        parts.append(table(("Value", "Mean prediction"), rows[:100], "list short", numbers=(1,)))
    if found.strengths:
        shares = [(column_name(it.column), percent(it.share)) for it in found.strengths[:10]]
        titles = ("Column", "Share of the remaining spread that it explains")
        parts.append(table(titles, shares, "list short", numbers=(1,)))
    if not parts:
        return None
    held = tag("div", *parts, class_="pair-of")
    return tag("details", tag("summary", "Tables"), held)


# ------------------------------------------------------------------ interactions, rules, findings


def interactions(found: ModelExplanation) -> Markup | None:
    """Return how much columns do together, as a matrix and the strongest pairs in words."""
    held = found.interactions
    if held is None or len(held.columns) < 2:
        return None
    n = min(len(held.columns), _MOST_INTERACTIONS)
    most = max((held.matrix[i][j] for i in range(n) for j in range(n) if i != j), default=0.0)
    head = joined(
        tag("th", tag("span", cut(name, 24)), scope="col", title=cut(name, 300))
        for name in held.columns[:n]
    )
    body = joined(
        tag(
            "tr",
            tag("th", cut(name, 24), scope="row", title=cut(name, 300)),
            joined(_interaction(held, i, j, most) for j in range(n)),
        )
        for i, name in enumerate(held.columns[:n])
    )
    matrix = tag(
        "table", tag("thead", tag("tr", tag("td"), head)), tag("tbody", body), class_="heat"
    )
    note = f"Mean |SHAP interaction value| of {counted(held.n_rows, 'row')} in {held.unit}; "
    note += "the diagonal, uncoloured, is what a column does by itself. "
    note += f"Method: {cut(held.method, 200)}."
    return tag(
        "div",
        tag("p", note, class_="note"),
        tag(
            "div",
            tag("div", matrix, class_="scroll", tabindex=0),
            _strongest(held),
            class_="beside",
        ),
        left_out(n, len(held.columns), "column"),
        class_="card",
    )


def _interaction(held: Interactions, i: int, j: int, most: float) -> Markup:
    value = held.matrix[i][j]
    text = f"{value:.2g}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.2g}"
    if i == j:
        return tag("td", text, class_="diagonal", title=repr(value))
    step = min(10, math.ceil(10 * value / most)) if most > 0 and value > 0 else 0
    return tag("td", text, class_=f"p{step}" if step else None, title=repr(value))


def _strongest(held: Interactions) -> Markup:
    n = len(held.columns)
    pairs = sorted(
        ((held.matrix[i][j], i, j) for i in range(n) for j in range(i + 1, n)),
        key=lambda it: (-it[0], it[1], it[2]),
    )
    rows = [
        (
            tag(
                "span", column_name(held.columns[i], 40), " and ", column_name(held.columns[j], 40)
            ),
            number(value, 4),
        )
        for value, i, j in pairs[:8]
        if value > 0
    ]
    if not rows:
        return tag("p", "No two columns interact.", class_="none")
    return tag("div", tag("h4", "Strongest pairs"), table(("Pair", ""), rows, numbers=(1,)))


def surrogate(found: ModelExplanation) -> Markup | None:
    """Return the model's behaviour as a small decision tree, and how faithful that is."""
    held = found.surrogate
    if held is None:
        return None
    if held.measure == "R2":
        told = f"it explains {percent(max(held.fidelity, 0.0))} of the variance of what the model "
        told += f"predicts (R² {held.fidelity:.3f}; always giving the mean: {held.baseline:.3f})"
    else:
        told = f"it gives the model's class in {percent(held.fidelity)} of the rows "
        told += f"(always giving the most frequent one: {percent(held.baseline)})"
    lead = f"A decision tree of depth {held.depth} that was fitted to what the model predicts. "
    lead += f"On {counted(held.n_rows_test, 'row')} that it did not see, {told}."
    rows = [
        (
            joined(tag("div", cut(it, 200)) for it in leaf.conditions[:_MOST_CONDITIONS])
            or "every row",
            cut(leaf.prediction, 80),
            percent(leaf.share),
        )
        for leaf in held.leaves[:_MOST_RULES]
    ]
    lines = "\n".join(cut(line, 300) for line in held.rules[:_MOST_RULES])
    return tag(
        "div",
        tag("p", lead, class_="note"),
        table(("If all of these hold", "the model predicts", "Rows"), rows, "list leaves", (2,)),
        tag("details", tag("summary", "The tree as text"), _preformatted(lines)),
        class_="card",
    )


def _preformatted(text: str) -> Markup:
    """Return lines of text; the breaks between them are the only ones."""
    lines = (tag("span", line) for line in text.split("\n"))
    return tag("pre", Markup("\n".join(lines)), class_="rules")


_CODES = {
    "constant": "Constant",
    "unused": "Unused",
    "harmful": "Harmful",
    "unhelpful": "Unhelpful",
}


def unhelpful(found: ModelExplanation) -> Markup:
    """Return the columns that the model would not miss."""
    rows = [
        (
            column_name(it.column),
            tag("b", _CODES.get(it.code, cut(it.code, 30)), class_="badge plain"),
            tag("span", cut(it.message, 400), class_="text"),
        )
        for it in found.findings[:_MOST_LISTED]
    ]
    if not rows:
        return tag("p", "Every column helps, as far as could be seen.", class_="card")
    more = left_out(len(rows), len(found.findings), "column")
    return tag("div", table(("Column", "", "What was seen"), rows), more, class_="card")
