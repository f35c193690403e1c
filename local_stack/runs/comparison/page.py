"""Runs and their comparison as HTML for notebooks: no script, and everything from runs escaped."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from local_stack.runs.comparison.exporting import titles_of
from local_stack.runs.comparison.shape import Curve, MetricComparison, RunComparison
from local_stack.runs.exporting import visible

if TYPE_CHECKING:
    from local_stack.runs.records import RunDetails

_MOST_CHARACTERS = 300
_MOST_PICTURES, _WIDE, _HIGH = 12, 320, 120
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Colours that people with any kind of colour vision can tell apart (Okabe and Ito, 2008)."""
_CELL = "text-align:left;vertical-align:top;white-space:pre-wrap;max-width:28em"
_NUMBER = "text-align:right;vertical-align:top;white-space:nowrap"
_QUIET = "opacity:0.7;font-size:90%"


def comparison(found: RunComparison) -> str:
    """Return the tables of a comparison."""
    titles = titles_of(found)
    base = next(at for at, run in enumerate(found.runs) if run.run_id == found.baseline)
    head = [
        "",
        *(f"{title}{' (baseline)' if at == base else ''}" for at, title in enumerate(titles)),
    ]
    parts = [_heading(f"{len(found.runs)} runs compared")]
    parts += [_quiet(warning) for warning in found.warnings]
    if found.metrics:
        rows = [
            _metric_row(metric, base, [run.run_id for run in found.runs])
            for metric in found.metrics
        ]
        parts.append(_table("Metrics", [*head, "better", "verdict"], rows))
    parts.append(_curves(found, titles))
    for title, entries in (("Params", found.params), ("Tags", found.tags)):
        parts.append(_table(title, head, [_row(e.key, e.values) for e in entries]))
    parts.append(_table("Datasets", head, [_row(d.name, d.versions) for d in found.datasets]))
    commands = [command for dataset in found.datasets for command in dataset.commands]
    parts += [f"<div><code>{_text(command)}</code></div>" for command in commands]
    artifacts = [
        [
            *_row(
                a.path,
                [_held(there, size) for there, size in zip(a.is_there, a.sizes, strict=True)],
            ),
            _td(a.difference),
        ]
        for a in found.artifacts
    ]
    parts.append(_table("Artifacts", [*head, "difference"], artifacts))
    environment = [_row(e.key, e.values) for e in found.environment]
    parts.append(_table("Code and environment", head, environment))
    same = {name: n for name, n in found.omitted.to_dict().items() if n}
    if same:
        told = ", ".join(f"{n} {name}" for name, n in same.items())
        parts.append(_quiet(f"The same in all runs, and left out: {told}."))
    return f"<div>{''.join(parts)}</div>"


def details(run: RunDetails) -> str:
    """Return what is known of one run."""
    facts = [
        ("experiment", run.experiment),
        ("status", f"{run.status}, {run.lifecycle}" if run.lifecycle != "active" else run.status),
        ("started", run.start_time),
        ("ended", run.end_time),
        ("by", run.actor),
        ("target", run.target),
        ("error", run.error),
        ("model versions", ", ".join(run.model_versions)),
    ]
    parts = [
        _heading(f"{run.name or 'Run'} ({run.run_id})"),
        _table("", ["", ""], [_row(key, [value]) for key, value in facts if value]),
        _table(
            "Metrics",
            ["", ""],
            [[_th(k), _td(_number(v), _NUMBER)] for k, v in run.metrics.items()],
        ),
        _table("Params", ["", ""], [_row(key, [value]) for key, value in run.params.items()]),
        _table("Tags", ["", ""], [_row(key, [value]) for key, value in run.tags.items()]),
        _table(
            "Datasets", ["", ""], [_row(d.get("name", ""), [d.get("digest")]) for d in run.datasets]
        ),
        _table("Artifacts", [""], [[_td(path)] for path in run.artifacts]),
    ]
    return f"<div>{''.join(parts)}</div>"


def _metric_row(metric: MetricComparison, base: int, ids: Sequence[str]) -> list[str]:
    cells = []
    for at, value in enumerate(metric.values):
        shown = _text("" if value is None else _number(value))
        if metric.best == ids[at]:
            shown = f"<b>{shown}</b>"
        delta, interval = metric.deltas[at], metric.intervals[at]
        if at != base and delta is not None:
            told = f"{delta:+.4g}"
            told += f" [{interval.low:+.4g}, {interval.high:+.4g}]" if interval else ""
            reason = metric.reasons[at]
            hint = f' title="{_text(f"No interval: {reason}")}"' if reason else ""
            shown += f'<br><span style="{_QUIET}"{hint}>{_text(told)}</span>'
        cells.append(f'<td style="{_NUMBER}">{shown}</td>')
    return [_th(metric.key), *cells, _td(metric.direction), _td(metric.verdict)]


