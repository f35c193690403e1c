"""One feature of an explained model as text: its SHAP values by its value, partial dependence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from paceml_tui.evaluations import aligned
from paceml_tui.explanations import feature_rows, measured, permuted_text
from paceml_tui.plots import Curve, Span, curve_chart, legend, scatter_chart, span
from paceml_tui.render import Text, bar, cells, fit, glyph, join, number, numbers, styled
from paceml_tui.safe import safe
from paceml_tui.swarms import Dot, levels, look, ramp, strip
from paceml_tui.wording import axis, blank, title, wrapped

Values = Mapping[str, Any]

_MOST_CATEGORIES = 12
_NAME = 22


def feature(document: Values, name: str, width: int, height: int) -> list[Text]:
    """Return everything about a feature: what it adds by its value, and partial dependence."""
    explained = document["explanation"]
    row = next((it for it in feature_rows(document) if it["name"] == name), None)
    found = next((it for it in document.get("dependences") or () if it["column"] == name), None)
    mean = next((it for it in document.get("partials") or () if it["column"] == name), None)
    shown = _measured(row, explained, width) if row else []
    shown += [
        styled(line, "warning", 0)
        for it in explained.get("findings") or ()
        if it["column"] == name
        for line in wrapped(it["message"], width)
    ]
    both = found is not None and mean is not None
    each = max(5, (height - 10) // 2) if both else max(6, height - 8)
    if found:
        shown += [styled(""), *dependence(found, measured(explained), width, each)]
    if mean:
        shown += [styled(""), *partial_dependence(mean, width, each)]
    if not found and not mean:
        shown.append(styled("Nothing is drawn of it: it is not among the first.", "quiet"))
    return shown


def _measured(row: Values, explained: Values, width: int) -> list[Text]:
    n = explained.get("n_summed") or 1
    summed = f" summed over {n} classes" if n > 1 else ""
    mean = join(row["shown"], styled(f"mean |SHAP|, {explained['unit']}{summed}", "quiet", 60))
    if not row["permuted"]:
        return [fit(mean, width)]
    metric = (explained.get("permutation") or {}).get("metric")
    worse = join(styled(f"shuffled: {metric}", "quiet", 40), permuted_text(row))
    both = join(mean, styled(glyph("dot"), "quiet"), worse)
    return [both] if cells(both) <= width else [fit(mean, width), fit(worse, width)]


def dependence(found: Values, unit: str, width: int, height: int) -> list[Text]:
    """Return the SHAP values of a column by its value; missing values stand apart."""
    over = span(found["shap"])
    if over is None:
        return [styled("There is nothing to draw.", "quiet")]
    shown = [title(f"SHAP value ({unit}) by value", width)]
    colours = _levels(found)
    present = [
        (value, shap, level)
        for value, shap, level in zip(found["values"], found["shap"], colours, strict=True)
        if value is not None
    ]
    missing = [
        (shap, level)
        for value, shap, level in zip(found["values"], found["shap"], colours, strict=True)
        if value is None
    ]
    numeric = [(v, s, c) for v, s, c in present if isinstance(v, int | float)]
    if len(numeric) == len(present) and numeric:
        shown += scatter_chart(
            [(float(v), s) for v, s, _ in numeric],
            width=width,
            height=height,
            looks=[look(c) for _, _, c in numeric],
        )
    elif present:
        shown += _categories(present, over, width)
    if missing:
        n = len(missing)
        shown += _strips([(f"missing ({n:,})", missing)], over, width)
    return [*shown, *_coloured(found, width)]


def _levels(found: Values) -> list[float | None]:
    """Return where the other column's value of each row lies between low and high."""
    values = found.get("colour_values") or []
    if len(values) != len(found["shap"]):
        return [0.0] * len(found["shap"])
    if all(it is None or isinstance(it, int | float) for it in values):
        return levels(values)
    order = {name: float(at) for at, name in enumerate(sorted({str(it) for it in values if it}))}
    return levels([order.get(str(it)) if it is not None else None for it in values])


def _categories(present: Sequence[tuple[Any, float, Any]], over: Span, width: int) -> list[Text]:
    groups: dict[str, list[Dot]] = {}
    for value, shap, level in present:
        groups.setdefault(str(value), []).append((shap, level))
    ranked = sorted(groups.items(), key=lambda it: (-len(it[1]), it[0]))
    kept = [(f"{safe(name, 16)} ({len(dots):,})", dots) for name, dots in ranked]
    shown = _strips(kept[:_MOST_CATEGORIES], over, width)
    left = len(kept) - _MOST_CATEGORIES
    return [*shown, styled(f"and {left:,} more values", "quiet")] if left > 0 else shown


def _strips(groups: Sequence[tuple[str, Sequence[Dot]]], over: Span, width: int) -> list[Text]:
    room = min(_NAME + 2, max(cells(styled(name)) for name, _ in groups))
    across = max(10, width - room - 1)
    shown = []
    for name, dots in groups:
        label = fit(styled(name), room)
        line = strip(dots, over, across)[0]
        shown.append(join(label, blank(room - cells(label) + 1), line, gap=""))
    return [*shown, join(blank(room + 1), axis(over, across), gap="")]


def _coloured(found: Values, width: int) -> list[Text]:
    why = [styled(line, "quiet", 0) for line in wrapped(str(found.get("why") or ""), width)]
    if not found.get("colour"):
        return why
    values = [it for it in found.get("colour_values") or () if it is not None]
    if values and all(isinstance(it, int | float) for it in values):
        ends = number(min(values)).plain, number(max(values)).plain
    else:
        names = sorted({str(it) for it in values}) or [""]
        ends = names[0], names[-1]
    tones = join(styled("tone:", "quiet"), styled(found["colour"], limit=_NAME), ramp(*ends))
    return [fit(tones, width), *why]


def partial_dependence(found: Values, width: int, height: int) -> list[Text]:
    """Return the mean prediction when every row has a value, and the lines of single rows."""
    what = f"Prediction ({found['unit']}{_named_output(found)}) if all {found['n_rows']:,} rows had"
    shown = [title(f"{what} the value", width)]
    if found["kind"] == "numeric":
        grid = [float(it) if isinstance(it, int | float) else None for it in found["grid"]]
        lines = [*(found.get("ice") or ())[:12], found["mean"]]
        curves = [
            Curve(
                "",
                tuple((x, float(y)) for x, y in zip(grid, line, strict=True) if x is not None),
                "" if at == len(lines) - 1 else "quiet",
            )
            for at, line in enumerate(lines)
        ]
        mean = curves.pop()
        shown += curve_chart([mean, *curves], width=width, height=height)
        others = styled("other lines: single rows", "quiet")
        return [*shown, join(*legend(["mean"], width), others, gap="   ")]
    values = [float(it) for it in found["mean"]]
    over = span(values)
    if over is None:
        return shown
    top = max(map(abs, values)) or 1.0
    rows = [
        [styled(name, limit=_NAME) if name is not None else styled("missing", "quiet"),
         bar(abs(value) / top, max(8, min(30, width - _NAME - 14))), text]
        for name, value, text in zip(found["grid"], values, numbers(values, 4), strict=True)
    ]  # fmt: skip
    return [*shown, *(fit(it, width) for it in aligned(["", "", ""], rows[:_MOST_CATEGORIES])[1:])]


def _named_output(found: Values) -> str:
    return f" of {safe(found['output'], 20)}" if found.get("output") else ""
