"""Explain: what a model's predictions owe to each feature, by SHAP values.

LightGBM computes exact tree SHAP itself; linear models have a closed form; everything else
goes through shap. The values are stored next to the run, so that they are computed once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local_stack.command import command
from local_stack.data import versions
from local_stack.errors import InputError, NotFoundError
from local_stack.preparation.fitting import raw_columns
from local_stack.progress import Progress, Step, silent
from local_stack.registry import load, resolve
from local_stack.results import Result, now
from local_stack.runs.cluster.client import completed
from local_stack.runs.records import find_run
from local_stack.runs.workers import Task, on_cluster
from local_stack.stores.artifacts import Tree
from local_stack.stores.journal import Draft
from local_stack.stores.metadata import Row
from local_stack.workspace import Workspace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from local_stack.preparation.fitted import Preparation
    from local_stack.runs.cluster.client import Cluster
    from local_stack.stores.model_files import Model, ModelRecord

_MOST_BACKGROUND = 100
_BLOCK = 500


@dataclass(frozen=True, slots=True)
class FeatureImportance(Result):
    """Mean absolute SHAP value of a feature over the explained rows, in the unit of the result."""

    feature: str
    mean_abs_shap: float


@dataclass(frozen=True, slots=True)
class ModelExplanation(Result):
    """Why a model predicts what it does, over ``n_rows`` of ``n_total`` rows of its data.

    ``base_value`` is the expected prediction; base value plus a row's SHAP values is its raw
    prediction, up to ``additivity_error`` (the largest absolute difference seen).
    """

    run_id: str
    data_version: str
    n_rows: int
    n_total: int
    is_sample: bool
    unit: str
    method: str
    base_value: float
    importance: tuple[FeatureImportance, ...]
    additivity_error: float
    artifacts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ShapValues:
    """SHAP values (n_rows, n_features) in ``unit``, and the raw prediction of each row.

    A multi-class model is explained for the class that it predicts for each row.
    """

    values: NDArray[np.float64]
    base: NDArray[np.float64]
    raw: NDArray[np.float64]
    unit: str
    method: str


def _reads(workspace: Workspace, arguments: Mapping[str, Any]) -> Any:
    run = target_run(workspace, str(arguments["target"]))
    return [run["run_id"], run["model"], run["datasets"]]


@command(
    "explain.model",
    writes=True,
    is_long=True,
    reads=_reads,
    example="paceml-tui explain model wine@Production --rows 2000",
)
def model(
    workspace: Workspace,
    target: str,
    *,
    rows: int = 5000,
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
    cluster
        Let the workers of a Dask cluster do it, as tcp://HOST:PORT; the values are the same.
    """
    import polars

    run = target_run(workspace, target)
    loaded = load(workspace, Tree.of(run["model"]))
    version = _training_data(workspace, run)
    frame = versions.read(workspace, version).drop_nulls(run["target"])
    n_total = frame.height
    if 0 < rows < n_total:
        frame = frame.sample(rows, seed=0)
    if frame.height == 0:
        raise InputError(f"{version.reference} has no row with a {run['target']}.")
    matrix = loaded.matrix(raw_columns(frame, loaded.inputs))
    with on_cluster(cluster) as workers:
        shap = shap_values(loaded, matrix, workers=workers, progress=progress)
    names = [feature.name for feature in loaded.features]
    error = float(abs(shap.base + shap.values.sum(axis=1) - shap.raw).max())
    means = abs(shap.values).mean(axis=0)
    importance = sorted(
        (FeatureImportance(n, float(m)) for n, m in zip(names, means, strict=True)),
        key=lambda item: (-item.mean_abs_shap, item.feature),
    )
    table = polars.DataFrame(shap.values, schema=names)
    stored, path = _store(workspace, run, table)
    result = ModelExplanation(
        run_id=run["run_id"],
        data_version=version.reference,
        n_rows=frame.height,
        n_total=n_total,
        is_sample=frame.height < n_total,
        unit=shap.unit,
        method=shap.method,
        base_value=float(shap.base.mean()),
        importance=tuple(importance),
        additivity_error=error,
        artifacts=(path,),
    )
    _record(workspace, result, version, stored)
    return result


