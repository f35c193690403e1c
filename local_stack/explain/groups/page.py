"""A fairness report as one HTML file that needs nothing else: no network and no script.

Everything is drawn from the plain values of the report (its JSON), so that a stored one looks
the same. Names of groups and columns come from outside and are escaped by ``page_html``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from local_stack.data.profiling.page import publish
from local_stack.data.profiling.page_html import (
    Markup,
    counted,
    cut,
    facts,
    joined,
    percent,
    plain_number,
    table,
    tag,
    value_of,
    whole_page,
)
from local_stack.explain.groups.metrics import CALIBRATION
from local_stack.explain.groups.report import FairnessReport

Values = Mapping[str, Any]

_SHOWN: Final = {
    "selection_rate": "Selection rate",
    "true_positive_rate": "True positive rate",
    "false_positive_rate": "False positive rate",
    "precision": "Precision",
    "accuracy": "Accuracy",
    "roc_auc": "ROC AUC",
    "base_rate": "Base rate",
    "mean_score": "Mean score",
    "mean_error": "Mean error",
    "mae": "MAE",
    "rmse": "RMSE",
    "r2": "R2",
    "mean_prediction": "Mean prediction",
    "mean_target": "Mean target",
}
_DRAWN: Final = ("selection_rate", "true_positive_rate", "false_positive_rate", "mean_error", "mae")
_ROWS: Final = {
    "test": "held out from the training",
    "all": "most of which the model learnt from",
    "other": "of other data than the model learnt from",
}
_MOST_GAPS = 12
_WIDTH = 240.0
_BAR = 80.0
_FRONT = (220.0, 130.0)


def write(report: FairnessReport, path: Path) -> None:
    """Write the report as one HTML file, whole or not at all.

    Raises
    ------
    InputError, NotFoundError, ConflictError
        As :func:`publish` does.
    """
    publish(render(report.to_dict()).encode(), path)


def render(found: Values) -> str:
    """Return the whole page of a report, as JSON has it."""
    style = _asset("local_stack.data.profiling") + _asset("local_stack.explain.groups")
    title = f"Fairness of {cut(str(found['target']))}"
    top = tag("header", tag("strong", title), class_="top")
    body = tag("body", top, tag("main", section(found)))
    return whole_page(title, style, body)


def _asset(package: str) -> str:
    return files(package).joinpath("page.css").read_text("utf-8")


def _weighted(found: Values) -> Markup | str:
    if not found["is_weighted"]:
        return "no"
    return value_of(f"by {found['weights']}") if found.get("weights") else "yes"


def section(found: Values) -> Markup:
    """Return everything that a report tells, without a page around it."""
    kind = _ROWS.get(found["rows"], "")
    about = facts(
        [
            ("Run", value_of(found["run_id"]), False),
            ("Data", value_of(found["data_version"]), False),
            ("Rows", f"{counted(found['n_rows'], 'row')}, {kind}", False),
            ("A selection is", value_of(found["decision"], 400), False),
            ("Weighted", _weighted(found), False),
            ("Fewest rows of a group", str(found["min_rows"]), False),
        ]
    )
    notes = joined(tag("p", note, class_="note") for note in found["notes"])
    tables = joined(_table(it, found["task"]) for it in found["tables"])
    return joined(
        [
            tag("div", about, notes, class_="card"),
            tables,
            tag("p", f"Intervals at {found['level']:.0%}. {found['intervals']}", class_="note"),
        ]
    )


def _table(found: Values, task: str) -> Markup:
    of = "" if found["positive"] is None else f", selected means {cut(found['positive'])}"
    parts: list[Markup | None] = [
        tag("h2", f"By {cut(found['by'])}{of}"),
        tag("div", _groups(found), *_charts(found), class_="card"),
        tag("div", *_verdicts(found), class_="card"),
        _calibration(found),
        _shap(found["shap_gaps"]),
        _proxies(found["proxies"]),
        _thresholds(found["thresholds"]),
    ]
    return joined(parts)


def _groups(found: Values) -> Markup:
    rows = [found["overall"], *found["groups"]]
    names = [name for name in _SHOWN if any(name in row["metrics"] for row in rows)]
    titles = ["Group", "Rows", *(_SHOWN[name] for name in names)]
    numbers = range(1, len(titles))
    return table(titles, (_group(row, names) for row in rows), numbers=numbers)


def _group(row: Values, names: Sequence[str]) -> Iterator[Markup | str]:
    yield value_of(row["group"])
    yield f"{row['n_rows']:,}"
    if not row["is_enough"]:
        yield tag("i", "too few rows", class_="none")
        yield from ("" for _ in names[1:])
        return
    for name in names:
        value = row["metrics"].get(name)
        yield tag("i", "-", class_="none") if value is None else _figure(value)


def _figure(value: float) -> str:
    return plain_number(float(value), 4)


def _charts(found: Values) -> Iterator[Markup]:
    """Yield the main metrics of the groups as points with their intervals."""
    for name in _DRAWN:
        rows = [it for it in found["groups"] if name in it["metrics"]]
        if len(rows) < 2:
            continue
        ends = [end for it in rows for end in it["intervals"].get(name, (it["metrics"][name],) * 2)]
        low, high = min(ends), max(ends)
        if name.endswith("_rate"):
            low, high = 0.0, 1.0
        span = (high - low) or 1.0
        yield tag("h4", f"{_SHOWN[name]} with intervals, {_figure(low)} to {_figure(high)}")
        yield table(
            ["Group", "", "Value", "Interval"],
            (_interval(it, name, low, span) for it in rows),
            class_="list short",
            numbers=(2,),
        )


def _interval(row: Values, name: str, low: float, span: float) -> Iterator[Markup | str]:
    value = row["metrics"][name]
    start, end = row["intervals"].get(name, (value, value))
    x, a, b = (5 + (_WIDTH - 10) * (it - low) / span for it in (value, start, end))
    drawing = (
        f'<svg class="interval" viewBox="0 0 {_WIDTH:.0f} 16" aria-hidden="true">'
        f'<line x1="{a:.1f}" y1="8" x2="{b:.1f}" y2="8"/><circle cx="{x:.1f}" cy="8" r="4"/></svg>'
    )
    yield value_of(row["group"])
    yield Markup(drawing)
    yield _figure(value)
    yield f"{_figure(start)} to {_figure(end)}"


def _verdicts(found: Values) -> Iterator[Markup]:
    yield tag("h3", "How far the groups lie apart")
    if not found["disparities"]:
        yield tag("p", "Fewer than two groups are large enough to be compared.", class_="note")
    else:
        yield table(
            ["Measure", "Value", "From", "Interval", "More than chance"],
            (_disparity(it) for it in found["disparities"]),
            numbers=(1,),
        )
    rule = found["four_fifths"]
    if rule is not None:
        told = "kept" if rule["passed"] else "broken"
        yield tag(
            "p",
            "Four-fifths rule: ",
            tag("span", told, class_="yes" if rule["passed"] else "no"),
            f"; {cut(rule['lowest'])} is selected {rule['ratio']:.2f} times as often as "
            f"{cut(rule['highest'])}.",
        )
    if found["limits"]:
        yield tag("h4", "Limits")
        yield table(
            ["Limit", "Observed", "Required", "Kept"],
            (
                [
                    it["name"].replace("_", " "),
                    value_of("not measurable" if it["observed"] is None else it["observed"]),
                    value_of(it["required"]),
                    tag("span", "yes" if it["passed"] else "no", class_=_mark(it["passed"])),
                ]
                for it in found["limits"]
            ),
        )


def _mark(passed: bool) -> str:
    return "yes" if passed else "no"


def _disparity(it: Values) -> Iterator[Markup | str]:
    yield it["name"].replace("_", " ")
    yield _figure(it["value"])
    yield f"{cut(it['lowest'])} against {cut(it['highest'])}, {it['metric'].replace('_', ' ')}"
    yield "" if it["low"] is None else f"{_figure(it['low'])} to {_figure(it['high'])}"
    yield "" if it["is_significant"] is None else "yes" if it["is_significant"] else "no"


def _calibration(found: Values) -> Markup | None:
    """Return whether the probabilities hold in each group."""
    known = [it for it in found["groups"] if it.get("calibration")]
    if not known:
        return None
    keys = ("expected_error", "slope", "intercept")
    rows = (
        [
            value_of(it["group"]),
            *(
                "" if value is None else _figure(value)
                for value in (
                    *(it["metrics"].get(name) for name in ("mean_score", "base_rate")),
                    *(it["calibration"][key] for key in keys),
                )
            ),
        ]
        for it in known
    )
    return tag(
        "div",
        tag("h3", "Whether the probabilities hold in each group"),
        tag("p", CALIBRATION, class_="note"),
        table(
            ["Group", "Mean score", "Base rate", "Error", "Slope", "Intercept"],
            rows,
            numbers=range(1, 6),
        ),
        class_="card",
    )


def _shap(found: Values | None) -> Markup | None:
    if found is None or not found["groups"]:
        return None
    sample = "a sample of " if found["is_sample"] else ""
    parts: list[Markup] = [
        tag("h3", f"What lifts or lowers the scores of a group, in {found['unit']}"),
        tag(
            "p",
            f"Mean SHAP value in the group minus that of the other rows, of {sample}"
            f"{counted(found['n_rows'], 'row')}; the columns add up to the difference.",
            class_="note",
        ),
    ]
    largest = max(abs(it["gap"]) for group in found["groups"] for it in group["columns"]) or 1.0
    shown = (tag("div", _gaps(group, largest)) for group in found["groups"])
    parts.append(tag("div", joined(shown), class_="columns"))
    return tag("div", joined(parts), class_="card")


def _gaps(group: Values, largest: float) -> Markup:
    """Return what each column adds to a group's scores, as bars to the left or the right."""
    shown = group["columns"][:_MOST_GAPS]
    rows = [
        [value_of(it["feature"], 40), _bar(it["gap"] / largest), f"{it['gap']:+.3g}", _between(it)]
        for it in shown
    ]
    if len(group["columns"]) > len(shown):
        rest = sum(it["gap"] for it in group["columns"][_MOST_GAPS:])
        rows.append([tag("i", "all others"), _bar(rest / largest), f"{rest:+.3g}", ""])
    return joined(
        [
            tag("h4", f"{cut(group['group'])}: {group['difference']:+.3g} in all"),
            table(["Column", "", "Gap", "Interval"], rows, numbers=(2,)),
        ]
    )


