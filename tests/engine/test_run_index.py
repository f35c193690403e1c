"""The run index: what plain MLflow clients wrote is found, and what changed is found again."""

from __future__ import annotations

import fcntl
import json
import shutil
import time
from pathlib import Path

import pytest
from run_store_kit import put_experiment, put_run, run_id

from local_stack import doctor
from local_stack.errors import UnavailableError
from local_stack.runs import records, syncing
from local_stack.runs.relation import EXPERIMENTS, HISTORY, RUNS
from local_stack.stores.run_index import reading
from local_stack.stores.run_index.generations import BASE
from local_stack.workspace import Workspace

TRUTH = ("v2_2_elasticnetwine", "v2_3_stages_proxy", "v3_2_elasticnetwine_loggedmodels")


@pytest.fixture
def store(workspace: Workspace) -> Path:
    root = workspace.root / "mlruns"
    put_experiment(root)
    for number in range(3):
        put_run(root, run_id(number))
    time.sleep(2 * reading._CLOCK_NS / 1e9)  # what changed a moment ago is read twice
    return root


def test_runs_of_other_tools_are_found_with_everything(workspace: Workspace, store: Path) -> None:
    assert syncing.sync(workspace).n_read == 3
    found = workspace.query(f"SELECT * FROM {RUNS} WHERE run_id = ?", run_id(1))[0]
    assert found["experiment"] == "wine"
    assert found["params"] == {"model": "tree"}
    assert found["metrics"] == {"rmse": 0.25}
    assert found["tags"] == {"team": "red"}
    assert found["status"] == "FINISHED"
    assert found["started_at"] == "2020-09-13T12:26:40.000000Z"
    assert found["artifact_folder"] == str(store / "1" / run_id(1) / "artifacts")
    history = workspace.query(f"SELECT step, value FROM {HISTORY} WHERE run_id = ?", run_id(1))
    assert history == [{"step": 0, "value": 0.5}, {"step": 1, "value": 0.25}]
    assert workspace.query(f"SELECT name, n_runs FROM {EXPERIMENTS}") == [
        {"name": "wine", "n_runs": 3}
    ]
    assert records.search(workspace, "metrics.rmse < 1 and params.model = 'tree'").total == 3


def test_nothing_changed_reads_nothing(workspace: Workspace, store: Path) -> None:
    syncing.sync(workspace)
    stamp = workspace.run_index.stamps()
    assert syncing.sync(workspace).n_read == 0
    assert workspace.run_index.stamps() == stamp


def test_what_changed_is_seen(workspace: Workspace, store: Path) -> None:
    syncing.sync(workspace)
    (store / "1" / run_id(0) / "tags" / "team").write_text("blue")
    with (store / "1" / run_id(1) / "metrics" / "rmse").open("a") as stream:
        stream.write("1600000002000 0.125 2\n")
    put_run(store, run_id(7))
    shutil.rmtree(store / "1" / run_id(2))
    done = syncing.sync(workspace)
    assert (done.n_read, done.n_gone) == (3, 1)
    rows = {row["run_id"]: row for row in workspace.query(f"SELECT * FROM {RUNS}")}
    assert rows.keys() == {run_id(0), run_id(1), run_id(7)}
    assert rows[run_id(0)]["tags"] == {"team": "blue"}
    assert rows[run_id(1)]["metrics"] == {"rmse": 0.125}


def test_a_broken_run_is_listed_as_such(workspace: Workspace, store: Path) -> None:
    (store / "1" / run_id(2) / "meta.yaml").write_text("")
    syncing.sync(workspace)
    rows = {row["run_id"]: row for row in workspace.query(f"SELECT * FROM {RUNS}")}
    assert rows[run_id(2)]["problem"]
    assert rows[run_id(0)]["problem"] is None


def test_the_index_may_be_deleted_or_damaged(workspace: Workspace, store: Path) -> None:
    syncing.sync(workspace)
    base = workspace.root / "cache" / BASE
    base.write_bytes(b"junk" * 5000)
    assert workspace.query("SELECT * FROM endpoints") == []  # who does not ask is not told
    with pytest.raises(UnavailableError, match="was damaged"):
        workspace.query(f"SELECT * FROM {RUNS}")
    assert syncing.sync(workspace).n_read == 3
    base.write_bytes(b"junk" * 5000)
    assert syncing.sync(workspace).n_read == 3
    base.unlink()
    assert syncing.sync(workspace).n_read == 3
    assert len(workspace.query(f"SELECT * FROM {RUNS}")) == 3


