"""Everything about one run as a page of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from paceml_tui.plots import spark
from paceml_tui.render import (
    Block,
    Text,
    elapsed,
    fields,
    grid,
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
from paceml_tui.screens.runs_columns import datasets, metric_value, status_of
from paceml_tui.tasks import Desk, Row

NOTE = "mlflow.note.content"
"""The tag that holds the note of a run, as MLflow has it."""

_BESIDE = {"baseline_dummy_": "dummy", "baseline_linear_": "linear", "train_": "train"}
"""What stands beside a metric: its prefix there, and the title of its column."""
_MOST_CHILDREN = 20
_MOST_VALUES = 20_000
_MOST_ARTIFACTS = 200
_PLAIN = 400
_SOURCES = {
    "mlflow.source.name": "source",
    "mlflow.source.type": "source type",
    "mlflow.source.git.commit": "commit",
    "mlflow.source.git.branch": "branch",
    "mlflow.source.git.repoURL": "repository",
    "mlflow.project.entryPoint": "entry point",
    "mlflow.project.env": "environment",
    "mlflow.docker.image.name": "image",
}
"""Tags by which MLflow says where the code came from."""


def whole(desk: Desk, row: Row) -> Row:
    """Return everything that is recorded of a run of the list; call it in a thread."""
    found = desk.query("SELECT * FROM found_runs WHERE run_id = ? LIMIT 1", row["run_id"])
    return {**found[0], "status": row["status"]} if found else row


def block(desk: Desk, row: Row) -> Block:
    """Return everything that is recorded of a run."""
    run = whole(desk, row)
    return stack(
        heading(run["name"] or run["run_id"], status_of(run)),
        fields(facts(desk, run)),
        styled(run["problem"], "warning", 600) if run["problem"] else None,
        styled(run.get("error"), "bad", limit=600) if run.get("error") else None,
        *note(run),
        *metric_part(run, history(desk, run["run_id"])),
        *_part("Params", run["params"]),
        *_part("Tags", own_tags(run)),
        *models(desk, run),
        *_family(desk, run),
        *_artifacts(run),
    )


def facts(desk: Desk, run: Row) -> list[tuple[str, Text]]:
    """Return what a run is: who made it when, of which data, with which code."""
    by = join(moment(run["started_at"]), styled("by"), styled(run["actor"]))
    task = join(value_text(run.get("task")), styled("of"), value_text(run["target"]))
    versions = desk.query(
        "SELECT name, version FROM model_versions WHERE run_id = ? ORDER BY ALL", run["run_id"]
    )
    registered = join(*(styled(f"{it['name']}/{it['version']}") for it in versions), gap=", ")
    made = run["source"] if run["source"] != "workspace" else None
    tags = run["tags"] or {}
    found: list[tuple[str, Text]] = [
        ("run", styled(run["run_id"])),
        ("experiment", value_text(run["experiment"])),
        ("started", by),
        ("took", elapsed(run["started_at"], run["ended_at"])),
    ]
    if run.get("task") or run["target"]:
        found.append(("task", task))
    found.append(("data", datasets(run["datasets"])))
    if run.get("model") is not None:
        found.append(("model", _model(run["model"])))
    if versions:
        found.append(("registered", registered))
    if made:
        found.append(("from", styled(made, limit=120)))
    found += [
        (title, styled(tags[key], limit=120)) for key, title in _SOURCES.items() if tags.get(key)
    ]
    return found


def note(run: Row) -> list[Block]:
    """Return the note of a run."""
    text = (run["tags"] or {}).get(NOTE)
    if not text:
        return []
    return [styled(""), heading("Note"), styled(text, limit=2000, is_block=True)]


def own_tags(run: Row) -> dict[str, Any]:
    """Return the tags that people gave: not those that MLflow keeps its own facts in."""
    return {name: it for name, it in (run["tags"] or {}).items() if not name.startswith("mlflow.")}


def history(
    desk: Desk, run_id: str, most: int = _MOST_VALUES
) -> dict[str, list[tuple[int, float]]]:
    """Return step and value of everything logged of each metric, in the order of the steps."""
    rows = desk.query(
        "SELECT key, step, value FROM metric_history WHERE run_id = ? "
        "ORDER BY key, step, at_ms LIMIT ?",
        run_id,
        most,
    )
    found: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        found.setdefault(str(row["key"]), []).append((int(row["step"] or 0), _float(row["value"])))
    return found


def _float(value: Any) -> float:
    return float("nan") if value is None else float(value)


def metric_part(run: Row, logged: Mapping[str, list[tuple[int, float]]]) -> list[Block]:
    """Return the metrics, each with a curve as small as a word; plain models stand beside them."""
    metrics: Mapping[str, Any] = run["metrics"] or {}
    if not metrics:
        return []
    beside = {
        name: [metrics.get(f"{prefix}{name}") for prefix in _BESIDE]
        for name in sorted(metrics)
        if any(f"{prefix}{name}" in metrics for prefix in _BESIDE)
    }
    shown: list[Block] = [styled(""), heading("Metrics")]
    if beside:
        told = [
            (styled(name, "quiet", 40), *map(metric_value, (metrics[name], *values)))
            for name, values in beside.items()
        ]
        shown.append(grid(("", "last", *_BESIDE.values()), told, (1, 2, 3, 4)))
    named = {f"{prefix}{name}" for prefix in _BESIDE for name in beside}
    rest = [it for it in sorted(metrics.items()) if it[0] not in named and it[0] not in beside]
    rows = []
    for name, value in rest:
        points = logged.get(name, [])
        curve = spark([it for _, it in points], 16) if len(points) > 1 else styled("")
        n = number(len(points)) if len(points) > 1 else styled("")
        rows.append((styled(name, "quiet", 40), metric_value(value), curve, n))
    has_curves = any(row[3].plain for row in rows)
    titles = ("", "last", "over steps", "values") if has_curves else ("", "", "", "")
    between = [styled("")] if beside and rows else []
    return [*shown, *between, *([grid(titles, rows, (1, 3))] if rows else [])]


def models(desk: Desk, run: Row) -> list[Block]:
    """Return the models that the run logged, as MLflow 3 keeps them."""
    found = desk.query(
        "SELECT model_id, name, status, lifecycle FROM logged_models WHERE run_id = ? "
        "ORDER BY created_at, model_id LIMIT ?",
        run["run_id"],
        _MOST_CHILDREN,
    )
    rows = [
        (
            styled(it["name"], limit=40),
            status("deleted" if it["lifecycle"] == "deleted" else it["status"]),
            styled(it["model_id"], "quiet", 40),
        )
        for it in found
    ]
    return [styled(""), heading("Logged models"), grid(("", "", ""), rows)] if rows else []


def _family(desk: Desk, run: Row) -> list[Block]:
    """Return the run that this one is nested in, and those nested in it."""
    above = desk.query(
        "SELECT run_id, name, status FROM found_runs WHERE run_id = ? AND run_id <> ?",
        run["parent"],
        run["run_id"],
    )
    below = desk.query(
        "SELECT run_id, name, status, count(*) OVER () AS n FROM found_runs "
        "WHERE parent = ? ORDER BY started_at LIMIT ?",
        run["run_id"],
        _MOST_CHILDREN,
    )
    shown: list[Block] = []
    if run["parent"]:
        named = [_relative(it) for it in above] or [styled(run["parent"], "warning", 40)]
        shown += [styled(""), heading("Nested in"), *named]
    if below:
        n = below[0]["n"]
        shown += [styled(""), heading("Nested runs", number(n)), *map(_relative, below)]
        if n > len(below):
            shown.append(styled(f"and {n - len(below):,} more", "quiet"))
    return shown


def _relative(row: Row) -> Text:
    name = styled(row["name"] or row["run_id"], limit=40)
    return join(status(row["status"]), name, styled(str(row["run_id"])[:12], "quiet"), gap="  ")


def _model(model: Any) -> Text:
    if not isinstance(model, Mapping):
        return value_text(model)
    words = [model.get(key) for key in ("kind", "flavor", "estimator", "format") if model.get(key)]
    return join(*(styled(word, limit=60) for word in words)) if words else styled("stored")


def _part(title: str, values: Mapping[str, Any] | None) -> list[Block]:
    if not values:
        return []
    shown = pairs(dict(sorted(values.items())[:_PLAIN]))
    more = [styled(f"and {len(values) - _PLAIN:,} more", "quiet")] if len(values) > _PLAIN else []
    return [styled(""), heading(title, number(len(values))), fields(shown), *more]


def artifact_sizes(run: Row) -> list[tuple[str, int | None]]:
    """Return path and size in bytes, where it is known, of each artefact."""
    sizes: dict[str, Any] = run.get("artifact_sizes") or {}
    found: dict[str, int | None] = {}
    listed: Any = run.get("artifacts") or []
    items: Sequence[Any] = list(listed.items()) if isinstance(listed, Mapping) else listed
    for item in items:
        if isinstance(item, Mapping):
            path, n_bytes = str(item.get("path", "")), item.get("bytes")
        else:
            path, n_bytes = str(item[0] if isinstance(item, list | tuple) else item), None
        known = n_bytes if isinstance(n_bytes, int) else sizes.get(path)
        found[path] = known if isinstance(known, int) else None
    return sorted(found.items())


def _artifacts(run: Row) -> list[Block]:
    found = artifact_sizes(run)
    if not found:
        return []
    shown = [(styled(path, limit=80), size(n)) for path, n in found[:_MOST_ARTIFACTS]]
    more = styled(f"and {len(found) - _MOST_ARTIFACTS:,} more", "quiet")
    return [
        styled(""),
        heading("Artifacts", number(len(found))),
        grid(("", ""), shown, (1,)),
        *([more] if len(found) > _MOST_ARTIFACTS else []),
        join(styled("o", "accent"), styled("shows them", "quiet"), gap=" "),
    ]
