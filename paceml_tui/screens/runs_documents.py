"""What a run keeps beside its metrics, read for the screen: its evaluation, and its study."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from paceml_tui.screens.runs_files import located
from paceml_tui.studies import Study
from paceml_tui.tasks import Desk, Row

EVALUATION = "evaluation/evaluation.json"
TUNING = "tuning.json"
STUDY = "paceml.study"
"""The tag of the run of a study."""
_MOST_BYTES = 32_000_000
_UNNAMED = ("rmse", "log_loss", "accuracy")
"""What trials are judged by where the recipe leaves it open: the first that they have."""


def evaluation(desk: Desk, run: Row) -> dict[str, Any]:
    """Return the evaluation of a run, {} where there is none; call it in a thread."""
    found = _document(desk, run, EVALUATION)
    return found if isinstance(found.get("details"), dict) else {}


def study(desk: Desk, run: Row) -> Study | None:
    """Return the study that a run is of, at work or ended; None when it is of none."""
    if STUDY not in (run["tags"] or {}):
        return None
    found = _document(desk, run, TUNING)
    trials = found.get("trials")
    if isinstance(trials, list) and trials:
        return Study(
            metric=str(found.get("metric")),
            is_higher_better=found.get("direction") == "maximize",
            trials=tuple(trials),
            importance=found.get("importance") or {},
        )
    return at_work(desk, run["run_id"])


def study_of_job(desk: Desk, job: str) -> tuple[str, Study | None]:
    """Return the run of the study that a job is at work on, '' until there is one, and it."""
    rows = desk.query(
        "SELECT run_id FROM runs WHERE job = ? "
        "AND json_extract_string(tags, '/paceml.study') IS NOT NULL LIMIT 1",
        job,
    )
    if not rows:
        return "", None
    run = str(rows[0]["run_id"])
    return run, at_work(desk, run)


def at_work(desk: Desk, run: str) -> Study | None:
    """Return a study as the runs of its trials tell it."""
    from local_stack.runs.comparison.directions import direction

    parent = desk.workspace.get("runs", run)
    if parent is None:
        return None
    rows = desk.query(
        "SELECT run_id, status, recipe, metrics, tags, error, started_at, ended_at FROM runs "
        "WHERE json_extract_string(tags, '/mlflow.parentRunId') = ? "
        "AND json_extract_string(tags, '/paceml.trial') IS NOT NULL",
        run,
    )
    search = (parent["recipe"] or {}).get("search") or {}
    metric = search.get("metric") or _metric(rows)
    trials = sorted((_trial(it, metric, search) for it in rows), key=lambda it: it["number"])
    return Study(metric, direction(metric) == "higher", tuple(trials))


def _metric(rows: Sequence[Row]) -> str:
    known = {name for row in rows for name in row["metrics"] or {}}
    return next((it for it in _UNNAMED if f"cv_{it}_mean" in known), _UNNAMED[0])


def _trial(row: Row, metric: str, search: Mapping[str, Any]) -> dict[str, Any]:
    tags, params = row["tags"] or {}, (row["recipe"] or {}).get("params") or {}
    has_ended = "paceml.folds" in tags
    value = (row["metrics"] or {}).get(f"cv_{metric}_mean") if has_ended else None
    return {
        "run_id": row["run_id"],
        "number": int(tags["paceml.trial"]),
        "status": row["status"],
        "value": value if isinstance(value, int | float) else None,
        "params": {name: params.get(name) for name in search.get("space") or {}},
        "folds": json.loads(tags["paceml.folds"]) if has_ended else [],
        "is_pruned": tags.get("paceml.pruned") == "true",
        "seconds": None,
    }


def _document(desk: Desk, run: Row, path: str) -> dict[str, Any]:
    """Return a JSON file of a run: as the workspace keeps it, or from its folder in MLflow."""
    text = _kept(desk, run, path)
    if text is None:
        file = located(run, path)
        if not isinstance(file, Path):
            return {}
        try:
            is_small = file.stat().st_size <= _MOST_BYTES
            text = file.read_bytes() if is_small else b""
        except OSError:
            return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _kept(desk: Desk, run: Row, path: str) -> bytes | None:
    from local_stack.errors import StackError
    from local_stack.stores.artifacts import Blob

    record = desk.workspace.get("runs", run["run_id"])
    blob = ((record or {}).get("files") or {}).get(path)
    try:
        return desk.workspace.artifacts.read(Blob.of(blob)) if blob else None
    except StackError:
        return None
