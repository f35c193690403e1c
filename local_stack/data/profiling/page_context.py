"""What the parts of a page need to know of one another: alerts, relations, places to link to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from local_stack.data.profiling.page_html import Markup, cut, escaped, tag
from local_stack.data.profiling.shape import Alert, DatasetProfile

N_RELATED = 10
"""Columns listed as moving with a variable."""

N_EXAMPLES = 5
"""Values of the first rows that a card lists."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a card tells besides its variable: rows of the table, and what concerns whom."""

    n_rows: int
    target: str | None
    places: Mapping[str, int]
    alerts: Mapping[str, Sequence[Alert]]
    related: Mapping[str, Sequence[tuple[str, float]]]
    examples: Mapping[str, Sequence[str | None]]


def context_of(profile: DatasetProfile) -> Context:
    """Gather the alerts, the strongest relations and the first values of every variable."""
    alerts: dict[str, list[Alert]] = {}
    for alert in profile.alerts:
        names = [alert.column, *alert.columns]
        if alert.other_column != profile.target:  # what leaks of the target is no fault of it
            names.append(alert.other_column)
        for name in dict.fromkeys(names):
            if name is not None:
                alerts.setdefault(name, []).append(alert)
    rows = profile.sample.rows[:N_EXAMPLES]
    return Context(
        n_rows=profile.overview.n_rows,
        target=profile.target,
        places={variable.name: place for place, variable in enumerate(profile.variables)},
        alerts=alerts,
        related=_related(profile),
        examples={
            name: [row[place] for row in rows] for place, name in enumerate(profile.sample.columns)
        },
    )


def _related(profile: DatasetProfile) -> dict[str, list[tuple[str, float]]]:
    matrix = profile.correlations.mixed
    if not matrix.columns:
        matrix = profile.correlations.pearson
    found: dict[str, list[tuple[str, float]]] = {}
    for name, row in zip(matrix.columns, matrix.values, strict=True):
        others = [
            (other, value)
            for other, value in zip(matrix.columns, row, strict=True)
            if value is not None and other != name and abs(value) >= 0.05
        ]
        found[name] = sorted(others, key=lambda item: -abs(item[1]))[:N_RELATED]
    return found


def label_of(alert: Alert) -> str:
    """Return the code of an alert in words, as its badge shows it."""
    return alert.code.replace("_", " ").replace("-", " ").capitalize()


_GRAVE = {"leakage", "leakage_suspect", "personal_data", "duplicates", "infinite", "constant"}


def badge(alert: Alert) -> Markup:
    """Return the code of an alert as a badge; those that spoil a model stand out."""
    tone = "grave" if alert.code in _GRAVE else "plain"
    return tag("b", label_of(alert), class_=f"badge {tone}")


def link(name: str, context: Context) -> Markup:
    """Return the name of a column as a link to its card."""
    place = context.places.get(name)
    text = Markup(escaped(cut(name, 80)).replace("_", "_<wbr>"))
    shown = tag("span", text, class_="name", title=name if len(name) > 80 else None)
    return shown if place is None else tag("a", shown, href=f"#v{place}")
