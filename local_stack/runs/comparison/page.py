"""Runs and their comparison as HTML for notebooks: tables only, everything from runs escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from local_stack.runs.comparison.exporting import titles_of
from local_stack.runs.comparison.shape import MetricComparison, RunComparison
from local_stack.runs.exporting import visible

if TYPE_CHECKING:
    from local_stack.runs.records import RunDetails

_MOST_CHARACTERS = 300
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
