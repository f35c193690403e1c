"""Words and numbers of explanations: what is added, values of columns, titles, axes, tables."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Sequence
from typing import Any

from paceml_tui.charts import cell_text, figure
from paceml_tui.plots import Span
from paceml_tui.render import Text, cells, fit, is_ascii, join, number, styled
from paceml_tui.safe import safe

LONGEST = 600
"""Cells of a sentence."""
_DIGITS = 8


def signed(value: float | None, digits: int = 3) -> Text:
    """Return a number with its sign, for what is added."""
    text = number(value, digits).plain
    return styled(f"+{text}" if value is not None and value > 0 else text)


def told(value: Any, limit: int = 24) -> Text:
    """Return the value of a column, a long fraction to six digits; a missing one is said to be."""
    if value is None:
        return styled("missing", "quiet")
    is_long = isinstance(value, float) and not value.is_integer() and len(repr(value)) > _DIGITS
    return fit(figure(value) if is_long else cell_text(value, limit), limit)


def wrapped(text: str, width: int) -> list[str]:
    """Return outside text in lines of ``width`` cells."""
    return textwrap.wrap(safe(text, LONGEST), max(20, width)) or [""]


def title(text: str, width: int) -> Text:
    """Return the title of a drawing."""
    return fit(styled(text, "strong"), width)


def blank(width: int) -> Text:
    """Return so many spaces, none for a negative number."""
    return styled(" " * max(0, width), limit=0)


def axis(over: Span, width: int) -> Text:
    """Return the ends of an axis and its nought, each under its place."""
    low, high = (styled(signed(it, 3).plain, "quiet") for it in (over.low, over.high))
    at = round(over.share(0.0) * (width - 1)) if over.low <= 0 <= over.high else -1
    left = at - cells(low)
    right = width - at - 1 - cells(high)
    if at < 0 or left < 1 or right < 1:
        return join(low, blank(width - cells(low) - cells(high)), high, gap="")
    return join(low, blank(left), styled("0", "quiet"), blank(right), high, gap="")


def interval_bar(low: float, mean: float, high: float, over: Span, width: int) -> Text:
    """Return an interval as a line with its middle as a mark, over a rule at nought."""
    line, point, rule = ("-", "o", "|") if is_ascii() else ("─", "●", "│")
    marks = [" "] * width

    def at(value: float) -> int:
        return min(width - 1, max(0, round(over.share(value) * (width - 1))))

    if over.low <= 0 <= over.high:
        marks[at(0.0)] = rule
    for place in range(at(low), at(high) + 1):
        marks[place] = line
    marks[at(mean)] = point
    return styled("".join(marks), "accent" if low > 0 or high < 0 else "quiet", 0)


def laid(
    titles: Sequence[str], rows: Sequence[Sequence[Text]], right: Collection[int] = ()
) -> list[Text]:
    """Return a table whose columns stand at the left, those in ``right`` at the right.

    The titles are left out when none says anything.
    """
    heads = [[styled(it, "quiet", 40) for it in titles]] if any(titles) else []
    lines = [*heads, *rows]
    widths = [max(cells(line[at]) for line in lines) for at in range(len(titles))] if lines else []
    shown = []
    for line in lines:
        parts = []
        for at, text in enumerate(line):
            pad = blank(widths[at] - cells(text))
            parts.append(join(*((pad, text) if at in right else (text, pad)), gap=""))
        shown.append(_spaced(parts, widths))
    return shown


def _spaced(parts: Sequence[Text], widths: Sequence[int]) -> Text:
    """Return cells beside each other; a column without anything in it takes no room."""
    kept = [part for part, width in zip(parts, widths, strict=True) if width]
    line = join(*(piece for part in kept for piece in (part, blank(2))), gap="")
    line.rstrip()
    return line
