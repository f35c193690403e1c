"""The tables of the run index, and the views that unite them with the journal's records.

``stored_*`` is what the store holds as far as it is indexed; ``found_runs``,
``found_experiments``, ``metric_history`` and ``logged_models`` are what everybody reads. Of a
run that stands in both, MLflow's store is believed for what any client may change (name, times,
params, metrics, tags, lifecycle) once it says that the run has ended, and the journal
for the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

VERSION: Final = 2
"""Raise it with every change of the tables: files of another version are built anew."""

_TEXT, _INT, _REAL, _JSON = "VARCHAR", "BIGINT", "DOUBLE", "JSON"

RUNS: Final = {
    "run_id": _TEXT,
    "experiment_id": _TEXT,
    "name": _TEXT,
    "actor": _TEXT,
    "status": _TEXT,
    "lifecycle": _TEXT,
    "started_at": _TEXT,
    "ended_at": _TEXT,
    "params": _JSON,
    "metrics": _JSON,
    "tags": _JSON,
    "datasets": _JSON,
    "artifact_uri": _TEXT,
    "artifacts": _JSON,
    "artifact_sizes": _JSON,
    "artifact_folder": _TEXT,
    "logged_models": _JSON,
    "parent": _TEXT,
    "problem": _TEXT,
    "place": _TEXT,
    "meta_sign": _INT,
    "folders_sign": _INT,
    "files_sign": _INT,
    "changed_ns": _INT,
}
"""One row a run. ``artifact_folder`` is where its artefacts lie on this machine, or NULL; the
``sign`` columns tell whether its files have changed, and ``changed_ns`` when they last did."""

HISTORY: Final = {"run_id": _TEXT, "key": _TEXT, "step": _INT, "at_ms": _INT, "value": _REAL}

EXPERIMENTS: Final = {
    "experiment_id": _TEXT,
    "name": _TEXT,
    "lifecycle": _TEXT,
    "artifact_location": _TEXT,
    "created_at": _TEXT,
    "updated_at": _TEXT,
    "tags": _JSON,
    "problem": _TEXT,
}

MODELS: Final = {
    "model_id": _TEXT,
    "experiment_id": _TEXT,
    "run_id": _TEXT,
    "name": _TEXT,
    "status": _TEXT,
    "lifecycle": _TEXT,
    "created_at": _TEXT,
    "updated_at": _TEXT,
    "artifact_location": _TEXT,
    "params": _JSON,
    "metrics": _JSON,
    "tags": _JSON,
    "problem": _TEXT,
}

TABLES: Final = {"runs": RUNS, "history": HISTORY, "experiments": EXPERIMENTS, "models": MODELS}
"""The tables of the base; the fresh file has them too, and ``touched``: the runs it replaces."""


def create(name: str, columns: Mapping[str, str]) -> str:
    """Return the statement that makes a table."""
    return f"CREATE TABLE {name} ({', '.join(f'{key} {kind}' for key, kind in columns.items())})"


def stored(base: str | None, fresh: str | None, source: str) -> list[str]:
    """Return the statements that define ``stored_*`` over the databases of these names.

    ``source`` is told of every run; None stands for a database that is not there.
    """
    tables = {
        name: _united(name, columns, base, fresh)
        for name, columns in TABLES.items()
        if name in ("runs", "history")
    }
    newest = fresh or base
    for name in ("experiments", "models"):  # few enough to stand in the newest file as a whole
        tables[name] = f"SELECT * FROM {newest}.{name}" if newest else _nothing(TABLES[name])
    quoted = "'" + source.replace("'", "''") + "'"
    tables["runs"] = f"SELECT *, {quoted} AS source FROM ({tables['runs']})"
    return [f"CREATE OR REPLACE VIEW stored_{name} AS {sql}" for name, sql in tables.items()]


def _united(name: str, columns: Mapping[str, str], base: str | None, fresh: str | None) -> str:
    if base is None:
        return _nothing(columns)
    if fresh is None:
        return f"SELECT * FROM {base}.{name}"
    return (
        f"SELECT * FROM {base}.{name} ANTI JOIN {fresh}.touched USING (run_id) "
        f"UNION ALL SELECT * FROM {fresh}.{name}"
    )


def _nothing(columns: Mapping[str, str]) -> str:
    nulls = ", ".join(f"NULL::{kind} AS {name}" for name, kind in columns.items())
    return f"SELECT {nulls} WHERE FALSE"


_OWN = ["task", "target", "recipe", "model", "job", "error"]
"""What only the journal knows of a run."""

_MUTABLE = ["name", "started_at", "ended_at", "params", "metrics", "tags", "lifecycle"]
"""What any MLflow client may change."""

_ALL = (
    *[
        "run_id",
        "name",
        "experiment",
        "experiment_id",
        "status",
        "lifecycle",
        "actor",
        "started_at",
        "ended_at",
    ],
    *[
        "params",
        "metrics",
        "tags",
        "datasets",
        "task",
        "target",
        "recipe",
        "artifact_uri",
        "artifacts",
        "model",
        "job",
    ],
    *["error", "parent", "problem", "source", "artifact_sizes", "artifact_folder", "logged_models"],
)
"""The columns of ``found_runs``, in order."""

_PARENT = "json_extract_string({}, '/mlflow.parentRunId')"
_EDITS = "LEFT JOIN run_edits p ON p.run_id = s.run_id"
"""What was decided here and MLflow's store has not taken yet."""
_ENDED = "(s.problem IS NULL AND s.status IN ('FINISHED', 'FAILED', 'KILLED'))"


