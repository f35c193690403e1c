"""The explanation of a model as text of any width: importance, beeswarm, dependence, rules.

The command line prints it and the Explain screen shows it, from the result of ``explain model``
and from ``explain/explanation.json`` of the run, which holds that and what is drawn of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from paceml_tui.evaluations import Picture, aligned
from paceml_tui.plots import span
from paceml_tui.render import (
    Text,
    bar,
    cells,
    fit,
    glyph,
    is_ascii,
    join,
    moment,
    number,
    numbers,
    percent,
    styled,
)
from paceml_tui.safe import safe
from paceml_tui.swarms import ramp, strip
from paceml_tui.wording import LONGEST, axis, blank, interval_bar, laid, signed, title, wrapped

Values = Mapping[str, Any]

_SHADES = (" ░▒▓█", " .:*#")
_NAME = 22
"""Cells of the name of a feature."""
_CODES = {
    "constant": "one value only",
    "unused": "never used",
    "harmful": "better without it",
    "unhelpful": "not noticed",
}
_NEGLIGIBLE = "None stands out: each is used, and may matter when it is shuffled."


def feature_rows(document: Values) -> list[dict[str, Any]]:
    """Return a line for each feature: its importance, as a share too, and what shuffling costs."""
    explained = document["explanation"]
    found = explained.get("importance") or []
    highest = max((it["mean_abs_shap"] for it in found), default=0.0) or 1.0
    shuffled = {it["column"]: it for it in (explained.get("permutation") or {}).get("columns", ())}
    said = {it["column"]: it["code"] for it in explained.get("findings") or ()}
    shown = numbers([it["mean_abs_shap"] for it in found], 3)
    return [
        {
            "name": it["feature"],
            "value": it["mean_abs_shap"],
            "shown": text,
            "share": it["mean_abs_shap"] / highest,
            "permuted": shuffled.get(it["feature"]),
            "code": said.get(it["feature"], ""),
        }
        for it, text in zip(found, shown, strict=True)
    ]


def permuted_text(row: Values) -> Text:
    """Return what shuffling a column costs, with its interval."""
    found = row["permuted"]
    if not found:
        return styled("")
    low, high = numbers([found["low"], found["high"]], 2)
    is_sure = found["low"] > 0 or found["high"] < 0
    mean = styled(signed(found["mean"], 3).plain, "" if is_sure else "quiet")
    return join(mean, styled(f"({low.plain} to {high.plain})", "quiet"))


def found_text(row: Values) -> Text:
    """Return what was found against a feature, in two words."""
    return styled(_CODES.get(row["code"], row["code"]), "warning", 20)


def measured(explained: Values) -> str:
    """Return the unit, and the class whose score it measures where there is one."""
    output = explained.get("output")
    return f"{explained['unit']} of {safe(output, 20)}" if output else str(explained["unit"])


def importance_lines(document: Values, width: int, most: int = 30) -> list[Text]:
    """Return a bar a feature with the interval of its permutation importance beside it."""
    rows = feature_rows(document)
    if not rows:
        return [styled("No feature.", "quiet")]
    explained = document["explanation"]
    permutation = explained.get("permutation")
    shuffled = f"{permutation['metric']} when shuffled" if permutation else ""
    room = max(8, min(26, width // 6))
    table = [
        [
            styled(row["name"], limit=_NAME),
            bar(row["share"], room),
            row["shown"],
            permuted_text(row),
            found_text(row),
        ]
        for row in rows[:most]
    ]
    titles = ("feature", "", "mean |SHAP|", shuffled, "")
    shown = [fit(it, width) for it in laid(titles, table, (2,))]
    left = len(rows) - most
    return [*shown, styled(f"and {left:,} more", "quiet")] if left > 0 else shown


def facts(document: Values, created_at: str | None = None) -> list[tuple[str, Text]]:
    """Return what an explanation is of and how exact it is, as names and values."""
    it = document["explanation"]
    note = styled("a sample", "warning") if it["is_sample"] else styled("all", "quiet")
    name, mark, version = it["data_version"].rpartition("@")
    known = [
        ("run", styled(it["run_id"], limit=40)),
        ("model", styled(it.get("estimator"))),
        ("target", styled(it.get("target"))),
        ("data", styled(f"{name}{mark}{version[:12]}")),
        ("rows", join(number(it["n_rows"]), styled("of"), number(it["n_total"]), note)),
        ("unit", join(styled(it["unit"]), _of_output(it))),
        ("base value", number(it["base_value"])),
        ("method", styled(it["method"], limit=LONGEST)),
        ("additivity", join(number(it["additivity_error"], 2), styled("off at most", "quiet"))),
        ("standard error", _or_none(it.get("standard_error"))),
        ("background", _background(it.get("background"))),
        ("made", moment(created_at) if created_at else styled("")),
    ]
    return [(name, text) for name, text in known if text.plain]


def _of_output(it: Values) -> Text:
    return styled(f"of {it['output']}", "quiet", 40) if it.get("output") else styled("")


def _or_none(value: float | None) -> Text:
    return join(number(value, 2), styled("at most", "quiet")) if value is not None else styled("")


def _background(found: Values | None) -> Text:
    if not found:
        return styled("")
    n = f"{found['n_rows']:,} rows: " if found["n_rows"] else ""
    return styled(f"{n}{found['how']}", limit=LONGEST)


# ------------------------------------------------------------------ beeswarm


def beeswarm(document: Values, width: int, height: int) -> list[Text]:
    """Return every row's SHAP value of every feature as dots in the tone of the feature's value."""
    found, explained = document.get("beeswarm") or {}, document["explanation"]
    columns = found.get("columns") or []
    over = span([value for line in found.get("shap") or () for value in line])
    if not columns or over is None:
        return [styled("There is nothing to draw.", "quiet")]
    room = min(_NAME, max(cells(styled(name)) for name in columns), max(8, width // 3))
    across = max(10, width - room - 1)
    lines_each = min(3, max(1 + (height > 30), (height - 3) // len(columns)))
    shown = [_over(explained, found["n_rows"], width)]
    for name, shap, scaled in zip(columns, found["shap"], found["scaled"], strict=True):
        drawn = strip(zip(shap, scaled, strict=True), over, across, lines_each)
        middle = (lines_each - 1) // 2
        for at, line in enumerate(drawn):
            label = fit(styled(name), room) if at == middle else styled("")
            shown.append(join(blank(room - cells(label)), label, blank(1), line, gap=""))
    left = _left_out(len(explained.get("importance") or ()) - len(columns))
    return [*shown, join(blank(room + 1), axis(over, across), gap=""), *left]


def _over(explained: Values, n_rows: int, width: int) -> Text:
    said = styled(f"SHAP value, {measured(explained)}, {n_rows:,} rows", "quiet", 70)
    legend = ramp("feature low", "high")
    between = width - cells(said) - cells(legend)
    return join(said, blank(between), legend, gap="") if between > 1 else fit(said, width)


# ------------------------------------------------------------------ the whole model


def pictures(document: Values, created_at: str | None = None) -> list[Picture]:
    """Return what is told of the whole model beside its features, each with a word about it."""
    it = document["explanation"]
    surrogate, matrix = it.get("surrogate"), it.get("interactions")
    fidelity = (
        join(styled(surrogate["measure"], "quiet"), number(surrogate["fidelity"], 3))
        if surrogate
        else styled("")
    )
    findings = it.get("findings") or ()
    n = len(findings)
    harmless = styled(f"{n} column{'s' * (n != 1)}", "warning") if n else styled("none", "good")
    known = [
        Picture("interactions", _strongest(matrix), partial(interactions, it)),
        Picture("rules", fidelity, lambda w, _: rules(it, w)),
        Picture("never help", harmless, lambda w, _: unhelpful(it, w)),
        Picture("shuffled", _scored(it), lambda w, _: shuffled(it, w)),
        Picture("by class", number(len(it.get("outputs") or ())), lambda w, _: by_class(it, w)),
        Picture("how exact", _exact(it), lambda w, _: about(document, w, created_at)),
    ]
    return [picture for picture in known if picture.draw(60, 8)]


def _exact(it: Values) -> Text:
    return join(styled("off by", "quiet"), number(it["additivity_error"], 2))


def _scored(it: Values) -> Text:
    found = it.get("permutation")
    return join(styled(found["metric"], "quiet"), number(found["score"])) if found else styled("")


def _pairs(matrix: Values) -> list[tuple[float, str, str]]:
    columns = matrix["columns"]
    found = [
        (float(matrix["matrix"][a][b]), columns[a], columns[b])
        for a in range(len(columns))
        for b in range(a)
    ]
    return sorted(found, key=lambda it: (-it[0], it[1], it[2]))


def _strongest(matrix: Values | None) -> Text:
    pairs = _pairs(matrix) if matrix else []
    if not pairs or pairs[0][0] <= 0:
        return styled("none", "quiet")
    times = glyph("times")
    return styled(f"{safe(pairs[0][1], 12)} {times} {safe(pairs[0][2], 12)}")


def interactions(it: Values, width: int, height: int) -> list[Text]:
    """Return how much pairs of columns say together, as shades, and the strongest in numbers."""
    matrix = it.get("interactions")
    if not matrix or not matrix["columns"]:
        return []
    columns = matrix["columns"]
    room = min(_NAME, max(cells(styled(name)) for name in columns))
    each = 3
    n = min(len(columns), max(2, (width - room - 3) // each), max(4, height - 4))
    off = [matrix["matrix"][a][b] for a in range(n) for b in range(n) if a != b]
    top = max(off, default=0.0) or 1.0
    head = "".join(f"{at:>{each}}" for at in range(1, n + 1))
    shown = [
        title(f"Mean |SHAP interaction|, {matrix['unit']}, {matrix['n_rows']:,} rows", width),
        join(blank(room + 3), styled(head, "quiet", 0), gap=""),
    ]
    for a in range(n):
        name = fit(styled(columns[a]), room)
        marks = [
            styled(f" {glyph('dot')} ", "quiet", 0)
            if a == b
            else _shade(matrix["matrix"][a][b] / top, each)
            for b in range(n)
        ]
        label = join(name, blank(room - cells(name)), styled(f"{a + 1:>3}", "quiet", 0), gap="")
        shown.append(join(label, *marks, gap=""))
    every = max(len(columns), len(it.get("importance") or ()))
    return [*shown, *_left_out(every - n), styled(""), *_strong_pairs(matrix, width)]


def _shade(share: float, width: int) -> Text:
    scale = _SHADES[is_ascii()]
    mark = scale[max(1, min(4, round(share * 4)))] if share > 0.06 else scale[0]
    return styled(mark * (width - 1) + " ", "accent", 0)


def _left_out(n: int) -> list[Text]:
    return [styled(f"and {n:,} more column{'s' * (n != 1)}", "quiet")] if n > 0 else []


def _strong_pairs(matrix: Values, width: int) -> list[Text]:
    pairs = [it for it in _pairs(matrix)[:8] if it[0] > 0]
    if not pairs:
        return [styled("No two columns say more together than one by one.", "quiet")]
    top = pairs[0][0]
    rows = [
        [styled(f"{safe(a, 20)} {glyph('times')} {safe(b, 20)}"), bar(value / top, 12), text]
        for (value, a, b), text in zip(pairs, numbers([it[0] for it in pairs], 3), strict=True)
    ]
    return [fit(line, width) for line in aligned(["strongest together", "", ""], rows)]


def rules(it: Values, width: int) -> list[Text]:
    """Return the small tree that does almost what the model does, and how nearly."""
    found = it.get("surrogate")
    if not found:
        return []
    said = (
        f"A tree of depth {found['depth']} does what the model does: {found['measure']} "
        f"{number(found['fidelity'], 3).plain} on {found['n_rows_test']:,} rows it did not see "
        f"({number(found['baseline'], 3).plain} for always saying the same)."
    )
    leaves = sorted(found.get("leaves") or (), key=lambda leaf: -leaf["share"])
    shown = [*(styled(line, limit=0) for line in wrapped(said, width)), styled("")]
    shown += [line for rule in found["rules"] for line in _indented(rule, width)]
    if leaves:
        shown += [styled(""), title("Leaves, the largest first", width)]
    for leaf in leaves:
        share = percent(leaf["share"])
        said_here = styled(leaf["prediction"], "accent", 24)
        shown.append(join(blank(6 - cells(share)), share, blank(2), said_here, gap=""))
        conditions = " and ".join(leaf["conditions"]) or "always"
        shown += [
            join(blank(8), styled(line, "quiet", 0), gap="")
            for line in wrapped(conditions, width - 8)
        ]
    return shown


def _indented(rule: str, width: int) -> list[Text]:
    """Return a line of a tree, wrapped under itself."""
    depth = min(len(rule) - len(rule.lstrip(" ")), width // 2)
    first, *others = wrapped(rule.strip(), width - depth - 2)
    return [
        join(blank(depth), styled(first, limit=0), gap=""),
        *(join(blank(depth + 2), styled(line, limit=0), gap="") for line in others),
    ]


def unhelpful(it: Values, width: int) -> list[Text]:
    """Return the columns that never help, each with its sentence."""
    found = it.get("findings") or ()
    if not found and not it.get("permutation"):
        return []  # nobody looked
    if not found:
        return [styled(line, "good", 0) for line in wrapped(_NEGLIGIBLE, width)]
    shown = []
    for finding in found:
        shown.append(join(styled(finding["column"], limit=40), found_text(finding)))
        shown += [
            join(blank(2), styled(line, "quiet", 0), gap="")
            for line in wrapped(finding["message"], width - 2)
        ]
    return shown


def shuffled(it: Values, width: int) -> list[Text]:
    """Return by how much the metric gets worse when a column is shuffled, with intervals."""
    found = it.get("permutation")
    if not found:
        return []
    columns = found["columns"]
    over = span([value for line in columns for value in (line["low"], line["high"], 0.0)])
    if over is None:
        return []
    room = max(10, min(40, width - _NAME - 24))
    rows = [
        [
            styled(line["column"], limit=_NAME),
            interval_bar(line["low"], line["mean"], line["high"], over, room),
            permuted_text({"permuted": line}),
        ]
        for line in columns
    ]
    n = found["repeats"]
    where = "rows it did not learn from" if found["rows"] == "test" else "rows, learnt from too"
    said = (
        f"{found['metric']} is {number(found['score']).plain} on {found['n_rows']:,} {where}. "
        f"Each number is how much worse it gets when the column is shuffled, the mean of {n} "
        f"shuffle{'s' * (n != 1)}; below zero it gets better. The bar, and what stands in "
        f"brackets, is the {found['interval']}."
    )
    return [
        *(styled(line, "quiet", 0) for line in wrapped(said, width)),
        *(fit(line, width) for line in laid(("", "", ""), rows)),
    ]


def by_class(it: Values, width: int) -> list[Text]:
    """Return the importance of the features for each of many classes."""
    outputs = it.get("outputs") or ()
    found = [line for line in it.get("importance") or () if line.get("by_class")]
    if len(outputs) < 2 or not found:
        return []
    n = max(1, min(len(outputs), (width - _NAME) // 11))
    rows = [
        [styled(line["feature"], limit=_NAME), *(number(v, 3) for v in line["by_class"][:n])]
        for line in found[:30]
    ]
    heads = ["mean |SHAP| for", *(safe(name, 10) for name in outputs[:n])]
    left = len(outputs) - n
    more = [styled(f"and {left:,} more classes", "quiet")] if left > 0 else []
    return [*(fit(line, width) for line in aligned(heads, rows)), *more]


def about(document: Values, width: int, created_at: str | None = None) -> list[Text]:
    """Return how the values were computed, and how far they are off."""
    shown = []
    for name, text in facts(document, created_at):
        lines = wrapped(text.plain, width - 16)
        shown.append(join(styled(f"{name:<16}", "quiet", 0), styled(lines[0], limit=0), gap=""))
        shown += [join(blank(16), styled(line, limit=0), gap="") for line in lines[1:]]
    for note in document["explanation"].get("notes") or ():
        shown += [styled(line, "warning", 0) for line in wrapped(note, width)]
    return shown