def test_a_search_sees_what_a_notebook_just_wrote(workspace: Workspace, store: Path) -> None:
    assert records.search(workspace).total == 3
    put_run(store, run_id(9))
    while records.search(workspace).total != 4:  # within the pause that questions share
        pass
    assert records.show(workspace, run_id(9)).status == "FINISHED"


def test_a_store_that_is_gone_leaves_what_was_indexed(workspace: Workspace, store: Path) -> None:
    syncing.sync(workspace)
    store.rename(store.with_name("away"))
    workspace.run_index.looked = (0.0, 0.0, -1)  # the pause that questions share is over
    assert "is shown as it was at 20" in syncing.before_reading(workspace)[0]
    assert len(workspace.query(f"SELECT * FROM {RUNS}")) == 3


def test_many_runs_are_read_by_several_processes(workspace: Workspace) -> None:
    root = workspace.root / "mlruns"
    put_experiment(root)
    for number in range(600):
        put_run(root, run_id(number))
    assert syncing.sync(workspace).n_read == 600
    assert workspace.query(f"SELECT count(*) AS n FROM {HISTORY}")[0]["n"] == 1200


@pytest.mark.parametrize("name", TRUTH)
def test_real_stores_equal_what_mlflow_reads(tmp_path: Path, shared_data: Path, name: str) -> None:
    truth = json.loads((shared_data / "truth" / "mlruns" / f"{name}.json").read_text())
    uri = (shared_data / "mlruns" / name).as_uri()
    with Workspace.create(tmp_path / "ws", tracking_uri=uri, actor="tester") as workspace:
        syncing.sync(workspace)
        found = {row["run_id"]: row for row in workspace.query(f"SELECT * FROM {RUNS}")}
    runs = truth["runs"]
    assert found.keys() == runs.keys()
    for run, expected in runs.items():
        for key in ("params", "metrics", "lifecycle", "status", "artifact_uri", "parent", "name"):
            assert found[run][key] == expected[key], (run, key)
        assert len(found[run]["tags"]) == expected["n_tags"]


def test_while_another_process_syncs_what_is_published_is_shown(
    workspace: Workspace, store: Path
) -> None:
    syncing.sync(workspace)
    put_run(store, run_id(9))
    with (workspace.root / "cache" / "run-index.lock").open("r+") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert syncing.sync(workspace).is_busy
        assert len(workspace.query(f"SELECT run_id FROM {RUNS}")) == 3
    assert syncing.sync(workspace).n_read == 1


def test_what_a_killed_sync_left_hurts_nothing(workspace: Workspace, store: Path) -> None:
    syncing.sync(workspace)
    left = workspace.root / "cache" / "run-index.tmp-1a2b"
    left.mkdir()
    (left / "next.duckdb").write_bytes(b"half")
    (left / "runs-3.json").write_text('{"run_id": "ha')
    put_run(store, run_id(9))
    assert syncing.sync(workspace).n_read == 1
    assert len(workspace.query(f"SELECT run_id FROM {RUNS}")) == 4
    assert not left.exists()


@pytest.mark.parametrize("is_damaged", [False, True])
def test_the_doctor_builds_the_index_anew(
    workspace: Workspace, store: Path, is_damaged: bool
) -> None:
    syncing.sync(workspace)
    if is_damaged:
        workspace.run_index.base.write_bytes(b"junk" * 5000)
    before = workspace.run_index.stamps()
    doctor.check(workspace, reindex=True)
    assert workspace.run_index.stamps() != before
    assert workspace.run_index.is_whole()
    assert len(workspace.query(f"SELECT run_id FROM {RUNS}")) == 3


def test_who_comes_while_another_process_makes_the_first_index_is_told(
    workspace: Workspace, store: Path
) -> None:
    with (workspace.root / "cache" / "run-index.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        found = records.search(workspace)
        assert found.total == 0
        assert "another process is at it" in found.warnings[0]
        assert "only the journal's runs are shown" in found.warnings[0]
    workspace.run_index.looked = (0.0, 0.0, -1)
    found = records.search(workspace)
    assert (found.total, found.warnings) == (3, ())
