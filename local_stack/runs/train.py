"""The ``runs train`` verb: a recipe and a data version become a run with a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local_stack import jobs
from local_stack.command import command, pairs
from local_stack.data import versions
from local_stack.data.recipes.stored import current
from local_stack.errors import Cancelled, InputError, StackError, UnavailableError
from local_stack.progress import Progress, Step, silent
from local_stack.results import Result, now
from local_stack.runs import evaluating, provenance
from local_stack.runs.fairness import check_fairness
from local_stack.runs.learning import MODEL, Learnt, Source, learn, read_histories
from local_stack.runs.recipe import Recipe, Stored, load_recipe
from local_stack.runs.workers import on_cluster
from local_stack.stores.artifacts import Blob, Tree
from local_stack.stores.journal import Draft
from local_stack.stores.metadata import Row
from local_stack.stores.tracking import Opened
from local_stack.workspace import Workspace

if TYPE_CHECKING:
    from local_stack.runs.cluster.client import Cluster

_LONGEST_NAME = 250


@dataclass(frozen=True, slots=True)
class TrainedRun(Result):
    """A finished run. ``artifacts`` are the paths below the run's artifact folder.

    ``seconds`` and ``cpu_seconds`` are those of the fit, ``cost`` is that of the whole run;
    ``evaluation`` is what was measured after it, as its ``evaluation.json`` has it.
    """

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
    cost: dict[str, float]
    evaluation: dict[str, Any]


def reads_recipe(workspace: Workspace, arguments: Mapping[str, Any]) -> Any:
    """Return what identifies the data and the stored features that a recipe file names."""
    recipe = load_recipe(
        Path(str(arguments["recipe"])),
        pairs(arguments.get("set") or ()),
        check=False,
        stored=stored_recipe(workspace),
    )
    version = versions.find(workspace, recipe.dataset)
    return [version.reference, version.target, recipe.to_dict()["features"]]


@command(
    "runs.train",
    writes=True,
    is_long=True,
    reads=reads_recipe,
    example="paceml-tui runs train wine-recipe.yaml --set params.learning_rate=0.1",
)
def train(
    workspace: Workspace,
    recipe: Path,
    *,
    set: tuple[str, ...] = (),
    name: str | None = None,
    cluster: str | None = None,
    partitioned: bool = False,
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
    cluster
        Train the folds of the cross-validation on a Dask cluster, as tcp://HOST:PORT.
    partitioned
        Train the model itself on the cluster, in parts: for a table larger than memory.
    """
    if partitioned and cluster is None:
        raise InputError(
            "--partitioned needs the workers of a cluster.", "Add --cluster tcp://HOST:PORT."
        )
    taken: list[Any] = []
    plan = load_recipe(recipe, pairs(set), stored=stored_recipe(workspace, taken))
    version = versions.find(workspace, plan.dataset)
    plan = with_target(plan, version, str(recipe))
    check_groups(workspace, plan, version)
    source = Source(recipe.absolute().parent, taken[0] if taken else None)
    with on_cluster(cluster) as workers:
        return conduct(
            workspace,
            plan,
            version,
            source,
            name=name,
            words=f"runs.train {recipe.name}",
            cluster=workers,
            is_in_parts=partitioned,
            progress=progress,
        )


def stored_recipe(workspace: Workspace, taken: list[Any] | None = None) -> Stored:
    """Return what gives the steps of stored recipes, and adds to ``taken`` which one it gave."""

    def steps(name: str, number: int | None) -> Any:
        found = current(workspace, name, number)
        if taken is not None:
            taken.append({"dataset": name, "number": found.number, "hash": found.hash})
        return found.document["features"]

    return steps


def with_target(plan: Recipe, version: versions.DataVersion, where: str) -> Recipe:
    """Return the recipe with the target of its data set, unless it names one itself."""
    plan = replace(plan, target=plan.target or version.target)
    if plan.target is None:
        raise InputError(
            f"{where}: there is no target to predict.",
            "Write target: COLUMN into the recipe, or add the data with --target.",
        )
    return plan


def check_groups(workspace: Workspace, plan: Recipe, version: versions.DataVersion) -> None:
    """Raise where the fairness of a recipe cannot be measured on this data, before any training.

    Of the data only the target is read.
    """
    columns = {column.name: column.type for column in version.schema}
    if plan.fairness is None or plan.target not in columns:
        return
    import polars

    from local_stack.evaluation.targets import labels_of
    from local_stack.runs.lessons import task_of

    path = versions.table_path(workspace, version)
    series = polars.read_parquet(path, columns=[plan.target])[plan.target]
    if series.dtype.is_float():
        series = series.fill_nan(None)
    series = series.drop_nulls()
    task = task_of(plan, series)
    classes = sorted(set(labels_of(series.unique()))) if task == "classification" else []
    check_fairness(plan.fairness, columns, plan.target, task, classes)


