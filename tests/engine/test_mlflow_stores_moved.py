"""Moved stores: artefacts are found where they lie, and the doctor mends what leads elsewhere."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow_stores_kit import client, write_sample
from test_mlflow_stores_old import ENDED, store_0_5  # noqa: F401 - a fixture
from test_run_index import put_experiment, run_id
from test_run_index import put_run as put_plain_run

from local_stack.catalog import call
from local_stack.doctor import Finding
from local_stack.runs import syncing
from local_stack.runs.relation import RUNS
from local_stack.stores.mlflow_stores import moving
from local_stack.stores.mlflow_stores.file_store import FileStore
from local_stack.workspace import Workspace

RUN = run_id(1)


def put_run(root: Path, uri: str, **files: str) -> Path:
    folder = put_plain_run(root, RUN, run_id=f"'{RUN}'", artifact_uri=uri)
    for name, content in files.items():
        (folder / "artifacts" / name).write_text(content)
    return folder


def put_moved_experiment(root: Path, location: str) -> Path:
    put_experiment(root)
    file = root / "1" / "meta.yaml"
    file.write_text(file.read_text().replace("file:///elsewhere", location))
    return file


def findings(workspace: Workspace, **options: bool) -> list[Finding]:
    return [
        found
        for found in call(workspace, "doctor.check", options).findings
        if found.code.startswith("artifacts_")
    ]


OLD = {
    "posix": f"/old/mlruns/1/{RUN}/artifacts",
    "file": f"file:///home/m%C3%BCller/my%20work/mlruns/1/{RUN}/artifacts",
    "windows": f"file:///C:/Users/ann/mlruns/1/{RUN}/artifacts",
    "backslashes": f"C:\\Users\\ann\\mlruns\\1\\{RUN}\\artifacts",
    "server": f"mlflow-artifacts:/1/{RUN}/artifacts",
    "bucket": f"s3://bucket/1/{RUN}/artifacts",
}


@pytest.mark.parametrize("kind", OLD)
def test_the_index_finds_artefacts_in_the_runs_own_folder(workspace: Workspace, kind: str) -> None:
    root = workspace.root / "mlruns"
    put_experiment(root)
    run = put_run(root, f"'{OLD[kind]}'", plot="x")
    syncing.sync(workspace)
    (row,) = workspace.query(f"SELECT * FROM {RUNS}")
    assert row["artifact_folder"] == str(run / "artifacts")
    assert row["artifacts"] == ["plot"]
    assert row["artifact_uri"] == OLD[kind]


@pytest.mark.parametrize("uri", ["s3://bucket/x", "/data/elsewhere", "file://[half", "C:", "\\"])
def test_an_empty_folder_is_none_of_artefacts_that_lie_elsewhere(
    workspace: Workspace, uri: str
) -> None:
    root = workspace.root / "mlruns"
    put_experiment(root)
    put_run(root, f"'{uri}'")
    syncing.sync(workspace)
    (row,) = workspace.query(f"SELECT * FROM {RUNS}")
    assert (row["artifact_folder"], row["artifacts"]) == (None, [])


def test_a_link_among_artefacts_is_not_followed(workspace: Workspace) -> None:
    root = workspace.root / "mlruns"
    put_experiment(root)
    run = put_run(root, OLD["posix"])
    (run / "artifacts").rmdir()
    (run / "artifacts").symlink_to("/etc")
    syncing.sync(workspace)
    (row,) = workspace.query(f"SELECT * FROM {RUNS}")
    assert (row["artifact_folder"], row["artifacts"]) == (None, [])


@pytest.mark.parametrize("kind", ["posix", "file", "windows", "backslashes"])
def test_the_doctor_explains_and_rebases(workspace: Workspace, kind: str) -> None:
    root = workspace.root / "mlruns"
    location = OLD[kind].replace("\\", "/").partition(f"/{RUN}")[0]
    experiment = put_moved_experiment(root, location)
    run = put_run(root, f"'{OLD[kind]}'", plot="x")
    meta = run / "meta.yaml"
    meta.chmod(0o640)
    before = {file: file.read_bytes() for file in (meta, experiment)}
    (found,) = findings(workspace)
    assert (found.code, found.severity, found.is_repaired) == ("artifacts_moved", "warning", False)
    assert found.message.startswith("2 URIs of artefacts")
    assert location in found.message
    assert {file: file.read_bytes() for file in before} == before
    (found,) = findings(workspace, repair=True)
    assert found.is_repaired
    is_path = kind == "posix"
    targets = {meta: run / "artifacts", experiment: root / "1"}
    for file, key in ((meta, "artifact_uri"), (experiment, "artifact_location")):
        target = targets[file]
        values = yaml.safe_load(file.read_bytes())
        assert values[key] == (str(target) if is_path else target.as_uri())
        lines = before[file].splitlines(), file.read_bytes().splitlines()
        changed = [line for line in lines[1] if line not in lines[0]]
        assert [line.partition(b":")[0] for line in changed] == [key.encode()]
        assert len(lines[0]) == len(lines[1])
    assert meta.stat().st_mode & 0o777 == 0o640
    assert not list(run.glob(".meta*"))
    assert findings(workspace) == []
    assert workspace.query("SELECT 1 AS one")  # the repair is in the journal, which still opens


def test_mlflow_finds_the_artefacts_of_a_rebased_store(tmp_path: Path) -> None:
    first = tmp_path / "first" / "mlruns"
    ids = write_sample(first.as_uri())
    with client(first.as_uri()) as store:
        store.log_text(ids["running"], "text", "folder/a.txt")
    with Workspace.create(tmp_path / "ws", actor="tester") as workspace:
        root = workspace.root / "mlruns"
        shutil.rmtree(root, ignore_errors=True)
        first.rename(root)
        (found,) = findings(workspace, repair=True)
        assert found.is_repaired
        with client(root.as_uri()) as store:
            listed = store.list_artifacts(ids["running"], "folder")
            assert [one.path for one in listed] == ["folder/a.txt"]
            wine = store.get_run(ids["child"]).info.experiment_id
            assert store.get_experiment(wine).artifact_location == (root / wine).as_uri()
            models = store.search_logged_models([wine])
            assert {Path(one.artifact_location[7:]).parents[2] for one in models} == {root / wine}
            store.restore_experiment(store.get_run(ids["lost"]).info.experiment_id)
            lost = store.get_run(ids["lost"]).info
            assert lost.artifact_uri == (root / lost.experiment_id / ids["lost"]).as_uri() + (
                "/artifacts"
            )
        assert findings(workspace) == []


def test_the_real_stores_are_explained(shared_data: Path, workspace: Workspace) -> None:
    counts = {}
    for name in ("v2_2_elasticnetwine", "v2_3_stages_proxy", "v3_2_elasticnetwine_loggedmodels"):
        root = workspace.root / "mlruns"
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(shared_data / "mlruns" / name, root)
        local, remote = moving.moved(root)
        counts[name] = (len(local), len(remote))
        assert all(moving.rebase(one) for one in local)
        assert moving.moved(root)[0] == []
    assert counts["v2_2_elasticnetwine"] == (4, 0)
    assert counts["v3_2_elasticnetwine_loggedmodels"][0] == 11


def test_a_store_of_0_5_keeps_its_way_of_writing(store_0_5: FileStore) -> None:  # noqa: F811
    local, _ = moving.moved(store_0_5.root)
    assert all(moving.rebase(one) for one in local)
    (run,) = [run for run in map(store_0_5.read, store_0_5.places()) if run.run_id == ENDED]
    assert run.artifact_uri == str(store_0_5.root / "1" / ENDED / "artifacts")


def test_a_folded_value_is_replaced_as_a_whole(tmp_path: Path) -> None:
    root = tmp_path / "mlruns"
    put_experiment(root)
    run = put_run(root, "x")
    old = f"/home/{'a very long name ' * 9}/mlruns/1/{RUN}/artifacts"
    values = yaml.safe_load((run / "meta.yaml").read_bytes()) | {"artifact_uri": old}
    (run / "meta.yaml").write_text(yaml.safe_dump(values))
    assert "\n  " in (run / "meta.yaml").read_text()
    (found,) = moving.moved(root)[0]
    assert moving.rebase(found)
    expected = values | {"artifact_uri": str(run / "artifacts")}
    assert yaml.safe_load((run / "meta.yaml").read_bytes()) == expected


def test_a_copy_is_told_and_led_to_its_own_artefacts(tmp_path: Path) -> None:
    original = tmp_path / "w" / "mlruns"
    with Workspace.create(tmp_path / "w", actor="tester") as workspace:
        put_moved_experiment(original, f"file://{original}/1")
        run = put_run(original, f"file://{original}/1/{RUN}/artifacts", plot="x")
        assert findings(workspace) == []
    shutil.copytree(tmp_path / "w", tmp_path / "c")
    (tmp_path / "alias").symlink_to(tmp_path / "w")
    before = {file: file.read_bytes() for file in original.rglob("*") if file.is_file()}
    copied = tmp_path / "c" / "mlruns"
    with Workspace.open(tmp_path / "c", actor="tester") as workspace:
        (found,) = findings(workspace)
        assert (found.code, found.is_repaired) == ("artifacts_moved", False)
        assert found.message.startswith("2 URIs of artefacts")
        (found,) = findings(workspace, repair=True)
        assert found.is_repaired
        assert findings(workspace) == []
    meta = yaml.safe_load((copied / "1" / RUN / "meta.yaml").read_bytes())
    assert meta["artifact_uri"] == (copied / "1" / RUN / "artifacts").as_uri()
    with Workspace.open(tmp_path / "alias", actor="tester") as workspace:
        assert findings(workspace) == []  # another name of the same store
    assert {file: file.read_bytes() for file in before} == before
    (copied / "1" / RUN / "artifacts" / "plot").unlink()
    (copied / "1" / RUN / "meta.yaml").write_bytes((run / "meta.yaml").read_bytes())
    with Workspace.open(tmp_path / "c", actor="tester") as workspace:
        assert findings(workspace) == []  # its artefacts lie in the original only


def test_what_is_not_moved_is_left_alone(tmp_path: Path, workspace: Workspace) -> None:
    root = workspace.root / "mlruns"
    put_experiment(root)
    there = tmp_path / "other" / "mlruns" / "1" / RUN / "artifacts"
    there.mkdir(parents=True)
    put_run(root, str(there), plot="x")
    assert findings(workspace) == []  # both are there: a copy
    shutil.rmtree(root / "1" / RUN)
    put_run(root, f"/mnt/not-mounted/1/{RUN}/artifacts")
    assert findings(workspace) == []  # nothing says that the store was there


def test_a_server_or_bucket_is_explained_and_left(workspace: Workspace) -> None:
    root = workspace.root / "mlruns"
    put_experiment(root)
    run = put_run(root, OLD["server"], plot="x")
    before = (run / "meta.yaml").read_bytes()
    (found,) = findings(workspace, repair=True)
    assert (found.code, found.severity) == ("artifacts_remote", "note")
    assert OLD["server"] in found.message
    assert (run / "meta.yaml").read_bytes() == before


def test_a_store_that_is_not_the_workspaces_own_is_left(tmp_path: Path) -> None:
    root = tmp_path / "shared" / "mlruns"
    put_experiment(root)
    run = put_run(root, OLD["posix"], plot="x")
    before = (run / "meta.yaml").read_bytes()
    with Workspace.create(tmp_path / "ws", tracking_uri=root.as_uri(), actor="t") as workspace:
        (found,) = findings(workspace, repair=True)
    assert (found.code, found.is_repaired) == ("artifacts_moved", False)
    assert "not the workspace's own" in found.fix
    assert (run / "meta.yaml").read_bytes() == before


def test_a_meta_that_changes_meanwhile_is_left(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = workspace.root / "mlruns"
    put_experiment(root)
    run = put_run(root, OLD["posix"], plot="x")
    (found,) = moving.moved(root)[0]
    write = moving._write

    def write_late(*arguments: Any) -> None:
        write(*arguments)
        with (run / "meta.yaml").open("a") as stream:
            stream.write("end_time: 5\n")

    monkeypatch.setattr(moving, "_write", write_late)
    assert not moving.rebase(found)
    assert "end_time: 5" in (run / "meta.yaml").read_text()
    assert OLD["posix"] in (run / "meta.yaml").read_text()
    assert not list(run.glob(".*"))
