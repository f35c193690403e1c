"""Tracking: a real MLflow client in a process of its own reads what the mirror holds."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path
from typing import Any

import pytest

from local_stack.errors import UnavailableError
from local_stack.stores import tracking as module
from local_stack.stores.tracking import Mirrored, Opened, Tracking
from local_stack.workspace import Workspace


def run(script: str, cwd: Path, *arguments: object) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]
    return subprocess.Popen(
        words, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def answer(process: subprocess.Popen[str]) -> Any:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return json.loads(out)


def begun(tracking: Tracking, experiment: str = "wine") -> Opened:
    return tracking.begin_run(experiment, "first", "tester", "runs.train")


def logged(tracking: Tracking) -> Opened:
    run = begun(tracking)
    tracking.log_run(
        run.run_id,
        params={"alpha": "0.5", "long": "x" * 9000} | {f"p{n}": str(n) for n in range(120)},
        metrics={"rmse": 0.25, "best": 1e-9},
        tags={"team": "ml"},
        datasets=[{"name": "wine", "digest": "abc123", "context": "train"}],
    )
    return run


READER = """
    import json, os, sys, warnings
    warnings.simplefilter("ignore")
    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    from mlflow import MlflowClient

    client = MlflowClient(sys.argv[1], sys.argv[1])
    run = client.get_run(sys.argv[2])
    experiment = client.get_experiment_by_name("wine")
    model = client.get_registered_model("m")
    print(json.dumps({
        "status": run.info.status,
        "name": run.info.run_name,
        "user": run.data.tags["mlflow.user"],
        "team": run.data.tags["team"],
        "alpha": run.data.params["alpha"],
        "n_params": len(run.data.params),
        "metrics": run.data.metrics,
        "inputs": [
            [i.dataset.name, i.dataset.digest, {t.key: t.value for t in i.tags}]
            for i in run.inputs.dataset_inputs],
        "artifacts": [f.path for f in client.list_artifacts(run.info.run_id, "model")],
        "found": [r.info.run_id for r in client.search_runs(
            [experiment.experiment_id], "metrics.rmse < 1 and params.alpha = '0.5'")],
        "versions": [
            [v.version, v.current_stage, v.run_id, v.source, v.status]
            for v in client.search_model_versions("name='m'")],
        "aliases": {name: str(version) for name, version in model.aliases.items()},
        "files": os.listdir("."),
    }))
