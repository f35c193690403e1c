"""Plots of text: curves over steps, scatter, parallel coordinates, as dots of a terminal.

A cell holds two by four dots of braille; where only ASCII is to be had it holds one mark.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from paceml_tui.charts import figure
from paceml_tui.render import Text, cells, fit, is_ascii, join, styled

TONES = ("accent", "warning", "good", "bad", "strong", "quiet")
"""Tones of the curves of a plot, in turn."""

_MARKS = "*+ox#@"
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_STEPS = ("▁▂▃▄▅▆▇█", "_.:-=+*#")

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Curve:
    """Points in the order in which they are joined; what is not finite parts the curve.

    A curve with a ``tone`` of its own is drawn under the others.
    """

    name: str
    points: tuple[Point, ...]
    tone: str = ""


class Canvas:
    """Cells of dots, each in the tone of what was drawn there last."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = max(1, width), max(1, height)
        self._across, self._down = (1, 1) if is_ascii() else (2, 4)
        self._cells: dict[tuple[int, int], tuple[int, str, str]] = {}

    @property
    def n_across(self) -> int:
        """Return how many dots lie beside each other."""
        return self.width * self._across

    @property
    def n_down(self) -> int:
        """Return how many dots lie under each other."""
        return self.height * self._down

    def dot(self, x: int, y: int, tone: str, mark: str = "*") -> None:
        """Set one dot; ``y`` counts from the bottom."""
        if not (0 <= x < self.n_across and 0 <= y < self.n_down):
            return
        row = self.n_down - 1 - y
        place = row // self._down, x // self._across
        bits = self._cells.get(place, (0, "", ""))[0]
        self._cells[place] = (
            bits | _DOTS[row % self._down][x % self._across],
            tone,
            mark,
        )

    def line(self, x0: int, y0: int, x1: int, y1: int, tone: str, mark: str = "*") -> None:
        """Set the dots between two, both included."""
        n = max(abs(x1 - x0), abs(y1 - y0))
        for step in range(n + 1):
            share = step / n if n else 0.0
            self.dot(round(x0 + (x1 - x0) * share), round(y0 + (y1 - y0) * share), tone, mark)

    def rows(self) -> list[Text]:
        """Return the lines of the plot, the highest first."""
        return [self._row(row) for row in range(self.height)]

    def _row(self, row: int) -> Text:
        parts: list[Text] = []
        run, tone = "", ""
        for column in range(self.width):
            bits, own, mark = self._cells.get((row, column), (0, "", " "))
            shown = mark if is_ascii() else chr(0x2800 + bits) if bits else " "
            if own != tone and run:
                parts.append(styled(run, tone, 0))
                run = ""
            tone = own
            run += shown
        parts.append(styled(run, tone, 0))
        return join(*parts, gap="")


