"""What the Explain screen reads: stored explanations, and what can be explained."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from local_stack.explain.attributing.units import spelled
from paceml_tui.tasks import Desk, Request, Row
from paceml_tui.widgets.chooser import Choice

EXPLANATION = "explain/explanation.json"
FAIRNESS = "explain/fairness.json"
_MOST_BYTES = 64_000_000
_MOST_RUNS = 2_000

_VERSIONS = """
    SELECT v.name, v.version, v.stage, v.run_id, r.experiment, r.target, r.datasets
    FROM model_versions v LEFT JOIN runs r USING (run_id)
    ORDER BY v.stage = 'Production' DESC, v.name, v.version DESC
"""
_RUNS = f"""
    SELECT run_id, name, experiment, target, datasets, started_at FROM runs
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
    if not rows or (unit and rows[0]["unit"] != spelled(unit, [rows[0]["unit"]])):
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


def targets(desk: Desk, *, but: str = "", target: str | None = None) -> list[Choice]:
    """Return what can be explained: registered versions, then runs that have a model.

    Parameters
    ----------
    but
        A run that is left out, with the versions made of it.
    target
        What the models must predict; None: anything.
    """

    def wanted(it: Row) -> bool:
        return it["run_id"] != but and target in (None, it["target"])

    versions = [
        Choice(f"{it['name']}/{it['version']}", _about(it), _titled(it), _words(it))
        for it in desk.query(_VERSIONS)
        if wanted(it)
    ]
    runs = [
        Choice(str(it["run_id"]), _about(it), f"{it['name'] or it['run_id']}", _words(it))
        for it in desk.query(_RUNS)
        if wanted(it)
    ]
    return [*versions, *runs]


def _titled(it: Row) -> str:
    stage = f" {it['stage']}" if it["stage"] not in (None, "None") else ""
    return f"{it['name']}/{it['version']}{stage}"


def _about(it: Row) -> str:
    """Return the experiment of a model, what it predicts, and when its run began."""
    known = [it["experiment"], it["target"]]
    if "started_at" in it:
        known.append(str(it["started_at"])[5:16].replace("T", " "))
    return ", ".join(str(each) for each in known if each)


def _words(it: Row) -> str:
    """Return by what else a model is found: its run, its day, and the data it learnt from."""
    data = [str(each["name"]) for each in it["datasets"] or ()]
    return " ".join([str(it["run_id"]), str(it.get("started_at", ""))[:10], *data])


def source_of(text: str) -> dict[str, Any]:
    """Return which row is meant: an ``index``, the ``row`` itself, or a ``prediction``.

    Raises
    ------
    InputError
        It begins like a JSON object and is none, or names something twice.
    """
    from local_stack.errors import InputError
    from local_stack.json_text import typed_json

    digits = text.replace(",", "").replace(" ", "")
    if digits.isascii() and digits.isdigit():
        return {"index": int(digits[:18])}
    if not text.startswith("{"):
        return {"prediction": text}
    try:
        found = typed_json(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise InputError("The row is not a JSON object.", 'Write it as {"COLUMN": VALUE, ...}.')
    return {"row": found}


# Groups, and what to compare with.


def fairness_of(desk: Desk, run: str) -> dict[str, Any]:
    """Return the newest fairness report of a run, {} where there is none."""
    rows = desk.query(
        "SELECT artifacts FROM fairness WHERE run_id = ? ORDER BY created_at DESC LIMIT 1", run
    )
    found = document(desk, rows[0]["artifacts"] or {}, FAIRNESS) if rows else {}
    return found if found.get("tables") else {}


def fairness_request(run: str, report: Mapping[str, Any]) -> Request:
    """Return the command that makes a report that is kept."""
    columns = tuple(dict.fromkeys(name for it in report["tables"] for name in it["columns"]))
    is_crossed = any(len(it["columns"]) > 1 for it in report["tables"])
    more = {"intersect": True} if is_crossed else {}
    return Request("explain.fairness", {"target": run, "by": columns, **more})


def group_columns(desk: Desk, run: str) -> list[Choice]:
    """Return the columns of a run's data version, those named sensitive first."""
    version, target = _version(desk, run)
    known = desk.query("SELECT sensitive FROM datasets WHERE name = ?", version["dataset"])
    sensitive = list((known[0]["sensitive"] if known else None) or ())
    names = [str(it["name"]) for it in version["columns"] or () if it["name"] != target]
    kinds = {str(it["name"]): str(it.get("type", "")) for it in version["columns"] or ()}
    first = [Choice(it, f"sensitive, {kinds[it]}") for it in sensitive if it in names]
    return [*first, *(Choice(it, kinds[it]) for it in names if it not in sensitive)]


def others(desk: Desk, run: str) -> list[Choice]:
    """Return what an explanation can be compared with, each as ``way:name``."""
    version, target = _version(desk, run)
    models = [
        Choice(f"other:{it.name}", it.note, it.title, it.words)
        for it in targets(desk, but=run, target=target)
    ]
    versions = [
        Choice(
            f"against:{row['dataset']}@{row['version']}",
            f"the same model on this version, {row['n_rows']:,} rows",
            f"data {row['dataset']}@{row['version'][:12]}",
        )
        for row in desk.query(
            "SELECT dataset, version, n_rows FROM data_versions WHERE dataset = ? "
            "AND version <> ? ORDER BY number DESC LIMIT 200",
            version["dataset"],
            version["version"],
        )
    ]
    times, groups = [], []
    for it in version["columns"] or ():
        name, kind = str(it["name"]), str(it.get("type", ""))
        if kind in ("date", "datetime", "timestamp"):
            times.append(Choice(f"time:{name}", "before a time, and since", f"time by {name}"))
        elif kind in ("string", "boolean") and name != target:
            groups.append(Choice(f"by:{name}", "a group, and all others", f"groups of {name}"))
    logs = [
        Choice(f"log:{row['name']}", "its logged rows, with the data", f"endpoint {row['name']}")
        for row in desk.query("SELECT name FROM endpoints ORDER BY name")
    ]
    return [*models, *times, *groups, *versions, *logs]


def way_of(choice: str) -> tuple[str, str]:
    """Return the argument and its value that a choice of :func:`others` stands for."""
    way, _, name = choice.partition(":")
    return way, name


def _version(desk: Desk, run: str) -> tuple[Row, str]:
    """Return the record of the data version that a run learnt from, and its target."""
    from local_stack.explain.subject import target_run, training_data

    record = target_run(desk.workspace, run)
    found = training_data(desk.workspace, record)
    rows = desk.query(
        "SELECT * FROM data_versions WHERE dataset = ? AND version = ?",
        found.dataset,
        found.version,
    )
    return rows[0], str(record["target"])
