"""Charts of the page as inline SVG that stretches with its box, with HTML around it for words.

Nothing has a style of its own: places are attributes, and colours are classes of the style sheet.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final

from local_stack.data.profiling.page_html import Markup, cut, joined, plain_number, tag
from local_stack.explain.attributing.attributions import TARGET
from local_stack.explain.effects.parts import CATEGORICAL, Dependence, Partial, Value
from local_stack.explain.reporting.geometry import (
    Span,
    shades,
    span_of,
    swarm,
    thinned,
    ticks,
)
from local_stack.explain.reporting.points import (
    Colouring,
    categories_of,
    colouring_of,
    in_order,
    label_of,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_POINTS: Final = 300
"""Points of a feature that a drawing holds at most; they have the distribution of all."""

MOST_LINES: Final = 30
_WIDE, _HIGH, _ROW = 1000, 300, 60
_NAME = 80


def svg(height: int, *children: Markup | None, label: str, class_: str) -> Markup:
    """Return a drawing 1,000 wide that stretches both ways, with a text that tells it."""
    return tag(
        "svg",
        tag("title", label),
        *children,
        viewBox=f"0 0 {_WIDE} {height}",
        preserveAspectRatio="none",
        role="img",
        class_=class_,
    )


def column_name(name: str, limit: int = _NAME) -> Markup:
    """Return the name of a column, cut; all of it is in its title."""
    return tag(
        "span",
        cut(name, limit),
        class_="name",
        title=cut(name, 1000) if len(name) > limit else None,
    )


def dots(places: Iterable[tuple[int, int, int]], prefix: str) -> Markup:
    """Return points (x, y, mark) as one path for each mark; -1 is grey."""
    paths: dict[int, dict[str, None]] = {}
    for x, y, mark in places:
        paths.setdefault(mark, {})[f"M{x} {y}h0"] = None
    return joined(
        tag("path", d="".join(held), class_=f"dot {prefix}{mark}" if mark >= 0 else "dot grey")
        for mark, held in sorted(paths.items())
    )


def guides(span: Span, height: int) -> Markup:
    """Return a faint line at each tick across, and a stronger one at zero."""
    places = "".join(f"M{round(span.place(it, _WIDE))} 0V{height}" for it in ticks(span) if it != 0)
    zero = f"M{round(span.place(0, _WIDE))} 0V{height}" if span.holds_zero else ""
    return joined((tag("path", d=places, class_="guide"), tag("path", d=zero, class_="zero")))


def axis(
    span: Span, told: Callable[[float], str] | None = None, at: Sequence[float] | None = None
) -> Markup:
    """Return the numbers below an axis, each where its line is."""
    shown = ticks(span) if at is None else at
    say = told or (lambda number: plain_number(number, 4))
    return tag(
        "div",
        joined(tag("span", say(it), class_=at_share(span.place(it))) for it in shown),
        class_="ticks",
        aria_hidden="true",
    )


def at_share(share: float) -> str:
    """Return the class of a place along an axis, in two hundredths."""
    return f"t{round(share * 200)}"


# ------------------------------------------------------------------ strips, one a row


def beeswarm_strip(
    name: str, shap: NDArray[np.float64], scaled: Sequence[float | None], span: Span
) -> Markup:
    """Return the SHAP values of a feature as points along a line, coloured by its value."""
    chosen = thinned(shap, MOST_POINTS)
    held = shap[chosen]
    marks = shades([scaled[place] for place in chosen])
    label = f"SHAP values of {cut(name, 60)}: {_spread(shap)}"
    return _strip(held, marks, span, label, "s")


def _strip(
    values: NDArray[np.float64], marks: Sequence[int], span: Span, label: str, prefix: str
) -> Markup:
    half = _ROW // 2
    beside = swarm(values, span)
    places = (
        (round(span.place(float(value), _WIDE)), round(half - (half - 4) * float(off)), mark)
        for value, off, mark in zip(values, beside, marks, strict=True)
    )
    return svg(_ROW, guides(span, _ROW), dots(places, prefix), label=label, class_="strip")


def _spread(values: NDArray[np.float64]) -> str:
    if not len(values):
        return "none"
    low, high = plain_number(float(values.min()), 3), plain_number(float(values.max()), 3)
    return f"{low} to {high}, mean {plain_number(float(values.mean()), 3)}"


def interval_strip(
    value: float, low: float | None, high: float | None, span: Span, label: str
) -> Markup:
    """Return a value as a point with its interval as a line, over zero where that is shown."""
    half = _ROW // 2
    line = None
    if low is not None and high is not None and math.isfinite(low) and math.isfinite(high):
        left, right = (round(span.place(it, _WIDE)) for it in (low, high))
        path = f"M{left} {half}H{right}M{left} 18V42M{right} 18V42"
        line = tag("path", d=path, class_="whisker")
    place = round(span.place(value, _WIDE))
    point = tag("path", d=f"M{place} {half}h0", class_="dot big")
    return svg(_ROW, guides(span, _ROW), line, point, label=label, class_="strip short")


def bar_strip(start: float, end: float, span: Span, label: str, class_: str = "bar-up") -> Markup:
    """Return a bar between two values of an axis."""
    left, right = sorted(round(span.place(it, _WIDE)) for it in (start, end))
    bar = tag("rect", x=left, y=8, width=max(right - left, 2), height=_ROW - 16, class_=class_)
    return svg(_ROW, guides(span, _ROW), bar, label=label, class_="strip short")


# ------------------------------------------------------------------ plots of one feature


def dependence_plot(found: Dependence, unit: str) -> Markup:
    """Return the values of a feature against their SHAP values, coloured by another column."""
    import numpy as np

    shap = np.asarray(found.shap, dtype=np.float64)
    colouring = colouring_of(found)
    chosen = thinned(shap, MOST_POINTS)
    draw = _by_category if found.kind == CATEGORICAL else _scatter
    note = f"SHAP value ({unit}) of each row by its value of the column."
    if len(chosen) < len(shap):
        note += f" {len(chosen):,} of {len(shap):,} rows are drawn."
    return tag(
        "figure",
        draw(found, shap, colouring, chosen),
        _key(colouring),
        tag("figcaption", note),
        class_="chart",
    )


def _scatter(
    found: Dependence,
    shap: NDArray[np.float64],
    colouring: Colouring,
    chosen: NDArray[np.int64],
) -> Markup:
    import numpy as np

    places = in_order(found.values, found.kind)
    across = span_of([float(it) for it in places[np.isfinite(places)]])
    upwards = span_of([float(it) for it in shap], with_zero=True)
    known = [
        (
            round(across.place(float(places[row]), _WIDE)),
            round(_HIGH - upwards.place(float(shap[row]), _HIGH)),
            colouring.marks[row],
        )
        for row in chosen
        if math.isfinite(places[row])
    ]
    missing = [row for row in chosen if not math.isfinite(places[row])]
    label = f"{cut(found.column, 60)} against its SHAP values: {_spread(shap)}"
    drawn = svg(
        _HIGH, rules(upwards), dots(known, _prefix(colouring)), label=label, class_="plot-area"
    )
    shown = _marks_of(found.kind, across)
    return _plot(
        found.column,
        upwards,
        drawn,
        axis(across, label_of(found.values, found.kind), shown),
        _missing_band(missing, shap, colouring, upwards),
    )


def _marks_of(kind: str, span: Span) -> list[float] | None:
    """Return where an axis of dates has its marks; None for round numbers."""
    if kind != "date":
        return None
    return [span.low + share * (span.high - span.low) for share in (0.15, 0.5, 0.85)]


def _missing_band(
    rows: Sequence[int], shap: NDArray[np.float64], colouring: Colouring, upwards: Span
) -> Markup | None:
    """Return the rows whose value is missing as a narrow plot of the same height."""
    if not rows:
        return None
    places = [
        (
            round(200 + 600 * ((number * 0.618034) % 1.0)),
            round(_HIGH - upwards.place(float(shap[row]), _HIGH)),
            colouring.marks[row],
        )
        for number, row in enumerate(rows)
    ]
    label = f"Rows without a value: {_spread(shap[list(rows)])}"
    return svg(
        _HIGH, rules(upwards), dots(places, _prefix(colouring)), label=label, class_="plot-missing"
    )


def rules(span: Span) -> Markup:
    """Return a faint line at each tick upwards, and a stronger one at zero."""
    places = "".join(
        f"M0 {round(_HIGH - span.place(it, _HIGH))}H{_WIDE}" for it in ticks(span, 4) if it != 0
    )
    zero = f"M0 {round(_HIGH - span.place(0, _HIGH))}H{_WIDE}" if span.holds_zero else ""
    return joined((tag("path", d=places, class_="guide"), tag("path", d=zero, class_="zero")))


def _plot(
    name: str, upwards: Span, drawn: Markup, below: Markup, missing: Markup | None = None
) -> Markup:
    numbers = joined(
        tag("span", plain_number(it, 3), class_=at_share(upwards.place(it)))
        for it in ticks(upwards, 4)
    )
    parts = [tag("div", numbers, class_="ups", aria_hidden="true")]
    if missing is not None:
        parts += [missing]
    parts += [drawn, tag("i")]
    if missing is not None:
        parts += [tag("small", "missing", class_="under")]
    parts += [below, tag("b", column_name(name, 40), class_="under x")]
    return tag("div", *parts, class_="plot" if missing is None else "plot with-missing")


def _by_category(
    found: Dependence,
    shap: NDArray[np.float64],
    colouring: Colouring,
    chosen: NDArray[np.int64],
) -> Markup:
    held, n_others = categories_of(found)
    span = span_of([float(it) for it in shap], with_zero=True)
    drawn = set(chosen.tolist())
    rows = []
    for category in held:
        some = [row for row in category.rows if row in drawn]
        label = f"{len(category.rows):,} rows: {_spread(shap[list(category.rows)])}"
        marks = [colouring.marks[row] for row in some]
        strip = _strip(shap[some], marks, span, label, _prefix(colouring))
        rows.append((value_name(category.name), strip, f"{category.mean:+.3g}"))
    more = f"{n_others:,} rarer values are left out." if n_others else None
    return strips(rows, span, more)


def value_name(value: Value) -> Markup:
    """Return a category as it is shown beside its strip."""
    if value is None:
        return tag("i", "missing", class_="none")
    text = plain_number(value, 4) if not isinstance(value, str) else value
    return column_name(text, 40) if text.strip() else tag("i", "empty", class_="none")


def strips(
    rows: Iterable[tuple[Markup, Markup, str]], span: Span, note: str | None = None
) -> Markup:
    """Return strips under each other, each after its name and before its number."""
    held = joined(
        joined((tag("div", name, class_="of"), strip, tag("span", number, class_="n")))
        for name, strip, number in rows
    )
    return tag(
        "div",
        tag("div", held, tag("i"), axis(span), tag("i"), class_="strips"),
        tag("p", note, class_="cut") if note else None,
    )


def _prefix(colouring: Colouring) -> str:
    if colouring.column is None:
        return "a"
    return "s" if colouring.is_scale else "c"


def _key(colouring: Colouring) -> Markup | None:
    """Return what the colours mean."""
    if colouring.column is None:
        return None
    parts = [tag("b", "Colour: ", column_name(colouring.column, 40))]
    if colouring.is_scale:
        low, high = colouring.names
        parts += [tag("span", f"{low} ", scale(), f" {high}", class_="scale")]
    else:
        parts += [
            tag("span", Markup(f'<i class="c{place}"></i>'), " ", value_name(name), class_="mark")
            for place, name in enumerate(colouring.names)
        ]
    if colouring.grey:
        parts.append(
            tag("span", Markup('<i class="grey"></i>'), " ", colouring.grey, class_="mark")
        )
    return tag("p", *(joined((part, Markup(" "))) for part in parts), class_="key")


def scale() -> Markup:
    """Return the colours from low to high."""
    return joined(Markup(f'<i class="s{place}"></i>') for place in range(11))


def partial_plot(found: Partial, beside: Dependence | None, output: str) -> Markup:
    """Return partial dependence over the lines of single rows, on the axis of the dependence.

    ``output`` says what is predicted, in words.
    """
    n = min(len(found.ice), MOST_LINES)
    lines = [found.ice[place * len(found.ice) // n] for place in range(n)]
    upwards = span_of([value for line in (found.mean, *lines) for value in line])
    draw = _partial_strips if found.kind == CATEGORICAL else _partial_lines
    note = f"Predicted {output}"
    if found.unit != TARGET:
        note = f"Prediction ({found.unit} of {output})"
    note += " if every row had this value: "
    note += f"the mean of {found.n_rows:,} rows"
    note += f", and {len(lines)} single rows behind it." if lines else "."
    return tag(
        "figure",
        draw(found, lines, upwards, beside),
        tag("figcaption", note),
        class_="chart",
    )


def _partial_lines(
    found: Partial,
    lines: Sequence[Sequence[float]],
    upwards: Span,
    beside: Dependence | None,
) -> Markup:
    places = [float(it) for it in in_order(found.grid, found.kind)]
    same = in_order(beside.values, beside.kind) if beside and beside.kind == found.kind else places
    across = span_of([*(float(it) for it in same), *places])

    def path(line: Sequence[float]) -> str:
        points = [
            f"{round(across.place(x, _WIDE))} {round(_HIGH - upwards.place(y, _HIGH))}"
            for x, y in zip(places, line, strict=True)
            if math.isfinite(x) and math.isfinite(y)
        ]
        return f"M{'L'.join(points)}" if points else ""

    label = f"Partial dependence on {cut(found.column, 60)}: {_ends(found)}"
    drawn = svg(
        _HIGH,
        rules(upwards),
        tag("path", d="".join(map(path, lines)), class_="ice"),
        tag("path", d=path(found.mean), class_="mean"),
        label=label,
        class_="plot-area",
    )
    told = label_of(beside.values if beside else found.grid, found.kind)
    return _plot(found.column, upwards, drawn, axis(across, told, _marks_of(found.kind, across)))


def _ends(found: Partial) -> str:
    known = [it for it in found.mean if math.isfinite(it)]
    if not known:
        return "none"
    return f"mean prediction {plain_number(min(known), 3)} to {plain_number(max(known), 3)}"


def _partial_strips(
    found: Partial,
    lines: Sequence[Sequence[float]],
    upwards: Span,
    beside: Dependence | None,
) -> Markup:
    half = _ROW // 2
    ranked = sorted(range(len(found.grid)), key=lambda it: (-found.mean[it], it))
    rows = []
    for place in ranked:
        single = "".join(f"M{round(upwards.place(it[place], _WIDE))} 16v28" for it in lines)
        mean = round(upwards.place(found.mean[place], _WIDE))
        strip = svg(
            _ROW,
            guides(upwards, _ROW),
            tag("path", d=single, class_="ice"),
            tag("path", d=f"M{mean} {half}h0", class_="dot big"),
            label=f"mean prediction {plain_number(found.mean[place], 4)}",
            class_="strip short",
        )
        number = plain_number(found.mean[place], 3)
        rows.append((value_name(found.grid[place]), strip, number))
    return strips(rows, upwards)
