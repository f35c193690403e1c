"""The ``runs train`` verb: a recipe and a data version become a run with a model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local_stack import jobs
from local_stack.command import command, pairs
from local_stack.data import versions
from local_stack.data.recipes.stored import current
from local_stack.errors import Cancelled, InputError, StackError, UnavailableError
from local_stack.progress import Progress, Step, silent
from local_stack.results import Result, now
from local_stack.runs.comparison import predictions
from local_stack.runs.recipe import Recipe, Stored, load_recipe
from local_stack.stores.artifacts import Blob, Tree
from local_stack.stores.journal import Draft
from local_stack.stores.metadata import Row
from local_stack.stores.tracking import Opened
from local_stack.workspace import Workspace

if TYPE_CHECKING:
    from local_stack.runs.fit import Fitted

_LONGEST_NAME = 250


@dataclass(frozen=True, slots=True)
class TrainedRun(Result):
    """A finished run. ``artifacts`` are the paths below the run's artifact folder."""

    run_id: str
    name: str
    experiment: str
    metrics: dict[str, float]
    params: dict[str, str]
    data_version: str
    artifacts: tuple[str, ...]
    warnings: tuple[str, ...]
    seconds: float
    cpu_seconds: float
    peak_memory_bytes: int


def _reads(workspace: Workspace, arguments: Mapping[str, Any]) -> Any:
    recipe = load_recipe(
        Path(str(arguments["recipe"])),
        pairs(arguments.get("set") or ()),
        check=False,
        stored=_stored(workspace),
    )
    version = versions.find(workspace, recipe.dataset)
    return [version.reference, version.target, recipe.to_dict()["features"]]


def _stored(workspace: Workspace) -> Stored:
    return lambda name, number: current(workspace, name, number).document["features"]


@command(
    "runs.train",
    writes=True,
    is_long=True,
    reads=_reads,
    example="paceml-tui runs train wine-recipe.yaml --set params.learning_rate=0.1",
)
def train(
    workspace: Workspace,
    recipe: Path,
    *,
    set: tuple[str, ...] = (),
    name: str | None = None,
    progress: Progress = silent,
) -> TrainedRun:
    """Train the model of a recipe and record it as a run.

    Parameters
    ----------
    recipe
        Recipe file (YAML).
    set
        Change one value of the recipe, as params.learning_rate=0.1; repeat it for more.
    name
        Name of the run; made from the estimator when left out.
    """
    plan = load_recipe(recipe, pairs(set), stored=_stored(workspace))
    version = versions.find(workspace, plan.dataset)
    plan = replace(plan, target=plan.target or version.target)
    if plan.target is None:
        raise InputError(
            f"{recipe}: there is no target to predict.",
            "Write target: COLUMN into the recipe, or add the data with --target.",
        )
    name = (name or f"{plan.estimator.rpartition('.')[2]}-{version.version[:6]}")[:_LONGEST_NAME]
    progress(Step("Opening the run"))
    opened = workspace.tracking.begin_run(
        plan.experiment, name, workspace.actor, f"runs.train {recipe.name}"
    )
    row = _begun(workspace, opened, plan, name, version)
    try:
        return _trained(workspace, row, plan, version, progress)
    except BaseException as error:
        _abandon(workspace, row, error)
        raise


def _trained(
    workspace: Workspace,
    row: Row,
    plan: Recipe,
    version: versions.DataVersion,
    progress: Progress,
) -> TrainedRun:
    from local_stack.runs.fit import fit
    from local_stack.stores import model_files

    progress(Step("Reading the data"))
    frame = versions.read(workspace, version)
    fitted = fit(plan, frame, progress=progress)
    with workspace.scratch() as scratch:
        folder = Path(scratch)
        progress(Step("Storing the model and its predictions"))
        model_files.save(fitted.model, folder / "model", run_id=row["run_id"])
        stored = {"model": workspace.artifacts.put_tree(folder / "model").to_dict()}
        if fitted.n_rows_test:
            path = folder / predictions.FILE
            predictions.write(fitted, frame[plan.target or ""], path, version.reference)
            stored["files"] = {predictions.FILE: workspace.artifacts.put_file(path).to_dict()}
        row = _finished(workspace, row, fitted, version, stored)
        progress(Step("Mirroring to MLflow"))
        warnings = [*fitted.warnings, *_mirror(workspace, row, folder)]
    return TrainedRun(
        run_id=row["run_id"],
        name=row["name"],
        experiment=row["experiment"],
        metrics=fitted.metrics,
        params=row["params"],
        data_version=version.reference,
        artifacts=tuple(row["artifacts"]),
        warnings=tuple(warnings),
        seconds=round(fitted.seconds, 3),
        cpu_seconds=round(fitted.cpu_seconds, 3),
        peak_memory_bytes=fitted.peak_memory_bytes,
    )