def shap_values(
    loaded: Model,
    matrix: NDArray[np.float64],
    *,
    workers: Cluster | None = None,
    progress: Progress = silent,
) -> ShapValues:
    """Return the SHAP values of ``matrix`` (n_rows, n_features), as the model prepares it.

    It is done in blocks of rows, by ``workers`` where there are some, with the same values.
    """
    if hasattr(loaded.estimator, "coef_"):
        return _linear(loaded, matrix)
    background = matrix[:: max(1, len(matrix) // _MOST_BACKGROUND)][:_MOST_BACKGROUND]
    blocks = [matrix[start : start + _BLOCK] for start in range(0, len(matrix), _BLOCK)]
    found: dict[int, ShapValues] = {}
    if workers is None:
        for number, block in enumerate(blocks):
            progress(Step("SHAP values", number * _BLOCK, len(matrix)))
            found[number] = _of_block(loaded, block, background)
    else:
        facts = workers.send((loaded.record, loaded.preparation, loaded.content))
        asked = [Task(n, shap_block, (facts, it, background)) for n, it in enumerate(blocks)]
        found.update(completed(workers, asked, "SHAP values, blocks of rows", progress))
    return _joined([found[number] for number in range(len(blocks))])


def shap_block(
    facts: tuple[ModelRecord, Preparation, bytes],
    block: NDArray[np.float64],
    background: NDArray[np.float64],
    *,
    progress: Progress = silent,
) -> ShapValues:
    """Return the SHAP values of some rows, by what a model is made of: the task of a worker."""
    from local_stack.stores.model_files import built

    if not _built or _built[0] != facts:
        _built[:] = [facts, built(*facts)]
    return _of_block(_built[1], block, background)


_built: list[Any] = []
"""The model that a worker had last, after what it is made of."""


def _of_block(
    loaded: Model, block: NDArray[np.float64], background: NDArray[np.float64]
) -> ShapValues:
    return (
        _lightgbm(loaded, block)
        if loaded.kind == "lightgbm"
        else _by_shap(loaded, block, background)
    )


def _joined(parts: Sequence[ShapValues]) -> ShapValues:
    import numpy as np

    values, base, raw = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("values", "base", "raw")
    )
    return ShapValues(values, base, raw, parts[0].unit, parts[0].method)


def target_run(workspace: Workspace, target: str) -> Row:
    """Return the run behind a run id or a registered model, which must have a model."""
    try:
        run = find_run(workspace, target)
    except NotFoundError:
        if (
            workspace.get(
                "models", target.partition("/")[0].rpartition("@")[0] or target.partition("/")[0]
            )
            is None
        ):
            raise NotFoundError(
                f"There is neither a run nor a model '{target}'.",
                "List them with: paceml-tui runs search, paceml-tui registry list",
            ) from None
        run = find_run(workspace, resolve(workspace, target).run_id)
    if not run["model"]:
        raise InputError(f"Run {run['run_id']} has no model.", "Explain a run that has FINISHED.")
    return run


def _lightgbm(loaded: Model, matrix: NDArray[np.float64]) -> ShapValues:
    """Exact tree SHAP by LightGBM's own ``pred_contrib`` (Lundberg et al. 2020)."""
    import numpy as np

    contributions = np.asarray(loaded.estimator.predict(matrix, pred_contrib=True))
    raw = np.asarray(loaded.estimator.predict(matrix, raw_score=True))
    n_features = matrix.shape[1]
    if raw.ndim == 2:  # one block of columns a class: keep each row's predicted class
        chosen = raw.argmax(axis=1)
        rows = np.arange(len(matrix))
        contributions = contributions.reshape(len(matrix), raw.shape[1], n_features + 1)[
            rows, chosen
        ]
        raw = raw[rows, chosen]
    unit = "target" if loaded.task == "regression" else "log-odds"
    return ShapValues(contributions[:, :-1], contributions[:, -1], raw, unit, "tree SHAP (exact)")


def _linear(loaded: Model, matrix: NDArray[np.float64]) -> ShapValues:
    """Use the closed form for independent features: coefficient times distance from the mean."""
    import numpy as np

    coefficients = np.atleast_2d(np.asarray(loaded.estimator.coef_, dtype=float))
    intercepts = np.atleast_1d(np.asarray(loaded.estimator.intercept_, dtype=float))
    scores = matrix @ coefficients.T + intercepts
    chosen = scores.argmax(axis=1) if len(coefficients) > 1 else np.zeros(len(matrix), dtype=int)
    mean = matrix.mean(axis=0)
    values = coefficients[chosen] * (matrix - mean)
    base = coefficients[chosen] @ mean + intercepts[chosen]
    raw = scores[np.arange(len(matrix)), chosen]
    unit = "target" if loaded.task == "regression" else "log-odds"
    return ShapValues(values, base, raw, unit, "linear SHAP (exact, independent features)")


def _by_shap(
    loaded: Model, matrix: NDArray[np.float64], background: NDArray[np.float64]
) -> ShapValues:
    """Every other estimator: shap's tree explainer when it knows it, else permutations."""
    import numpy as np
    import shap

    estimator: Any = loaded.estimator
    is_regression = loaded.task == "regression"
    if loaded.is_booster:  # of another library: asked through the model, which knows how
        estimator = function = loaded.outputs if is_regression else loaded.probabilities
    else:
        function = estimator.predict if is_regression else estimator.predict_proba
    try:
        explainer: Any = shap.TreeExplainer(estimator, background)
        found = explainer(matrix, check_additivity=False)
        method = "tree SHAP (interventional, 100 background rows)"
    except Exception:  # noqa: BLE001 - shap raises its own, and others', for a model it does not know
        explainer = shap.PermutationExplainer(function, background, seed=0)
        found = explainer(matrix, silent=True)
        method = "permutation SHAP (100 background rows)"
    values, base = np.asarray(found.values), np.asarray(found.base_values)
    raw = np.asarray(function(matrix), dtype=float)
    if values.ndim == 3:
        rows, chosen = np.arange(len(matrix)), raw.argmax(axis=1)
        values, raw = values[rows, :, chosen], raw[rows, chosen]
        base = base[rows, chosen] if base.ndim == 2 else base[chosen]
    elif raw.ndim == 2:
        raw = raw[:, -1]
    unit = "target" if is_regression else "probability"
    return ShapValues(values, np.broadcast_to(base, len(matrix)), raw, unit, method)


def _training_data(workspace: Workspace, run: Row) -> versions.DataVersion:
    entry = run["datasets"][0]
    return versions.find(workspace, f"{entry['name']}@{entry['digest']}")


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
