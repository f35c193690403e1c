"""The values of a ``meta.yaml`` as records: old names, numbers for words, and what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from local_stack.stores.mlflow_stores.records import (
    ACTIVE,
    DELETED,
    STATUSES,
    HistoryRow,
    RunPlace,
    StoredExperiment,
    StoredModel,
    StoredRun,
    latest,
)

RUN_NAME: Final = "mlflow.runName"
USER: Final = "mlflow.user"
_MOST_FAULTS: Final = 3
_LARGEST: Final = 2**63 - 1
_SOURCE_TYPES: Final = {1: "NOTEBOOK", 2: "JOB", 3: "PROJECT", 4: "LOCAL", 5: "UNKNOWN"}
_MODEL_STATUSES: Final = {0: "UNSPECIFIED", 1: "PENDING", 2: "READY", 3: "FAILED"}


def sentence(noun: str, faults: Sequence[str]) -> str | None:
    """Return what is wrong with a ``noun`` in one sentence; None when nothing is."""
    if not faults:
        return None
    shown = "; ".join(faults[:_MOST_FAULTS])
    more = len(faults) - _MOST_FAULTS
    return f"The {noun} is not whole: {shown}{f'; and {more:,} more' if more > 0 else ''}."


def milliseconds(value: object) -> int | None:
    """Return a time as a store holds it; None when it holds none that can be."""
    try:
        found = None if value is None or value == "" else int(value)  # type: ignore[call-overload]
    except (ValueError, TypeError, OverflowError):
        return None
    return found if found is not None and abs(found) <= _LARGEST else None


def text(value: object) -> str:
    """Return a scalar as text; nothing, and what is no scalar, as an empty one."""
    if isinstance(value, int) and abs(value) > _LARGEST:
        return ""  # Python refuses to write out the longest
    return str(value) if isinstance(value, str | int | float) else ""


def status_word(value: object) -> str | None:
    """Return the word of a run's status, which old stores hold as a number; None if unknown."""
    if isinstance(value, int):
        return STATUSES.get(value)
    word = text(value).upper()
    if word.isdecimal():
        return STATUSES.get(int(word[:9]))
    return word if word in STATUSES.values() else None


def experiment_from(
    name: str, meta: Mapping[str, Any], tags: dict[str, str], is_deleted: bool, faults: list[str]
) -> StoredExperiment:
    """Return the experiment in the folder ``name``."""
    known = text(meta.get("experiment_id"))
    if known and known != name:
        faults.append(f"meta.yaml is that of experiment {known}")
    return StoredExperiment(
        name,
        text(meta.get("name")) or name,
        text(meta.get("artifact_location")),
        DELETED if is_deleted or meta.get("lifecycle_stage") == DELETED else ACTIVE,
        milliseconds(meta.get("creation_time")),
        milliseconds(meta.get("last_update_time")),
        tags,
        sentence("experiment", faults),
    )


def run_from(
    place: RunPlace,
    meta: Mapping[str, Any],
    *,
    is_deleted: bool,
    params: dict[str, str],
    tags: dict[str, str],
    history: list[HistoryRow],
    datasets: list[dict[str, str]],
    models: list[str],
    artifacts: list[tuple[str, int]],
    artifact_folder: Path | None,
    faults: list[str],
    metrics: dict[str, float] | None = None,
) -> StoredRun:
    """Return the run at ``place``; ``metrics`` are the store's own newest values, if it has any."""
    status = status_word(meta.get("status", 1)) if meta else ""
    if status is None:
        faults.append(f"'{text(meta['status'])[:40]}' is no status")
    _check_identity(place, meta, faults)
    tags = _old_tags(meta) | tags
    if "run_uuid" in meta and "run_id" not in meta:  # MLflow 0.x ended a param's file with a line
        params = {key: value.removesuffix("\n") for key, value in params.items()}
    return StoredRun(
        place.run_id,
        place.experiment_id or text(meta.get("experiment_id")),
        text(meta.get("run_name")) or tags.get(RUN_NAME, "") or text(meta.get("name")),
        text(meta.get("user_id")) or tags.get(USER, ""),
        status or "",
        DELETED if is_deleted or _is_deleted(meta) else ACTIVE,
        milliseconds(meta.get("start_time")),
        milliseconds(meta.get("end_time")) or None,  # MLflow 0.x wrote 0 for a run that goes on
        text(meta.get("artifact_uri")),
        params,
        latest(history) if metrics is None else metrics,
        history,
        tags,
        datasets,
        models,
        artifacts,
        artifact_folder,
        sentence("run", faults),
    )


def model_from(
    name: str,
    experiment_id: str,
    meta: Mapping[str, Any],
    *,
    is_deleted: bool,
    params: dict[str, str],
    tags: dict[str, str],
    history: list[HistoryRow],
    faults: list[str],
) -> StoredModel:
    """Return the logged model in the folder ``name``."""
    status = meta.get("status", "")
    return StoredModel(
        name,
        experiment_id,
        text(meta.get("source_run_id")),
        text(meta.get("name")),
        _MODEL_STATUSES.get(status, text(status)) if isinstance(status, int) else text(status),
        DELETED if is_deleted or _is_deleted(meta) else ACTIVE,
        milliseconds(meta.get("creation_timestamp")),
        milliseconds(meta.get("last_updated_timestamp")),
        text(meta.get("artifact_location")),
        params,
        tags,
        latest(history),
        sentence("logged model", faults),
    )


def _is_deleted(meta: Mapping[str, Any]) -> bool:
    return bool(meta.get("lifecycle_stage") == DELETED)


def _check_identity(place: RunPlace, meta: Mapping[str, Any], faults: list[str]) -> None:
    run_id = text(meta.get("run_id") or meta.get("run_uuid"))
    if run_id and run_id != place.run_id:
        faults.append(f"meta.yaml is that of run {run_id[:80]}")
    experiment_id = text(meta.get("experiment_id"))
    if experiment_id and place.experiment_id and experiment_id != place.experiment_id:
        faults.append(f"meta.yaml is that of a run of experiment {experiment_id[:80]}")


def _old_tags(meta: Mapping[str, Any]) -> dict[str, str]:
    """Return as tags what MLflow before 1.0 kept in ``meta.yaml``: tags and origin."""
    found = {}
    listed = meta.get("tags")
    for entry in listed if isinstance(listed, list) else ():
        if isinstance(entry, Mapping) and "key" in entry:
            found[text(entry["key"])] = text(entry.get("value"))
    if source := text(meta.get("source_name")):
        found["mlflow.source.name"] = source
        number = meta.get("source_type")
        if isinstance(number, int) and (kind := _SOURCE_TYPES.get(number)):
            found["mlflow.source.type"] = kind
    if commit := text(meta.get("source_version")):
        found["mlflow.source.git.commit"] = commit
    if entry_point := text(meta.get("entry_point_name")):
        found["mlflow.project.entryPoint"] = entry_point
    return found