def _between(it: Values) -> str:
    known = it["low"] is not None and it["high"] is not None
    return f"{it['low']:+.2g} to {it['high']:+.2g}" if known else ""


def _bar(share: float) -> Markup:
    middle, width = _BAR / 2, abs(share) * _BAR / 2
    start, mark = (middle, "up") if share > 0 else (middle - width, "down")
    return Markup(
        f'<svg width="{_BAR:.0f}" height="12" class="interval lift" aria-hidden="true">'
        f'<rect class="{mark}" x="{start:.1f}" y="1" width="{width:.1f}" height="10"/></svg>'
    )


def _proxies(found: Values | None) -> Markup | None:
    if found is None:
        return None
    metric = "R2" if found["metric"] == "r2" else "ROC AUC"
    together = found["together"]
    seen = (
        "The model sees this column itself."
        if found["is_input"]
        else "The model does not see this column itself."
    )
    which = "other columns" if found["is_input"] else "columns"
    all_of = (
        ""
        if together is None
        else f" All its {which} together give it away with {metric} {together:.3f}."
    )
    rows = (
        [
            value_of(it["column"]),
            f"{it['score']:.3f}",
            "" if it["importance_share"] is None else percent(it["importance_share"]),
        ]
        for it in found["columns"][:_MOST_GAPS]
    )
    return tag(
        "div",
        tag("h3", f"Columns that give {cut(found['column'])} away"),
        tag("p", f"{seen}{all_of}", class_="note"),
        table(["Column", metric, "Of the model"], rows, class_="list short", numbers=(1, 2)),
        class_="card",
    )


