"""Folder stores of MLflow 0.5 and 0.9, which today's MLflow cannot read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from local_stack.stores.mlflow_stores.file_store import FileStore

ENDED, RUNNING, DELETED, LOST = ("1" * 32, "2" * 32, "3" * 32, "4" * 32)
START, END = 1_530_000_000_123, 1_530_000_009_999


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def put_meta(path: Path, **values: Any) -> None:
    """Write a ``meta.yaml`` as PyYAML did then: keys in order, one a line."""
    shown = {None: "null", "": "''"}
    lines = [f"{key}: {shown.get(value, value)}\n" for key, value in sorted(values.items())]
    put(path / "meta.yaml", "".join(lines))


def old_run(path: Path, experiment: str, **values: Any) -> None:
    """Write what both versions wrote of every run."""
    put_meta(
        path,
        **{
            "artifact_uri": f"/old/mlruns/{path.parent.name}/{path.name}/artifacts",
            "end_time": None,
            "entry_point_name": "main",
            "experiment_id": experiment,
            "name": "",
            "run_uuid": path.name.join("''"),
            "source_name": "train.py",
            "source_type": 3,
            "source_version": "0123abcd",
            "start_time": START,
            "status": 1,
            "tags": "[]",
            "user_id": "ann",
        }
        | values,
    )
    for name in ("params", "metrics", "artifacts"):
        (path / name).mkdir()


@pytest.fixture
def store_0_5(tmp_path: Path) -> FileStore:
    """A store of MLflow 0.5: no lifecycle, numbers for experiments, no folder of tags."""
    root = tmp_path / "mlruns"
    for number, name in ((0, "Default"), (1, "wine")):
        place = f"/old/mlruns/{number}"
        put_meta(root / str(number), artifact_location=place, experiment_id=number, name=name)
    ended = root / "1" / ENDED
    old_run(ended, "1", name="Run 0", status=3, end_time=END)
    put(ended / "params" / "alpha", "0.5\n")
    put(ended / "params" / "net" / "depth", "3\n")
    put(ended / "metrics" / "rmse", "1530000001 0.75\n1530000003 0.25\n1530000002 0.5\n")
    put(ended / "artifacts" / "plot.txt", "x")
    # A run that was taken up again: the end that is not there went through a protocol buffer.
    old_run(
        *(root / "1" / RUNNING, "1"),
        **{"name": "Run 1", "end_time": 0, "entry_point_name": "", "source_version": ""},
    )
    return FileStore(root)


@pytest.fixture
def store_0_9(tmp_path: Path) -> FileStore:
    """A store of MLflow 0.9: lifecycles, texts for experiments, tags as files, a trash."""
    root = tmp_path / "mlruns"
    for folder, name in (("0", "Default"), ("1", "wine"), (".trash/2", "gone")):
        number = folder[-1]
        put_meta(
            root / folder,
            artifact_location=f"/old/mlruns/{number}",
            experiment_id=f"'{number}'",
            lifecycle_stage="active",
            name=name,
        )
    for folder, run, values in (
        ("1", ENDED, {"lifecycle_stage": "active", "status": 4, "end_time": END}),
        ("1", DELETED, {"lifecycle_stage": "deleted", "source_version": ""}),
        (".trash/2", LOST, {"lifecycle_stage": "active"}),
    ):
        old_run(root / folder / run, f"'{folder[-1]}'", **values)
        put(root / folder / run / "tags" / "mlflow.runName", f"run {run[0]}")
    ended = root / "1" / ENDED
    put(ended / "params" / "alpha", "0.5")
    put(ended / "params" / "empty", "")
    put(ended / "tags" / "mlflow.parentRunId", DELETED)
    put(ended / "tags" / "note", "two\nlines\n")
    put(ended / "metrics" / "rmse", "1530000001 0.75\n1530000001 0.25\n")
    put(ended / "metrics" / "own_time", "1530000001500 1.5\n")  # whoever called gave the time
    return FileStore(root)


def test_a_store_of_0_5_is_read(store_0_5: FileStore) -> None:
    experiments = {one.experiment_id: one for one in store_0_5.experiments()}
    assert experiments.keys() == {"0", "1"}
    wine = experiments["1"]
    assert (wine.name, wine.lifecycle, wine.artifact_location) == (
        *("wine", "active", "/old/mlruns/1"),
    )
    assert (wine.created_ms, wine.updated_ms, wine.problem) == (None, None, None)
    runs = {run.run_id: run for run in map(store_0_5.read, store_0_5.places())}
    assert runs.keys() == {ENDED, RUNNING}
    run = runs[ENDED]
    assert run.problem is None
    assert (run.experiment_id, run.name, run.user) == ("1", "Run 0", "ann")
    assert (run.status, run.lifecycle) == ("FINISHED", "active")
    assert (run.started_ms, run.ended_ms) == (START, END)
    assert run.params == {"alpha": "0.5", "net/depth": "3"}
    assert run.metrics == {"rmse": 0.25}
    assert run.history == [
        ("rmse", 0, 1_530_000_001_000, 0.75),
        ("rmse", 0, 1_530_000_003_000, 0.25),
        ("rmse", 0, 1_530_000_002_000, 0.5),
    ]
    assert run.artifacts == [("plot.txt", 1)]
    assert run.tags == {
        "mlflow.source.name": "train.py",
        "mlflow.source.type": "PROJECT",
        "mlflow.source.git.commit": "0123abcd",
        "mlflow.project.entryPoint": "main",
    }
    again = runs[RUNNING]
    assert (again.status, again.ended_ms, again.problem) == ("RUNNING", None, None)
    assert again.tags.keys() == {"mlflow.source.name", "mlflow.source.type"}


def test_a_store_of_0_9_is_read(store_0_9: FileStore) -> None:
    experiments = {one.experiment_id: one for one in store_0_9.experiments()}
    assert {key: one.lifecycle for key, one in experiments.items()} == {
        "0": "active",
        "1": "active",
        "2": "deleted",
    }
    runs = {run.run_id: run for run in map(store_0_9.read, store_0_9.places())}
    assert {key: run.lifecycle for key, run in runs.items()} == {
        ENDED: "active",
        DELETED: "deleted",
        LOST: "deleted",
    }
    assert [run.problem for run in runs.values()] == [None] * 3
    run = runs[ENDED]
    assert (run.name, run.status, run.started_ms, run.ended_ms) == ("run 1", "FAILED", START, END)
    assert run.params == {"alpha": "0.5", "empty": ""}
    assert run.tags["mlflow.parentRunId"] == DELETED
    assert run.tags["note"] == "two\nlines\n"
    assert run.metrics == {"rmse": 0.75, "own_time": 1.5}  # the largest of one second, as in 0.9
    assert sorted(run.history)[0] == ("own_time", 0, 1_530_000_001_500, 1.5)


def test_only_stores_of_0_x_end_a_param_with_a_line(store_0_5: FileStore) -> None:
    place = store_0_5.root / "1" / ENDED
    text = (place / "meta.yaml").read_text()
    put(place / "meta.yaml", text + f"run_id: '{ENDED}'\n")
    (run,) = [run for run in map(store_0_5.read, store_0_5.places()) if run.run_id == ENDED]
    assert run.params["alpha"] == "0.5\n"