def _begun(
    workspace: Workspace, opened: Opened, plan: Recipe, name: str, version: versions.DataVersion
) -> Row:
    row: Row = {
        "run_id": opened.run_id,
        "name": name,
        "experiment": plan.experiment,
        "experiment_id": opened.experiment_id,
        "status": "RUNNING",
        "lifecycle": "active",
        "actor": workspace.actor,
        "started_at": now(),
        "ended_at": None,
        "params": {},
        "metrics": {},
        "tags": {},
        "datasets": [{"name": version.dataset, "digest": version.version, "context": "training"}],
        "task": plan.task,
        "target": plan.target,
        "recipe": plan.to_dict(),
        "artifact_uri": opened.artifact_uri,
        "artifacts": [],
        "files": {},
        "model": None,
        "job": jobs.current(),
        "error": None,
    }
    experiment = {
        "name": plan.experiment,
        "experiment_id": opened.experiment_id,
        "created_at": row["started_at"],
    }

    def decide(state: Any) -> Draft:
        changes: list[Any] = [("runs", row)]
        if state.get("experiments", plan.experiment) is None:
            changes.append(("experiments", experiment))
        body = {"name": name, "experiment": plan.experiment, "data": version.reference}
        return Draft("runs.started", f"run:{opened.run_id}", body, changes)

    workspace.append(decide)
    return row


def _finished(
    workspace: Workspace,
    row: Row,
    fitted: Fitted,
    version: versions.DataVersion,
    stored: Mapping[str, Any],
) -> Row:
    """Record the end of a run; ``stored`` holds its model (a tree) and its other files."""
    files = dict(stored.get("files") or {})
    paths = [f"model/{path}" for path in stored["model"]["members"]]
    ended = {
        "status": "FINISHED",
        "ended_at": now(),
        "task": fitted.model.task,
        "params": {key: str(value) for key, value in fitted.params.items()},
        "metrics": {key: _number(value) for key, value in fitted.metrics.items()},
        "artifacts": sorted([*paths, *files]),
        "files": files,
        "model": stored["model"],
    }
    tags = {
        "paceml.data_version": version.reference,
        "paceml.task": fitted.model.task,
        "paceml.seconds": f"{fitted.seconds:.3f}",
        "paceml.cpu_seconds": f"{fitted.cpu_seconds:.3f}",
        "paceml.peak_memory_bytes": str(fitted.peak_memory_bytes),
    }
    body = {
        "status": "FINISHED",
        "metrics": ended["metrics"],
        "model": stored["model"]["manifest"]["sha256"],
    }
    recorded: list[Row] = []

    def decide(state: Any) -> Draft:
        current = state.get("runs", row["run_id"]) or row  # tagged or noted while it was at work
        recorded[:] = [{**current, **ended, "tags": {**current["tags"], **tags}}]
        return Draft("runs.finished", f"run:{row['run_id']}", body, [("runs", recorded[0])])

    workspace.append(decide)
    return recorded[0]


def mirror_run(workspace: Workspace, row: Row) -> None:
    """Write a finished run into MLflow again, its model and predictions included."""
    with workspace.scratch() as scratch:
        folder = Path(scratch)
        (folder / "model").mkdir()
        workspace.artifacts.checkout(Tree.of(row["model"]), folder / "model")
        files = {path: Blob.of(blob) for path, blob in (row["files"] or {}).items()}
        if files:
            workspace.artifacts.checkout(Tree(Blob.of(row["model"]["manifest"]), files), folder)
        _write_mirror(workspace, row, folder)


def _mirror(workspace: Workspace, row: Row, folder: Path) -> list[str]:
    """Mirror a run that is recorded already: a mirror that is down is a warning."""
    try:
        _write_mirror(workspace, row, folder)
    except UnavailableError as error:
        return [str(error)]
    return []


def _write_mirror(workspace: Workspace, row: Row, folder: Path) -> None:
    tracking = workspace.tracking
    tracking.log_run(
        row["run_id"],
        params=row["params"],
        metrics={key: float(value) for key, value in row["metrics"].items()},
        tags=row["tags"],
        datasets=row["datasets"],
    )
    tracking.log_artifacts(row["run_id"], folder)
    tracking.end_run(row["run_id"], "FINISHED")


def _abandon(workspace: Workspace, row: Row, error: BaseException) -> None:
    """Record that the run did not end well, as far as that can still be recorded."""
    is_cancelled = isinstance(error, Cancelled | KeyboardInterrupt)
    status = "KILLED" if is_cancelled else "FAILED"
    message = error.message if isinstance(error, StackError) else f"{type(error).__name__}: {error}"

    def decide(state: Any) -> Draft | None:
        current = state.get("runs", row["run_id"])
        if current is None or current["status"] != "RUNNING":  # the run itself had ended well
            return None
        body = {"status": status, "error": message}
        ended = {**current, "status": status, "ended_at": now(), "error": message}
        return Draft("runs.ended", f"run:{row['run_id']}", body, [("runs", ended)])

    try:
        if workspace.append(decide) is not None:
            workspace.tracking.end_run(row["run_id"], status)
    except StackError:  # the first error is the one to report; doctor repairs the rest
        return


def _number(value: float) -> float | str:
    """Return a metric as the journal holds it: JSON has no NaN and no infinities."""
    if math.isfinite(value):
        return float(value)
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
