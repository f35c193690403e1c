"""How things look as text: the one way from outside text to the terminal, and every format.

Data comes from files, people and other programs. It may hold escape sequences, markup that
crashes a table, characters that reorder a line or that nobody can see. :func:`safe` makes all
of that visible and harmless, and every other function here goes through it. No other module
of the package makes a :class:`rich.text.Text`; ``tests/tui/test_safe_everywhere.py`` sees to it.

Tones are the names of :mod:`paceml_tui.theme`; the app's theme gives them their colours when
the text is drawn, so that a change of theme needs no new text.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from rich.cells import cell_len
from rich.console import Group
from rich.table import Table
from rich.text import Text

from paceml_tui.safe import LIMIT, is_ascii, safe

__all__ = [
    "Block",
    "Text",
    "age",
    "ago",
    "bar",
    "cells",
    "count",
    "document",
    "elapsed",
    "fields",
    "fit",
    "glyph",
    "grid",
    "heading",
    "histogram",
    "is_ascii",
    "join",
    "lines",
    "marked",
    "moment",
    "number",
    "numbers",
    "pairs",
    "percent",
    "right",
    "safe",
    "seconds",
    "size",
    "sorted_title",
    "stack",
    "status",
    "styled",
    "value_text",
]

Block = Text | Table | Group
"""What a pane can show."""


def styled(text: object, tone: str = "", limit: int = LIMIT, *, is_block: bool = False) -> Text:
    """Return outside text as a widget may have it, in a tone of the theme."""
    shown = Text(safe(text, limit, is_block=is_block), end="")
    if tone:
        shown.stylize(tone)
    return shown


def marked(text: Text, tone: str) -> Text:
    """Return a copy of ``text`` in another tone."""
    copy = text.copy()
    copy.stylize(tone)
    return copy


def join(*parts: Text | str, gap: str = " ") -> Text:
    """Return the parts in one line, with ``gap`` between those that are not empty."""
    shown = [part if isinstance(part, Text) else styled(part) for part in parts]
    return Text(safe(gap), end="").join([part for part in shown if part.plain])


def lines(*parts: Text | str) -> Text:
    """Return the parts under each other."""
    shown = [part if isinstance(part, Text) else styled(part) for part in parts]
    return Text("\n").join(shown)


def right(text: Text) -> Text:
    """Return ``text`` set to the right of its cell, as numbers are."""
    copy = text.copy()
    copy.justify = "right"
    return copy


def fit(text: Text, width: int) -> Text:
    """Return the first line of ``text`` in at most ``width`` cells; a cut ends in an ellipsis."""
    first = text.split("\n", allow_blank=True)[0]
    if cell_len(first.plain) <= width:
        return first
    ellipsis = "..." if is_ascii() else "…"
    first.truncate(max(0, width - len(ellipsis)))
    first.rstrip()
    return first.append(ellipsis[:width])


def sorted_title(title: str, is_descending: bool) -> Text:
    """Return the title of the column that a list is sorted by, with the direction."""
    return styled(f"{safe(title, 24)} {glyph('down' if is_descending else 'up')}", "accent")


def cells(text: Text) -> int:
    """Return how many terminal cells the widest line of ``text`` takes."""
    return max((cell_len(line) for line in text.plain.split("\n")), default=0)


GLYPHS = {
    "good": ("●", "+"),
    "bad": ("✖", "x"),
    "warning": ("▲", "!"),
    "busy": ("▶", ">"),
    "idle": ("○", "o"),
    "down": ("↓", "v"),
    "up": ("↑", "^"),
    "arrow": ("→", "->"),
    "dot": ("·", "-"),
    "rule": ("─", "-"),
    "none": ("-", "-"),
    "null": ("∅", "NULL"),
    "times": ("\u00d7", "x"),
    "full": ("█", "#"),
    "empty": ("░", "."),
    "at_least": ("≥", ">="),
    "spread": ("±", "+-"),
    "threshold": ("┃", "|"),
    "nested": ("└", "`"),
}
"""Name of a glyph: how it looks, and how it looks with ``PACEML_ASCII=1``."""

STATUSES = {
    "FINISHED": ("good", "good"),
    "finished": ("good", "good"),
    "up": ("good", "good"),
    "passed": ("good", "good"),
    "stable": ("good", "good"),
    "fresh": ("good", "good"),
    "READY": ("good", "good"),
    "Production": ("good", "good"),
    "Staging": ("busy", "accent"),
    "Archived": ("idle", "quiet"),
    "None": ("idle", "quiet"),
    "RUNNING": ("busy", "accent"),
    "running": ("busy", "accent"),
    "queued": ("idle", "accent"),
    "SCHEDULED": ("idle", "accent"),
    "FAILED": ("bad", "bad"),
    "failed": ("bad", "bad"),
    "KILLED": ("bad", "bad"),
    "killed": ("bad", "bad"),
    "dead": ("bad", "bad"),
    "drifted": ("warning", "warning"),
    "cancelled": ("idle", "quiet"),
    "stopped": ("idle", "quiet"),
    "deleted": ("idle", "quiet"),
}
"""Word of a status: its glyph and its tone. A word that is not here is shown plainly."""


def glyph(name: str) -> str:
    """Return a glyph of the table above, in the alphabet that the terminal has."""
    return GLYPHS[name][is_ascii()]


def status(word: object, limit: int = 24) -> Text:
    """Return a status as glyph, word and colour, so that none of the three is needed alone."""
    text = safe(word, limit)
    name, tone = STATUSES.get(text, ("dot", ""))
    return styled(f"{glyph(name)} {text}", tone)


def number(value: object, digits: int = 4) -> Text:
    """Return a number to ``digits`` significant digits, or a dash for none, in one line."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return styled(glyph("none"), "quiet")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return styled(value)
    if isinstance(value, int):
        return styled(f"{value:,}")
    if math.isinf(value):
        return styled("inf" if value > 0 else "-inf")
    return styled(_significant(value, digits))


