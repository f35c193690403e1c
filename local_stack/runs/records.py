"""Runs as the workspace records them: finding, searching and showing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from local_stack import jobs
from local_stack.command import command
from local_stack.errors import NotFoundError
from local_stack.progress import Progress, silent
from local_stack.results import Result
from local_stack.runs import search as grammar
from local_stack.runs.relation import RUNS
from local_stack.runs.syncing import before_reading
from local_stack.stores.metadata import Row
from local_stack.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Run(Result):
    """A run as a search returns it. Times are UTC ISO 8601."""

    run_id: str
    name: str
    experiment: str
    status: str
    start_time: str
    end_time: str | None
    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]


@dataclass(frozen=True, slots=True)
class RunList(Result):
    """The runs that match, in the order asked for, out of ``total``."""

    runs: tuple[Run, ...]
    total: int
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunDetails(Result):
    """Everything that is known of one run."""

    run_id: str
    name: str
    experiment: str
    experiment_id: str
    status: str
    lifecycle: str
    actor: str
    start_time: str
    end_time: str | None
    task: str | None
    target: str | None
    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]
    datasets: tuple[dict[str, str], ...]
    recipe: dict[str, Any] | None
    artifact_uri: str
    artifacts: tuple[str, ...]
    model_versions: tuple[str, ...]
    error: str | None


@command(
    "runs.search",
    example="paceml-tui runs search 'metrics.rmse < 1 and params.model = \"lightgbm\"'",
)
def search(
    workspace: Workspace,
    filter: str = "",
    *,
    experiment: str | None = None,
    order_by: tuple[str, ...] = (),
    state: Literal["active", "deleted", "all"] = "active",
    limit: int = 100,
    progress: Progress = silent,
) -> RunList:
    """Search runs with MLflow's filter grammar.

    Parameters
    ----------
    filter
        Such as: metrics.rmse < 1 and params.model = "lightgbm". Empty matches every run.
    experiment
        Only runs of this experiment.
    order_by
        Such as "metrics.rmse ASC"; repeat it for a second key.
    state
        Which runs: active, deleted or all.
    limit
        How many runs to return.
    """
    matched, ordered = grammar.where(filter), grammar.order(order_by)
    warnings = before_reading(workspace, progress)
    sql, values = matched.sql, list(matched.parameters)
    if experiment is not None:
        sql, values = f"({sql}) AND experiment = ?", [*values, experiment]
    if state != "all":
        sql, values = f"({sql}) AND lifecycle = ?", [*values, state]
    rows = workspace.query(
        f"SELECT * FROM {RUNS} WHERE {sql} ORDER BY {ordered.sql} LIMIT ?",  # noqa: S608 - parameters only
        *values,
        *ordered.parameters,
        max(0, limit),
    )
    total = workspace.query(f"SELECT count(*) AS n FROM {RUNS} WHERE {sql}", *values)  # noqa: S608
    return RunList(tuple(_run(workspace, row) for row in rows), total[0]["n"], warnings)


@command("runs.show", example="paceml-tui runs show RUN_ID")
def show(workspace: Workspace, run: str, *, progress: Progress = silent) -> RunDetails:
    """Show everything that is known of a run.

    Parameters
    ----------
    run
        Run id, an unambiguous beginning of it, or latest.
    """
    before_reading(workspace, progress)
    row = find_run(workspace, run)
    registered = workspace.query(
        "SELECT name, version FROM model_versions WHERE run_id = ? ORDER BY ALL", row["run_id"]
    )
    return RunDetails(
        run_id=row["run_id"],
        name=row["name"],
        experiment=row["experiment"],
        experiment_id=row["experiment_id"],
        status=status(workspace, row),
        lifecycle=row["lifecycle"],
        actor=row["actor"],
        start_time=row["started_at"],
        end_time=row["ended_at"],
        task=row["task"],
        target=row["target"],
        params=row["params"] or {},
        metrics=_numbers(row["metrics"]),
        tags=row["tags"] or {},
        datasets=tuple(row["datasets"] or ()),
        recipe=row["recipe"],
        artifact_uri=row["artifact_uri"],
        artifacts=tuple(sorted(row["artifacts"] or ())),
        model_versions=tuple(f"{item['name']}/{item['version']}" for item in registered),
        error=row["error"],
    )


def find_run(workspace: Workspace, run: str) -> Row:
    """Return the row of the run with this id, or with an id that begins so, or the ``latest``.

    Raises
    ------
    NotFoundError
        When none or more than one fits.
    """
    if run == "latest":
        newest = workspace.query(
            f"SELECT run_id FROM {RUNS} WHERE lifecycle = 'active' "  # noqa: S608 - our own name
            "ORDER BY started_at DESC NULLS LAST LIMIT 1"
        )
        run = newest[0]["run_id"] if newest else run
    rows = workspace.query(
        f"SELECT * FROM {RUNS} WHERE starts_with(run_id, ?) "  # noqa: S608 - our own name
        "ORDER BY run_id LIMIT 2",
        run,
    )
    if run and rows and rows[0]["run_id"] == run:
        return rows[0]
    if len(rows) != 1 or not run:
        what = "no run" if not rows else "more than one run"
        raise NotFoundError(f"There is {what} '{run}'.", "List them with: paceml-tui runs search")
    return rows[0]


def status(workspace: Workspace, row: Row) -> str:
    """Return the run's status; a RUNNING run of ours whose process is gone was KILLED."""
    recorded = str(row["status"])
    if row.get("source", "workspace") != "workspace":
        return recorded
    if recorded == "RUNNING" and not jobs.is_alive(workspace, row["job"] or ""):
        return "KILLED"
    return recorded


def _run(workspace: Workspace, row: Row) -> Run:
    return Run(
        run_id=row["run_id"],
        name=row["name"],
        experiment=row["experiment"],
        status=status(workspace, row),
        start_time=row["started_at"],
        end_time=row["ended_at"],
        params=row["params"] or {},
        metrics=_numbers(row["metrics"]),
        tags=row["tags"] or {},
    )


def _numbers(metrics: Mapping[str, Any] | None) -> dict[str, float]:
    """Return metrics as floats; the journal holds NaN and the infinities as text."""
    return {key: float(value) for key, value in (metrics or {}).items()}