@dataclass(frozen=True, slots=True)
class Span:
    """The numbers that an axis goes over."""

    low: float
    high: float

    def share(self, value: float) -> float:
        """Return where a value lies, in [0, 1]; all lie in the middle when there is one only."""
        return (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5


def span(values: Sequence[float]) -> Span | None:
    """Return the span of the values that are finite; None when there are none."""
    found = [it for it in values if math.isfinite(it)]
    return Span(min(found), max(found)) if found else None


def curve_chart(
    curves: Sequence[Curve],
    *,
    width: int = 60,
    height: int = 10,
    is_log: bool = False,
    dots: Sequence[Point] = (),
) -> list[Text]:
    """Return curves as lines of text over an axis; values that are not finite are left out.

    With ``is_log`` the axis of the values goes by powers of ten; values at or below zero are
    left out then. ``dots`` are points that nothing joins, in the tone behind those of the curves.
    """
    drawn = [replace(it, points=tuple(_finite(it.points, is_log))) for it in curves]
    loose = _finite(dots, is_log)
    xs, ys = _spans([*loose, *(point for it in drawn for point in it.points)])
    if xs is None or ys is None:
        return [styled("No finite value to draw.", "quiet")]
    titles = (*_across(xs), *_ends(ys, is_log=is_log))
    canvas = Canvas(max(8, width - max(map(cells, titles[2:])) - 2), height)
    for number, curve in sorted(enumerate(drawn), key=lambda it: not it[1].tone):
        tone, mark = curve.tone or TONES[number % len(TONES)], _MARKS[number % len(_MARKS)]
        _draw_curve(canvas, curve.points, xs, ys, tone, mark)
    for point in loose:
        _blot(canvas, *_place(canvas, *point, xs, ys), *_looks(len(drawn)))
    return _framed(canvas, titles)


def _looks(number: int) -> tuple[str, str]:
    """Return the tone and the mark of what has a number in the legend."""
    return TONES[number % len(TONES)], _MARKS[number % len(_MARKS)]


def _blot(canvas: Canvas, x: int, y: int, tone: str, mark: str) -> None:
    """Draw a point that is seen: a mark, or four dots."""
    side = min(2, canvas.n_across // canvas.width)
    x, y = max(0, min(x, canvas.n_across - side)), max(0, min(y, canvas.n_down - side))
    for step in range(side * side):
        canvas.dot(x + step % side, y + step // side, tone, mark)


def _finite(points: Sequence[Point], is_log: bool) -> list[Point]:
    found = [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    return [(x, math.log10(y)) for x, y in found if y > 0] if is_log else found


def _spans(points: Sequence[Point]) -> tuple[Span | None, Span | None]:
    return span([x for x, _ in points]), span([y for _, y in points])


def _draw_curve(
    canvas: Canvas, points: Sequence[Point], xs: Span, ys: Span, tone: str, mark: str
) -> None:
    before: tuple[int, int] | None = None
    for x, y in _thinned(points, canvas, xs):
        here = _place(canvas, x, y, xs, ys)
        canvas.line(*(before or here), *here, tone, mark)
        before = here


def _place(canvas: Canvas, x: float, y: float, xs: Span, ys: Span) -> tuple[int, int]:
    return (
        round(xs.share(x) * (canvas.n_across - 1)),
        round(ys.share(y) * (canvas.n_down - 1)),
    )


def _thinned(points: Sequence[Point], canvas: Canvas, xs: Span) -> list[Point]:
    """Return what can be told apart: of a column of dots its ends, its least and its greatest."""
    if len(points) <= 4 * canvas.n_across:
        return list(points)
    columns: dict[int, list[Point]] = {}
    for point in points:
        columns.setdefault(round(xs.share(point[0]) * (canvas.n_across - 1)), []).append(point)
    kept: list[Point] = []
    for _, column in sorted(columns.items()):
        low, high = min(column, key=lambda it: it[1]), max(column, key=lambda it: it[1])
        kept += [column[0], low, high, column[-1]]
    return kept


def _ends(ys: Span, *, is_log: bool = False) -> tuple[Text, Text]:
    low, high = (10**ys.low, 10**ys.high) if is_log else (ys.low, ys.high)
    return _number(low), _number(high)


def _across(xs: Span) -> tuple[Text, Text]:
    return _number(xs.low), _number(xs.high) if xs.high > xs.low else styled("")


def _number(value: float) -> Text:
    is_whole = value == int(value) and abs(value) < 1e9
    return styled(f"{int(value):,}" if is_whole else figure(value, 4).plain, "quiet")


def _framed(canvas: Canvas, titles: Sequence[Text]) -> list[Text]:
    """Return a canvas over and beside its axes; ``titles``: left, right, lower, upper end."""
    first, last, bottom, top = titles
    room = max(cells(top), cells(bottom))
    axis, corner, rule = ("|", "+", "-") if is_ascii() else ("│", "└", "─")
    shown = []
    for number, row in enumerate(canvas.rows()):
        title = top if number == 0 else bottom if number == canvas.height - 1 else styled("")
        left = join(_blank(room - cells(title)), title, _blank(1), styled(axis, "quiet"), gap="")
        shown.append(join(left, row, gap=""))
    line = join(_blank(room + 1), styled(corner + rule * canvas.width, "quiet", 0), gap="")
    return [*shown, line, join(_blank(room + 2), _under(canvas.width, first, last), gap="")]


def _under(width: int, first: Text, last: Text) -> Text:
    if not last.plain:
        return join(_blank((width - cells(first)) // 2), first, gap="")
    return join(first, _blank(width - cells(first) - cells(last)), last, gap="")


def _blank(width: int) -> Text:
    return styled(" " * max(0, width), limit=0)


def legend(names: Sequence[str], width: int) -> list[Text]:
    """Return the names of the curves, each behind its mark in its tone."""
    shown: list[Text] = []
    line = styled("")
    for number, name in enumerate(names):
        mark = _MARKS[number % len(_MARKS)] if is_ascii() else "━"
        part = join(styled(mark * 2, TONES[number % len(TONES)]), styled(name, limit=40))
        if line.plain and cells(join(line, part, gap="   ")) > width:
            shown.append(line)
            line = part
        else:
            line = join(line, part, gap="   ")
    return [*shown, line] if line.plain else shown


def scatter_chart(
    points: Sequence[Point],
    *,
    width: int = 60,
    height: int = 12,
    numbers: Sequence[int] = (),
    looks: Sequence[tuple[str, str]] = (),
    ends: Sequence[str] = (),
) -> list[Text]:
    """Return points as dots.

    Parameters
    ----------
    numbers
        The number of each point in the legend, which gives its tone; all are of one otherwise.
    looks
        The tone and the mark of each point, in place of a number.
    ends
        What stands at the left, right, lower and upper end of the axes in place of numbers.
    """
    found = [it for it in enumerate(points) if all(map(math.isfinite, it[1]))]
    xs, ys = _spans([point for _, point in found])
    if xs is None or ys is None:
        return [styled("No finite point to draw.", "quiet")]
    titles = tuple(styled(it, "quiet", 24) for it in ends) or (*_across(xs), *_ends(ys))
    room = max(map(cells, titles[2:]))
    canvas = Canvas(max(8, width - room - 2), height)
    for place, (x, y) in found:
        shown = looks[place] if looks else _looks(numbers[place] if numbers else 0)
        _blot(canvas, *_place(canvas, x, y, xs, ys), *shown)
    return _framed(canvas, titles)


def parallel_chart(
    axes: Sequence[str], lines: Sequence[Sequence[float | None]], *, width: int, height: int = 12
) -> list[Text]:
    """Return parallel coordinates: an axis for each name, a line for each of ``lines``.

    A line has a share in [0, 1] for each axis, or None where it has no value; it is in the tone
    of its number.
    """
    if len(axes) < 2 or not lines:
        return [styled("Two axes or more are needed.", "quiet")]
    canvas = Canvas(width, height)
    places = [round(n * (canvas.n_across - 1) / (len(axes) - 1)) for n in range(len(axes))]
    for place in places:
        canvas.line(place, 0, place, canvas.n_down - 1, "quiet", "|")
    for number, shares in enumerate(lines):
        tone, mark = TONES[number % len(TONES)], _MARKS[number % len(_MARKS)]
        for at in range(len(axes) - 1):
            left, right = shares[at], shares[at + 1]
            if left is None or right is None:
                continue
            y0, y1 = round(left * (canvas.n_down - 1)), round(right * (canvas.n_down - 1))
            canvas.line(places[at], y0, places[at + 1], y1, tone, mark)
    return [_titles(axes, width), *canvas.rows()]


def _titles(axes: Sequence[str], width: int) -> Text:
    """Return the names over their axes: the first to the left, the last to the right."""
    room = max(4, width // len(axes) - 1)
    shown = styled("")
    for number, name in enumerate(axes):
        text = fit(styled(name, "quiet"), room)
        middle = round(number * (width - 1) / (len(axes) - 1))
        at = min(max(cells(shown) + bool(number), middle - cells(text) // 2), width - cells(text))
        shown = join(shown, _blank(at - cells(shown)), text, gap="")
    return shown


def spark(values: Sequence[float], width: int = 16, tone: str = "accent") -> Text:
    """Return values in their order as one row of columns, the mean of neighbours in each."""
    found = [it for it in values if math.isfinite(it)]
    if not found:
        return styled("")
    n = min(width, len(found))
    cuts = [round(place * len(found) / n) for place in range(n + 1)]
    means = [sum(found[a:b]) / (b - a) for a, b in pairwise(cuts)]
    over = Span(min(means), max(means))
    scale = _STEPS[is_ascii()]
    marks = [scale[min(7, int(over.share(it) * 8))] for it in means]
    return styled("".join(marks), tone, 0)
