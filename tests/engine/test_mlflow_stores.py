"""The reader of MLflow's folder stores reads what MLflow itself reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mlflow_stores_kit import (
    client,
    mlflow_experiments,
    mlflow_models,
    mlflow_runs,
    our_experiments,
    our_models,
    our_runs,
    write_sample,
)

from local_stack.stores.mlflow_stores.file_store import FileStore

TRUTH = ("v2_2_elasticnetwine", "v2_3_stages_proxy", "v3_2_elasticnetwine_loggedmodels")


@pytest.mark.parametrize("name", TRUTH)
def test_a_real_store_is_read_whole(shared_data: Path, name: str) -> None:
    store = FileStore(shared_data / "mlruns" / name)
    truth = json.loads((shared_data / "truth" / "mlruns" / f"{name}.json").read_text())
    experiments = {one.experiment_id: one for one in store.experiments()}
    assert experiments.keys() == {one["id"] for one in truth["experiments"]}
    for one in truth["experiments"]:
        found = experiments[one["id"]]
        assert (found.name, found.lifecycle, found.created_ms, found.tags) == (
            *(one["name"], one["lifecycle"], one["creation_time"], one["tags"]),
        )
    runs = {run.run_id: run for run in map(store.read, store.places())}
    assert runs.keys() == truth["runs"].keys()
    for run_id, expected in truth["runs"].items():
        _is_equal(runs[run_id], expected)
    models = {model.model_id: model for model in store.models()}
    assert models.keys() == {one["id"] for one in truth["logged_models"]}
    for one in truth["logged_models"]:
        model = models[one["id"]]
        assert (model.name, model.run_id, model.status, len(model.params), len(model.metrics)) == (
            *(one["name"], one["source_run"], one["status"], one["n_params"], one["metrics"]),
        )


def _is_equal(run: Any, expected: dict[str, Any]) -> None:
    assert run.problem is None
    assert (run.experiment_id, run.name, run.user, run.status, run.lifecycle) == (
        *(expected["exp"], expected["name"], expected["user"], expected["status"]),
        expected["lifecycle"],
    )
    assert (run.started_ms, run.ended_ms, run.artifact_uri) == (
        *(expected["start"], expected["end"], expected["artifact_uri"]),
    )
    assert (run.params, run.metrics, len(run.tags)) == (
        *(expected["params"], expected["metrics"], expected["n_tags"]),
    )
    assert run.tags.get("mlflow.parentRunId") == expected["parent"]
    assert len(run.datasets) == len(expected["datasets"])
    if "history" in expected:  # MLflow itself cannot tell it of a run without params or artifacts
        found: dict[str, list[list[Any]]] = {}
        for key, step, at, value in run.history:
            found.setdefault(key, []).append([at, step, value])
        assert found == expected["history"]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("stores") / "mlruns é"
    write_sample(root.as_uri())
    return root


def test_experiments_are_those_that_mlflow_reads(sample: Path) -> None:
    expected = mlflow_experiments(sample.as_uri())
    assert len(expected) == 3
    assert our_experiments(FileStore(sample)) == expected


def test_runs_are_those_that_mlflow_reads(sample: Path) -> None:
    expected = mlflow_runs(sample.as_uri())
    assert len(expected) == 5
    assert our_runs(FileStore(sample)) == expected


def test_logged_models_are_those_that_mlflow_reads(sample: Path) -> None:
    expected = mlflow_models(sample.as_uri())
    assert len(expected) == 2
    assert our_models(FileStore(sample)) == expected


def test_steps_of_a_metric_with_a_dataset_are_kept(tmp_path: Path) -> None:
    root = tmp_path / "mlruns"
    with client(root.as_uri()) as mlflow:
        run = mlflow.create_run("0").info.run_id
        for value, at, step in ((0.5, 3_000, 0), (0.25, 1_000, 5)):
            mlflow.log_metric(
                run, "loss", value, at, step, dataset_name="wine", dataset_digest="abc"
            )
        expected = mlflow.get_run(run).data.metrics
    store = FileStore(root)
    (found,) = store.read_all(store.places())
    assert found.problem is None
    assert found.metrics == expected  # MLflow compares these without their steps
    assert found.history == [("loss", 0, 3_000, 0.5), ("loss", 5, 1_000, 0.25)]