def _thresholds(found: Values | None) -> Markup | None:
    if found is None:
        return None
    costs = ", ".join(f"{name} {value:g}" for name, value in found["costs"].items() if value)
    rows = (
        [
            value_of(it["name"].replace("_", " ")),
            ""
            if it["thresholds"] is None
            else joined(
                tag("span", f"{cut(name)} {value:.3f}", class_="chip")
                for name, value in it["thresholds"].items()
            ),
            f"{it['cost']:.4g}",
            f"{it['extra_cost']:+.4g}",
            *("" if value is None else f"{value:.3f}" for value in it["disparities"].values()),
        ]
        for it in found["policies"]
    )
    goals = [name.replace("_", " ") for name in found["policies"][0]["disparities"]]
    return tag(
        "div",
        tag("h3", "What other thresholds would do"),
        tag(
            "p",
            f"Costs a row: {costs or 'none'}. Equal means a difference of at most "
            f"{found['tolerance']:g}. The thresholds were chosen on these rows and do a little "
            "less well on others; thresholds by group are unlawful in many places.",
            class_="note",
        ),
        table(
            ["Thresholds", "", "Cost", "Against now", *goals],
            rows,
            numbers=range(2, 4 + len(goals)),
        ),
        tag("div", joined(_fronts(found)), class_="columns"),
        class_="card",
    )