def _significant(value: float, digits: int) -> str:
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    if -5 < exponent < 9:
        return f"{value:,.{max(0, digits - 1 - exponent)}f}"
    return f"{value:.{digits - 1}e}"


def numbers(values: Sequence[object], digits: int = 4) -> list[Text]:
    """Return numbers with the same decimals, as many as the largest needs for ``digits``."""
    sizes = [abs(v) for v in values if isinstance(v, int | float) and math.isfinite(v) and v]
    highest = max(sizes, default=1.0)
    decimals = max(0, digits - 1 - math.floor(math.log10(highest)))
    if decimals > 6:
        return [number(value, digits) for value in values]
    return [
        styled(f"{value:,.{decimals}f}")
        if isinstance(value, int | float) and math.isfinite(value)
        else number(value)
        for value in values
    ]


def count(n: int, noun: str, plural: str = "") -> Text:
    """Return ``1 run`` or ``1,204 runs``."""
    return styled(f"{n:,} {noun if n == 1 else plural or noun + 's'}")


def percent(value: object) -> Text:
    """Return a share in [0, 1] as percent with one decimal, none for a whole number."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        return styled(glyph("none"), "quiet")
    text = f"{value * 100:.1f}"
    return styled(f"{text.removesuffix('.0')}%")


def size(n_bytes: object) -> Text:
    """Return a number of bytes in decimal units, as disks are sold."""
    if not isinstance(n_bytes, int | float) or not math.isfinite(n_bytes):
        return styled(glyph("none"), "quiet")
    value = float(n_bytes)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(value) < 1000 or unit == "TB":
            break
        value /= 1000
    return styled(f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}")


def seconds(value: float | None) -> Text:
    """Return a duration with the two units that matter."""
    if value is None or not math.isfinite(value):
        return styled(glyph("none"), "quiet")
    if value < 60:
        return styled(f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s")
    whole = round(value)
    for unit, smaller, step, part in (
        ("min", "s", 60, 1),
        ("h", "min", 3600, 60),
        ("d", "h", 86400, 3600),
    ):
        if whole < step * (60 if unit == "min" else 24) or unit == "d":
            return styled(f"{whole // step} {unit} {whole % step // part} {smaller}")
    return styled("")


def moment(at: object) -> Text:
    """Return a UTC ISO 8601 time to the minute, without its T and Z."""
    found = _parsed(at)
    return styled(found.strftime("%Y-%m-%d %H:%M")) if found else styled(glyph("none"), "quiet")


def ago(at: object, now: datetime) -> Text:
    """Return how long before ``now`` a UTC ISO 8601 time was, in its largest unit."""
    shown = age(at, now)
    return join(shown, styled("ago")) if _parsed(at) else shown


def age(at: object, now: datetime) -> Text:
    """Return how old something is, in the largest whole unit."""
    found = _parsed(at)
    if found is None:
        return styled(glyph("none"), "quiet")
    gone = (now - found).total_seconds()
    units = (("d", 86400), ("h", 3600), ("min", 60))
    unit, step = next((pair for pair in units if gone >= pair[1]), ("s", 1))
    return styled(f"{max(0, int(gone // step))} {unit}")


def elapsed(started_at: object, ended_at: object) -> Text:
    """Return how long something took between two UTC ISO 8601 times."""
    begun, ended = _parsed(started_at), _parsed(ended_at)
    return seconds((ended - begun).total_seconds() if begun and ended else None)


def _parsed(at: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(at).replace("Z", "+00:00"))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


_EIGHTHS = " ▏▎▍▌▋▊▉█"


def bar(share: object, width: int = 20, tone: str = "accent", *, mark: float | None = None) -> Text:
    """Return a bar for ``share`` in [0, 1] that is exactly ``width`` cells wide.

    ``mark`` sets a threshold, also in [0, 1], into the bar.
    """
    value = float(share) if isinstance(share, int | float) and math.isfinite(share) else 0.0
    value = min(1.0, max(0.0, value))
    body = _filled(value, width)
    shown = styled(body, tone)
    if mark is None:
        return shown
    at = min(width - 1, max(0, int(mark * width)))
    return Text("").join([shown[:at], styled(glyph("threshold"), "strong"), shown[at + 1 :]])


def _filled(value: float, width: int) -> str:
    if is_ascii():
        return (glyph("full") * round(value * width)).ljust(width)
    eighths = round(value * width * 8)
    if value > 0:
        eighths = max(1, eighths)
    whole, part = divmod(eighths, 8)
    return ("█" * whole + (_EIGHTHS[part] if part else "")).ljust(width)


_HEIGHTS = (" ▁▂▃▄▅▆▇█", " .:-=+*#@")


def histogram(counts: Sequence[float], width: int = 24, tone: str = "accent") -> Text:
    """Return counts as one line of columns, neighbours added up when there are too many."""
    values = _pooled([float(value) for value in counts if math.isfinite(value)], width)
    highest = max(values, default=0.0)
    scale = _HEIGHTS[is_ascii()]
    steps = [math.ceil(value / highest * 8) if highest and value > 0 else 0 for value in values]
    return styled("".join(scale[step] for step in steps), tone)


def _pooled(values: list[float], width: int) -> list[float]:
    if len(values) <= width:
        return values
    edges = [round(index * len(values) / width) for index in range(width + 1)]
    return [sum(values[a:b]) for a, b in pairwise(edges)]


def heading(text: object, note: Text | None = None) -> Text:
    """Return the title of a part of a pane."""
    return join(styled(text, "heading"), note or styled(""), gap="  ")


def fields(pairs: Iterable[tuple[str, Text]]) -> Table:
    """Return names and values in two columns; long values wrap under themselves."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold", ratio=1)
    for name, value in pairs:
        table.add_row(styled(name, "quiet"), value)
    return table