def _curves(found: RunComparison, titles: Sequence[str]) -> str:
    """Return a picture of each metric that was logged over steps, a line a run."""
    keys = list(dict.fromkeys(curve.key for curve in found.curves))
    names = {run.run_id: title for run, title in zip(found.runs, titles, strict=True)}
    drawn = [
        picture
        for key in keys[:_MOST_PICTURES]
        if (picture := _picture([curve for curve in found.curves if curve.key == key], names))
    ]
    if not drawn:
        return ""
    rest = len(keys) - _MOST_PICTURES
    more = _quiet(f"{rest} more metrics have curves.") if rest > 0 else ""
    return f'<div style="display:flex;flex-wrap:wrap;gap:1em">{"".join(drawn)}</div>{more}'


def _picture(curves: Sequence[Curve], names: Mapping[str, str]) -> str:
    """Return the curves of a metric as SVG of numbers and colours only, with words around it."""
    points = {
        curve.run_id: [
            (step, value)
            for step, value in zip(curve.steps, curve.values, strict=True)
            if value is not None and math.isfinite(value)
        ]
        for curve in curves[: len(_COLOURS)]
    }
    known = [point for line in points.values() for point in line]
    if not known:
        return ""
    (left, right), (low, high) = ((min(each), max(each)) for each in zip(*known, strict=True))
    lines, legend = "", ""
    for (run, line), colour in zip(points.items(), _COLOURS, strict=False):
        path = " ".join(
            f"{_WIDE * _share(step, left, right):.1f},{_HIGH * (1 - _share(value, low, high)):.1f}"
            for step, value in line
        )
        lines += f'<polyline points="{path}" fill="none" stroke="{colour}"></polyline>'
        legend += f'<div style="color:{colour}">{_text(names[run])}</div>'
    bounds = f"{_number(low)} to {_number(high)}, steps {left:,} to {right:,}"
    hidden = len(curves) - len(points)
    more = _quiet(f"{hidden} more runs are not drawn.") if hidden > 0 else ""
    return (
        f"<div><b>{_text(curves[0].key)}</b>"
        f'<svg width="{_WIDE}" height="{_HIGH}" viewBox="-2 -2 {_WIDE + 4} {_HIGH + 4}" '
        f'style="display:block">{lines}</svg>{_quiet(bounds)}{legend}{more}</div>'
    )


def _share(value: float, low: float, high: float) -> float:
    """Return where a value lies between two, in [0, 1]; halves, so that nothing overflows."""
    return 0.5 if high <= low else (value / 2 - low / 2) / (high / 2 - low / 2)


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    top = "".join(f'<th style="{_CELL}">{_text(cell)}</th>' for cell in head) if any(head) else ""
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    caption = f"<div><b>{_text(title)}</b></div>" if title else ""
    return (
        f'{caption}<div style="overflow-x:auto"><table>'
        f"{f'<thead><tr>{top}</tr></thead>' if top else ''}<tbody>{body}</tbody></table></div>"
    )


def _row(key: Any, values: Iterable[Any]) -> list[str]:
    return [_th(key), *(_td("" if value is None else value) for value in values)]


def _th(value: Any) -> str:
    return f'<th style="{_CELL}">{_text(value)}</th>'


def _td(value: Any, style: str = _CELL) -> str:
    return f'<td style="{style}">{_text(value)}</td>'


def _heading(text: str) -> str:
    return f"<h4>{_text(text)}</h4>"


def _quiet(text: str) -> str:
    return f'<div style="{_QUIET}">{_text(text)}</div>'


def _held(there: bool, size: int | None) -> str | None:
    if not there:
        return None
    return "there" if size is None else f"{size:,} bytes"


def _number(value: float) -> str:
    return f"{value:.6g}"


def _text(value: Any) -> str:
    """Return anything from outside as text of HTML, cut to what a cell can show."""
    text = str(value)
    text = text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 1]}…"
    return html.escape("\n".join(visible(line) for line in text.splitlines()))
