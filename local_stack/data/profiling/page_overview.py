"""The first part of the page: the table as a whole, what was found, and how to repeat it."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from local_stack.data.profiling.page_context import Context, badge, label_of, link
from local_stack.data.profiling.page_html import (
    Markup,
    cut,
    escaped,
    facts,
    joined,
    left_out,
    number,
    percent,
    size,
    tabs,
    tag,
    value_of,
    within,
)
from local_stack.data.profiling.page_variables import row, rows_table
from local_stack.data.profiling.shape import Alert, DatasetProfile
from local_stack.results import plain

_TYPE_NAMES = {
    "long": "Whole number",
    "double": "Real number",
    "string": "Text",
    "boolean": "Boolean",
    "date": "Date",
    "datetime": "Date and time",
}


_RECORDED = {
    "number": "Version number",
    "n_rows_total": "Rows of the version",
    "n_rows_used": "Rows used",
    "is_sample": "Random sample",
    "started_at": "Analysis started",
    "profiled_at": "Analysis finished",
    "seconds": "Duration in seconds",
}


def overview(profile: DatasetProfile, context: Context, budget: int) -> Markup:
    """Return the statistics of the table, the alerts and how to repeat the profile, as tabs."""
    changes = profile.changes
    title = tag("span", "Alerts ", tag("b", str(len(profile.alerts)), class_="count"))
    more = [f"{len(changes.new)} new"] if changes.new else []
    more += [f"{len(changes.resolved)} resolved"] if changes.resolved else []
    if more:
        title = tag("span", title, Markup(" "), tag("small", ", ".join(more)))
    return tabs(
        "top",
        (
            ("Overview", _statistics(profile)),
            (title, alerts(profile, context, budget)),
            ("Columns", _glance(profile, context, budget // 2)),
            ("Reproduction", _reproduction(profile)),
        ),
    )


def _statistics(profile: DatasetProfile) -> Markup:
    seen = profile.overview
    rows: list[tuple[str, Markup | str, bool]] = [
        ("Number of variables", f"{seen.n_columns:,}", False),
        ("Number of observations", f"{seen.n_rows:,}", False),
        ("Missing cells", _with_share(seen.n_missing, seen.p_missing), False),
        ("Duplicate rows", _with_share(seen.n_duplicate_rows, seen.p_duplicate_rows), False),
        ("Total size in memory", size(seen.memory_bytes), False),
        ("Average record size in memory", size(seen.record_bytes), False),
    ]
    if profile.missing.columns and seen.n_rows:
        complete = profile.missing.n_complete_rows
        rows.insert(3, ("Complete rows", _with_share(complete, complete / seen.n_rows), False))
    if profile.target is not None:
        rows.append(("Target", cut(profile.target, 80), False))
    kinds = [(_TYPE_NAMES.get(name, name), f"{n:,}", False) for name, n in seen.types.items()]
    return tag(
        "div",
        tag("div", tag("h3", "Dataset statistics"), facts(rows)),
        tag(
            "div",
            tag("h3", "Variable types"),
            facts(kinds),
            _sampled(profile.reproduction),
            _personal(profile),
        ),
        class_="columns",
    )


def _glance(profile: DatasetProfile, context: Context, budget: int) -> Markup | None:
    """Return every column in a line of its own, as far as they fit."""
    if not profile.variables:
        return None
    held, n = within((row(variable, context) for variable in profile.variables), budget)
    return tag("div", rows_table(held), left_out(n, len(profile.variables), "column"))


def _with_share(n: int, share: float) -> Markup | str:
    return joined((Markup(f"{n:,} "), tag("small", percent(share)))) if n else "0"


def _sampled(reproduction: Mapping[str, Any]) -> Markup | None:
    if not reproduction.get("is_sample"):
        return None
    used, total = reproduction.get("n_rows_used"), reproduction.get("n_rows_total")
    return tag("p", f"Taken over a random sample of {used:,} of {total:,} rows.", class_="cut")


def _personal(profile: DatasetProfile) -> Markup | None:
    """Return a warning to whoever hands the page on: it shows values."""
    found = (alert.column for alert in profile.alerts if alert.code == "personal_data")
    names = list(dict.fromkeys(cut(name, 40) for name in found if name is not None))
    if not names:
        return None
    shown = ", ".join(f"'{name}'" for name in names[:5]) + (" and others" if names[5:] else "")
    text = f"This page shows values of {shown}, which may be personal data."
    return tag("p", text, class_="cut")


def alerts(profile: DatasetProfile, context: Context, budget: int) -> Markup:
    """Return every alert with what is behind it, those gone since the version before last."""
    changes = profile.changes
    fresh = {alert.key for alert in changes.new}
    held, n = within(
        (_alert(alert, context, alert.key in fresh) for alert in profile.alerts), budget
    )
    gone, n_gone = within((_resolved(alert) for alert in changes.resolved), budget // 4)
    return tag(
        "div",
        _compared(profile),
        tag("ul", held, class_="alerts") if profile.alerts else _nothing("Nothing to report."),
        left_out(n, len(profile.alerts), "alert"),
        tag("h3", "Resolved") if changes.resolved else None,
        tag("ul", gone, class_="alerts") if changes.resolved else None,
        left_out(n_gone, len(changes.resolved), "resolved alert"),
        _thresholds(profile),
    )


def _nothing(sentence: str) -> Markup:
    return tag("p", sentence, class_="none")


def _compared(profile: DatasetProfile) -> Markup | None:
    changes = profile.changes
    if changes.previous is None:
        return None
    text = f"{len(changes.new)} new, {len(changes.resolved)} resolved and {changes.n_same} "
    return tag("p", f"{text}unchanged since {changes.previous}.", class_="note")


def _alert(alert: Alert, context: Context, is_new: bool) -> Markup:
    names = alert.columns or ((alert.column,) if alert.column is not None else ())
    about = joined(tag("span", link(name, context), Markup(" ")) for name in names[:8])
    return tag(
        "li",
        badge(alert),
        tag("b", "New", class_="badge new") if is_new else None,
        Markup(" "),
        about or tag("span", "The table", class_="name"),
        Markup(" "),
        tag("span", alert.message),
        Markup(" "),
        _behind(alert),
    )


def _resolved(alert: Alert) -> Markup:
    name = alert.column if alert.column is not None else "The table"
    return tag(
        "li",
        tag("b", label_of(alert), class_="badge gone"),
        Markup(" "),
        tag("span", cut(name, 80), class_="name"),
        Markup(" "),
        tag("s", alert.message),
    )


def _behind(alert: Alert) -> Markup | None:
    if not alert.values and not alert.rows:
        return None
    shown = tag(
        "p",
        joined(
            tag("span", value_of(item.value), f" \u00d7 {item.count:,}", class_="chip")
            for item in alert.values[:20]
        ),
    )
    rows = ", ".join(f"{row:,}" for row in alert.rows[:20])
    return tag(
        "details",
        tag("summary", "What is behind it"),
        shown if alert.values else None,
        tag("p", f"Rows (from 0): {rows}") if rows else None,
    )


def _thresholds(profile: DatasetProfile) -> Markup:
    names = [field.name for field in dataclasses.fields(profile.thresholds)]
    rows = [(name, number(getattr(profile.thresholds, name)), False) for name in names]
    return tag("details", tag("summary", "Thresholds"), facts(rows))


def _reproduction(profile: DatasetProfile) -> Markup:
    rows: list[tuple[str, Markup | str, bool]] = []
    for key, value in profile.reproduction.items():
        name = _RECORDED.get(key, key.replace("_", " ").capitalize())
        rows.append((name, _recorded(key, value), False))
    made = facts(rows) if rows else _nothing("Nothing was recorded of how this was made.")
    return tag("div", made, _configuration(profile))


def _configuration(profile: DatasetProfile) -> Markup:
    """Return everything that the analysis was told, to be read and to be saved."""
    held = {
        "reproduction": plain(profile.reproduction),
        "target": profile.target,
        "thresholds": plain(profile.thresholds),
    }
    text = json.dumps(held, indent=2, ensure_ascii=True)
    content = base64.b64encode(text.encode()).decode()
    address = f"data:application/json;base64,{content}"
    saved = tag("a", "Save as a file", href=address, download="profile-configuration.json")
    shown = tag("pre", Markup("\n".join(map(escaped, text.splitlines()))), tabindex=0)
    return tag("details", tag("summary", "Configuration of the analysis"), tag("p", saved), shown)


def _recorded(key: str, value: Any) -> Markup | str:
    if key == "command":
        return tag("code", str(value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return number(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{cut(str(k), 80)} {cut(str(v), 80)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(cut(str(item), 80) for item in value)
    return cut(str(value), 1000)
