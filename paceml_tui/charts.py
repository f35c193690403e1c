"""Charts of text: columns, bars, densities and heat, in the alphabet that the terminal has."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from paceml_tui.render import (
    Block,
    Text,
    bar,
    cells,
    fit,
    grid,
    is_ascii,
    join,
    number,
    percent,
    styled,
    value_text,
)

_HEIGHTS = (" ▁▂▃▄▅▆▇█", "  ...:::#")
_SHADES = (" ░▒▓█", " .:*#")
HEAT_STEPS = 5
"""Tones of heat for each sign: ``plus1`` to ``plus5`` and ``minus1`` to ``minus5``."""


def column_chart(
    counts: Sequence[float], edges: Sequence[Any], *, width: int = 60, height: int = 8
) -> list[Text]:
    """Return a histogram as lines: columns over an axis that names the outer edges and the middle.

    Parameters
    ----------
    counts
        Rows in each bin; neighbours are added up when there are more than ``width``.
    edges
        One more than ``counts``; numbers or ISO dates.
    """
    values = pooled([float(it) for it in counts], width)
    if not values:
        return []
    highest = max(values) or 1.0
    step = max(1, width // len(values))
    scale, top = _HEIGHTS[is_ascii()], number(int(highest))
    room = cells(top)
    shown = []
    for line in range(height, 0, -1):
        columns = "".join(scale[_eighths(it / highest, line, height)] * step for it in values)
        title = top if line == height else styled("0" if line == 1 else "")
        shown.append(join(_right(title, room), _axis(), styled(columns, "accent", 0), gap=" "))
    shown.append(join(styled(" " * room), _axis_line(step * len(values)), gap=" "))
    shown.append(join(styled(" " * (room + 2)), _edge_line(edges, step * len(values)), gap=" "))
    return shown


def _eighths(share: float, line: int, height: int) -> int:
    """Return how far a column fills one line, in eighths; what is not zero is seen."""
    filled = max(math.ceil(share * height * 8), 1) if share > 0 else 0
    return min(8, max(0, filled - (line - 1) * 8))


def _right(text: Text, width: int) -> Text:
    return join(styled(" " * max(0, width - cells(text)), limit=0), text, gap="")


def _axis() -> Text:
    return styled("|" if is_ascii() else "│", "quiet")


def _axis_line(width: int) -> Text:
    return styled("+" + "-" * width if is_ascii() else "└" + "─" * width, "quiet", 0)


def _edge_line(edges: Sequence[Any], width: int) -> Text:
    first, last = edge_text(edges[0]), edge_text(edges[-1])
    middle = edge_text(edges[len(edges) // 2]) if len(edges) > 2 and len(edges) % 2 else styled("")
    left = max(1, width // 2 - cells(first) - cells(middle) // 2)
    right = max(1, width - cells(first) - left - cells(middle) - cells(last))
    parts = [first, styled(" " * left, limit=0), middle, styled(" " * right, limit=0), last]
    return join(*parts, gap="")


def edge_text(edge: Any) -> Text:
    """Return where a bin begins: a number in few digits, or a date without its time."""
    if isinstance(edge, str):
        return styled(edge[:10], "quiet")
    return styled(figure(edge, 4).plain, "quiet")


def figure(value: Any, digits: int = 6) -> Text:
    """Return a number to ``digits`` significant digits, without zeros that say nothing."""
    digits_of, e, exponent = number(value, digits).plain.partition("e")
    if "." in digits_of:
        digits_of = digits_of.rstrip("0").rstrip(".")
    return styled(f"{digits_of}{e}{exponent}")


def share(value: Any) -> Text:
    """Return a share as percent; what is not nothing is not shown as nothing."""
    is_tiny = isinstance(value, float) and 0 < value < 0.0005
    return styled("<0.1%") if is_tiny else percent(value)


def pooled(values: Sequence[float], width: int) -> list[float]:
    """Return the values, neighbours added up so that there are at most ``width``."""
    if len(values) <= width:
        return list(values)
    cuts = [round(place * len(values) / width) for place in range(width + 1)]
    return [sum(values[a:b]) for a, b in pairwise(cuts)]


def value_bars(
    counted: Sequence[tuple[Text, int]],
    total: int,
    *,
    width: int = 20,
    rest: int = 0,
    most: int = 30,
) -> Block:
    """Return values, cut to ``most`` cells, with a bar, their number and their share of ``total``.

    ``rest`` counts the rows of all other values, which have no bar of their own.
    """
    highest = max((n for _, n in counted), default=0) or 1
    rows = [
        (
            fit(label, max(most, 12)),
            bar(n / highest, width),
            number(n),
            share(n / total if total else 0.0),
        )
        for label, n in counted
    ]
    if rest > 0:
        others = share(rest / total if total else 0.0)
        rows.append((styled("other values", "quiet"), styled(""), number(rest), others))
    return grid(("", "", "", ""), rows, (2, 3))


def strip_chart(shares: Sequence[float], width: int, tone: str = "warning") -> Text:
    """Return shares in [0, 1] along a line, neighbours averaged; a dot is none at all."""
    sizes = pooled([1.0] * len(shares), width)
    means = [a / b for a, b in zip(pooled(shares, width), sizes, strict=True)]
    scale, none = _HEIGHTS[is_ascii()], "." if is_ascii() else "·"
    marks = [scale[max(1, math.ceil(it * 8))] if it > 0 else none for it in means]
    return styled("".join(marks), tone, 0)


def heat(value: Any) -> Text:
    """Return a correlation as its value on a ground whose strength and hue say the same."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return styled("  -  ", "quiet")
    if abs(value) < 0.005:
        value = 0.0
    shown = "1.0" if value >= 0.995 else "-1.0" if value <= -0.995 else f"{value:.2f}"
    shown = shown.replace("-0.", "-.") if value < 0 else shown.removeprefix("0")
    step = min(HEAT_STEPS, int(abs(value) * HEAT_STEPS + 0.5))
    tone = f"{'plus' if value > 0 else 'minus'}{step}" if step else "quiet"
    return styled(f"{shown:>4} ", tone)


