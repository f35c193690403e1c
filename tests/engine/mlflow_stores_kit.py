"""Stores that MLflow itself writes, what MLflow reads of them, and what our readers do."""

from __future__ import annotations

import math
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

View = dict[str, dict[str, Any]]

PARAMS = {
    "ключ": "ß",
    "a/b/c": "1",
    "a/b/d": "tree",
    "x y": "'; DROP TABLE runs; --",
    "blank": " ",
    "lines": "1\n2\n",
    "long": "x" * 5_000,
}
HISTORY = [
    *[("loss", 0.5, 1_000, 0), ("loss", 0.25, 3_000, 2), ("loss", 0.75, 2_000, 1)],
    *[("same", 1.0, 1_000, 3), ("same", 9.0, 1_000, 3), ("same", 5.0, 900, 3)],
    *[("nan", 1.0, 1_000, 0), ("nan", math.nan, 2_000, 1)],
    *[("up", math.inf, 1_000, 0), ("down", -math.inf, 1_000, 0)],
    *[("val/été", 1e-300, 1_600_000_000_000, -4), ("val/b", 0.1 + 0.2, 0, 2**40)],
]


@contextmanager
def client(uri: str) -> Iterator[Any]:
    """Yield MLflow's client of the store at ``uri``."""
    import mlflow

    before = mlflow.get_tracking_uri()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.set_tracking_uri(uri)  # else calls for logged models go to another store
        try:
            yield mlflow.MlflowClient(uri, uri)
        finally:
            mlflow.set_tracking_uri(before)


def write_sample(uri: str) -> dict[str, str]:
    """Fill the store with what a reader may meet, and return the ids of its runs by name."""
    from mlflow import entities

    with client(uri) as store:
        wine = store.create_experiment("wine é", tags={"team/a": "röd", "plain": "1"})
        gone = store.create_experiment("gone")
        parent = store.create_run(wine, run_name="parent", start_time=1_600_000_000_123).info.run_id
        child = store.create_run(
            wine,
            run_name="kind: ü # x",
            start_time=1_600_000_001_000,
            tags={
                "mlflow.parentRunId": parent,
                "mlflow.user": "ann",
                "mlflow.note.content": "a\nb",
            },
        ).info.run_id
        for key, value in PARAMS.items():
            store.log_param(child, key, value)
        for key, number, at, step in HISTORY:
            store.log_metric(child, key, number, at, step)
        datasets = [
            entities.DatasetInput(
                entities.Dataset(name, "d" + name, "local", f"path/{name}", schema="{}"),
                [entities.InputTag("mlflow.data.context", context)] if context else [],
            )
            for name, context in (("train é", "training"), ("other", ""))
        ]
        store.log_inputs(child, datasets=datasets)
        _write_models(store, wine, child)
        store.set_terminated(child, "FAILED", 1_600_000_061_000)
        store.set_terminated(parent, "FINISHED", 1_600_000_099_999)
        running = store.create_run(wine, run_name="running").info.run_id
        killed = store.create_run(wine, run_name="killed").info.run_id
        store.set_terminated(killed, "KILLED")
        store.delete_run(killed)
        lost = store.create_run(gone, run_name="lost").info.run_id
        store.log_metric(lost, "loss", 1.5, 5, 0)
        store.delete_experiment(gone)
    runs = {"parent": parent, "child": child, "running": running, "killed": killed, "lost": lost}
    return {name: str(run) for name, run in runs.items()}


def _write_models(store: Any, experiment: str, run: str) -> None:
    from mlflow import entities

    model = store.create_logged_model(
        experiment, "forest", run, tags={"t": "1"}, params={"depth": "3"}, model_type="sklearn"
    )
    store.log_metric(run, "auc", 0.5, 10, 1, model_id=model.model_id)
    store.log_metric(run, "auc", 0.75, 20, 2, model_id=model.model_id)
    store.finalize_logged_model(model.model_id, "READY")
    store.log_outputs(run, [entities.LoggedModelOutput(model.model_id, 2)])
    store.create_logged_model(experiment, "pending", run)


def mlflow_experiments(uri: str) -> View:
    """Return the experiments of a store, deleted ones too, as MLflow reads them."""
    with client(uri) as store:
        return {
            found.experiment_id: {
                "name": found.name,
                "lifecycle": found.lifecycle_stage,
                "artifact_location": found.artifact_location,
                "created_ms": found.creation_time,
                "updated_ms": found.last_update_time,
                "tags": dict(found.tags),
            }
            for found in store.search_experiments(view_type=3)
        }


