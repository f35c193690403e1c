"""Registry: models, their versions, and the stages None, Staging, Production, Archived."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from local_stack.command import command
from local_stack.errors import (
    InputError,
    NotFoundError,
    RefusedError,
    UnavailableError,
    nearest,
)
from local_stack.names import label
from local_stack.progress import Progress, silent
from local_stack.results import Result, now
from local_stack.runs.fairness import NOT_MEASURED, gates_of
from local_stack.runs.records import find_run
from local_stack.stores.artifacts import Tree
from local_stack.stores.journal import Draft
from local_stack.stores.metadata import Metadata, Row
from local_stack.stores.tracking import Mirrored
from local_stack.workspace import Workspace

if TYPE_CHECKING:
    from local_stack.stores.model_files import Model

Stage = Literal["None", "Staging", "Production", "Archived"]
STAGES: tuple[str, ...] = get_args(Stage)
_STAGES_ARE = f"Stages: {', '.join(STAGES)}."


@dataclass(frozen=True, slots=True)
class ModelVersion(Result):
    """A registered version; ``model`` is the stored folder of the model files."""

    name: str
    version: int
    stage: str
    run_id: str
    actor: str
    created_at: str
    updated_at: str
    model: Tree
    warnings: tuple[str, ...] = ()

    @property
    def target(self) -> str:
        """Return ``NAME/VERSION``."""
        return f"{self.name}/{self.version}"


@dataclass(frozen=True, slots=True)
class Gate(Result):
    """One condition of a promotion."""

    name: str
    passed: bool
    observed: Any
    required: Any


@dataclass(frozen=True, slots=True)
class StageChange(Result):
    """What a promotion did. ``previous`` is the version that held the stage before."""

    name: str
    version: int
    stage: str
    previous: dict[str, Any] | None
    gates: tuple[Gate, ...]
    event_id: str | None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RegisteredModel(Result):
    """A model with its versions, newest first, and how their stages changed."""

    name: str
    description: str
    created_at: str
    updated_at: str
    versions: tuple[ModelVersion, ...]
    history: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class RegistryList(Result):
    """Every registered model: one entry a model with the versions per stage."""

    models: tuple[dict[str, Any], ...]


def _register_reads(workspace: Workspace, arguments: Mapping[str, Any]) -> Any:
    return workspace.query(
        "SELECT max(version) AS version FROM model_versions WHERE name = ? AND run_id = ?",
        arguments["name"],
        find_run(workspace, str(arguments["run"]))["run_id"],
    )


def _promote_reads(workspace: Workspace, arguments: Mapping[str, Any]) -> Any:
    """Identify the version, and whether it is there: Production lies beyond Staging."""
    moved = resolve(workspace, f"{arguments['name']}/{arguments['version']}")
    wanted = str(arguments["stage"])
    is_there = moved.stage == wanted or (wanted, moved.stage) == ("Staging", "Production")
    return [moved.target, moved.model.manifest.sha256, is_there]


@command(
    "registry.register",
    writes=True,
    is_long=True,
    reads=_register_reads,
    example="paceml-tui registry register wine RUN_ID",
)
def register(
    workspace: Workspace,
    name: str,
    run: str,
    *,
    note: str = "",
    progress: Progress = silent,
) -> ModelVersion:
    """Register the model of a finished run as the next version of NAME.

    Parameters
    ----------
    name
        Registered model; it is made when it does not exist.
    run
        Run id, an unambiguous beginning of it, or latest.
    note
        Why this version exists.
    """
    name = label(name, "model name")
    if "@" in name or name == "latest":
        raise InputError(
            f"A model cannot be called '{name}': @ stands before a stage, latest is a run.",
            "Take another name.",
        )
    from local_stack.runs.saved_models import advice_without

    source = find_run(workspace, run)
    if source["status"] != "FINISHED" or not source["model"]:
        raise InputError(
            f"Run {source['run_id']} is {source['status']} and has no model to register.",
            advice_without(workspace, source, "Register"),
        )
    at = now()

    def decide(state: Metadata) -> Draft | None:
        known = state.get("models", name)
        version = (known["latest"] if known else 0) + 1
        model = {
            **(known or {"name": name, "description": note, "created_at": at}),
            "latest": version,
            "updated_at": at,
        }
        row = {
            "name": name,
            "version": version,
            "stage": "None",
            "run_id": source["run_id"],
            "model": source["model"],
            "actor": workspace.actor,
            "created_at": at,
            "updated_at": at,
        }
        body = {"version": version, "run_id": source["run_id"], "note": note}
        return Draft(
            "registry.registered",
            f"model:{name}/{version}",
            body,
            [("models", model), ("model_versions", row)],
        )

    event = workspace.append(decide)
    assert event is not None
    result = _version(event.changes[1][1])
    return replace(result, warnings=_mirrored(workspace, name))


@command(
    "registry.promote",
    writes=True,
    is_long=True,
    reads=_promote_reads,
    example="paceml-tui registry promote wine 3 Production",
)
def promote(
    workspace: Workspace,
    name: str,
    version: str,
    stage: Stage,
    *,
    reason: str = "",
    progress: Progress = silent,
) -> StageChange:
    """Move a version to a stage; who held Staging or Production before it is archived.

    Parameters
    ----------
    name
        Registered model.
    version
        Version number, or latest.
    stage
        None, Staging, Production or Archived.
    reason
        Why; it is kept in the audit.
    """
    if stage not in STAGES:
        raise InputError(f"'{stage}' is not a stage.", nearest(stage, STAGES) or _STAGES_ARE)
    moved = resolve(workspace, f"{name}/{version}")
    gates = _gates(workspace, moved, stage)
    if not all(gate.passed for gate in gates):
        failed = ", ".join(gate.name for gate in gates if not gate.passed)
        hint = "Look at the gates in the result."
        if any(gate.observed == NOT_MEASURED for gate in gates):
            hint = f"Measure it: paceml-tui explain fairness {moved.run_id}"
        raise RefusedError(
            f"{moved.target} was not promoted to {stage}: {failed}.",
            f"Nothing was changed. {hint}",
            code="gate_failed",
            result=StageChange(moved.name, moved.version, stage, None, gates, None),
        )
    at = now()
    previous: list[Row] = []

    def decide(state: Metadata) -> Draft | None:
        previous.clear()
        current = state.get("model_versions", moved.name, moved.version)
        assert current is not None
        if current["stage"] == stage:
            return None
        if stage in ("Staging", "Production"):
            previous.extend(state.find("model_versions", name=moved.name, stage=stage))
        changes = _moves(workspace, current, stage, at, reason)
        for row in previous:
            changes += _moves(
                workspace, row, "Archived", at, f"replaced by version {moved.version}"
            )
        body = {
            "from": current["stage"],
            "to": stage,
            "reason": reason,
            "archived": [row["version"] for row in previous],
        }
        return Draft("registry.promoted", f"model:{moved.target}", body, changes)

    event = workspace.append(decide)
    warnings = _mirrored(workspace, moved.name)
    before = {"version": previous[0]["version"], "stage": "Archived"} if previous else None
    identity = event.hash if event else None
    return StageChange(moved.name, moved.version, stage, before, gates, identity, warnings)


@command("registry.show", example="paceml-tui registry show wine")
def show(workspace: Workspace, name: str, *, progress: Progress = silent) -> RegisteredModel:
    """Show a registered model, its versions and their stages.

    Parameters
    ----------
    name
        Registered model, or NAME/VERSION for one version of it.
    """
    name, _, version = name.partition("/")
    row = workspace.get("models", name)
    if row is None:
        raise _unknown(workspace, name)
    if version:
        versions = [resolve(workspace, f"{name}/{version}")]
    else:
        versions = [*map(_version, workspace.metadata.find("model_versions", name=name))][::-1]
    history = workspace.query('SELECT * FROM stage_changes WHERE name = ? ORDER BY "at" DESC', name)
    return RegisteredModel(
        name,
        row["description"] or "",
        row["created_at"],
        row["updated_at"],
        tuple(versions),
        tuple(item for item in history if not version or str(item["version"]) == version),
    )


@command("registry.list", example="paceml-tui registry list")
def listing(workspace: Workspace, *, progress: Progress = silent) -> RegistryList:
    """List the registered models with the newest version in each stage."""
    rows = workspace.query(
        "SELECT m.name, m.latest, m.updated_at, v.stage, max(v.version) AS version FROM models m "
        "JOIN model_versions v USING (name) GROUP BY ALL ORDER BY m.name"
    )
    models: dict[str, dict[str, Any]] = {}
    for row in rows:
        model = models.setdefault(
            row["name"],
            {
                "name": row["name"],
                "latest": row["latest"],
                "updated_at": row["updated_at"],
                "stages": {},
            },
        )
        model["stages"][row["stage"]] = row["version"]
    return RegistryList(tuple(models.values()))


def resolve(workspace: Workspace, target: str, *, stage: str = "") -> ModelVersion:
    """Return the version that ``NAME/VERSION``, ``NAME@STAGE`` or ``NAME`` means.

    A bare name means the version in ``stage`` when given, otherwise the newest version.

    Raises
    ------
    NotFoundError
        Naming the models, stages or versions that there are.
    """
    name, _, wanted = target.partition("/")
    if not wanted:
        name, _, given = target.rpartition("@") if "@" in target else (target, "", stage)
        wanted = _in_stage(workspace, name, given or stage) if given or stage else "latest"
    model = workspace.get("models", name)
    if model is None:
        raise _unknown(workspace, name)
    number = model["latest"] if wanted == "latest" else int(wanted) if wanted.isdecimal() else -1
    row = workspace.metadata.get("model_versions", name, number)
    if row is None:
        raise NotFoundError(
            f"Model '{name}' has no version '{wanted}'.",
            f"Its versions are 1 to {model['latest']}.",
        )
    return _version(row)


def load(workspace: Workspace, tree: Tree) -> Model:
    """Load the model of a stored folder after checking every byte of it."""
    from local_stack.stores import model_files

    with workspace.scratch() as folder:
        path = workspace.artifacts.checkout(tree, Path(folder))
        return model_files.load(path, {n: blob.sha256 for n, blob in tree.members.items()})


def mirror(workspace: Workspace, name: str) -> None:
    """Bring MLflow's registered model ``name`` in step with ours."""
    rows = workspace.metadata.find("model_versions", name=name)
    workspace.tracking.mirror_model(
        name, [Mirrored(row["version"], row["stage"], row["run_id"]) for row in rows]
    )


