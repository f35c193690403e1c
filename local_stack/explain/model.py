"""What a model's predictions owe to each column, over many rows: SHAP values and what they say.

Everything is stored next to the run, so that it is computed once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from local_stack.command import command
from local_stack.data import versions
from local_stack.data.checkout import outside
from local_stack.errors import UnavailableError
from local_stack.explain.affording import rows_to_explain
from local_stack.explain.effects.parts import Explained, ModelExplanation
from local_stack.explain.subject import Subject, reads_target, subject_of, training_data
from local_stack.progress import Progress, Step, silent
from local_stack.results import now
from local_stack.runs.workers import on_cluster
from local_stack.stores.journal import Draft
from local_stack.workspace import Workspace

if TYPE_CHECKING:
    from local_stack.explain.attributing.attributions import Attributions

FOLDER: Final = "explain"
"""The folder of explanations below the artefacts of a run."""
VALUES: Final = "shap_values.parquet"
DOCUMENT: Final = "explanation.json"
_KEY: Final = "paceml"


def _reads(workspace: Workspace, arguments: Mapping[str, Any]) -> Any:
    """Return what an explanation depends on, and what is stored: a run keeps one, the last."""
    data = arguments.get("data")
    other = versions.find(workspace, str(data)).reference if data else None
    read = reads_target(workspace, arguments)
    kept = (workspace.get("explanations", read[0]) or {}).get("artifacts") or {}
    return [*read, other, {name: blob["sha256"] for name, blob in kept.items()}]


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
    rows: int | None = None,
    unit: str | None = None,
    output: str | None = None,
    data: str | None = None,
    html: Path | None = None,
    cluster: str | None = None,
    progress: Progress = silent,
) -> ModelExplanation:
    """Explain a model: SHAP values, permutation importance, dependence, a surrogate tree.

    The same model, rows and options give the same explanation. It is stored with the run, as
    Parquet, JSON, pictures and a report of one HTML file.

    Parameters
    ----------
    target
        Run id (or latest), or MODEL, MODEL@STAGE, MODEL/VERSION.
    rows
        Explain at most this many rows, a seeded sample of more; 5,000 when left out, and fewer
        where each takes long. The result says how many.
    unit
        Measure in log-odds, probability or target; by default as the model itself adds up.
    output
        Draw this class of a model of many; when left out the one that is predicted most.
    data
        Explain rows of this data version, as NAME@VERSION, not those that it learnt from.
    html
        Write the report to this file too, one page that needs no network.
    cluster
        Let the workers of a Dask cluster do it, as tcp://HOST:PORT; the values are the same.
    """
    from local_stack.data.profiling.page import check_place, publish
    from local_stack.explain.attributing.units import told_of
    from local_stack.explain.effects import whole
    from local_stack.explain.reporting import writing

    if html is not None:
        html = outside(workspace, html)
        check_place(html)
    progress(Step("Reading the model and its rows"))
    subject = subject_of(workspace, target, data)
    output = whole.named_output(subject.model, output)
    frame = subject.sample(rows_to_explain(subject, rows, unit))
    with on_cluster(cluster) as workers:
        progress(Step("SHAP values", 0, frame.height))
        found = subject.attributions(frame, unit=unit, workers=workers, progress=progress)
    found = told_of(subject.model, found, output)
    learnt_from = training_data(workspace, subject.run).reference
    told = whole.explained(subject, learnt_from, frame, found, output=output, progress=progress)
    with workspace.scratch() as scratch:
        folder = Path(scratch)
        write_values(found, folder / VALUES)
        progress(Step("Drawing the figures and the report"))
        report = writing.write(workspace, subject, told, frame, found, folder)
        result = _stored(workspace, subject, told, folder, progress)
        if html is not None:
            publish(report.read_bytes(), html)
        return result


def _stored(
    workspace: Workspace, subject: Subject, told: Explained, folder: Path, progress: Progress
) -> ModelExplanation:
    """Store an explanation and the files of a folder with the run, here and in MLflow."""
    names = sorted({DOCUMENT, *_files(folder)})
    result = replace(told.explanation, artifacts=tuple(f"{FOLDER}/{name}" for name in names))
    document = replace(told, explanation=result).to_dict()
    text = json.dumps(document, allow_nan=False, ensure_ascii=False)
    (folder / DOCUMENT).write_text(text, encoding="utf-8")
    blobs = {
        f"{FOLDER}/{name}": workspace.artifacts.put_file(folder / name).to_dict() for name in names
    }
    _record(workspace, result, subject.version, blobs)
    progress(Step("Mirroring to MLflow"))

    def is_newest() -> bool:  # two may explain a run at the same time, and record in any order
        kept = workspace.get("explanations", subject.run_id) or {}
        return bool(kept.get("artifacts") == blobs)

    try:
        workspace.tracking.log_artifacts(subject.run_id, folder, FOLDER, is_wanted=is_newest)
    except UnavailableError as error:  # what is recorded here is whole
        result = replace(result, notes=(*result.notes, str(error)))
    return result


def _files(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]


def write_values(found: Attributions, path: Path) -> None:
    """Write SHAP values as Parquet: one column for each of theirs, one block of rows an output.

    The columns ``output``, ``base_value`` and ``prediction`` (an underscore more where a column
    of the data is called so) stand behind them; the metadata say how they are called, the unit
    and the method.
    """
    import numpy as np
    import polars as pl

    n_outputs = len(found.outputs)
    columns: dict[str, Any] = {
        name: np.concatenate([found.values[:, place, k] for k in range(n_outputs)])
        for place, name in enumerate(found.columns)
    }
    names = {}
    beside = {
        "output": np.repeat(np.array(found.outputs, dtype=object), found.n_rows).tolist(),
        "base_value": np.repeat(found.base, found.n_rows),
        "prediction": found.raw.T.ravel(),
    }
    for name, values in beside.items():
        names[name] = _free(name, columns)
        columns[names[name]] = values
    about = {"unit": found.unit, "method": found.method, "columns": names}
    metadata = {_KEY: json.dumps(about | {"features": list(found.columns)})}
    pl.DataFrame(columns).write_parquet(path, compression="zstd", metadata=metadata)


def _free(name: str, taken: Mapping[str, Any]) -> str:
    while name in taken:
        name += "_"
    return name


def _record(
    workspace: Workspace,
    result: ModelExplanation,
    version: versions.DataVersion,
    blobs: Mapping[str, Any],
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
        "artifacts": dict(blobs),
        "created_at": now(),
    }

    def decide(state: Any) -> Draft:
        run = state.get("runs", result.run_id)
        artifacts = sorted({*run["artifacts"], *result.artifacts})
        shap_values = blobs[f"{FOLDER}/{VALUES}"]["sha256"]
        body = {"n_rows": result.n_rows, "shap_values": shap_values}
        changes = [("explanations", row), ("runs", {**run, "artifacts": artifacts})]
        return Draft("explain.computed", f"run:{result.run_id}", body, changes)

    workspace.append(decide)