def mlflow_runs(uri: str) -> View:
    """Return the runs of a store, deleted ones too, as MLflow reads them."""
    with client(uri) as store:
        ids = [found.experiment_id for found in store.search_experiments(view_type=3)]
        return {run.info.run_id: _run(store, run) for run in store.search_runs(ids, "", 3)}


def _run(store: Any, run: Any) -> dict[str, Any]:
    history = [
        (one.key, one.step, one.timestamp, repr(one.value))
        for key in run.data.metrics
        for one in store.get_metric_history(run.info.run_id, key)
    ]
    return {
        "experiment_id": run.info.experiment_id,
        "name": run.info.run_name,
        "user": run.data.tags.get("mlflow.user") or run.info.user_id,
        "status": run.info.status,
        "lifecycle": run.info.lifecycle_stage,
        "started_ms": run.info.start_time,
        "ended_ms": run.info.end_time,
        "artifact_uri": run.info.artifact_uri,
        "params": dict(run.data.params),
        "metrics": {key: repr(value) for key, value in run.data.metrics.items()},
        "history": sorted(history),
        "tags": dict(run.data.tags),
        "datasets": sorted(
            (
                *(one.dataset.name, one.dataset.digest),
                *(one.dataset.source_type, one.dataset.source),
                *(tag.value for tag in one.tags),
            )
            for one in run.inputs.dataset_inputs
        ),
        "models": sorted(one.model_id for one in run.outputs.model_outputs),
    }


def mlflow_models(uri: str) -> View:
    """Return the logged models of a store as MLflow reads them."""
    with client(uri) as store:
        ids = [found.experiment_id for found in store.search_experiments()]
        return {
            one.model_id: {
                "experiment_id": one.experiment_id,
                "run_id": one.source_run_id,
                "name": one.name,
                "status": str(one.status),
                "created_ms": one.creation_timestamp,
                "updated_ms": one.last_updated_timestamp,
                "artifact_location": one.artifact_location,
                "params": dict(one.params),
                "tags": dict(one.tags),
                "metrics": {found.key: repr(found.value) for found in one.metrics or ()},
            }
            for one in store.search_logged_models(ids)
        }


def our_experiments(store: Any) -> View:
    """Return what our reader finds, in the form of ``mlflow_experiments``."""
    return {found.experiment_id: _values(found, "experiment_id") for found in store.experiments()}


def our_runs(store: Any) -> View:
    """Return what our reader finds, in the form of ``mlflow_runs``."""
    found = {}
    for run in store.read_all(store.places()):
        values = _values(run, "run_id", "artifacts", "artifact_folder")
        values["metrics"] = {key: repr(value) for key, value in run.metrics.items()}
        values["history"] = sorted((*row[:3], repr(row[3])) for row in run.history)
        values["datasets"] = sorted(
            (
                *(one["name"], one["digest"], one["source_type"], one["source"]),
                *([one["context"]] if one["context"] else []),
            )
            for one in run.datasets
        )
        values["models"] = sorted(run.models)
        found[run.run_id] = values
    return found


def our_models(store: Any) -> View:
    """Return what our reader finds, in the form of ``mlflow_models``."""
    found = {}
    for model in store.models():
        values = _values(model, "model_id", "lifecycle")
        values["metrics"] = {key: repr(value) for key, value in model.metrics.items()}
        found[model.model_id] = values
    return found


def _values(found: Any, *without: str) -> dict[str, Any]:
    assert found.problem is None, found.problem
    names = [name for name in found.__dataclass_fields__ if name not in {*without, "problem"}]
    return {name: getattr(found, name) for name in names}


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder of somebody whom permissions bind, which they do not bind root."""
    with tempfile.TemporaryDirectory() as name:
        me = os.geteuid()
        if me == 0:
            os.chmod(name, 0o777)  # noqa: PTH101 - of a folder of our own
            os.seteuid(65534)
        try:
            yield Path(name)
        finally:
            os.seteuid(me)
            for folder, below, _ in os.walk(name):
                for entry in below:
                    (Path(folder) / entry).chmod(0o700)
