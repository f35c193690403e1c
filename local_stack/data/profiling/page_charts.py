"""Charts as inline SVG and HTML, drawn with classes alone: no style of an element, no script."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from local_stack.data.profiling.page_html import (
    MAX_TEXT,
    Markup,
    counted,
    cut,
    joined,
    percent,
    plain_number,
    tag,
    value_of,
)
from local_stack.data.profiling.shape import Histogram, Interaction, Matrix, Points, ValueCount

HEIGHT = 100
SCATTER = 200
"""Steps of either axis of a scatter plot."""

LEVELS = 7
"""Steps of a scale of density, the first one being the faintest that is not nothing."""

_MOST_LABELS = 12
_MOST_LETTERS = 14

MAX_LETTERED = 16
"""Columns of a matrix up to which each cell shows its number."""

MAX_LISTED = 30
"""Columns of a matrix up to which its numbers can be had as a table."""


def svg(
    width: float, height: float, *children: Markup, label: str, class_: str = "", fit: bool = False
) -> Markup:
    """Return a drawing with a text that tells what it shows; ``fit`` lets its sides stretch."""
    return tag(
        "svg",
        tag("title", label),
        *children,
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
        preserveAspectRatio="none" if fit else None,
        class_=class_ or None,
    )


def edge(value: float | int | str, digits: int = 4) -> str:
    """Return an end of a bin in short."""
    if isinstance(value, str):
        text = value.removesuffix("Z").partition(".")[0].replace("T", " ")
        return text.removesuffix(" 00:00:00")
    return plain_number(value, digits)


def _heights(counts: Sequence[int]) -> Iterator[float]:
    highest = max(counts, default=0)
    for count in counts:
        share = count / highest if highest else 0.0
        yield max(share * HEIGHT, 1.5) if count else 0.0


def small_histogram(histogram: Histogram | None, name: str) -> Markup | None:
    """Return the outline of a histogram with its two ends under it."""
    drawn = sparkline(histogram, _told(histogram, name)) if histogram is not None else None
    if histogram is None or drawn is None:
        return None
    return tag("div", drawn, _axis(histogram, 2), class_="chart")


def sparkline(histogram: Histogram, label: str) -> Markup | None:
    """Return the outline of a histogram alone; None when it has no bins."""
    if not histogram.counts:
        return None
    path = "".join(
        f"M{x + 0.06:g} {HEIGHT}V{HEIGHT - height:.4g}h.88V{HEIGHT}"
        for x, height in enumerate(_heights(histogram.counts))
        if height
    )
    return svg(
        len(histogram.counts),
        HEIGHT,
        tag("path", d=path),
        label=label,
        class_="hist",
        fit=True,
    )


def large_histogram(histogram: Histogram | None, name: str, box: Markup | None = None) -> Markup:
    """Return a histogram whose bins tell their ends and counts, with an axis."""
    if histogram is None or not histogram.counts:
        return tag("p", "There is no value to draw.", class_="none")
    total = sum(histogram.counts)
    bars = joined(
        tag(
            "rect",
            tag("title", _bin(histogram, x, total)),
            x=f"{x + 0.04:g}",
            y=f"{HEIGHT - height:.4g}",
            width=".92",
            height=f"{height:.4g}",
        )
        for x, height in enumerate(_heights(histogram.counts))
        if height
    )
    drawn = svg(
        len(histogram.counts),
        HEIGHT,
        bars,
        label=_told(histogram, name),
        class_="hist",
        fit=True,
    )
    note = f"{counted(len(histogram.counts), 'bin')} of equal width; the fullest holds "
    note += f"{counted(max(histogram.counts), 'row')} of {total:,}."
    return tag(
        "figure",
        drawn,
        box,
        _axis(histogram, 4),
        tag("figcaption", note),
        class_="chart large",
    )


def _bin(histogram: Histogram, index: int, total: int) -> str:
    low, high = histogram.edges[index], histogram.edges[index + 1]
    if histogram.is_whole:  # the upper edge is the first whole number of the next bin
        high = high - 1  # type: ignore[operator]
    count = histogram.counts[index]
    share = percent(count / total) if total else ""
    ends = edge(low) if low == high else f"{edge(low)} to {edge(high)}"
    return f"{ends}: {counted(count, 'row')} ({share})"


def _told(histogram: Histogram, name: str) -> str:
    if not histogram.counts:
        return ""
    total = sum(histogram.counts)
    fullest = max(range(len(histogram.counts)), key=lambda index: histogram.counts[index])
    return f"Histogram of {cut(name, 60)}. Fullest bin: {_bin(histogram, fullest, total)}."


def _axis(histogram: Histogram, n_parts: int) -> Markup:
    """Return labels that part the axis into ``n_parts``, as far as they can be told.

    A few bins of one whole number each are labelled one by one.
    """
    first, last = histogram.edges[0], histogram.edges[-1]
    labels, class_ = [edge(first), edge(last)], "axis"
    if first == last:
        labels = labels[:1]
    elif isinstance(first, str) or isinstance(last, str):
        pass
    elif histogram.is_whole and last - first == len(histogram.counts) <= _MOST_LABELS:
        labels, class_ = [edge(value) for value in histogram.edges[:-1]], "axis each"
    else:
        labels = _ticks(first, last, n_parts)
    return tag("div", joined(tag("span", text) for text in labels), class_=class_)


def _ticks(first: float, last: float, n_parts: int) -> list[str]:
    shares = [part / n_parts for part in range(n_parts + 1)]
    ticks = [first * (1 - share) + last * share for share in shares]
    labels: list[str] = []
    for digits in (4, 7, 10, 13):  # as few as tell the labels apart
        labels = [edge(tick, digits) for tick in ticks]
        if len(set(labels)) == len(labels):
            break
    return labels


def box_plot(
    low: float, quantiles: Sequence[float | None], high: float, name: str
) -> Markup | None:
    """Return the five quantiles (5, 25, 50, 75, 95%) between the extremes, under a histogram."""
    width = high - low
    held = [value for value in quantiles if value is not None]
    if len(held) != 5 or not math.isfinite(width) or width <= 0:
        return None
    at = [1000 * (value - low) / width for value in held]
    label = f"Quantiles of {cut(name, 60)}: 5, 25, 50, 75 and 95% at "
    label += ", ".join(plain_number(value, 4) for value in held)
    path = f"M{at[0]:.4g} 10H{at[4]:.4g}M{at[0]:.4g} 5v10M{at[4]:.4g} 5v10"
    box = f"M{at[1]:.4g} 2H{max(at[3], at[1] + 2):.6g}V18H{at[1]:.4g}z"
    return svg(
        1000,
        20,
        tag("path", d=path, class_="line"),
        tag("path", d=box),
        tag("path", d=f"M{at[2]:.4g} 0v20", class_="mid"),
        label=label,
        class_="box",
        fit=True,
    )


def bars(
    items: Sequence[ValueCount],
    n: int,
    *,
    n_distinct: int | None = None,
    n_missing: int = 0,
    n_rows: int | None = None,
) -> Markup:
    """Return values with their counts as bars.

    Parameters
    ----------
    n
        What the counts are parts of.
    n_distinct
        How many different values there are, so that a line tells of those not listed.
    n_missing, n_rows
        Rows without a value, told in a line of their own, and all rows.
    """
    highest = max([item.count for item in items] + [1])
    rows = [
        _bar(value_of(item.value), item.count, n_rows or n, highest, title=_whole(item.value))
        for item in items
    ]
    rest = n - sum(item.count for item in items)
    if n_distinct is not None and n_distinct > len(items) and rest > 0:
        others = tag("i", counted(n_distinct - len(items), "other value"), class_="none")
        rows.append(_bar(others, rest, n_rows or n, 0))
    if n_missing:
        rows.append(_bar(value_of(None), n_missing, n_rows or n, 0))
    return tag("table", tag("tbody", joined(rows)), class_="bars")


def _whole(value: object) -> str | None:
    """Return a text that may not have the room for all of it in its line."""
    is_long = isinstance(value, str) and _MOST_LETTERS < len(value) <= MAX_TEXT
    return str(value) if is_long else None


def _bar(name: Markup, count: int, n: int, highest: int, title: str | None = None) -> Markup:
    """Return a line; one without a ``highest`` has no bar, for it is no single value."""
    return tag(
        "tr",
        tag("th", name, scope="row", title=title),
        tag("td", meter(count / highest) if highest else None),
        tag("td", f"{count:,}", class_="n"),
        tag("td", percent(count / n) if n else "", class_="n"),
    )


def meter(share: float, class_: str = "") -> Markup:
    """Return a bar for a share in [0, 1], in whole percent, at least one for what is not none."""
    width = min(100, max(round(share * 100), 1 if share > 0 else 0))
    return Markup(f'<i class="bar w{width} {class_}"></i>')


def density(grid: Interaction) -> Markup:
    """Return a grid of counts, stronger where more rows lie, on a logarithmic scale."""
    highest = max((max(row, default=0) for row in grid.counts), default=0)
    n_y = len(grid.counts)
    n_x = len(grid.counts[0]) if n_y else 0
    total = sum(map(sum, grid.counts))

    def step(x: int, y: int) -> int:
        count = grid.counts[n_y - 1 - y][x]
        return math.ceil(LEVELS * math.log1p(count) / math.log1p(highest)) if count else 0

    label = f"{cut(grid.x, 60)} against {cut(grid.y, 60)}: {counted(total, 'row')}; "
    label += f"the fullest cell holds {highest:,}"
    drawn = svg(
        max(n_x, 1), max(n_y, 1), cells(n_x, n_y, step, "l"), label=label, class_="grid", fit=True
    )
    return _pair(
        grid.x,
        grid.y,
        (grid.x_edges[0], grid.x_edges[-1]),
        (grid.y_edges[0], grid.y_edges[-1]),
        drawn,
    )


def _pair(
    x: str, y: str, across: tuple[float, float], upwards: tuple[float, float], drawn: Markup
) -> Markup:
    """Return a drawing of two columns between the names and the ends of its axes."""
    return tag(
        "figure",
        tag("b", cut(y, 40), class_="y"),
        tag("div", *(tag("span", edge(it)) for it in reversed(upwards)), class_="ends"),
        drawn,
        tag("div", *(tag("span", edge(it)) for it in across), class_="axis"),
        tag("b", cut(x, 40), class_="x"),
        class_="pair",
        data_x=x,
        data_y=y,
    )


def scatter(x: str, y: str, points: Points) -> Markup:
    """Return the rows that hold both columns as points, between the ends of what is shown."""
    across, upwards = (points.values[points.columns.index(name)] for name in (x, y))
    held = [(a, b) for a, b in zip(across, upwards, strict=True) if a is not None and b is not None]
    ends = [_ends(values) for values in zip(*held, strict=True)] if held else [(0.0, 0.0)] * 2
    places = (
        (_placed(a, *ends[0]), SCATTER - _placed(b, *ends[1])) for a, b in dict.fromkeys(held)
    )
    label = f"{cut(x, 60)} against {cut(y, 60)}: {counted(len(held), 'row')} as points"
    path = "".join(f"M{left} {top}h0" for left, top in dict.fromkeys(places))
    drawn = svg(SCATTER, SCATTER, tag("path", d=path), label=label, class_="grid dots", fit=True)
    return _pair(x, y, ends[0], ends[1], drawn)


def _ends(values: Sequence[float]) -> tuple[float, float]:
    return min(values), max(values)


def _placed(value: float, low: float, high: float) -> int:
    """Return where a value lies, in steps of an axis, a little off its ends."""
    width = high / 2 - low / 2  # halves do not overflow
    share = (value / 2 - low / 2) / width if width > 0 else 0.5
    return round(4 + share * (SCATTER - 8))


def cells(n_x: int, n_y: int, step: Callable[[int, int], int], prefix: str) -> Markup:
    """Return one path for each step of a scale, with cells of equal step in a row as one."""
    paths: dict[int, list[str]] = {}
    for y in range(n_y):
        for level, run in groupby(range(n_x), key=lambda x, y=y: step(x, y)):  # type: ignore[misc]
            if level:
                places = list(run)
                paths.setdefault(level, []).append(
                    f"M{places[0]} {y}h{len(places)}v1h-{len(places)}z"
                )
    return joined(
        tag("path", d="".join(parts), class_=signed(level, prefix))
        for level, parts in sorted(paths.items())
    )


def signed(level: int, prefix: str = "p") -> str:
    """Return the class of a step: its prefix, or n for those below zero."""
    return f"n{-level}" if level < 0 else f"{prefix}{level}"


def tenths(value: float | None) -> int:
    """Return a correlation as a step of ten; only what rounds to nothing is zero."""
    return 0 if value is None else round(value * 10)


def heat_map(matrix: Matrix, name: str) -> Markup:
    """Return a matrix of correlations: numbers in cells while it is small, else a drawing."""
    if len(matrix.columns) <= MAX_LETTERED:
        return _lettered(matrix)
    return _drawn(matrix, name)


def _lettered(matrix: Matrix) -> Markup:
    head = joined(tag("th", tag("span", cut(name, 24)), scope="col") for name in matrix.columns)
    rows = joined(
        tag(
            "tr",
            tag("th", cut(name, 24), scope="row", title=name if len(name) > 24 else None),
            joined(_cell(value) for value in matrix.values[i]),
        )
        for i, name in enumerate(matrix.columns)
    )
    held = tag("table", tag("thead", tag("tr", tag("td"), head)), tag("tbody", rows), class_="heat")
    return tag("div", held, class_="scroll", tabindex=0)


def _cell(value: float | None) -> Markup:
    if value is None:
        return tag("td", tag("i", "-", class_="none"))
    text = f"{value:.2f}".replace("0.", ".", 1) if abs(value) < 0.995 else f"{value:.0f}"
    return tag("td", text, class_=signed(tenths(value)), title=f"{value:.6f}")


def _drawn(matrix: Matrix, name: str) -> Markup:
    n = len(matrix.columns)
    steps = [[tenths(value) for value in row] for row in matrix.values]
    side = 18 if n <= 40 else 12
    label = f"{name} of {counted(n, 'column')}; the strongest pairs are listed below."
    drawn = tag(
        "svg",
        tag("title", label),
        cells(n, n, lambda x, y: steps[y][x], "p"),
        viewBox=f"0 0 {n} {n}",
        width=n * side,
        height=n * side,
        role="img",
        class_="heat",
    )
    hundredths = ",".join(
        "" if value is None else str(round(value * 100)) for row in matrix.values for value in row
    )
    names = joined(tag("li", cut(each, 24)) for each in matrix.columns)
    held = tag(
        "div",
        tag("ol", names, class_="across", aria_hidden="true"),
        tag("ol", names, class_="down", aria_hidden="true"),
        tag("div", drawn, data_heat=hundredths),
        class_=f"matrix s{side}",
    )
    told = tag("p", "", class_="told")
    return tag("div", tag("div", held, told, class_="scroll", tabindex=0), _table(matrix))


def _table(matrix: Matrix) -> Markup | None:
    """Return every number of a drawn matrix, unless they are too many to be read."""
    if len(matrix.columns) > MAX_LISTED:
        return None
    return tag("details", tag("summary", "Table"), _lettered(matrix))


def scale(low: str, high: str, is_signed: bool) -> Markup:
    """Return the legend of a heat map."""
    steps = [*range(-10, 0), *range(1, 11)] if is_signed else list(range(1, 11))
    boxes = joined(Markup(f'<i class="{signed(step)}"></i>') for step in steps)
    return tag("p", low, boxes, high, class_="scale")


def line_chart(points: Sequence[float | None], name: str) -> Markup | None:
    """Return values in order as a line, broken where one is missing."""
    held = [value for value in points if value is not None]
    if len(held) < 2:
        return None
    low, high = min(held), max(held)
    width = (high - low) or 1.0
    path, is_drawn = [], False
    for x, value in enumerate(points):
        if value is not None:
            path.append(
                f"{'L' if is_drawn else 'M'}{x} {HEIGHT - HEIGHT * (value - low) / width:.4g}"
            )
        is_drawn = value is not None
    label = f"{cut(name, 60)} in order: from {plain_number(low, 4)} to {plain_number(high, 4)}"
    drawn = svg(
        max(len(points) - 1, 1),
        HEIGHT,
        tag("path", d="".join(path)),
        label=label,
        class_="line",
        fit=True,
    )
    ends = tag("div", tag("span", f"lowest {plain_number(low, 4)}"), class_="axis")
    return tag("figure", drawn, ends, tag("figcaption", f"Highest {plain_number(high, 4)}."))


def lags(values: Sequence[float | None], n: int) -> Markup:
    """Return autocorrelations by lag as bars around zero, with the 95% band of white noise."""
    band = 1.96 / math.sqrt(n) if n else 0.0
    drawn = joined(
        tag(
            "rect",
            tag("title", f"lag {lag}: {value:.3f}"),
            x=f"{lag - 0.75:g}",
            y=f"{50 - 50 * max(value, 0):.4g}",
            width=".5",
            height=f"{max(50 * abs(value), 0.4):.4g}",
        )
        for lag, value in enumerate(values, 1)
        if value is not None
    )
    guides = tag("path", d=f"M0 50H{len(values)}", class_="zero")
    edges = f"M0 {50 - 50 * band:.4g}H{len(values)}M0 {50 + 50 * band:.4g}H{len(values)}"
    return tag(
        "figure",
        svg(
            len(values),
            HEIGHT,
            guides,
            tag("path", d=edges, class_="band"),
            drawn,
            label=f"Autocorrelation of lags 1 to {len(values)}",
            class_="hist lags",
            fit=True,
        ),
        tag("div", tag("span", "lag 1"), tag("span", f"lag {len(values)}"), class_="axis"),
        tag("figcaption", "Dashed: what 95% of white noise stays within."),
        class_="chart large",
    )
