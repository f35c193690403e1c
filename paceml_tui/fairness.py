"""How a model treats groups, as text of any width: tables, disparities, SHAP gaps, thresholds.

The command line prints it and the Explain screen shows it, from the result of
``explain fairness`` and from ``explain/fairness.json`` of the run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from paceml_tui.evaluations import Picture
from paceml_tui.group_calibration import calibration_lines, calibration_pictures
from paceml_tui.group_names import short_names
from paceml_tui.plots import Curve, Span, curve_chart, legend, span
from paceml_tui.render import (
    Text,
    bar,
    cells,
    fit,
    glyph,
    join,
    number,
    percent,
    status,
    styled,
)
from paceml_tui.safe import safe
from paceml_tui.wording import blank, interval_bar, laid, signed, title, wrapped

Values = Mapping[str, Any]

_NAME = 22
_MOST_GROUPS = 40
_MOST_COLUMNS = 10
_MOST_CURVES = 6
_RATES = {
    "selection_rate": "selected",
    "true_positive_rate": "TPR",
    "false_positive_rate": "FPR",
    "precision": "precision",
    "accuracy": "accuracy",
    "base_rate": "base rate",
    "roc_auc": "ROC AUC",
    "brier": "Brier",
}
"""Metrics of a classification in the order in which there is room for them."""
_ERRORS = {
    "mean_error": "mean error",
    "mae": "MAE",
    "rmse": "RMSE",
    "r2": "R2",
    "mean_prediction": "predicted",
    "mean_target": "truth",
}
_MIRRORED = ("false_negative_rate", "true_negative_rate", "score_minus_base_rate")
"""Metrics that say again what others say."""
_SHARES = (*list(_RATES)[:6], "true_negative_rate", "false_negative_rate", "balanced_accuracy")
_NAMES = {
    "demographic_parity": "demographic parity",
    "equalized_odds": "equalised odds",
    "equal_opportunity": "equal opportunity",
}
_ROWS = {"test": "rows it did not learn from", "other": "rows of other data"}
"""Which rows were looked at, as a person reads it."""


def pictures(report: Values) -> list[Picture]:
    """Return what there is of each column, and how it was measured."""
    found: list[Picture] = []
    for table in report["tables"]:
        name = _title_of(table, report)
        found += [
            Picture(f"{name}: groups", _extremes(table), partial(_groups, report, table)),
            Picture(f"{name}: disparities", _verdict(table), partial(_apart, report, table)),
        ]
        found += calibration_pictures(name, table)
        if table.get("shap_gaps"):
            found.append(Picture(f"{name}: why", _driver(table), partial(_gaps, table)))
        if table.get("proxies"):
            found.append(Picture(f"{name}: proxies", _together(table), partial(_proxies, table)))
        if table.get("thresholds"):
            found.append(
                Picture(f"{name}: thresholds", _cheapest(table), partial(_thresholds, table))
            )
    measured = Picture("how it is measured", styled(report["rows"], "quiet"), partial(_how, report))
    return [*found, measured]


def lines(report: Values, width: int) -> list[Text]:
    """Return the whole report, one part under the other."""
    shown = _how(report, width, 0)
    for table in report["tables"]:
        name = _title_of(table, report)
        shown += [styled(""), title(f"Groups by {name}", width)]
        shown += _groups(report, table, width, 10)
        shown += [styled(""), *_apart(report, table, width, 10)]
        shown += calibration_lines(table, width)
        if table.get("shap_gaps"):
            shown += [styled(""), *_gaps(table, width, 10)]
        if table.get("proxies"):
            shown += [styled(""), *_proxies(table, width, 10)]
        if table.get("thresholds"):
            shown += [styled(""), *_policies(table, width)]
    return shown


def _title_of(table: Values, report: Values) -> str:
    several = len({it["positive"] for it in report["tables"]}) > 1
    name = safe(table["by"], 30)
    return f"{name}, {safe(table['positive'], 16)}" if several else name


def _how(report: Values, width: int, _: int) -> list[Text]:
    where = _ROWS.get(report["rows"], "rows, learnt from too")
    said = [
        f"{report['n_rows']:,} {where} of {report['data_version']}; {report['decision']}.",
        *_weighted(report),
        f"Groups of fewer than {report['min_rows']:,} rows are not compared. "
        f"{report['level'] * 100:.4g}% intervals: {report['intervals']}",
        *report["notes"],
    ]
    shown = [styled(line, limit=0) for it in said for line in wrapped(it, width)]
    if report["passed"] is not None:
        word = "passed" if report["passed"] else "failed"
        shown.insert(0, join(styled("limits"), status(word)))
    return shown


def _weighted(report: Values) -> list[str]:
    """Return whether rows count differently; a report of old does not know the column."""
    if not report.get("is_weighted"):
        return []
    by = f", by column {safe(report['weights'], 60)}" if report.get("weights") else ""
    return [f"All rates and means are weighted{by}; numbers of rows are not."]


# ------------------------------------------------------------------ groups


def _metrics_of(table: Values) -> Mapping[str, str]:
    known = table["overall"]["metrics"]
    chosen = _RATES if "selection_rate" in known else _ERRORS
    return {name: word for name, word in chosen.items() if name in known}


def _extremes(table: Values) -> Text:
    name = next(iter(_metrics_of(table)), "")
    values = [it["metrics"][name] for it in table["groups"] if name in it["metrics"]]
    if not values:
        return styled("too few rows", "warning")
    low, high = (_value(name, it) for it in (min(values), max(values)))
    return join(styled(_metrics_of(table)[name], "quiet"), low, styled("to", "quiet"), high)


def _value(name: str, value: float | None) -> Text:
    return percent(value) if name in _SHARES else number(value, 3)


def _measured(group: Values, name: str) -> Text:
    value = group["metrics"].get(name)
    if value is None:
        return styled(glyph("none"), "quiet")
    interval = group["intervals"].get(name)
    if not interval:
        return _value(name, value)
    low, high = interval
    if name in _SHARES:
        within = f"({low * 100:.0f}-{high * 100:.0f})"
    else:
        within = f"({number(low, 2).plain} to {number(high, 2).plain})"
    return join(_value(name, value), styled(within, "quiet"))


def _groups(report: Values, table: Values, width: int, height: int) -> list[Text]:
    """Return a line a group with as many metrics as there is room for, and a drawing of one."""
    metrics = _metrics_of(table)
    shown = table["groups"][:_MOST_GROUPS]
    every = [*shown, table["overall"]]
    names = _names(table, _NAME)
    rows = [[_group_name(it, names), number(it["n_rows"])] for it in every]
    titles = ["group", "rows"]
    room = width - max(cells(row[0]) for row in rows) - max(cells(row[1]) for row in rows) - 4
    for name, word in metrics.items():
        column = [_few(it) if not it["is_enough"] else _measured(it, name) for it in every]
        needs = max(len(word), *map(cells, column)) + 2
        if needs > room:
            break
        room -= needs
        titles.append(word)
        for row, text in zip(rows, column, strict=True):
            row.append(text)
    table_lines = [fit(it, width) for it in laid(titles, rows, (1,))]
    left = len(table["groups"]) - len(shown)
    more = [styled(f"and {left:,} more groups", "quiet")] if left > 0 else []
    selects = [fit(styled(f"selected: {report['decision']}", "quiet", 0), width)]
    shown_lines = [*(selects if "selection_rate" in metrics else []), *table_lines, *more]
    for place, (name, word) in enumerate(metrics.items()):
        drawing = _drawn(table, name, word, width)
        if place and len(shown_lines) + len(drawing) > height:
            break
        shown_lines += drawing
    return shown_lines


def _names(table: Values, room: int) -> dict[str, str]:
    """Return all groups by name, each as it is shown in about so many cells."""
    return short_names([it["group"] for it in (*table["groups"], table["overall"])], room)


def _group_name(it: Values, names: Mapping[str, str]) -> Text:
    return styled(names[it["group"]], "" if it["is_enough"] else "quiet", 0)


def _few(it: Values) -> Text:
    return styled("too few", "warning")


def _drawn(table: Values, name: str, word: str, width: int) -> list[Text]:
    """Return the intervals of one metric under each other; a rule marks that of all rows."""
    kept = [it for it in table["groups"][:_MOST_GROUPS] if it["intervals"].get(name)]
    ends = [end for it in kept for end in it["intervals"][name]]
    over = span([*ends, table["overall"]["metrics"].get(name, float("nan"))])
    if len(kept) < 2 or over is None:
        return []
    names = _names(table, _NAME)
    room = max(cells(_group_name(it, names)) for it in kept)
    across = max(10, min(60, width - room - 2))
    shown = [styled(""), title(f"{word}, with intervals", width)]
    for it in kept:
        low, high = it["intervals"][name]
        line = interval_bar(low, it["metrics"][name], high, over, across)
        label = _group_name(it, names)
        shown.append(join(label, blank(room - cells(label) + 2), line, gap=""))
    low_end, high_end = (_value(name, it) for it in (over.low, over.high))
    between = blank(across - cells(low_end) - cells(high_end))
    return [*shown, join(blank(room + 2), low_end, between, high_end, gap="")]


# ------------------------------------------------------------------ disparities


def _verdict(table: Values) -> Text:
    broken = [it for it in table["limits"] if not it["passed"]]
    if broken:
        return styled(f"{len(broken)} limit{'s' * (len(broken) != 1)} broken", "bad")
    found = table["four_fifths"]
    if found is None:
        return styled("")
    word = status("passed" if found["passed"] else "failed")
    return join(styled("four fifths", "quiet"), word, number(found["ratio"], 2))


def _apart(report: Values, table: Values, width: int, _: int) -> list[Text]:
    """Return how far the groups lie apart by each measure, and which of them."""
    found = table["four_fifths"]
    shown = []
    if found is not None:
        word = "passed" if found["passed"] else "failed"
        chance = {True: "more than chance allows", False: "as chance allows"}.get(
            found["is_significant"], ""
        )
        names = _names(table, 30)
        said = (
            f"'{names[found['lowest']]}' is selected {found['ratio']:.3f} times as often as "
            f"'{names[found['highest']]}'" + (f", {chance}" if chance else "")
        )
        shown = [
            join(styled("Four-fifths rule", "strong"), status(word)),
            *(styled(line, limit=0) for line in wrapped(f"{said}.", width)),
            styled(""),
        ]
    told = {it["metric"] for it in table["disparities"]}
    others = [
        {**it, "name": it["metric"], "value": it["difference"]}
        for it in table["gaps"]
        if it["metric"] not in told and it["metric"] not in _MIRRORED
    ]
    names = _names(table, 18)
    rows = [_disparity(it, names) for it in [*table["disparities"], *others]]
    titles = ("differences", "value", "interval", "", "groups")
    shown += [fit(line, width) for line in laid(titles, rows, (1,))]
    return [*shown, *_limits(table, width)]


def _disparity(it: Values, names: Mapping[str, str]) -> list[Text]:
    interval = styled("")
    if it.get("low") is not None:
        ends = [number(it[end], 2).plain for end in ("low", "high")]
        interval = styled(f"{ends[0]} to {ends[1]}", "quiet")
    sure = {True: styled("clear", "warning"), False: styled("chance", "quiet")}
    return [
        styled(_worded(it["name"].removesuffix("_difference")), limit=34),
        number(it["value"], 3),
        interval,
        sure.get(it.get("is_significant"), styled("")),  # type: ignore[arg-type]
        styled(f"{names[it['lowest']]}, {names[it['highest']]}", limit=0),
    ]


def _worded(name: str) -> str:
    return name.replace("_", " ").replace("equalized", "equalised")


def _limits(table: Values, width: int) -> list[Text]:
    if not table["limits"]:
        return []
    rows = [
        [
            status("passed" if it["passed"] else "failed"),
            styled(_worded(it["name"]), limit=34),
            join(styled("observed", "quiet"), _plain(it["observed"])),
            join(styled("required", "quiet"), _plain(it["required"])),
        ]
        for it in table["limits"]
    ]
    table_lines = [fit(line, width) for line in laid(("", "", "", ""), rows)]
    return [styled(""), title("Limits", width), *table_lines]


def _plain(value: Any) -> Text:
    return styled("yes" if value else "no") if isinstance(value, bool) else number(value, 3)


# ------------------------------------------------------------------ why


def _driver(table: Values) -> Text:
    groups = table["shap_gaps"]["groups"]
    columns = [it for group in groups for it in group["columns"][:1]]
    most = max(columns, key=lambda it: abs(it["gap"]), default=None)
    return join(styled(most["feature"], limit=20), signed(most["gap"])) if most else styled("")


def _gaps(table: Values, width: int, _: int) -> list[Text]:
    """Return by how much each column lifts the scores of a group above those of all others."""
    found, names = table["shap_gaps"], _names(table, 30)
    shown = [title(f"SHAP gaps, {found['unit']}: a group minus all other rows", width)]
    for group in found["groups"]:
        columns = group["columns"][:_MOST_COLUMNS]
        ends = [end for it in columns for end in (*_ends(it), 0.0)]
        over = span(ends) or Span(0.0, 1.0)
        across = max(10, min(40, width - _NAME - 32))
        is_known = group["low"] is not None
        rows = [
            [
                styled(it["feature"], limit=_NAME),
                interval_bar(_ends(it)[0], it["gap"], _ends(it)[1], over, across),
                signed(it["gap"]),
                _within(it),
            ]
            for it in columns
        ]
        head = join(
            styled(names[group["group"]], "accent", 0),
            signed(group["difference"]),
            _within(group) if is_known else styled("(weights leave no interval)", "quiet"),
            styled(f"{group['n_rows']:,} rows", "quiet"),
        )
        shown += [styled(""), fit(head, width)]
        shown += [fit(line, width) for line in laid(("", "", "", ""), rows, (2,))]
        left = len(group["columns"]) - len(columns)
        rest = sum(it["gap"] for it in group["columns"][len(columns) :])
        if left > 0:
            shown.append(join(styled(f"{left:,} other{'s' * (left != 1)}", "quiet"), signed(rest)))
    return shown


def _ends(it: Values) -> tuple[float, float]:
    low, high = it["low"], it["high"]
    return (it["gap"], it["gap"]) if low is None else (low, high)


def _within(it: Values) -> Text:
    if it["low"] is None:
        return styled("")
    ends = [signed(it[end], 2).plain for end in ("low", "high")]
    return styled(f"({ends[0]} to {ends[1]})", "quiet")


def _together(table: Values) -> Text:
    found = table["proxies"]
    value = found["together"]
    if value is None:
        return styled("")
    return join(styled(found["metric"], "quiet"), number(value, 3))


def _proxies(table: Values, width: int, _: int) -> list[Text]:
    """Return which columns of the model give the trait away, and what they count in it."""
    found = table["proxies"]
    none = 0.5 if found["metric"] == "roc_auc" else 0.0
    told = "0.5 is none" if none else "0 is none"
    verb, share = "sees" if found["is_input"] else "does not see", found["importance_share"]
    part = "" if share is None else f" ({_share(share)} of its importance)"
    sees = f"The model {verb} {safe(found['column'], 30)} itself{part}."
    said = f"{sees} {found['metric']} of a column that tells nothing: {none:.2g}."
    if found["together"] is not None:
        together = number(found["together"], 3).plain
        by = f"{found['metric']} {together} ({told})"
        said = f"{sees} All its other columns together tell it by {by}."
    rows = [
        [
            styled(it["column"], limit=_NAME),
            bar((it["score"] - none) / (1 - none), 14, "warning"),
            number(it["score"], 3),
            styled(_share(it["importance_share"])),
        ]
        for it in found["columns"][:20]
    ]
    table_lines = laid(("tells the trait", "", found["metric"], "of the importance"), rows, (2, 3))
    return [
        *(styled(line, limit=0) for line in wrapped(said, width)),
        styled(""),
        *(fit(line, width) for line in table_lines),
    ]


def _share(value: float | None) -> str:
    return percent(value).plain


# ------------------------------------------------------------------ thresholds


def _cheapest(table: Values) -> Text:
    policies = table["thresholds"]["policies"]
    least = min(policies, key=lambda it: it["cost"], default=None)
    return join(styled("cost", "quiet"), number(least["cost"], 3)) if least else styled("")


def _thresholds(table: Values, width: int, height: int) -> list[Text]:
    """Return what thresholds do to the groups: policies, and the selection rate by threshold."""
    return [*_policies(table, width), styled(""), *_curves(table, width, max(6, height - 16))]


def _policies(table: Values, width: int) -> list[Text]:
    found, names = table["thresholds"], _names(table, 20)
    costs = ", ".join(f"{name} {value:g}" for name, value in found["costs"].items() if value)
    goals = list(found["policies"][0]["disparities"]) if found["policies"] else []
    rows = [
        [
            styled(_policy(it), limit=34),
            number(it["cost"], 3),
            signed(it["extra_cost"], 2),
            *(number(it["disparities"][goal], 2) for goal in goals),
        ]
        for it in found["policies"]
    ]
    titles = ["thresholds", "cost", "extra", *(_short(goal) for goal in goals)]
    shown = [
        title(f"Cost a row ({costs or 'none'}); goals within {found['tolerance']:.2g}", width),
        *(fit(line, width) for line in laid(titles, rows, range(1, len(titles)))),
    ]
    for it in found["policies"]:
        if it["thresholds"]:
            named = [f"{names[name]} {value:.3f}" for name, value in it["thresholds"].items()]
            same = len(set(it["thresholds"].values())) == 1
            cuts = named[0].rpartition(" ")[2] if same else ", ".join(named[:8])
            shown += [
                styled(line, "quiet", 0)
                for line in wrapped(f"{_policy(it)}: from {cuts} on", width)
            ]
    left_out = [names[name] for name in found["left_out"]]
    more = [f"Left out, too few rows: {', '.join(left_out)}."] if left_out else []
    return [*shown, *(styled(line, "warning", 0) for it in more for line in wrapped(it, width))]


def _policy(it: Values) -> str:
    return _NAMES.get(it["name"], str(it["name"]))


def _short(goal: str) -> str:
    return _NAMES.get(goal, goal.replace("_", " ")).rpartition(" ")[2]


def _curves(table: Values, width: int, height: int) -> list[Text]:
    found = table["thresholds"]
    groups = list(found["groups"].items())[:_MOST_CURVES]
    curves = [
        Curve(name, _points(found["thresholds"], curve["selection_rate"])) for name, curve in groups
    ]
    if not curves:
        return []
    return [
        title("Selected (up) by threshold (across)", width),
        *curve_chart(curves, width=width, height=height),
        *legend([_names(table, 40)[name] for name, _ in groups], width),
    ]


def _points(
    thresholds: Sequence[float], rates: Sequence[float | None]
) -> tuple[tuple[float, float], ...]:
    pairs = zip(thresholds, rates, strict=True)
    return tuple((cut, rate) for cut, rate in pairs if rate is not None and 0 <= cut <= 1)
