"""Runs: what was tried, with which params, and what came out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from local_stack.errors import InputError
from paceml_tui import keys
from paceml_tui.render import (
    Block,
    Text,
    elapsed,
    fields,
    heading,
    join,
    moment,
    number,
    pairs,
    size,
    stack,
    status,
    styled,
    value_text,
)
from paceml_tui.tasks import Request, Row
from paceml_tui.widgets.records import RecordsScreen
from paceml_tui.widgets.table import Column

_METRICS_SHOWN = 4
_PARAMS_SHOWN = 3
_FIRST_PARAMS = ("model", "estimator")


class RunsScreen(RecordsScreen):
    """Runs of every experiment; the filter takes MLflow's search grammar or plain words."""

    BINDINGS = keys.bindings("runs")
    WORD = "runs"
    NOUN = "runs"
    SOURCE = "SELECT * FROM runs WHERE coalesce(lifecycle, 'active') = 'active'"
    KEY = ("run_id",)
    SEARCH = ("run_id", "name", "experiment", "status", "actor", "params", "tags", "target")
    SORTED_BY = "started"
    EMPTY = "No run yet. Press n to train a model from a recipe file."
    FILTER_HINT = "words, or: metrics.rmse < 1 and params.model = 'tree'"

    def columns(self, rows: Sequence[Row]) -> tuple[Column, ...]:
        """Return the fixed columns and those of the most frequent metrics and params."""
        metrics = _most_frequent(rows, "metrics", _METRICS_SHOWN, ())
        params = _most_frequent(rows, "params", _PARAMS_SHOWN, _FIRST_PARAMS)
        return (
            *COLUMNS[:3],
            *(_metric(name, 3 + place) for place, name in enumerate(metrics)),
            *(_param(name, 8 + place) for place, name in enumerate(params)),
            *COLUMNS[3:],
        )

    def condition(self, text: str) -> tuple[str, tuple[Any, ...], str]:
        """Take the text as a search when it is one, otherwise as words."""
        if any(mark in text for mark in "=<>.") or " in " in text.lower():
            from local_stack.runs import search

            try:
                clause = search.where(text)
            except InputError:  # it is being typed, or it is a word with a dot
                return super().condition(text)
            return clause.sql, clause.parameters, "by search"
        return super().condition(text)

    def arguments_for(self, command: str, row: Row | None) -> dict[str, Any]:
        """Explain or register the selected run."""
        if row is None or command == "runs.train":
            return {}
        if command == "registry.register":
            named = {"name": row["experiment"]} if row["experiment"] else {}
            return {**named, "run": row["run_id"]}
        return {"target": row["run_id"]}

    def repeats(self, row: Row) -> Request:
        """Return the command that shows the selected run."""
        return Request("runs.show", {"run": row["run_id"]})

    def detail(self, row: Row) -> Block:
        """Return everything that is recorded of a run."""
        return stack(
            heading(row["name"] or row["run_id"], status(row["status"])),
            fields(
                [
                    ("run", styled(row["run_id"])),
                    ("experiment", value_text(row["experiment"])),
                    (
                        "started",
                        join(moment(row["started_at"]), styled("by"), styled(row["actor"])),
                    ),
                    ("took", elapsed(row["started_at"], row["ended_at"])),
                    (
                        "task",
                        join(value_text(row["task"]), styled("of"), value_text(row["target"])),
                    ),
                    ("data", _datasets(row["datasets"])),
                    ("model", _model(row["model"])),
                ]
            ),
            styled(row["error"], "bad", limit=600) if row["error"] else None,
            *_part("Metrics", row["metrics"], is_number=True),
            *_part("Params", row["params"]),
            *_part("Tags", row["tags"]),
            *_artifacts(row["artifacts"]),
        )


def _most_frequent(
    rows: Sequence[Row], column: str, limit: int, first: tuple[str, ...]
) -> list[str]:
    seen = Counter(name for row in rows for name in (row[column] or {}))
    ordered = sorted(seen, key=lambda name: (name not in first, -seen[name], name))
    return ordered[:limit]


def _pointer(name: str) -> str:
    return "/" + name.replace("~", "~0").replace("/", "~1")


def _metric(name: str, rank: int) -> Column:
    return Column(
        name,
        lambda row: _metric_value((row["metrics"] or {}).get(name)),
        order="TRY_CAST(json_extract_string(metrics, ?) AS DOUBLE)",
        values=(_pointer(name),),
        is_number=True,
        rank=rank,
        most=14,
    )


def _metric_value(value: Any) -> Text:
    return styled(value, limit=14) if isinstance(value, str) else number(value)


def _param(name: str, rank: int) -> Column:
    return Column(
        name,
        lambda row: value_text((row["params"] or {}).get(name)),
        order="json_extract_string(params, ?)",
        values=(_pointer(name),),
        rank=rank,
        most=16,
    )


def _datasets(found: Any) -> Text:
    items = [item for item in found or [] if isinstance(item, Mapping)]
    named = [
        join(styled(item.get("name")), styled(item.get("digest"), "quiet", 12), gap="@")
        for item in items
    ]
    return join(*named, gap=", ") if named else value_text(None)


def _model(model: Any) -> Text:
    if not isinstance(model, Mapping):
        return value_text(model)
    words = [model.get(key) for key in ("kind", "flavor", "estimator", "format") if model.get(key)]
    return join(*(styled(word, limit=60) for word in words)) if words else styled("yes")


def _part(title: str, values: Any, *, is_number: bool = False) -> list[Block]:
    if not values:
        return []
    shown = [(name, number(v)) for name, v in values.items()] if is_number else pairs(values)
    return [styled(""), heading(title), fields((name, text) for name, text in shown)]


def _artifacts(found: Any) -> list[Block]:
    if not found:
        return []
    items = found.items() if isinstance(found, Mapping) else enumerate(found, 1)
    shown = []
    for name, item in items:
        label = item.get("path", name) if isinstance(item, Mapping) else name
        shown.append((str(label), _artifact(item)))
    return [styled(""), heading("Artifacts"), fields(shown)]


def _artifact(item: Any) -> Text:
    if not isinstance(item, Mapping):
        return value_text(item)
    rest = [value_text(value, 20) for key, value in item.items() if key not in ("path", "bytes")]
    return join(size(item["bytes"]) if "bytes" in item else styled(""), *rest)


def _run_name(row: Row) -> Text:
    return styled(row["name"] or row["run_id"])


COLUMNS = (
    Column("run", _run_name, order="name", is_wide=True, rank=0, most=36),
    Column(
        "experiment", lambda row: value_text(row["experiment"]), order="experiment", rank=7, most=18
    ),
    Column("status", lambda row: status(row["status"]), order="status", rank=1),
    Column("started", lambda row: moment(row["started_at"]), order="started_at", rank=2),
)
