"""Many rows as dots whose tone tells a value from low to high: strips of a beeswarm, a legend.

The tone of a cell is that of the mean of its dots; where only ASCII is to be had the mark says
the same, so that colour is never needed alone.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

from paceml_tui.plots import Canvas, Span
from paceml_tui.render import Text, is_ascii, join, styled

_MARKS = ".-+*#"
_STEPS = len(_MARKS)

Dot = tuple[float, float | None]
"""Where a row lies, and its level: a share in [0, 1], None where it has none."""


def look(level: float | None) -> tuple[str, str]:
    """Return the tone and the mark of a level; without one it is quiet."""
    if level is None or not math.isfinite(level):
        return "quiet", "o"
    step = min(_STEPS - 1, max(0, int(level * _STEPS)))
    return f"ramp{step + 1}", _MARKS[step]


def ramp(low: str = "low", high: str = "high") -> Text:
    """Return the legend of the tones."""
    marks = _MARKS if is_ascii() else "■" * _STEPS
    blocks = [styled(mark, f"ramp{step}") for step, mark in enumerate(marks, 1)]
    return join(styled(low, "quiet", 24), join(*blocks, gap=""), styled(high, "quiet", 24))


def levels(values: Sequence[float | None]) -> list[float | None]:
    """Return the share of the values that lie below each, so that an outlier hides no other."""
    known = sorted(it for it in values if it is not None and math.isfinite(it))
    ranks: dict[float, float] = {}
    for first, it in enumerate(known):
        ranks.setdefault(it, first)
    last = defaultdict(float, {it: float(place) for place, it in enumerate(known)})
    most = max(1, len(known) - 1)
    return [
        (ranks[it] + last[it]) / 2 / most if it is not None and it in ranks else None
        for it in values
    ]


def strip(dots: Iterable[Dot], over: Span, width: int, height: int = 1) -> list[Text]:
    """Return rows along a line, heaped up where many lie; a rule marks nought.

    Parameters
    ----------
    over
        The numbers that the width stands for.
    """
    canvas = Canvas(width, height)
    if over.low <= 0 <= over.high:
        _rule(canvas, over)
    columns: dict[int, list[float | None]] = defaultdict(list)
    for value, level in dots:
        if math.isfinite(value):
            columns[round(over.share(value) * (canvas.n_across - 1))].append(level)
    highest = max(map(len, columns.values()), default=1)
    placed: dict[tuple[int, int], float | None] = {}
    for x, heap in columns.items():
        for y, level in _heaped(heap, highest, canvas.n_down):
            placed[x, y] = level
    _draw(canvas, placed)
    return canvas.rows()


def _rule(canvas: Canvas, over: Span) -> None:
    at = round(over.share(0.0) * (canvas.n_across - 1))
    canvas.line(at, 0, at, canvas.n_down - 1, "quiet", "|")


def _heaped(
    heap: list[float | None], highest: int, room: int
) -> Iterable[tuple[int, float | None]]:
    """Return places up and down from the middle with their levels, as many as there is room."""
    kept = sorted(heap, key=lambda it: -1.0 if it is None else it)
    if highest > room:
        n = max(1, round(len(heap) / highest * room))
        kept = [kept[place * len(kept) // n] for place in range(n)]
    first = (room - len(kept)) // 2
    return [(first + place, it) for place, it in enumerate(kept[:room])]


def _draw(canvas: Canvas, placed: dict[tuple[int, int], float | None]) -> None:
    known: dict[tuple[int, int], list[float]] = defaultdict(list)
    for (x, y), level in placed.items():
        if level is not None:
            known[_cell(canvas, x, y)].append(level)
    for x, y in placed:
        found = known.get(_cell(canvas, x, y))
        tone, mark = look(sum(found) / len(found) if found else None)
        canvas.dot(x, y, tone, mark)


def _cell(canvas: Canvas, x: int, y: int) -> tuple[int, int]:
    return x * canvas.width // canvas.n_across, y * canvas.height // canvas.n_down
