"""HTML that cannot be broken out of: every text is escaped unless it is markup already.

Column names, cells and messages come from outside. Besides ``< > & " '`` they may hold
characters that nobody sees or that reorder a line; those are written out as their codes.
"""

from __future__ import annotations

import base64
import hashlib
import html
import math
import unicodedata
from collections.abc import Container, Iterable, Iterator

MAX_TEXT = 160
"""Characters of one value that a page shows; a longer one ends in an ellipsis."""

_UNSEEN = frozenset({"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp", "Zs"})
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")


class Markup(str):
    """HTML that needs no escaping."""

    __slots__ = ()


Child = str | int | float | None
"""What an element holds; a text that is no :class:`Markup` is escaped."""


def tag(name: str, *children: Child, **attributes: Child) -> Markup:
    """Return an element; ``class_`` is its class, and attributes that are None are left out."""
    opening = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escaped(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    inner = "".join(escaped(child) for child in children if child is not None)
    return Markup(f"<{name}{opening}>{inner}</{name}>")


def whole_page(title: str, style: str, body: Markup, script: str | None = None) -> str:
    """Return a whole page that loads nothing, with its style and script and no others.

    One with a script may show images that stand in the page itself.
    """
    runs = "" if script is None else f"script-src '{_hash(script)}'; img-src data:; "
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; {runs}base-uri 'none'; form-action 'none'"
    )
    head = tag(
        "head",
        Markup('<meta charset="utf-8">'),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{policy}">'),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Markup('<meta name="color-scheme" content="light dark">'),
        tag("title", title),
        Markup(f"<style>{style}</style>"),
    )
    return f'<!doctype html>\n<html lang="en">{head}{body}</html>\n'


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def joined(parts: Iterable[Markup | None]) -> Markup:
    """Return elements one after another."""
    return Markup("".join(part for part in parts if part is not None))


def escaped(value: Child) -> str:
    """Return a value as it may stand in an element or a quoted attribute."""
    if isinstance(value, Markup):
        return value
    text = value if isinstance(value, str) else str(value)
    if not (text.isascii() and text.isprintable()):
        text = "".join(_visible(character) for character in text)
    return html.escape(text)


def _visible(character: str) -> str:
    if character.isascii() and character.isprintable():
        return character
    is_unseen = unicodedata.category(character) in _UNSEEN or character in _INVISIBLE
    if not is_unseen or character == "\u3000":  # the space of Chinese and Japanese text
        return character
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def cut(text: str, limit: int = MAX_TEXT) -> str:
    """Return at most ``limit`` characters; a cut ends in an ellipsis."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def value_of(value: Child, limit: int = MAX_TEXT) -> Markup:
    """Return a cell or a category, so that nothing, no text and spaces around it can be seen."""
    if value is None:
        return tag("i", "missing", class_="none")
    if isinstance(value, bool):
        return tag("span", "true" if value else "false")
    if not isinstance(value, str):
        return number(value)
    if not value:
        return tag("i", "empty", class_="none")
    held = value.strip(" ")
    before = len(value) - len(value.lstrip(" ")) if held else len(value)
    after = len(value) - before - len(held)
    shown = cut("␣" * before + held + "␣" * after, limit)
    title = cut(value, 1000) if len(value) > limit else None
    return tag("span", shown, class_="text", title=title)


def number(value: float | int | None, digits: int = 6) -> Markup:
    """Return a number to some significant digits, all of them in its title; a dash for none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return tag("i", "-", class_="none")
    text = plain_number(value, digits)
    if text.replace(",", "") == str(value):
        return Markup(text)
    return tag("span", text, title=repr(value))


def plain_number(value: float | int, digits: int = 6) -> str:
    """Return a number to some significant digits, thousands apart."""
    if isinstance(value, int):
        if abs(value) >= 10**15:
            return f"{value:.{digits - 1}e}" if abs(value) < 10**300 else str(value)[:12] + "…"
        return f"{value:,}"
    if not math.isfinite(value):
        return "∞" if value > 0 else "-∞"
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    if not -5 < exponent < 12:
        return f"{value:.{digits - 1}e}"
    text = f"{value:,.{max(0, digits - 1 - exponent)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def percent(share: float) -> str:
    """Return a share in [0, 1] as percent; what is not nothing or all never reads as if it were."""
    value = share * 100
    if 0 < value < 0.1:
        return "<0.1%"
    if 99.9 < value < 100:
        return ">99.9%"
    return f"{value:.1f}%"