def density(
    counts: Sequence[Sequence[int]], x_edges: Sequence[Any], y_edges: Sequence[Any]
) -> list[Text]:
    """Return rows in the cells of a grid as shades, the largest ``y`` on top.

    A shade stands for a power of the share of the fullest cell, so that thin cells are seen.
    """
    highest = max((max(line) for line in counts if line), default=0)
    scale = _SHADES[is_ascii()]
    top, bottom = edge_text(y_edges[-1]), edge_text(y_edges[0])
    room = max(cells(top), cells(bottom))
    shown = []
    for place, line in enumerate(reversed(counts)):
        marks = "".join(scale[_shade(n, highest)] * 2 for n in line)
        title = top if place == 0 else bottom if place == len(counts) - 1 else styled("")
        shown.append(join(_right(title, room), _axis(), styled(marks, "accent", 0)))
    width = 2 * len(counts[0]) if counts else 0
    shown.append(join(styled(" " * room), _axis_line(width)))
    shown.append(join(styled(" " * (room + 2)), _edge_line(x_edges, width)))
    return shown


def _shade(n: int, highest: int) -> int:
    return max(1, math.ceil(4 * (n / highest) ** 0.4)) if n else 0


def named(counted: Sequence[Any]) -> list[tuple[Text, int]]:
    """Return ``{value, count}`` records as texts and numbers."""
    return [
        (value_name(it.get("value")), int(it.get("count") or 0))
        for it in counted
        if isinstance(it, dict)
    ]


def cell_text(value: Any, limit: int = 60) -> Text:
    """Return a value of a cell or a bound as it is: rounded, two that differ could look alike."""
    if isinstance(value, float) and math.isfinite(value):
        return styled(repr(value).removesuffix(".0"))
    return value_text(value, limit)


def value_name(value: Any) -> Text:
    """Return a value as a list of values names it: white space has to be seen."""
    if isinstance(value, str):
        return styled(value if value.strip() == value != "" else f'"{value}"', limit=60)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return figure(value, 8)
    return value_text(value, 60)