def _mirrored(workspace: Workspace, name: str) -> tuple[str, ...]:
    """Mirror what is recorded already: a mirror that is down is a warning, not a failure."""
    try:
        mirror(workspace, name)
    except UnavailableError as error:
        return (str(error),)
    return ()


def _gates(workspace: Workspace, moved: ModelVersion, stage: str) -> tuple[Gate, ...]:
    """Check what must hold before a version may serve: whole files, and its recipe's limits."""
    if stage not in ("Staging", "Production"):
        return ()
    whole = all(workspace.artifacts.has(blob) for blob in moved.model.members.values())
    run = workspace.get("runs", moved.run_id) or {}
    return (
        Gate("artifacts_present", whole, whole, True),
        Gate("run_finished", run.get("status") == "FINISHED", run.get("status"), "FINISHED"),
        *(Gate(*gate) for gate in gates_of(workspace, run)),
    )


def _moves(workspace: Workspace, row: Row, stage: str, at: str, reason: str) -> list[Any]:
    change = {
        "name": row["name"],
        "version": row["version"],
        "at": at,
        "stage": stage,
        "previous": row["stage"],
        "actor": workspace.actor,
        "reason": reason,
    }
    moved = {**row, "stage": stage, "updated_at": at}
    return [("model_versions", moved), ("stage_changes", change)]


def _in_stage(workspace: Workspace, name: str, stage: str) -> str:
    if workspace.get("models", name) is None:
        raise _unknown(workspace, name)
    match = next((known for known in STAGES if known.lower() == stage.lower()), None)
    if match is None:
        raise InputError(f"'{stage}' is not a stage.", nearest(stage, STAGES) or _STAGES_ARE)
    rows = workspace.metadata.find("model_versions", name=name, stage=match)
    if not rows:
        raise NotFoundError(
            f"Model '{name}' has no version in {match}.",
            f"Promote one: paceml-tui registry promote {name} latest {match}",
        )
    return str(max(row["version"] for row in rows))


def _version(row: Row) -> ModelVersion:
    return ModelVersion(
        name=row["name"],
        version=row["version"],
        stage=row["stage"],
        run_id=row["run_id"],
        actor=row["actor"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        model=Tree.of(row["model"]),
    )


def _unknown(workspace: Workspace, name: str) -> NotFoundError:
    names = [row["name"] for row in workspace.query("SELECT name FROM models")]
    hint = nearest(name, names) or "List them with: paceml-tui registry list"
    return NotFoundError(f"There is no model '{name}'.", hint)