def grid(
    titles: Sequence[str], rows: Iterable[Sequence[Text]], numbers: Sequence[int] = ()
) -> Table:
    """Return a small table; ``numbers`` are the positions of the columns set to the right.

    When it is too wide, a last column of words wraps before any other is cut.
    """
    table = Table.grid(padding=(0, 2, 0, 0))
    for index, title in enumerate(titles):
        is_number = index in numbers
        table.add_column(
            styled(title, "quiet"),
            justify="right" if is_number else "left",
            no_wrap=is_number or index < len(titles) - 1,
            overflow="ellipsis",
        )
    table.show_header = any(titles)
    for row in rows:
        table.add_row(*row)
    return table


def stack(*parts: Block | None) -> Group:
    """Return the parts under each other, leaving out those that are not there."""
    return Group(*(_with_end(part) for part in parts if part is not None))


def _with_end(part: Block) -> Block:
    if isinstance(part, Text):
        copy = part.copy()
        copy.end = "\n"
        return copy
    return part


def pairs(values: Mapping[str, Any], limit: int = LIMIT) -> list[tuple[str, Text]]:
    """Return a mapping of plain values as names and texts for :func:`fields`."""
    return [(safe(name, 40), value_text(value, limit)) for name, value in values.items()]


def value_text(value: Any, limit: int = LIMIT) -> Text:
    """Return one plain value: numbers shortened, nothing as a dash, the rest as it reads."""
    if isinstance(value, str):
        return styled(value, limit=limit)
    if value is None or isinstance(value, float):
        return number(value)
    if isinstance(value, bool):
        return styled("yes" if value else "no")
    if isinstance(value, int):
        return styled(value)
    return styled(_compact(value), limit=limit)


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def document(value: Any, depth: int = 0) -> Text:
    """Return plain values (what ``--json`` prints) as an indented page, a name a line."""
    return (
        lines(*_documented(value, depth)) if value not in ({}, []) else styled("nothing", "quiet")
    )


def _documented(value: Any, depth: int) -> list[Text]:
    pad = "  " * depth
    if isinstance(value, Mapping):
        names = {key: safe(key, 60) for key in value}
        flat = [cell_len(names[key]) for key, item in value.items() if not _is_nested(item)]
        width = max((n for n in flat if n <= _ALIGNED), default=0)
        shown = [(names[key].ljust(width), item) for key, item in value.items()]
        return [line for name, item in shown for line in _entry(pad, name, item, depth)]
    if isinstance(value, list | tuple):
        return [line for item in value for line in _entry(pad, "-", item, depth)]
    return [join(styled(pad), value_text(value), gap="")]


_ALIGNED = 24


def _is_nested(item: Any) -> bool:
    return isinstance(item, Mapping | list | tuple) and bool(item)


def _entry(pad: str, name: str, item: Any, depth: int) -> list[Text]:
    if _is_nested(item):
        return [styled(f"{pad}{name.rstrip()}", "quiet"), *_documented(item, depth + 1)]
    empty = item in ({}, [], ())
    shown = styled("nothing", "quiet") if empty else value_text(item)
    return [join(styled(f"{pad}{name}", "quiet"), shown, gap="  ")]