"""


def test_the_mlflow_client_reads_runs_and_models(workspace, tmp_path):
    tracking, elsewhere = workspace.tracking, tmp_path / "elsewhere"
    elsewhere.mkdir()
    model = tmp_path / "model"
    model.mkdir()
    (model / "MLmodel").write_text("flavors: {}\n")
    first, second = logged(tracking), logged(tracking)
    tracking.log_artifacts(first.run_id, model, "model")
    tracking.end_run(first.run_id, "FINISHED")
    staged = [Mirrored(1, "Archived", first.run_id), Mirrored(2, "Production", second.run_id)]
    tracking.mirror_model("m", [Mirrored(1, "Production", first.run_id)])
    for _ in range(2):  # writing it again changes nothing
        tracking.mirror_model("m", staged)
    found = answer(run(READER, elsewhere, tracking.uri, first.run_id))
    assert found["status"] == "FINISHED"
    assert (found["name"], found["user"], found["team"]) == ("first", "tester", "ml")
    assert (found["alpha"], found["n_params"]) == ("0.5", 122)
    assert found["metrics"] == {"rmse": 0.25, "best": 1e-9}
    assert found["inputs"] == [["wine", "abc123", {"mlflow.data.context": "train"}]]
    assert found["artifacts"] == ["model/MLmodel"]
    assert set(found["found"]) == {first.run_id, second.run_id}
    assert sorted(map(tuple, found["versions"])) == [
        (str(n), stage, opened.run_id, f"{opened.artifact_uri}/model", "READY")
        if isinstance(found["versions"][0][0], str)
        else (n, stage, opened.run_id, f"{opened.artifact_uri}/model", "READY")
        for n, stage, opened in ((1, "Archived", first), (2, "Production", second))
    ]
    assert found["aliases"] == {"production": "2"}
    assert found["files"] == []
    assert tracking.unfinished() == [second.run_id]
    tracking.mirror_model("m", [Mirrored(1, "Staging", first.run_id), staged[1]])
    tracking.mirror_model("m", [Mirrored(1, "Staging", first.run_id), Mirrored(2, "None", "-")])
    found = answer(run(READER, elsewhere, tracking.uri, first.run_id))
    assert found["aliases"] == {"staging": "1"}


def test_two_processes_make_one_experiment_and_no_stray_database(tmp_path):
    Workspace.create(tmp_path / "ws").close()
    cwd = tmp_path / "cwd"
    cwd.mkdir()
    script = """
        import json, sys
        from local_stack.workspace import Workspace

        with Workspace.open(sys.argv[1]) as workspace:
            workspace.tracking._client()
            made = [workspace.tracking.begin_run("new", "r", "a", "s") for _ in range(5)]
        print(json.dumps([[run.experiment_id, run.run_id] for run in made]))
    """
    both = [run(script, cwd, tmp_path / "ws") for _ in range(2)]
    runs = [tuple(pair) for process in both for pair in answer(process)]
    assert len({experiment for experiment, _ in runs}) == 1
    assert len({run_id for _, run_id in runs}) == 10
    named = [
        path
        for path in (tmp_path / "ws" / "mlruns").glob("*/meta.yaml")
        if "name: new" in path.read_text()
    ]
    assert len(named) == 1
    assert list(cwd.iterdir()) == []
    assert not list(tmp_path.rglob("mlflow.db"))


def tear(kind: str, folder: Path) -> None:
    match kind:
        case "empty meta.yaml":
            (folder / "meta.yaml").write_bytes(b"")
        case "no meta.yaml":
            (folder / "meta.yaml").unlink()
        case "half a meta.yaml":
            data = (folder / "meta.yaml").read_bytes()
            (folder / "meta.yaml").write_bytes(data[: len(data) // 2])
        case "empty tag":
            (folder / "tags" / "mlflow.user").write_bytes(b"")
        case "torn metric":
            (folder / "metrics" / "rmse").write_bytes(b"17000")
        case _:
            (folder / "params" / "alpha").write_bytes(b"")


TEARS = ["empty meta.yaml", "no meta.yaml", "half a meta.yaml", "empty tag", "torn metric", "param"]


@pytest.mark.parametrize("kind", TEARS)
def test_a_torn_run_hides_no_neighbour(workspace, kind):
    tracking = workspace.tracking
    torn, whole = logged(tracking), logged(tracking)
    tear(kind, workspace.root / "mlruns" / torn.experiment_id / torn.run_id)
    third = logged(tracking)
    assert third.experiment_id == whole.experiment_id
    tracking.end_run(third.run_id, "FINISHED")
    assert whole.run_id in tracking.unfinished()
    torn_ones = tracking.torn()
    assert set(torn_ones) <= {torn.run_id}
    for run_id in torn_ones:
        assert tracking.mend(run_id) is (kind == "torn metric")
    assert tracking.torn() == []
    client = tracking._client()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = {run.info.run_id for run in client.search_runs([whole.experiment_id])}
    assert {whole.run_id, third.run_id} <= found


def test_a_torn_experiment_hides_no_neighbour(workspace):
    tracking = workspace.tracking
    torn, whole = begun(tracking, "torn"), begun(tracking, "whole")
    (workspace.root / "mlruns" / torn.experiment_id / "meta.yaml").write_bytes(b"")
    again = begun(tracking, "whole")
    assert again.experiment_id == whole.experiment_id
    assert {whole.run_id, again.run_id} <= set(tracking.unfinished())


def test_a_copy_of_a_store_keeps_its_artifacts_to_itself(tmp_path):
    def at(name: str) -> Tracking:
        return Tracking((tmp_path / name / "mlruns").as_uri(), tmp_path / f"{name}.lock", "w")

    def kept(name: str) -> dict[str, str]:
        root = tmp_path / name / "mlruns"
        return {it.parts[-3]: it.read_text() for it in root.glob("*/*/artifacts/why.txt")}

    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "why.txt").write_text("old")
    old = begun(at("one"))
    at("one").log_artifacts(old.run_id, tmp_path / "made")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    (tmp_path / "made" / "why.txt").write_text("new")
    new = begun(at("two"))
    for run in (old, new):
        at("two").log_artifacts(run.run_id, tmp_path / "made")
    assert kept("one") == {old.run_id: "old"}
    assert kept("two") == {old.run_id: "new", new.run_id: "new"}


def test_what_mlflow_refuses_is_a_sentence_with_its_cause(workspace):
    with pytest.raises(UnavailableError) as caught:
        workspace.tracking.end_run("0" * 32, "FINISHED")
    assert workspace.tracking.uri in caught.value.message
    assert "paceml-tui doctor --repair" in caught.value.hint
    assert caught.value.__cause__ is not None


def test_a_holder_of_the_store_is_not_waited_for_for_ever(workspace, monkeypatch):
    import fcntl
    import os

    lock = workspace.root / "cache" / "tracking.lock"
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    monkeypatch.setattr(module, "_WAIT_SECONDS", 0.2)
    try:
        with pytest.raises(UnavailableError, match="Another process"):
            begun(workspace.tracking)
    finally:
        os.close(descriptor)
