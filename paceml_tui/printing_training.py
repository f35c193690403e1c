"""A finished training for people: its metrics beside plain models, checks, and curves as text."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from paceml_tui.charts import column_chart
from paceml_tui.plots import Curve, curve_chart, legend, scatter_chart
from paceml_tui.render import Text, bar, cells, fit, is_ascii, join, number, percent, styled
from paceml_tui.safe import safe

_NARROWEST, _WIDEST = 60, 110
_ID_LETTERS = 8
_HEIGHT = 9
_MOST_FEATURES = 10
_MOST_CLASSES = 8
_MOST_SLICES = 40
_MOST_METRICS = 60
_GAP = "  "

Values = Mapping[str, Any]


def lines(found: Values) -> Iterator[str]:
    """Yield the lines of the ``result`` of ``runs train``."""
    width = min(_WIDEST, max(_NARROWEST, shutil.get_terminal_size((100, 24)).columns))
    name, mark, version = found["data_version"].rpartition("@")
    where = safe(found["experiment"])
    yield f"Run {found['run_id'][:_ID_LETTERS]}  {safe(found['name'])}, in {where}"
    cost = found["cost"]
    memory = f"{cost['peak_memory_bytes'] / 1e6:,.0f} MB at most"
    yield (
        f"Data {safe(f'{name}{mark}{version[:_ID_LETTERS]}')}; "
        f"fit {found['seconds']:.2f} s, whole run {cost['wall_seconds']:.2f} s, {memory}"
    )
    document = found.get("evaluation") or {}
    for text in [*metric_lines(found["metrics"], document, width), *drawn(document, width)]:
        yield text.plain.rstrip()
    told = {it["message"] for it in (document.get("details") or {}).get("checks", ())}
    others = [it for it in found["warnings"] if it not in told]
    if others:
        yield ""
    yield from (f"Warning: {safe(it)}" for it in others)


# ------------------------------------------------------------------ metrics


def metric_lines(metrics: Values, document: Values, width: int) -> list[Text]:
    """Return the metrics of a run: beside those of plain models, cross-validated, and others."""
    shown: list[Text] = []
    for titles, rows in (
        _beside_plain_models(metrics, document),
        _cross_validated(metrics),
        _others(metrics, document),
    ):
        if rows:
            shown += [styled(""), *_grid(titles, rows[:_MOST_METRICS])]
    return [fit(it, width) for it in shown]


_Table = tuple[list[str], list[list[Text]]]


def _beside_plain_models(metrics: Values, document: Values) -> _Table:
    table, intervals = document.get("table") or {}, document.get("intervals") or {}
    own = table.get("model", {})
    if not own:
        return [], []
    plain = [name for name in table if name != "model"]
    level = f"{document['level'] * 100:.4g}% interval"
    rows = [
        [
            styled(key),
            number(value),
            _interval(intervals.get(key)),
            *(number(table[name].get(key)) for name in plain),
            _or_nothing(metrics.get(f"train_{key}")),
        ]
        for key, value in own.items()
    ]
    return [f"metric ({_rows(document)})", "model", level, *plain, "train"], rows


def _cross_validated(metrics: Values) -> _Table:
    keys = [key[3:-5] for key in metrics if key.startswith("cv_") and key.endswith("_mean")]
    rows = [
        [styled(key), number(metrics[f"cv_{key}_mean"]), _or_nothing(metrics.get(f"cv_{key}_std"))]
        for key in keys
    ]
    return ["cross-validated", "mean", "deviation"], rows


def _others(metrics: Values, document: Values) -> _Table:
    own = (document.get("table") or {}).get("model", {})
    intervals = document.get("intervals") or {}
    told = {*own, *(f"train_{key}" for key in own)}
    rows = [
        [styled(key), number(value), _interval(intervals.get(key))]
        for key, value in metrics.items()
        if key not in told and not key.startswith(("baseline_", "cv_"))
    ]
    return ["metric", "value", "interval"], rows


def _or_nothing(value: float | None) -> Text:
    return styled("") if value is None else number(value)


def _rows(document: Values) -> str:
    what = {"test": "test rows", "out_of_fold": "rows out of fold"}.get(document["rows"], "rows")
    return f"{document['n_rows']:,} {what}"


def _interval(found: Sequence[float] | None) -> Text:
    if not found:
        return styled("")
    return join(number(found[0]), styled("to", "quiet"), number(found[1]))


def _grid(titles: Sequence[str], rows: Sequence[Sequence[Text]]) -> list[Text]:
    """Return a table whose columns but the first are aligned to the right; empty ones are left."""
    heads = [styled(title, "quiet", 40) for title in titles]
    kept = [at for at in range(len(heads)) if not rows or any(row[at].plain for row in rows)]
    widths = {at: max(cells(row[at]) for row in [heads, *rows]) for at in kept}
    shown = []
    for row in [heads, *rows]:
        parts = []
        for at in kept:
            blank = styled(" " * (widths[at] - cells(row[at])), limit=0)
            parts.append(join(*((row[at], blank) if at == 0 else (blank, row[at])), gap=""))
        shown.append(join(*parts, gap=_GAP))
    return shown


# ------------------------------------------------------------------ drawings


def drawn(document: Values, width: int) -> list[Text]:
    """Return what an evaluation holds as text of ``width`` cells: checks, curves, tables."""
    details = document.get("details") or {}
    if not details:
        return []
    half = (width - 3) // 2
    parts = [
        _checks(details, width),
        _beside(_roc(details, half), _precision(details, half), half),
        _beside(_calibration(details, half), _confusion(document, half), half),
        _beside(_residuals(document, half), _histogram(details, half), half),
        _beside(_importance(details, half), _learning(details, half), half),
        _slices(details, width),
        _weak(details, width),
    ]
    return [line for part in parts if part for line in (styled(""), *part)]


def _checks(details: Values, width: int) -> list[Text]:
    shown = []
    for it in details.get("checks", ()):
        mark = styled("!", "warning") if it["is_warning"] else styled("+" if is_ascii() else "✓")
        for at, line in enumerate(_wrapped(it["message"], width - 2)):
            shown.append(join(mark if at == 0 else styled(" "), styled(line, limit=0)))
    return shown


def _wrapped(text: str, width: int) -> list[str]:
    import textwrap

    return textwrap.wrap(safe(text, 600), width) or [""]


def _beside(left: list[Text], right: list[Text], half: int) -> list[Text]:
    """Return two blocks next to each other, or the one that is there."""
    left, right = ([fit(line, half) for line in part] for part in (left, right))
    if not left or not right:
        return left or right
    room = max(map(cells, left))
    rows = []
    for at in range(max(len(left), len(right))):
        first = left[at] if at < len(left) else styled("")
        second = right[at] if at < len(right) else styled("")
        blank = styled(" " * (room - cells(first) + 3), limit=0)
        rows.append(join(first, blank, second, gap=""))
    return rows


def _title(text: str, width: int) -> Text:
    return fit(styled(text, "strong"), width)


def _roc(details: Values, width: int) -> list[Text]:
    lines_of = details.get("roc") or {}
    title = "ROC: true against false positive rate"
    return _joined_lines(title, lines_of, width, [(0.0, 0.0), (1.0, 1.0)])


def _precision(details: Values, width: int) -> list[Text]:
    lines_of = details.get("precision_recall") or {}
    return _joined_lines("Precision against recall", lines_of, width, [(0.0, 0.0)])


def _joined_lines(
    title: str, lines_of: Values, width: int, corners: Sequence[tuple[float, float]]
) -> list[Text]:
    """Return curves over [0, 1]; ``corners`` are points that the axes reach."""
    if not lines_of:
        return []
    curves = [
        Curve(name, tuple(zip(line["x"], line["y"], strict=True)))
        for name, line in lines_of.items()
    ]
    shown = [_title(title, width)]
    shown += curve_chart([*curves, *_dots(corners)], width=width, height=_HEIGHT)
    return shown + (legend(list(lines_of), width) if len(lines_of) > 1 else [])


def _dots(corners: Sequence[tuple[float, float]]) -> list[Curve]:
    return [Curve("", (point,)) for point in corners]


def _calibration(details: Values, width: int) -> list[Text]:
    curves, names = [], []
    for key, name in (("calibration", "model"), ("calibration_before", "before calibration")):
        if key in details:
            points = tuple((it["predicted"], it["observed"]) for it in details[key]["bins"])
            curves.append(Curve(name, points))
            names.append(f"{name}, ECE {details[key]['expected_error']:.3f}")
    if not curves:
        return []
    diagonal = Curve("", ((0.0, 0.0), (1.0, 1.0)))
    shown = [_title("Calibration: share by probability", width)]
    shown += curve_chart([*curves, diagonal], width=width, height=_HEIGHT)
    return shown + legend([*names, "perfect"], width)


def _confusion(document: Values, width: int) -> list[Text]:
    counts, classes = document["details"].get("confusion"), document["classes"]
    if not counts or len(classes) > _MOST_CLASSES:
        return []
    room = max(6, (width - 12) // len(classes) - 2)
    heads = [safe(name, min(room, 12)) for name in classes]
    rows = [
        [styled(name, limit=12), *(number(n) for n in row)]
        for name, row in zip(classes, counts, strict=True)
    ]
    return [
        _title("Confusion: true down, said across", width),
        *(fit(line, width) for line in _grid(["", *heads], rows)),
    ]


def _residuals(document: Values, width: int) -> list[Text]:
    found = document["details"].get("residuals")
    if not found:
        return []
    points = list(zip(found["predicted"], found["residual"], strict=True))
    title = "Truth minus prediction, by prediction"
    return [_title(title, width), *scatter_chart(points, width=width, height=_HEIGHT)]


def _histogram(details: Values, width: int) -> list[Text]:
    found = details.get("residuals")
    if not found:
        return []
    said = join(number(found["mean"], 3), styled("dev."), number(found["deviation"], 3))
    chart = column_chart(found["counts"], found["edges"], width=width - 8, height=_HEIGHT)
    return [fit(join(styled("Residuals, mean", "strong"), said), width), *chart]


def _importance(details: Values, width: int) -> list[Text]:
    found = details.get("importance") or {}
    values = list((found.get("values") or {}).items())
    if not values:
        return []
    top = max(*(value for _, value in values), 1e-300)
    total = sum(max(0.0, value) for _, value in values) or 1.0
    room = min(24, width // 2, max(cells(styled(name)) for name, _ in values[:_MOST_FEATURES]))
    shown = [_title(f"Importance of the features ({found['kind']})", width)]
    for name, value in values[:_MOST_FEATURES]:
        label = fit(styled(name), room)
        blank = styled(" " * (room - cells(label)), limit=0)
        drawing = bar(max(0.0, value) / top, max(4, width - room - 10))
        share = percent(max(0.0, value) / total)
        pad = styled(" " * max(0, 6 - cells(share)), limit=0)
        shown.append(join(join(label, blank, gap=""), drawing, join(pad, share, gap="")))
    more = len(values) - _MOST_FEATURES
    return [*shown, styled(f"and {more} more", "quiet")] if more > 0 else shown


def _learning(details: Values, width: int) -> list[Text]:
    found = details.get("learning_curve")
    if not found:
        return []
    named = (("held_out", "held-out rows"), ("train", "rows learnt from"))
    curves = [
        Curve(name, tuple(zip(found["n_rows"], found[key], strict=True))) for key, name in named
    ]
    metric = safe(found["metric"].replace("_", " "), 20)
    return [
        _title(f"Learning curve: {metric} against rows", width),
        *curve_chart(curves, width=width, height=_HEIGHT),
        *legend([name for _, name in named], width),
    ]


# ------------------------------------------------------------------ groups


def _slices(details: Values, width: int) -> list[Text]:
    groups = details.get("slices") or []
    if not groups:
        return []
    known = ("rmse", "log_loss", "roc_auc", "r2", "accuracy", "f1_macro")
    keys = [key for key in known if any(key in it["metrics"] for it in groups)][:3]
    rows = []
    for it in groups[:_MOST_SLICES]:
        verdict = it["judged"]
        word = "few rows" if verdict is None else "weak" if verdict["is_weak"] else ""
        figures = [number(it["metrics"].get(key)) for key in keys]
        tone = "warning" if word == "weak" else "quiet"
        rows.append(
            [styled(it["group"], limit=40), number(it["n_rows"]), *figures, styled(word, tone)]
        )
    table = _grid(["slice", "rows", *keys, ""], rows)
    return [fit(line, width) for line in table]


def _weak(details: Values, width: int) -> list[Text]:
    found = details.get("weak_segments") or {}
    if not found.get("n_looked_at"):
        return []
    loss, n = details["loss"], found["n_looked_at"]
    if not found["found"]:
        return [fit(styled(f"No weak segment among {n} looked at ({loss})."), width)]
    shown = [_title(f"Weak segments ({loss}, of {n} looked at)", width)]
    for it in found["found"]:
        said = join(
            number(it["loss"]),
            styled("against"),
            number(it["elsewhere"]),
            styled(f"in {it['n_rows']:,} rows ("),
        )
        said = join(said, percent(it["share"]), styled(")"), gap="")
        shown += [styled(line, limit=0) for line in _wrapped(it["segment"], width)]
        shown.append(join(styled("  "), said, gap=""))
    return shown
