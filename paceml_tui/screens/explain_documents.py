"""What the Explain screen reads: stored explanations, and what can be explained."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from paceml_tui.tasks import Desk, Row
from paceml_tui.widgets.chooser import Choice

EXPLANATION = "explain/explanation.json"
_MOST_BYTES = 64_000_000
_MOST_RUNS = 2_000

_VERSIONS = """
    SELECT v.name, v.version, v.stage, v.run_id, r.name AS run_name, r.target
    FROM model_versions v LEFT JOIN runs r USING (run_id)
    ORDER BY v.stage = 'Production' DESC, v.name, v.version DESC
"""
_RUNS = f"""
    SELECT run_id, name, experiment, target, started_at FROM runs
    WHERE model IS NOT NULL AND status = 'FINISHED'
    AND run_id NOT IN (SELECT run_id FROM run_edits WHERE lifecycle = 'deleted')
    ORDER BY started_at DESC LIMIT {_MOST_RUNS}
"""  # noqa: S608 - a number of ours


def explained(desk: Desk, target: str, unit: str = "") -> dict[str, Any] | None:
    """Return the stored explanation of a run or a model version, None without one in that unit.

    Of an explanation that was stored without its drawings there is what its record tells.
    """
    rows = _record(desk, target)
    if not rows:
        from local_stack.explain.subject import target_run

        rows = _record(desk, str(target_run(desk.workspace, target)["run_id"]))
    if not rows or (unit and rows[0]["unit"] != unit):
        return None
    row = rows[0]
    found = document(desk, row.get("artifacts") or {}, EXPLANATION)
    known = found if "explanation" in found else {"explanation": _of_record(row)}
    return {**known, "created_at": row["created_at"]}


def _record(desk: Desk, run: str) -> list[Row]:
    return desk.query("SELECT * FROM explanations WHERE run_id = ?", run)


def _of_record(row: Row) -> dict[str, Any]:
    """Return what the record of an explanation tells, as the result would."""
    return {
        "run_id": row["run_id"],
        "data_version": f"{row['dataset']}@{row['version']}",
        "n_rows": row["n_rows"] or 0,
        "n_total": row["n_total"] or 0,
        "is_sample": row["n_rows"] != row["n_total"],
        "unit": row["unit"] or "",
        "method": "",
        "base_value": row["base_value"],
        "importance": [
            it for it in row["importance"] or [] if isinstance(it, Mapping) and _is_measured(it)
        ],
        "additivity_error": row["additivity_error"],
        "notes": ["It was stored without what is drawn of it; r explains it again."],
    }


def _is_measured(it: Mapping[str, Any]) -> bool:
    return isinstance(it.get("feature"), str) and isinstance(it.get("mean_abs_shap"), int | float)


def document(desk: Desk, artifacts: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Return a JSON artefact, {} where there is none or it cannot be read; call it in a thread."""
    from local_stack.errors import StackError
    from local_stack.stores.artifacts import Blob

    blob = artifacts.get(path)
    if not isinstance(blob, Mapping) or not 0 < blob.get("size", 0) <= _MOST_BYTES:
        return {}
    try:
        found = json.loads(desk.workspace.artifacts.read(Blob.of(dict(blob))))
    except (StackError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def targets(desk: Desk, *, but: str = "") -> list[Choice]:
    """Return what can be explained: registered versions, then runs that have a model."""
    versions = [
        Choice(f"{it['name']}/{it['version']}", _about(it), _titled(it))
        for it in desk.query(_VERSIONS)
        if it["run_id"] != but
    ]
    runs = [
        Choice(str(it["run_id"]), _about(it), f"{it['name'] or it['run_id']}")
        for it in desk.query(_RUNS)
        if it["run_id"] != but
    ]
    return [*versions, *runs]


def _titled(it: Row) -> str:
    stage = f" {it['stage']}" if it["stage"] not in (None, "None") else ""
    return f"{it['name']}/{it['version']}{stage}"


def _about(it: Row) -> str:
    if "experiment" in it:
        return f"run {it['run_id'][:8]}, {it['target']}, {str(it['started_at'])[:10]}"
    return f"model, {it['target']}"


def source_of(text: str) -> dict[str, Any]:
    """Return which row is meant: an ``index``, the ``row`` itself, or a ``prediction``.

    Raises
    ------
    InputError
        It begins like a JSON object and is none.
    """
    from local_stack.errors import InputError

    digits = text.replace(",", "").replace(" ", "")
    if digits.isascii() and digits.isdigit():
        return {"index": int(digits[:18])}
    if not text.startswith("{"):
        return {"prediction": text}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InputError("The row is not a JSON object.", 'Write it as {"COLUMN": VALUE, ...}.')
    return {"row": found}
