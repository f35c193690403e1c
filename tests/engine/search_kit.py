"""Runs in DuckDB and in MLflow, and what either finds."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any

import duckdb

from local_stack.errors import InputError
from local_stack.results import iso
from local_stack.runs.search import Clause, order, where
from local_stack.stores.run_index.warm import Warm

# ------------------------------------------------------------------ runs, in DuckDB and in MLflow


@dataclass
class Run:
    run_id: str
    name: str | None = "a run"
    status: str = "FINISHED"
    actor: str = "ann"
    artifact_uri: str | None = "uri"
    start: int = 0
    end: int | None = 1
    metrics: dict[str, float] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    datasets: list[dict[str, str]] = field(default_factory=list)
    history: dict[str, list[tuple[int, int, float]]] = field(default_factory=dict)
    """By metric: step, time in ms, value."""


def _moment(milliseconds: int | None) -> str | None:
    from datetime import UTC, datetime, timedelta

    if milliseconds is None:
        return None
    return iso(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds))


def _json_number(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


_connection: duckdb.DuckDBPyConnection | None = None
_warm: Warm


def connected() -> duckdb.DuckDBPyConnection:
    """Return the database of all tests, with a table for runs."""
    global _connection, _warm
    if _connection is None:
        _connection = duckdb.connect()
        _warm = Warm(_connection)
        _connection.execute(
            "CREATE TABLE found_runs (run_id VARCHAR, name VARCHAR, experiment VARCHAR,"
            " experiment_id VARCHAR, status VARCHAR, actor VARCHAR, lifecycle VARCHAR,"
            " started_at VARCHAR, ended_at VARCHAR, artifact_uri VARCHAR,"
            " params JSON, metrics JSON, tags JSON, datasets JSON)"
        )
        _connection.execute("CREATE VIEW stored_runs AS FROM found_runs")
        _connection.execute(
            "CREATE TABLE metric_history"
            " (run_id VARCHAR, key VARCHAR, step BIGINT, at_ms BIGINT, value DOUBLE)"
        )
    return _connection


def load(runs: list[Run]) -> duckdb.DuckDBPyConnection:
    """Fill the table with these runs alone."""
    database = connected()
    database.execute("DELETE FROM found_runs")
    database.execute("DELETE FROM metric_history")
    rows = [
        (
            *(run.run_id, run.name, "e", "1", run.status, run.actor, "active"),
            *(_moment(run.start), _moment(run.end), run.artifact_uri, json.dumps(run.params)),
            json.dumps({key: _json_number(value) for key, value in run.metrics.items()}),
            *(json.dumps(run.tags), json.dumps(run.datasets)),
        )
        for run in runs
    ]
    if rows:
        _insert(database, "found_runs", rows)
    logged = [
        (run.run_id, key, *entry)
        for run in runs
        for key, entries in run.history.items()
        for entry in entries
    ]
    if logged:
        _insert(database, "metric_history", logged)
    return database


def _insert(database: duckdb.DuckDBPyConnection, table: str, rows: list[tuple[Any, ...]]) -> None:
    """Insert all rows at once: one statement a row would take most of the time of the tests."""
    marks = ", ".join([f"({', '.join('?' * len(rows[0]))})"] * len(rows))
    database.execute(f"INSERT INTO {table} VALUES {marks}", [cell for row in rows for cell in row])


def matching(filter_text: str | None) -> set[str]:
    """Return the runs that a filter finds."""
    clause = where(filter_text)
    return set(_asked(f"SELECT run_id FROM found_runs WHERE {clause.sql}", clause))


def in_order(clauses: list[str]) -> list[str]:
    """Return the runs in an order."""
    clause = order(clauses)
    return _asked(f"SELECT run_id FROM found_runs ORDER BY {clause.sql}", clause)


def _asked(sql: str, clause: Clause) -> list[str]:
    """Ask the views as a first question does, then what is kept for those that follow."""
    database, warm = connected(), _warm
    assert warm.spelled(sql, clause.parameters) == (sql, clause.parameters)
    found = [run_id for (run_id,) in database.execute(sql, list(clause.parameters)).fetchall()]
    warm.spend(sql, 1.0)
    spelled, parameters = warm.spelled(sql, clause.parameters)
    assert "found_runs" not in spelled
    again = [run_id for (run_id,) in database.execute(spelled, list(parameters)).fetchall()]
    assert again == found if "ORDER BY" in sql else set(again) == set(found), spelled
    warm.forget()
    return found


def mlflow_run(run: Run) -> Any:
    """Return the run as MLflow holds one."""
    from mlflow import entities

    return entities.Run(
        entities.RunInfo(
            run_id=run.run_id,
            experiment_id="1",
            user_id=run.actor,
            status=run.status,
            start_time=run.start,
            end_time=run.end,
            lifecycle_stage="active",
            artifact_uri=run.artifact_uri,
            run_name=run.name,
        ),
        entities.RunData(
            metrics=[entities.Metric(key, value, 0, 0) for key, value in run.metrics.items()],
            params=[entities.Param(key, value) for key, value in run.params.items()],
            tags=[entities.RunTag(key, value) for key, value in run.tags.items()],
        ),
        entities.RunInputs(dataset_inputs=[_mlflow_dataset(item) for item in run.datasets]),
    )


def _mlflow_dataset(item: dict[str, str]) -> Any:
    from mlflow import entities

    tags = [entities.InputTag("mlflow.data.context", item["context"])] if "context" in item else []
    return entities.DatasetInput(
        entities.Dataset(item["name"], item["digest"], "local", "source"), tags
    )


def mlflow_matching(runs: list[Run], filter_text: str) -> set[str]:
    """Return the runs that MLflow finds."""
    from mlflow.utils.search_utils import SearchUtils

    found = SearchUtils.filter([mlflow_run(run) for run in runs], filter_text)
    return {run.info.run_id for run in found}


def mlflow_in_order(runs: list[Run], clauses: list[str]) -> list[str]:
    """Return the runs in the order of MLflow."""
    from mlflow.utils.search_utils import SearchUtils

    return [run.info.run_id for run in SearchUtils.sort([mlflow_run(run) for run in runs], clauses)]


SMALL = [
    Run("1", params={"p": "x", "n": "0.5"}, start=1_000, end=3_500, metrics={"m": 1, "v": 2}),
    Run("2", params={"p": "y", "n": "10"}, start=2_000, end=None, metrics={"m": math.nan, "v": 1}),
    Run("3", status="FAILED", start=3_000, end=3_000, datasets=[{"name": "w", "digest": "1"}]),
]


# ------------------------------------------------------------------ the place of a mistake


def place_of(error: InputError) -> str:
    """Return the text above the caret, from the caret on."""
    _, line, caret = error.message.splitlines()
    assert caret.strip() == "^"
    return line[caret.index("^") :]
