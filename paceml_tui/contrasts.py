"""Two explanations compared, as text of any width: what moved, by which columns, in which rows.

The command line prints it and the Explain screen shows it, from the result of ``explain compare``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from paceml_tui.decisions import LOWERS, RAISES, label
from paceml_tui.evaluations import Picture
from paceml_tui.plots import span
from paceml_tui.render import Text, bar, fit, glyph, join, number, percent, styled
from paceml_tui.wording import interval_bar, laid, signed, title, told, wrapped

Values = Mapping[str, Any]

_NAME = 19
_MOST_COLUMNS = 60
_MOST_ROWS = 20


def pictures(found: Values) -> list[Picture]:
    """Return the summary, a picture of each column that was compared, and the rows."""
    known = [
        Picture("in words", signed(found["difference"]), partial(summary, found)),
        Picture("by column", _first(found), partial(columns, found)),
    ]
    if found["rows"]:
        known.append(Picture("rows apart", number(len(found["rows"])), partial(rows, found)))
    for it in found["columns"][:_MOST_COLUMNS]:
        known.append(Picture(it["feature"], signed(it["difference"]), partial(column, found, it)))
    return known


def lines(found: Values, width: int) -> list[Text]:
    """Return the whole comparison, one part under the other."""
    shown = [*summary(found, width, 0), styled(""), *columns(found, width, 0)]
    return [*shown, styled(""), *rows(found, width, 0)] if found["rows"] else shown


def _first(found: Values) -> Text:
    return styled(found["columns"][0]["feature"], limit=24) if found["columns"] else styled("")


def sides(found: Values, width: int) -> list[Text]:
    """Return what A and B are, and by how many rows they are told."""
    shown = []
    for letter in ("a", "b"):
        it = found[letter]
        n = f"{it['n_rows']:,} rows"
        whole = n if it["n_rows"] == it["n_total"] else f"{n} of {it['n_total']:,}"
        text = join(
            styled(letter.upper(), "accent"),
            styled(it["label"], limit=60),
            styled(f"{it['data'].partition('@')[0]}, {whole}", "quiet", 60),
        )
        shown.append(fit(text, width))
    return shown


def summary(found: Values, width: int, _: int) -> list[Text]:
    """Return the outcomes of both sides, and the difference in plain language."""
    table = [
        [
            styled(it["measure"]),
            _outcome(it, it["a"]),
            _outcome(it, it["b"]),
            signed(it["difference"]),
            _within(it),
        ]
        for it in found["outcomes"]
    ]
    shown = [*sides(found, width), styled("")]
    shown += [
        fit(line, width)
        for line in laid(("on average", "A", "B", "B minus A", "interval"), table, (1, 2, 3))
    ]
    shown.append(styled(""))
    for sentence in found["sentences"]:
        first, *others = wrapped(sentence, width - 2)
        shown.append(join(styled(glyph("dot"), "accent"), styled(first, limit=0)))
        shown += [join(styled("  ", limit=0), styled(line, limit=0), gap="") for line in others]
    return [
        *shown,
        *(styled(line, "warning", 0) for it in found["notes"] for line in wrapped(it, width)),
    ]


def _outcome(it: Values, value: float) -> Text:
    return percent(value) if it["measure"] in ("probability", "decisions") else number(value)


def _within(it: Values) -> Text:
    if it["low"] is None:
        return styled("")
    return styled(f"{signed(it['low'], 2).plain} to {signed(it['high'], 2).plain}", "quiet")


def columns(found: Values, width: int, _: int) -> list[Text]:
    """Return what each column adds to the difference, with intervals and ranks."""
    listed = found["columns"][:_MOST_COLUMNS]
    over = span([end for it in listed for end in (*_ends(it), 0.0)])
    if not listed or over is None:
        return [styled("No column differs.", "quiet")]
    across = max(10, min(36, width - _NAME - 45))
    table = [
        [
            styled(it["feature"], limit=_NAME),
            interval_bar(_ends(it)[0], it["difference"], _ends(it)[1], over, across),
            signed(it["difference"]),
            _within(it),
            _rank(it),
        ]
        for it in listed
    ]
    base = found["base_difference"]
    titles = ("", "", "B minus A", "interval", "rank")
    shown = [title(f"What each column adds to the difference, {found['unit']}", width)]
    shown += [fit(line, width) for line in laid(titles, table, (2,))]
    if base:
        shown.append(join(styled("the base value moved by", "quiet"), signed(base)))
    return shown


def _ends(it: Values) -> tuple[float, float]:
    low, high = it["low"], it["high"]
    return (it["difference"], it["difference"]) if low is None else (low, high)


def _rank(it: Values) -> Text:
    a, b = it["rank_a"], it["rank_b"]
    if a is None or b is None:
        return styled("A has it not" if a is None else "B has it not", "warning")
    return styled(f"{a}", "quiet") if a == b else styled(f"{a} {glyph('arrow')} {b}")


def column(found: Values, it: Values, width: int, _: int) -> list[Text]:
    """Return what one column adds on both sides, and which of its values moved."""
    pairs = [
        ("A", it["a"], it["importance_a"]),
        ("B", it["b"], it["importance_b"]),
    ]
    table = [[styled(name, "accent"), signed(mean), number(size, 3)] for name, mean, size in pairs]
    table.append([styled("B minus A"), signed(it["difference"]), _within(it)])
    titles = ("", f"mean SHAP, {found['unit']}", "mean |SHAP|")
    shown = [fit(line, width) for line in laid(titles, table, (1, 2))]
    if it["moved"] is not None:
        said = (
            f"{signed(it['moved']).plain} through its changed values, "
            f"{signed(it['rest']).plain} as the same values count otherwise."
        )
        shown += [styled(""), *(styled(line, limit=0) for line in wrapped(said, width))]
    if it["correlation"] is not None:
        shown.append(join(styled("correlation of the SHAP values"), number(it["correlation"], 3)))
    return [*shown, *_values(it["values"], width)]


def _values(values: Sequence[Values], width: int) -> list[Text]:
    if not values:
        return []
    top = max((abs(it["moved"]) for it in values), default=0.0) or 1.0
    table = [
        [
            styled(it["value"], limit=_NAME),
            join(percent(it["share_a"]), styled(glyph("arrow"), "quiet"), percent(it["share_b"])),
            bar(abs(it["moved"]) / top, 10, RAISES if it["moved"] > 0 else LOWERS),
            signed(it["moved"]),
        ]
        for it in values
    ]
    titles = ("values that moved", "share of the rows", "", "adds")
    return [styled(""), *(fit(line, width) for line in laid(titles, table, (3,)))]


def rows(found: Values, width: int, _: int) -> list[Text]:
    """Return the rows that two models explain most differently."""
    shown = [title("Rows whose explanations differ most", width)]
    for it in found["rows"][:_MOST_ROWS]:
        head = join(
            styled(f"row {it['index']:,}"),
            styled(label(it["prediction_a"])),
            number(it["score_a"], 3),
            styled(glyph("arrow"), "quiet"),
            styled(label(it["prediction_b"])),
            number(it["score_b"], 3),
            styled(f"distance {number(it['distance'], 3).plain}", "quiet"),
        )
        shown.append(fit(head, width))
        for part in it["columns"]:
            text = join(
                styled("   ", limit=0),
                styled(part["feature"], limit=_NAME),
                told(part["value"]),
                join(signed(part["a"]), styled(glyph("arrow"), "quiet"), signed(part["b"])),
            )
            shown.append(fit(text, width))
    return shown