def size(n_bytes: float) -> str:
    """Return a number of bytes in decimal units."""
    value = float(n_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def counted(n: int, noun: str) -> str:
    """Return ``1 row`` or ``12,040 rows``."""
    return f"{n:,} {noun if n == 1 else noun + 's'}"


def within(parts: Iterable[Markup], budget: int) -> tuple[Markup, int]:
    """Return the parts that fit into ``budget`` bytes, in order, and how many they are."""
    kept: list[Markup] = []
    for part in _fitting(parts, budget):
        kept.append(part)
    return joined(kept), len(kept)


def _fitting(parts: Iterable[Markup], budget: int) -> Iterator[Markup]:
    for part in parts:
        budget -= length(part)
        if budget < 0:
            return
        yield part


def length(part: str) -> int:
    """Return the number of bytes of a part in UTF-8."""
    return len(part) if part.isascii() else len(part.encode())


def left_out(shown: int, total: int, noun: str, where: str = "") -> Markup | None:
    """Return the sentence that tells a cut, or None where nothing was cut."""
    if shown >= total:
        return None
    text = f"Shown are {shown:,} of {counted(total, noun)}, to keep this file small."
    return tag("p", f"{text} {where}".strip(), class_="cut")


MEANINGS = {
    "Distinct": "Different values",
    "Unique": "Values that occur exactly once",
    "Infinite": "Infinite values, left out of all other statistics",
    "Zeros": "Values that are zero",
    "Outliers": "Beyond Tukey's fences: 1.5 times the interquartile range outside of the quartiles",
    "Memory size": "Bytes that the column takes in memory",
    "Duplicate rows": "Rows that repeat an earlier row, the first one not counted",
    "Complete rows": "Rows in which nothing is missing",
    "Q1": "25th percentile, linear between neighbours",
    "Q3": "75th percentile, linear between neighbours",
    "5th percentile": "Linear between neighbours",
    "95th percentile": "Linear between neighbours",
    "Standard deviation": "Of a sample: n - 1 below the line",
    "Variance": "Of a sample: n - 1 below the line",
    "Coefficient of variation (CV)": "Standard deviation divided by the mean",
    "Median absolute deviation (MAD)": "Median distance from the median",
    "Skewness": "Bias-corrected (G1); 0 for what is symmetric",
    "Kurtosis (excess)": "Bias-corrected excess (G2); 0 for a normal distribution",
    "Monotonicity": "Of the values in the order of their rows",
    "Padded with spaces": "Texts that begin or end with a space",
    "Scripts": "Writing systems of the characters, as Unicode has them; Common is shared by many",
    "Categories": "Unicode general categories of the characters",
    "Blocks": "Ranges of code points that Unicode gives a name",
    "Augmented Dickey-Fuller": "Test for a unit root, with a constant",
    "Season": "Lag of the strongest repetition",
}
"""What the names of statistics mean, shown when the pointer rests on them."""


def facts(rows: Iterable[tuple[str, Markup | str, bool]]) -> Markup:
    """Return names and values under each other; True marks what an alert is about."""
    return tag(
        "table",
        joined(
            tag(
                "tr",
                tag("th", name, scope="row", title=MEANINGS.get(name)),
                tag("td", value),
                class_="hot" if hot else None,
            )
            for name, value, hot in rows
        ),
        class_="facts",
    )


def table(
    titles: Iterable[str | Markup],
    rows: Iterable[Iterable[Markup | str]],
    class_: str = "list",
    numbers: Container[int] = (),
) -> Markup:
    """Return a table with a head; it scrolls inside its own box when it is too wide.

    ``numbers`` are the places of the columns that are set to the right.
    """

    def row_of(name: str, cells: Iterable[Markup | str], scope: str | None) -> Markup:
        return tag(
            "tr",
            joined(
                tag(name, cell, scope=scope, class_="n" if place in numbers else None)
                for place, cell in enumerate(cells)
            ),
        )

    head = tag("thead", row_of("th", titles, "col"))
    body = tag("tbody", joined(row_of("td", row, None) for row in rows))
    return tag("div", tag("table", head, body, class_=class_), class_="scroll", tabindex=0)


def tabs(key: str, parts: Iterable[tuple[str | Markup, Markup | None]]) -> Markup:
    """Return parts behind tabs that work without any script; parts that are None are left out."""
    held = [(title, part) for title, part in parts if part is not None]
    if not held:
        return Markup("")
    if len(held) == 1:
        return tag("div", tag("h4", held[0][0]), held[0][1], class_="pane one")
    heads = joined(
        joined(
            (
                _radio(key, index),
                tag("label", title, for_=f"{key}-{index}"),
            )
        )
        for index, (title, _) in enumerate(held)
    )
    panes = joined(
        tag("div", part, class_="pane", data_title=None if isinstance(title, Markup) else title)
        for title, part in held
    )
    return tag("div", heads, tag("div", panes, class_="panes"), class_="tabs")


def _radio(key: str, index: int) -> Markup:
    checked = " checked" if index == 0 else ""
    return Markup(f'<input type="radio" name="{key}" id="{key}-{index}"{checked}>')