def _fronts(found: Values) -> Iterator[Markup]:
    """Yield for each goal the disparities and costs that no other thresholds beat in both."""
    now = found["policies"][0]
    for goal, points in found["tradeoffs"].items():
        here = (now["disparities"][goal], now["cost"])
        pairs = [(it["disparity"], it["cost"]) for it in points]
        if here[0] is None or len(pairs) < 2:
            continue
        yield tag(
            "figure",
            tag("h4", f"Cost against the difference in {goal.replace('_', ' ')}"),
            _front(pairs, [bool(it["is_common"]) for it in points], here),
            tag("figcaption", "Filled: thresholds by group; open: a common one; red: as now."),
        )


def _kind(is_common: bool) -> str:
    return "common" if is_common else "own"


def _front(
    pairs: Sequence[tuple[float, float]], is_common: Sequence[bool], now: tuple[float, float]
) -> Markup:
    width, height = _FRONT
    right = max(x for x, _ in (*pairs, now)) or 1.0
    low, high = (pick(y for _, y in (*pairs, now)) for pick in (min, max))
    span = (high - low) or 1.0

    def place(x: float, y: float) -> tuple[str, str]:
        across, down = 40 + (width - 50) * x / right, 10 + (height - 35) * (high - y) / span
        return f"{across:.1f}", f"{down:.1f}"

    placed = [place(*pair) for pair in pairs]
    line = " ".join(f"{x},{y}" for x, y in placed)
    dots = "".join(
        f'<circle cx="{x}" cy="{y}" r="3" class="{_kind(common)}"/>'
        for (x, y), common in zip(placed, is_common, strict=True)
    )
    x, y = place(*now)
    return Markup(
        f'<svg class="front-line" viewBox="0 0 {width:.0f} {height:.0f}" role="img" '
        f'aria-label="cost from {low:.3g} to {high:.3g}, difference up to {right:.3g}">'
        f'<path d="M38 8V{height - 23:.0f}H{width - 6:.0f}"/><polyline points="{line}"/>{dots}'
        f'<circle class="now" cx="{x}" cy="{y}" r="3"/>'
        f'<text x="2" y="14">{high:.3g}</text><text x="2" y="{height - 23:.0f}">{low:.3g}</text>'
        f'<text x="38" y="{height - 12:.0f}">0</text>'
        f'<text x="{width - 30:.0f}" y="{height - 12:.0f}">{right:.3g}</text></svg>'
    )
