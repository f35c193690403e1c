"""An evaluation as text of any width: metrics beside plain models, checks, curves, groups.

The command line prints it and the view of a run shows it, from the document that ``runs train``
gives and ``evaluation/evaluation.json`` of the run holds.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paceml_tui.charts import column_chart
from paceml_tui.plots import Curve, curve_chart, legend, scatter_chart
from paceml_tui.render import Text, bar, cells, fit, glyph, is_ascii, join, number, percent, styled
from paceml_tui.safe import safe

_HEIGHT = 9
_MOST_FEATURES = 10
_MOST_CLASSES = 8
_MOST_SLICES = 40
_MOST_METRICS = 60
_GAP = "  "
_MAIN = ("rmse", "log_loss", "accuracy")

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Picture:
    """One thing that an evaluation shows.

    ``said`` is what it comes to in a few words; ``draw`` takes the width and how high a curve is
    drawn, in cells.
    """

    name: str
    said: Text
    draw: Callable[[int, int], list[Text]]


def pictures(metrics: Values, document: Values) -> list[Picture]:
    """Return everything that an evaluation shows, and the metrics of its run, which come first."""
    details = document.get("details") or {}
    known = [
        Picture("metrics", _main(metrics, document), lambda w, _: _measured(metrics, document, w)),
        Picture("checks", _warned(details), lambda w, _: _checks(details, w)),
        Picture("ROC", _own(document, "roc_auc"), lambda w, h: _roc(details, w, h)),
        Picture(
            "precision, recall",
            _own(document, "average_precision"),
            lambda w, h: _precision(details, w, h),
        ),
        Picture("calibration", _error(details), lambda w, h: _calibration(details, w, h)),
        Picture("confusion", _own(document, "accuracy"), lambda w, _: _confusion(document, w)),
        Picture("residuals", _own(document, "r2"), lambda w, h: _residuals(document, w, h)),
        Picture("their histogram", styled(""), lambda w, h: _histogram(details, w, h)),
        Picture("importance", _foremost(details), lambda w, h: _importance(details, w, 2 * h)),
        Picture("learning curve", styled(""), lambda w, h: _learning(details, w, h)),
        Picture("slices", _groups(details), lambda w, _: _slices(details, w)),
        Picture("weak segments", _found(details), lambda w, _: _weak(details, w)),
    ]
    return [it for it in known if it.draw(60, 4)]


def _measured(metrics: Values, document: Values, width: int) -> list[Text]:
    return metric_lines(metrics, document, width)[1:]  # without the blank line before it


def _main(metrics: Values, document: Values) -> Text:
    own = (document.get("table") or {}).get("model") or metrics
    name = next((it for it in _MAIN if it in own), None)
    return join(styled(name, "quiet"), number(own[name])) if name else styled("")


def _own(document: Values, name: str) -> Text:
    own = (document.get("table") or {}).get("model") or {}
    found = next((it for it in (name, f"{name}_ovr") if it in own), None)
    return join(styled(found, "quiet"), number(own[found])) if found else styled("")


def warnings(document: Values, width: int) -> list[Text]:
    """Return what the checks warn of, one under the other."""
    checks = (document.get("details") or {}).get("checks", ())
    return _checks({"checks": [it for it in checks if it["is_warning"]]}, width)


def _warned(details: Values) -> Text:
    n = sum(bool(it["is_warning"]) for it in details.get("checks", ()))
    return styled(f"{n} warning{'s' * (n != 1)}", "warning") if n else styled("no warning", "good")


def _error(details: Values) -> Text:
    found = [details[it]["expected_error"] for it in _RELIABILITY if it in details]
    shown = [number(it, 2) for it in reversed(found)]
    return (
        join(styled("ECE", "quiet"), join(*shown, gap=f" {glyph('arrow')} "))
        if shown
        else styled("")
    )


def _foremost(details: Values) -> Text:
    return styled(next(iter((details.get("importance") or {}).get("values") or {}), ""), limit=30)


def _groups(details: Values) -> Text:
    groups = details.get("slices") or []
    n = sum(bool(it["judged"] and it["judged"]["is_weak"]) for it in groups)
    weak = styled(f"{n} weak", "warning") if n else styled("none weak", "quiet")
    return join(number(len(groups)), weak)


def _found(details: Values) -> Text:
    n = len((details.get("weak_segments") or {}).get("found") or ())
    return styled(f"{n} found", "warning") if n else styled("none", "quiet")


# ------------------------------------------------------------------ metrics


def metric_lines(metrics: Values, document: Values, width: int) -> list[Text]:
    """Return the metrics of a run: beside those of plain models, cross-validated, and others."""
    shown: list[Text] = []
    for titles, rows in (
        _beside_plain_models(metrics, document),
        _cross_validated(metrics, (document.get("table") or {}).get("model", {})),
        _others(metrics, document),
    ):
        if rows:
            shown += [styled(""), *aligned(titles, rows[:_MOST_METRICS])]
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


def _cross_validated(metrics: Values, own: Values) -> _Table:
    keys = [key[3:-5] for key in metrics if key.startswith("cv_") and key.endswith("_mean")]
    keys.sort(key=lambda it: list(own).index(it) if it in own else len(own))
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
        for key, value in sorted(metrics.items())
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


def aligned(titles: Sequence[str], rows: Sequence[Sequence[Text]]) -> list[Text]:
    """Return a table; its columns but the first are set to the right, empty ones are left out."""
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
    half, high = (width - 3) // 2, _HEIGHT
    parts = [
        _checks(details, width),
        _beside(_roc(details, half, high), _precision(details, half, high), half),
        _beside(_calibration(details, half, high), _confusion(document, half), half),
        _beside(_residuals(document, half, high), _histogram(details, half, high), half),
        _beside(_importance(details, half, _MOST_FEATURES), _learning(details, half, high), half),
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


def _roc(details: Values, width: int, height: int) -> list[Text]:
    lines_of = details.get("roc") or {}
    title = "ROC: true against false positive rate"
    return _joined_lines(title, lines_of, (width, height), [_DIAGONAL])


def _precision(details: Values, width: int, height: int) -> list[Text]:
    lines_of = details.get("precision_recall") or {}
    title = "Precision against recall"
    return _joined_lines(title, lines_of, (width, height), [Curve("", ((0.0, 0.0),))])


def _joined_lines(
    title: str, lines_of: Values, room: tuple[int, int], more: Sequence[Curve]
) -> list[Text]:
    """Return curves over [0, 1]; ``more`` is drawn with them, unnamed."""
    if not lines_of:
        return []
    width, height = room
    curves = [
        Curve(name, tuple(zip(line["x"], line["y"], strict=True)))
        for name, line in lines_of.items()
    ]
    shown = [_title(title, width)]
    shown += curve_chart([*curves, *more], width=width, height=height)
    return shown + (legend(list(lines_of), width) if len(lines_of) > 1 else [])


_DIAGONAL = Curve("", ((0.0, 0.0), (1.0, 1.0)), "quiet")
"""What chance gives, and what perfect probabilities give."""
_RELIABILITY = {"calibration": "model", "calibration_before": "before calibration"}


def _calibration(details: Values, width: int, height: int) -> list[Text]:
    curves, names = [], []
    for key, name in _RELIABILITY.items():
        if key in details:
            points = tuple((it["predicted"], it["observed"]) for it in details[key]["bins"])
            curves.append(Curve(name, points))
            names.append(f"{name}, ECE {details[key]['expected_error']:.3f}")
    if not curves:
        return []
    shown = [_title("Calibration: share by probability", width)]
    shown += curve_chart([*curves, _DIAGONAL], width=width, height=height)
    return shown + legend(names, width)


def _confusion(document: Values, width: int) -> list[Text]:
    counts, classes = (document.get("details") or {}).get("confusion"), document.get("classes")
    if not counts or not classes or len(classes) > max(_MOST_CLASSES, (width - 20) // 8):
        return []
    room = max(6, (width - 12) // len(classes) - 2)
    heads = [safe(name, min(room, 12)) for name in classes]
    rows = [
        [
            styled(name, limit=12),
            *(
                styled(f"{n:,}", "good" if at == place else "" if n else "quiet")
                for place, n in enumerate(row)
            ),
            percent(row[at] / sum(row) if sum(row) else None),
        ]
        for at, (name, row) in enumerate(zip(classes, counts, strict=True))
    ]
    return [
        _title("Confusion: true down, said across", width),
        *(fit(line, width) for line in aligned(["", *heads, "right"], rows)),
    ]


def _residuals(document: Values, width: int, height: int) -> list[Text]:
    found = (document.get("details") or {}).get("residuals")
    if not found:
        return []
    points = list(zip(found["predicted"], found["residual"], strict=True))
    title = "Truth minus prediction, by prediction"
    return [_title(title, width), *scatter_chart(points, width=width, height=height)]


def _histogram(details: Values, width: int, height: int) -> list[Text]:
    found = details.get("residuals")
    if not found:
        return []
    said = join(number(found["mean"], 3), styled("dev."), number(found["deviation"], 3))
    chart = column_chart(found["counts"], found["edges"], width=width - 8, height=height)
    return [fit(join(styled("Residuals, mean", "strong"), said), width), *chart]


def _importance(details: Values, width: int, most: int) -> list[Text]:
    found = details.get("importance") or {}
    values = list((found.get("values") or {}).items())
    if not values:
        return []
    top = max(*(value for _, value in values), 1e-300)
    total = sum(max(0.0, value) for _, value in values) or 1.0
    room = min(24, width // 2, max(cells(styled(name)) for name, _ in values[:most]))
    shown = [_title(f"Importance of the features ({found['kind']})", width)]
    for name, value in values[:most]:
        label = fit(styled(name), room)
        blank = styled(" " * (room - cells(label)), limit=0)
        drawing = bar(max(0.0, value) / top, max(4, width - room - 10))
        share = percent(max(0.0, value) / total)
        pad = styled(" " * max(0, 6 - cells(share)), limit=0)
        shown.append(join(join(label, blank, gap=""), drawing, join(pad, share, gap="")))
    more = len(values) - most
    return [*shown, styled(f"and {more} more", "quiet")] if more > 0 else shown


def _learning(details: Values, width: int, height: int) -> list[Text]:
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
        *curve_chart(curves, width=width, height=height),
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
    table = aligned(["slice", "rows", *keys, ""], rows)
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