def conduct(
    workspace: Workspace,
    plan: Recipe,
    version: versions.DataVersion,
    source: Source,
    *,
    name: str | None,
    words: str,
    tags: Mapping[str, str] | None = None,
    cluster: Cluster | None = None,
    is_in_parts: bool = False,
    progress: Progress = silent,
) -> TrainedRun:
    """Train ``plan`` on ``version`` and record it as a run.

    Parameters
    ----------
    words
        What was asked for: MLflow's name of the source.
    tags
        Further tags, which the run has from its beginning.
    """
    name = (name or f"{plan.estimator.rpartition('.')[2]}-{version.version[:6]}")[:_LONGEST_NAME]
    progress(Step("Opening the run"))
    found = provenance.gather(source.folder)
    row = begin(workspace, plan, version, name, words, {**found.tags(), **(tags or {})})
    try:
        with workspace.scratch() as scratch:
            learnt = learn(
                workspace,
                plan,
                version,
                Path(scratch),
                found,
                run_id=row["run_id"],
                stored=source.stored,
                cluster=cluster,
                is_in_parts=is_in_parts,
                progress=progress,
            )
            return finish(workspace, row, learnt, Path(scratch), version, progress)
    except BaseException as error:
        abandon(workspace, row, error)
        raise


def begin(
    workspace: Workspace,
    plan: Recipe,
    version: versions.DataVersion,
    name: str,
    words: str,
    tags: Mapping[str, str],
) -> Row:
    """Begin a run in MLflow and in the journal; return its record."""
    opened = workspace.tracking.begin_run(plan.experiment, name, workspace.actor, words, tags)
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
        "tags": dict(tags),
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


def finish(
    workspace: Workspace,
    row: Row,
    learnt: Learnt,
    folder: Path,
    version: versions.DataVersion,
    progress: Progress = silent,
) -> TrainedRun:
    """Store what lies in ``folder``, record the end of a run, and mirror it to MLflow."""
    row = _finished(workspace, row, learnt, folder)
    progress(Step("Mirroring to MLflow"))
    warnings = [*learnt.warnings, *mirror_folder(workspace, row, folder)]
    return TrainedRun(
        run_id=row["run_id"],
        name=row["name"],
        experiment=row["experiment"],
        metrics={key: float(value) for key, value in learnt.metrics.items()},
        params=row["params"],
        data_version=version.reference,
        artifacts=tuple(row["artifacts"]),
        warnings=tuple(warnings),
        seconds=learnt.seconds,
        cpu_seconds=learnt.cpu_seconds,
        peak_memory_bytes=learnt.peak_memory_bytes,
        cost=learnt.cost,
        evaluation=evaluating.read(folder),
    )


def _finished(workspace: Workspace, row: Row, learnt: Learnt, folder: Path) -> Row:
    """Record the end of a run with its model (a tree) and its other files (blobs by path)."""
    model = workspace.artifacts.put_tree(folder / MODEL).to_dict()
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    files = {
        name: workspace.artifacts.put_file(path).to_dict()
        for path in paths
        if not (name := path.relative_to(folder).as_posix()).startswith(f"{MODEL}/")
    }
    ended = {
        "status": "FINISHED",
        "ended_at": now(),
        "task": learnt.task,
        "params": learnt.params,
        "metrics": learnt.metrics,
        "artifacts": sorted([*(f"{MODEL}/{path}" for path in model["members"]), *files]),
        "files": files,
        "model": model,
    }
    body = {
        "status": "FINISHED",
        "metrics": learnt.metrics,
        "model": model["manifest"]["sha256"],
    }
    recorded: list[Row] = []

    def decide(state: Any) -> Draft:
        current = state.get("runs", row["run_id"]) or row  # tagged or noted while it was at work
        recorded[:] = [{**current, **ended, "tags": {**current["tags"], **learnt.tags}}]
        return Draft("runs.finished", f"run:{row['run_id']}", body, [("runs", recorded[0])])

    workspace.append(decide)
    return recorded[0]


def mend_mirror(workspace: Workspace, row: Row) -> None:
    """Let MLflow read a run again that a killed process left half-written, or lost.

    Where too little is left it is begun anew under its id, as RUNNING: what it found out has to
    be mirrored then.
    """
    tracking, tags = workspace.tracking, row["tags"]
    if tracking.mend(row["run_id"]) or row["lifecycle"] != "active":
        return
    words = "runs.tune" if "mlflow.parentRunId" in tags else "runs.train"
    opened = Opened(row["run_id"], row["experiment_id"], row["artifact_uri"])
    began = datetime.fromisoformat(row["started_at"])
    tracking.begin_again(opened, row["name"], row["actor"], words, tags, began)


def mirror_run(workspace: Workspace, row: Row) -> None:
    """Write a finished run into MLflow again, its model and predictions included."""
    with workspace.scratch() as scratch:
        folder = Path(scratch)
        if row["model"]:  # a trial of a study has none
            (folder / MODEL).mkdir()
            workspace.artifacts.checkout(Tree.of(row["model"]), folder / MODEL)
        files = {path: Blob.of(blob) for path, blob in (row["files"] or {}).items()}
        if files:  # as a tree whose manifest nobody asks for
            workspace.artifacts.checkout(Tree(next(iter(files.values())), files), folder)
        _write_mirror(workspace, row, folder)


def mirror_folder(workspace: Workspace, row: Row, folder: Path) -> list[str]:
    """Mirror a run that is recorded already, and its files; a mirror that is down is a warning."""
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
        histories=read_histories(folder),
    )
    tracking.log_artifacts(row["run_id"], folder)
    tracking.end_run(row["run_id"], row["status"])


def abandon(workspace: Workspace, row: Row, error: BaseException) -> None:
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
