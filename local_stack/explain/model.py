"""What a model's predictions owe to each column, over many rows: SHAP values and what they say.

The values are stored next to the run, so that they are computed once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from local_stack.command import command
from local_stack.data import versions
from local_stack.explain.effects.parts import FeatureImportance, ModelExplanation
from local_stack.explain.subject import reads_target, subject_of
from local_stack.progress import Progress, silent
from local_stack.results import now
from local_stack.runs.workers import on_cluster
from local_stack.stores.journal import Draft
from local_stack.stores.metadata import Row
from local_stack.workspace import Workspace


@command(
    "explain.model",
    writes=True,
    is_long=True,
    reads=reads_target,
    example="paceml-tui explain model wine@Production --rows 2000",
)
def model(
    workspace: Workspace,
    target: str,
    *,
    rows: int = 5000,
    unit: str | None = None,
    cluster: str | None = None,
    progress: Progress = silent,
) -> ModelExplanation:
    """Explain a model by the SHAP values of its features.

    Parameters
    ----------
    target
        Run id (or latest), or MODEL, MODEL@STAGE, MODEL/VERSION.
    rows
        Explain at most this many rows; of more a seeded sample is taken, and the result says so.
    unit
        Measure in log-odds, probability or target; by default as the model itself adds up.
    cluster
        Let the workers of a Dask cluster do it, as tcp://HOST:PORT; the values are the same.
    """
    import polars

    subject = subject_of(workspace, target)
    frame = subject.sample(rows)
    with on_cluster(cluster) as workers:
        found = subject.attributions(frame, unit=unit, workers=workers, progress=progress)
    shap = found.for_predicted()
    importance = sorted(
        (
            FeatureImportance(name, float(mean))
            for name, mean in zip(shap.columns, shap.importance, strict=True)
        ),
        key=lambda item: (-item.mean_abs_shap, item.feature),
    )
    table = polars.DataFrame(shap.values[:, :, 0], schema=list(shap.columns))
    stored, path = _store(workspace, subject.run, table)
    result = ModelExplanation(
        run_id=subject.run_id,
        data_version=subject.version.reference,
        n_rows=frame.height,
        n_total=subject.frame.height,
        is_sample=frame.height < subject.frame.height,
        unit=shap.unit,
        method=shap.method,
        base_value=float(shap.base[0]),
        importance=tuple(importance),
        additivity_error=found.additivity_error,
        artifacts=(path,),
    )
    _record(workspace, result, subject.version, stored)
    return result


def _store(workspace: Workspace, run: Row, table: Any) -> tuple[dict[str, Any], str]:
    """Store the SHAP matrix as an artefact of the run, here and in MLflow."""
    with workspace.scratch() as scratch:
        folder = Path(scratch)
        table.write_parquet(folder / "shap_values.parquet")
        blob = workspace.artifacts.put_file(folder / "shap_values.parquet")
        workspace.tracking.log_artifacts(run["run_id"], folder, "explain")
    return blob.to_dict(), "explain/shap_values.parquet"


def _record(
    workspace: Workspace,
    result: ModelExplanation,
    version: versions.DataVersion,
    stored: dict[str, Any],
) -> None:
    row = {
        "run_id": result.run_id,
        "dataset": version.dataset,
        "version": version.version,
        "n_rows": result.n_rows,
        "n_total": result.n_total,
        "unit": result.unit,
        "base_value": result.base_value,
        "importance": [item.to_dict() for item in result.importance],
        "additivity_error": result.additivity_error,
        "artifacts": {result.artifacts[0]: stored},
        "created_at": now(),
    }

    def decide(state: Any) -> Draft:
        run = state.get("runs", result.run_id)
        artifacts = sorted({*run["artifacts"], *result.artifacts})
        body = {"n_rows": result.n_rows, "shap_values": stored["sha256"]}
        changes = [("explanations", row), ("runs", {**run, "artifacts": artifacts})]
        return Draft("explain.computed", f"run:{result.run_id}", body, changes)

    workspace.append(decide)
