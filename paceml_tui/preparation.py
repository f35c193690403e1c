"""What the steps of a recipe do, as lines of text for the screen and for print.

Every function takes plain values, the JSON of ``data prepare``, and the width to fill.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from paceml_tui.render import (
    Text,
    cells,
    count,
    fit,
    glyph,
    histogram,
    is_ascii,
    join,
    marked,
    number,
    safe,
    styled,
    value_text,
)

Values = Mapping[str, Any]

MOST_COLUMNS = 40
MOST_LEARNT = 24
_NAME = 24
_CELL = 20
_MOST_NAMED = 3
_BINS = 10
_LARGEST_WHOLE, _ROUNDING = 1e9, 1e-9
_KINDS = {
    "numeric": "number",
    "encoded": "code",
    "native": "native code",
    "categorical": "text",
    "boolean": "truth",
    "date": "date",
    "unsupported": "unsupported",
}
_FITS = {"nothing": "nothing", "rows": "other rows", "target": "the target"}


def about(values: Values, width: int) -> Iterator[Text]:
    """Yield what was looked at: the version, the recipe, the rows and columns."""
    name = f"{safe(values['dataset'], 60)}@{safe(values['version'], 16)}"
    recipe = f"{safe(values['recipe_source'], 60)} ({safe(values['recipe_hash'][:8])})"
    yield fit(join(styled(name, "strong"), styled(recipe), gap="  "), width)
    if values["is_sample"]:
        used, total = values["n_rows_used"], values["n_rows_total"]
        yield styled(f"  over a random sample of {used:,} of {total:,} rows", "warning")
    rows = _of_to(values["n_rows_used"], values["n_rows_after"])
    columns = _of_to(values["n_columns_before"], values["n_columns_after"])
    yield fit(styled(f"  {rows} rows, {columns} columns"), width)
    if values["target"] is not None:
        yield fit(
            join(
                styled("  target"),
                styled(values["target"], "strong", 40),
                styled("(steps do not see it)", "quiet"),
            ),
            width,
        )
    if values["is_out_of_fold"]:
        note = "means of the target are out of fold, as a model learns from them"
        yield fit(styled(f"  {note}", "quiet"), width)


def _of_to(before: int, after: int) -> str:
    return f"{before:,}" if before == after else f"{before:,} {glyph('arrow')} {after:,}"


def step_line(step: Values, width: int) -> Text:
    """Return a step in one line: its number and word, what it fits on, and what it does."""
    fits = "" if step["fits_on"] == "nothing" else f"fits on {step['fits_on']}"
    head = styled(f"{step['number']:>4} {safe(step['word'], 12):<12} {fits:<14}")
    return fit(join(head, effect(step, width - cells(head) - 1), gap=" "), width)


def effect(step: Values, room: int) -> Text:
    """Return in a few words what a step does, with as many names as there is room for."""
    if step["problem"]:
        return fit(join(styled(glyph("bad"), "bad"), styled(step["problem"], "bad")), room)
    for n_names in (8, 4, 3, 2, 1, 0):
        told = _effect(step, n_names)
        if cells(told) <= room:
            break
    return fit(told, room)


def _effect(step: Values, n_names: int) -> Text:
    told = []
    lost = step["n_rows_before"] - step["n_rows_after"]
    if lost:
        told.append(styled(f"{lost:,} rows left out"))
    for change, word in (("changed", "changes"), ("added", "adds"), ("removed", "removes")):
        names = [it["name"] for it in step["changes"] if it["change"] == change]
        if names and n_names:
            told.append(styled(f"{word} {_names(names, n_names)}"))
        elif names:
            told.append(styled(f"{word} {count(len(names), 'column').plain}"))
    return join(*told, gap="; ") if told else styled("changes nothing", "quiet")


def _names(names: Sequence[str], n: int) -> str:
    most = 28 if len(names) > 1 else 44
    shown = ", ".join(safe(name, most) for name in names[:n])
    return f"{shown} and {len(names) - n} more" if len(names) > n else shown


# ------------------------------------------------------------------ all steps


def overview(values: Values, width: int) -> Iterator[Text]:
    """Yield a line for each step, then the columns that differ before and after all of them."""
    steps = values["steps"]
    yield styled(f"Steps: {len(steps)}", "heading")
    for step in steps:
        yield step_line(step, width)
    found = net_changes(steps)
    if found:
        yield styled("")
        yield from _compared(found, width)


def net_changes(steps: Sequence[Values]) -> list[dict[str, Any]]:
    """Return what all steps together do to each column that one of them changes."""
    found: dict[str, dict[str, Any]] = {}
    for step in steps:
        for it in step["changes"]:
            known = found.get(it["name"])
            before = known["before"] if known else it["before"]
            found[it["name"]] = {"name": it["name"], "before": before, "after": it["after"]}
    return [it for it in found.values() if it["before"] or it["after"]]


def _compared(changes: Sequence[Values], width: int) -> Iterator[Text]:
    changed = [it for it in changes if it["before"] and it["after"]]
    added = [it for it in changes if not it["before"]]
    removed = [it for it in changes if not it["after"]]
    told = [(it, _pair(it, _missing), _pair(it, _mean)) for it in (*changed, *added)[:MOST_COLUMNS]]
    n_missing = max([len(missing) for _, missing, _ in told] + [7])
    n_mean = max([len(mean) for _, _, mean in told] + [4])
    n_name = max(12, width - n_missing - n_mean - 2 * _BINS - 12)
    n_name = min(max([cells(styled(it["name"], limit=40)) for it, *_ in told] + [7]), n_name)
    yield styled("Columns before and after", "heading")
    head = f"  {'':<{n_name}}  {'missing':>{n_missing}}  {'mean':>{n_mean}}  distribution"
    yield fit(styled(head, "quiet"), width)
    for it, missing, mean in told:
        name = _padded(shortened(it["name"], n_name), n_name)
        counts = styled(f"  {missing:>{n_missing}}  {mean:>{n_mean}}  ", limit=0)
        yield fit(join(styled("  "), name, counts, *_shapes(it), gap=""), width)
    if len(changed) + len(added) > MOST_COLUMNS:
        n_more = len(changed) + len(added) - MOST_COLUMNS
        yield styled(f"  ({n_more} more; --json gives all)", "quiet")
    if removed:
        names = ", ".join(safe(it["name"], 40) for it in removed)
        yield from wrapped(f"removed: {names}", width, "  ", "quiet")


def _shapes(it: Values) -> list[Text]:
    before, after = it["before"], it["after"]
    first = shape(before) if before else _padded(styled("new", "accent"), _BINS)
    return [first, styled(f" {glyph('arrow')} ", "quiet"), shape(after)]


def _pair(it: Values, tell: Callable[[Values | None], str]) -> str:
    before, after = tell(it["before"]), tell(it["after"])
    if not before or before == after:
        return after
    return f"{before} {glyph('arrow')} {after}" if after else before


def shortened(name: str, width: int) -> Text:
    """Return a name in at most ``width`` cells, cut in its middle: its end tells it apart."""
    shown = safe(name, 0)
    if len(shown) <= width or width < 8:
        return fit(styled(shown, limit=0), width)
    ellipsis = "..." if is_ascii() else "…"
    n_end = (width - len(ellipsis)) // 2
    n_begin = width - len(ellipsis) - n_end
    return fit(styled(f"{shown[:n_begin]}{ellipsis}{shown[-n_end:]}", limit=0), width)


def _missing(facts: Values | None) -> str:
    return "" if facts is None else f"{facts['n_missing']:,}"


def _mean(facts: Values | None) -> str:
    mean = None if facts is None else facts["mean"]
    return "" if mean is None else short(mean).plain


def short(value: float) -> Text:
    """Return a number in few cells; what is whole but for rounding is whole."""
    is_whole = abs(value) < _LARGEST_WHOLE and abs(value - round(value)) < _ROUNDING
    return number(round(value) if is_whole else value)


def shape(facts: Values) -> Text:
    """Return the distribution of a column in ten cells, or what else it is."""
    if facts["counts"]:
        return _padded(histogram(facts["counts"], _BINS), _BINS)
    kind = _KINDS.get(facts["type"], safe(facts["type"], 8))
    return _padded(styled(kind, "quiet"), _BINS)


# ------------------------------------------------------------------ one step


def in_full(step: Values, yaml: str, width: int, why: str = "") -> Iterator[Text]:
    """Yield everything about one step: what it is, does, learnt, and rows before and after.

    ``yaml`` is the step as it is written, ``why`` what is said about it there.
    """
    fits = styled(f"fits on {_FITS[step['fits_on']]}", "quiet")
    title = styled(f"{step['number']} {safe(step['word'], 20)}", "heading")
    yield fit(join(title, fits, gap="  "), width)
    if yaml:
        yield from wrapped(yaml, width, "  ")
    if why:
        yield from wrapped(why, width, "  # ", "quiet")
    if step["problem"]:
        yield styled("")
        yield from wrapped(f"{glyph('bad')} {step['problem']}", width, "  ", "bad")
        if step["hint"]:
            yield from wrapped(step["hint"], width, "    ", "accent")
        return
    yield from _sizes(step, width)
    yield from _columns(step, width)
    yield from _learnt(step, width)
    yield from rows(step, width)


def _sizes(step: Values, width: int) -> Iterator[Text]:
    before, after = step["n_rows_before"], step["n_rows_after"]
    columns = _of_to(len(step["before"]["columns"]), len(step["after"]["columns"]))
    shown = styled(f"  {_of_to(before, after)} rows, {columns} columns")
    if before != after:
        share = f"({(before - after) / before:.1%} left out)"
        shown = join(shown, styled(share, "warning"))
    yield fit(shown, width)


def _columns(step: Values, width: int) -> Iterator[Text]:
    for change in ("changed", "added"):
        found = [it for it in step["changes"] if it["change"] == change]
        if not found:
            continue
        yield styled("")
        yield styled(f"{change.capitalize()}: {len(found)}", "heading")
        for it in found[:MOST_COLUMNS]:
            yield from _column(it, width)
        if len(found) > MOST_COLUMNS:
            yield styled(f"  and {len(found) - MOST_COLUMNS} more", "quiet")
    removed = [it["name"] for it in step["changes"] if it["change"] == "removed"]
    if removed:
        yield styled("")
        yield styled(f"Removed: {len(removed)}", "heading")
        yield from wrapped(", ".join(safe(it, 60) for it in removed), width, "  ")


def _column(it: Values, width: int) -> Iterator[Text]:
    before, after = it["before"], it["after"]
    if before and after:
        yield fit(styled(f"  {safe(it['name'], 60)}", "strong"), width)
        yield fit(join(styled("    before  ", "quiet"), *_facts(before), gap=""), width)
        yield fit(join(styled("    after   ", "quiet"), *_facts(after), gap=""), width)
        return
    name = _padded(marked(shortened(it["name"], _NAME), "strong"), _NAME)
    yield fit(join(styled("  "), name, styled(" "), *_facts(after or before), gap=""), width)


def _facts(facts: Values) -> list[Text]:
    found = [shape(facts), styled(" ")]
    if facts["mean"] is not None:
        std = f" sd {short(facts['std']).plain}" if facts["std"] is not None else ""
        low, high = short(facts["min"]).plain, short(facts["max"]).plain
        found.append(styled(f" mean {short(facts['mean']).plain}{std}, {low} to {high}"))
    else:
        found.append(count(facts["n_distinct"], "value"))
    if facts["n_missing"]:
        found.append(styled(f", {facts['n_missing']:,} missing", "warning"))
    return found


def _learnt(step: Values, width: int) -> Iterator[Text]:
    fitted = step["fitted"]
    if not fitted:
        return
    yield styled("")
    n_rows = count(step["n_rows_before"], "row").plain
    yield styled(f"Learnt from {n_rows}", "heading")
    by_column: dict[str, list[str]] = {}
    for it in fitted:
        value = it["value"]
        shown = short(value).plain if isinstance(value, float) else value_text(value, 24).plain
        by_column.setdefault(it["column"], []).append(f"{safe(it['name'], 30)} {shown}")
    for name, values in list(by_column.items())[:MOST_LEARNT]:
        shown = ", ".join(values[:MOST_LEARNT])
        shown += f" and {len(values) - MOST_LEARNT} more" if len(values) > MOST_LEARNT else ""
        yield from wrapped(f"{safe(name, 40)}: {shown}", width, "  ")
    if len(by_column) > MOST_LEARNT:
        yield styled(f"  and {len(by_column) - MOST_LEARNT} columns more", "quiet")


# ------------------------------------------------------------------ rows


def rows(step: Values, width: int) -> Iterator[Text]:
    """Yield some rows before and after: what changed is marked, what is left out says so."""
    before, after = step["before"], step["after"]
    numbers = before.get("numbers") or []
    if not numbers:
        return
    old = dict(zip(numbers, before["rows"], strict=True))
    new = dict(zip(after["numbers"], after["rows"], strict=True))
    columns = _told_columns(step)
    told = [_row_cells(it, old, new, before, after, columns) for it in numbers]
    n_number = max(3, *(len(f"{it:,}") for it in numbers))
    widths = _widths(columns, told, width - n_number - 4)
    kept = columns[: len(widths)]
    n_more = len(columns) - len(kept)
    more = f"{count(n_more, 'column').plain} more" if n_more else ""
    yield styled("")
    title = "Rows left out and kept" if len(new) < len(old) else "Rows before and after"
    yield join(styled(title, "heading"), styled(more, "quiet"), gap="  ")
    names = [_padded(shortened(it, n), n) for it, n in zip(kept, widths, strict=True)]
    head = join(styled(f"  {'row':>{n_number}}"), *names, gap="  ")
    yield marked(head, "quiet")
    for at, shown in zip(numbers, told, strict=True):
        tone = "quiet" if at in new else "warning"
        mark = glyph("none") if at not in new else " "
        head = styled(f"{mark} {at:>{n_number},}", tone)
        filled = [_padded(fit(it, n), n) for it, n in zip(shown, widths, strict=False)]
        yield join(head, *filled, gap="  ")


def _told_columns(step: Values) -> list[str]:
    """Return the columns to show of rows: what the step names, then what it changes."""
    touched = [it["name"] for it in step["changes"]]
    texts = {it for body in step["step"].values() for it in _texts(body)}
    named = [
        it
        for it in step["before"]["columns"]
        if it not in touched and any(it == text or f"'{it}'" in text for text in texts)
    ]
    if touched:
        return [*named[:_MOST_NAMED], *touched]
    return [*named, *(it for it in step["before"]["columns"] if it not in named)]


def _texts(body: Any) -> Iterator[str]:
    if isinstance(body, str):
        yield body
    elif isinstance(body, Mapping):
        for it in body.values():
            yield from _texts(it)
    elif isinstance(body, list | tuple):
        for it in body:
            yield from _texts(it)


def _row_cells(
    at: int,
    old: Mapping[int, Sequence[Any]],
    new: Mapping[int, Sequence[Any]],
    before: Values,
    after: Values,
    columns: Iterable[str],
) -> list[Text]:
    olds = dict(zip(before["columns"], old[at], strict=True))
    news = dict(zip(after["columns"], new[at], strict=True)) if at in new else olds
    return [_cell(olds, news, name) for name in columns]


def _cell(olds: Values, news: Values, name: str) -> Text:
    if name not in news:
        return _value(olds[name], "quiet")
    if name not in olds:
        return _value(news[name], "accent")
    if olds[name] == news[name]:
        return _value(olds[name], "")
    changed = _value(news[name], "accent")
    return join(_value(olds[name], "quiet"), styled(glyph("arrow"), "quiet"), changed)


def _value(value: Any, tone: str) -> Text:
    if value is None:
        return styled(glyph("null"), "warning")
    if isinstance(value, float):
        return styled(short(value).plain, tone)
    return styled(value_text(value, _CELL).plain, tone)


def _widths(columns: Sequence[str], rows: Sequence[Sequence[Text]], room: int) -> list[int]:
    """Return the widths of as many columns as fit."""
    found: list[int] = []
    for place, name in enumerate(columns):
        widest = max((cells(row[place]) for row in rows), default=0)
        width = min(max(widest, min(cells(styled(name)), _NAME - 4), 4), 2 * _CELL)
        if found and room < width:
            break
        found.append(width if found else min(width, max(4, room)))
        room -= width + 2
    return found


def wrapped(text: str, width: int, indent: str, tone: str = "") -> Iterator[Text]:
    """Yield a sentence in as many lines as it takes; ``text`` is safe already or made so."""
    shown = safe(text, 0)
    for line in textwrap.wrap(shown, max(20, width - len(indent))):
        yield styled(f"{indent}{line}", tone, 0)


def _padded(text: Text, width: int) -> Text:
    blank = styled(" " * max(0, width - cells(text)), limit=0)
    return join(text, blank, gap="") if blank.plain else text