def _edited(values: dict[str, str]) -> None:
    tags = values["tags"]
    values["tags"] = (
        f"CASE WHEN p.tags IS NULL THEN {tags} "
        f"ELSE json_merge_patch(coalesce({tags}, '{{}}'), p.tags) END"
    )
    values["lifecycle"] = f"coalesce(p.lifecycle, {values['lifecycle']})"


def _foreign() -> str:
    values = {name: f"s.{name}" for name in _ALL}
    values |= dict.fromkeys(_OWN, "NULL")
    values["experiment"] = "coalesce(e.name, s.experiment_id)"
    _edited(values)
    return (
        f"SELECT {_listed(values)} FROM stored_runs s {_EDITS} "
        "LEFT JOIN stored_experiments e ON e.experiment_id = s.experiment_id "
        "ANTI JOIN runs j ON j.run_id = s.run_id"
    )


def _both() -> str:
    values = {name: f"j.{name}" for name in _ALL}
    for name in _MUTABLE:
        values[name] = (
            f"CASE WHEN {_ENDED} THEN coalesce(s.{name}, j.{name}) "
            f"ELSE coalesce(j.{name}, s.{name}) END"
        )
    values["artifacts"] = (
        "CASE WHEN j.artifacts IS NULL THEN s.artifacts ELSE to_json(list_sort(list_distinct("
        "list_concat(j.artifacts::VARCHAR[], s.artifacts::VARCHAR[])))) END"
    )
    values["experiment"] = "coalesce(e.name, j.experiment)"
    for name in ("parent", "problem", "artifact_sizes", "artifact_folder", "logged_models"):
        values[name] = f"s.{name}"
    values["datasets"] = "coalesce(j.datasets, s.datasets)"
    values["source"] = "'workspace'"
    _edited(values)
    return (
        f"SELECT {_listed(values)} FROM runs j JOIN stored_runs s ON j.run_id = s.run_id {_EDITS} "
        "LEFT JOIN stored_experiments e ON e.experiment_id = s.experiment_id"
    )


def _ours() -> str:
    values = {name: f"j.{name}" for name in _ALL}
    values |= dict.fromkeys(("problem", "artifact_folder"), "NULL")
    values |= dict.fromkeys(("artifact_sizes", "logged_models"), "NULL")
    values |= {"parent": _PARENT.format("j.tags"), "source": "'workspace'"}
    return f"SELECT {_listed(values)} FROM runs j ANTI JOIN stored_runs s ON j.run_id = s.run_id"


_KINDS = {**RUNS, "recipe": _JSON, "model": _JSON}


def _listed(values: Mapping[str, str]) -> str:
    return ", ".join(
        f"{sql if sql != 'NULL' else 'NULL::' + _KINDS.get(name, _TEXT)} AS {name}"
        for name, sql in values.items()
    )


INDEXED: Final = ("found_", "stored_", "metric_history", "logged_models")
"""What stands in every question that the index answers."""

UNITED: Final = frozenset({"runs", "experiments", "run_edits"})
"""The tables of the journal that the views read."""


def is_asked(sql: str) -> bool:
    """Return whether a question is one that the index answers."""
    return any(name in sql for name in INDEXED)


OWN: Final = (
    "CREATE OR REPLACE TEMP TABLE own_runs AS "
    f"SELECT {_listed(dict.fromkeys(_ALL, 'NULL'))} WHERE FALSE",
    f"INSERT INTO own_runs {_both()} UNION ALL {_ours()}",
)
"""What makes the table of the journal's runs, united with what the store says of them, and what
fills it. It is kept because to plan these two branches takes longer than a search does."""

FOUND: Final = (
    f"CREATE OR REPLACE VIEW found_runs AS {_foreign()} UNION ALL SELECT * FROM own_runs",
    f"CREATE OR REPLACE VIEW metric_history AS SELECT {', '.join(HISTORY)} FROM stored_history",
    f"CREATE OR REPLACE VIEW logged_models AS SELECT {', '.join(MODELS)} FROM stored_models",
    """
    CREATE OR REPLACE VIEW found_experiments AS
    WITH known AS (
        SELECT experiment_id, name, lifecycle, artifact_location, created_at, updated_at, tags,
               problem
        FROM stored_experiments
        UNION ALL
        SELECT j.experiment_id, j.name, 'active', NULL, j.created_at, j.created_at, NULL, NULL
        FROM experiments j ANTI JOIN stored_experiments s ON s.experiment_id = j.experiment_id
    ), counted AS (
        SELECT experiment_id, count(*) FILTER (lifecycle = 'active') AS n_runs,
               count(*) FILTER (lifecycle = 'deleted') AS n_deleted
        FROM found_runs GROUP BY experiment_id
    )
    SELECT known.*, coalesce(n_runs, 0) AS n_runs, coalesce(n_deleted, 0) AS n_deleted
    FROM known LEFT JOIN counted USING (experiment_id)
    """,
)
"""The views that everybody reads, over ``stored_*`` and the journal's tables."""
