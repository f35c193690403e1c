"""SQLite files of MLflow's SQL store, from its first schema to today's."""

from __future__ import annotations

import math
import os
import shutil
import sqlite3
import time
import warnings
from collections.abc import Iterator
from contextlib import closing
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

from local_stack.errors import UnexpectedError
from local_stack.runs import records, syncing
from local_stack.runs.relation import EXPERIMENTS, HISTORY, MODELS, RUNS
from local_stack.stores.mlflow_stores.opening import opened
from local_stack.stores.mlflow_stores.records import StoredRun, UnreadableError
from local_stack.stores.mlflow_stores.sql_store import SqlStore
from local_stack.workspace import Workspace

REVISIONS = {
    "0.9": "",
    "1.0": "451aebb31d03",
    "1.1": "df50e92ffc5e",
    "1.4": "89d4b8295536",
    "1.27": "0c779009ac13",
    "2.0": "97727af70f4d",
    "2.4": "7f2a7d5fae7d",
    "3.0": "400f98739977",
    "today": "head",
}
"""MLflow versions and the migration of the schema that they made, as MLflow's own names it."""


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Empty stores of every schema, made by MLflow's own migrations."""
    import alembic.command
    import sqlalchemy
    from mlflow.store.db.utils import _get_alembic_config
    from mlflow.store.tracking.dbmodels.initial_models import Base

    folder = tmp_path_factory.mktemp("schemas")
    file = folder / "growing.db"
    engine = sqlalchemy.create_engine(f"sqlite:///{file}")
    Base.metadata.create_all(engine)
    found = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for version, revision in REVISIONS.items():
            if revision:
                alembic.command.upgrade(_get_alembic_config(f"sqlite:///{file}"), revision)
            found[version] = shutil.copy(file, folder / f"{version}.db")
    engine.dispose()
    return found


@pytest.fixture(scope="module")
def sample(schemas: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store of today, filled by MLflow itself."""
    file = tmp_path_factory.mktemp("sql é") / "mlflow #1.db"
    shutil.copy(schemas["today"], file)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(file.parent)
        write_sample(f"sqlite:///{file}")
    return f"sqlite:///{file}"


def test_experiments_are_those_that_mlflow_reads(sample: str) -> None:
    expected = mlflow_experiments(sample)
    assert len(expected) == 3
    assert our_experiments(opened(sample)) == expected


def test_runs_are_those_that_mlflow_reads(sample: str) -> None:
    expected = mlflow_runs(sample)
    assert len(expected) == 5
    assert our_runs(opened(sample)) == expected


def test_logged_models_are_those_that_mlflow_reads(sample: str) -> None:
    expected = mlflow_models(sample)
    assert len(expected) == 2
    assert our_models(opened(sample)) == expected


def put(file: Path, table: str, **values: Any) -> None:
    """Insert a row with those of ``values`` that the table has columns for, if it is there."""
    with closing(sqlite3.connect(file)) as database, database:
        known = {row[1] for row in database.execute(f"PRAGMA table_info({table})")}
        names = [name for name in values if name in known]
        if names:
            database.execute(
                f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})",
                [values[name] for name in names],
            )


def fill(file: Path) -> None:
    """Write a run into a store of any schema."""
    put(
        *(file, "experiments"),
        **{"experiment_id": 7, "name": "wine", "artifact_location": "/old/7"},
        **{"lifecycle_stage": "active", "creation_time": 5, "last_update_time": 6},
    )
    put(file, "experiment_tags", experiment_id=7, key="team", value="red")
    put(
        *(file, "runs"),
        **{"run_uuid": "a" * 32, "name": "", "source_type": "LOCAL", "user_id": "ann"},
        **{"source_name": "train.py", "entry_point_name": "main", "source_version": ""},
        **{"status": "FINISHED", "start_time": 1_000, "end_time": 2_000},
        **{"lifecycle_stage": "deleted", "artifact_uri": "/old/7/a/artifacts"},
        **{"experiment_id": 7, "deleted_time": 3_000},
    )
    put(file, "tags", run_uuid="a" * 32, key="mlflow.runName", value="first")
    put(file, "params", run_uuid="a" * 32, key="depth", value="3")
    for at, value, step, is_nan in ((10, 0.5, 0, 0), (20, 0.25, 1, 0), (30, 0, 2, 1)):
        run = {"run_uuid": "a" * 32, "key": "rmse", "timestamp": at, "step": step}
        put(file, "metrics", **run, value=value, is_nan=is_nan)
        if step == 2:
            put(file, "latest_metrics", **run, value=value, is_nan=is_nan)
    taken = {"source_type": "DATASET", "source_id": "d1", "destination_type": "RUN"}
    put(file, "inputs", input_uuid="i1", **taken, destination_id="a" * 32)
    put(file, "input_tags", input_uuid="i1", name="mlflow.data.context", value="train")
    put(
        *(file, "datasets"),
        **{"dataset_uuid": "d1", "experiment_id": 7, "name": "wine", "digest": "abc"},
        **{"dataset_source_type": "local", "dataset_source": "wine.csv"},
    )


@pytest.mark.parametrize("version", REVISIONS)
def test_a_store_of_every_schema_is_read(
    schemas: dict[str, Path], tmp_path: Path, version: str
) -> None:
    file = Path(shutil.copy(schemas[version], tmp_path))
    fill(file)
    versions = list(REVISIONS)
    at = versions.index(version)
    store = SqlStore(file)
    (experiment,) = [one for one in store.experiments() if one.experiment_id == "7"]
    assert (experiment.name, experiment.artifact_location) == ("wine", "/old/7")
    has_times = at >= versions.index("2.0")
    assert (experiment.created_ms, experiment.updated_ms) == ((5, 6) if has_times else (None, None))
    assert experiment.tags == ({"team": "red"} if at >= versions.index("1.1") else {})
    (run,) = store.read_all(store.places())
    assert run.problem is None
    assert (run.run_id, run.experiment_id, run.name, run.user) == ("a" * 32, "7", "first", "ann")
    assert (run.status, run.lifecycle) == ("FINISHED", "deleted")
    assert (run.started_ms, run.ended_ms) == (1_000, 2_000)
    assert run.params == {"depth": "3"}
    has_steps = at >= versions.index("1.0")
    steps = [(row[1], row[2]) for row in sorted(run.history, key=lambda row: row[2])]
    assert steps == [(0, 10), (1 if has_steps else 0, 20), (2 if has_steps else 0, 30)]
    if version in ("0.9", "1.0"):  # which knew no NaN
        assert run.metrics == {"rmse": 0.0}
    else:
        assert math.isnan(run.metrics["rmse"])
    dataset = {
        "name": "wine",
        "digest": "abc",
        "source_type": "local",
        "source": "wine.csv",
        "context": "train",
    }
    assert run.datasets == ([dataset] if at >= versions.index("2.4") else [])
    assert store.models() == []


@pytest.fixture
def file(schemas: dict[str, Path], tmp_path: Path) -> Path:
    found = Path(shutil.copy(schemas["today"], tmp_path / "mlflow.db"))
    fill(found)
    return found


@pytest.fixture
def pointed(file: Path, tmp_path: Path) -> Iterator[Workspace]:
    """A workspace that points at a SQLite store."""
    with Workspace.create(
        tmp_path / "ws", tracking_uri=f"sqlite:///{file}", actor="tester"
    ) as workspace:
        yield workspace


def execute(file: Path, sql: str, *values: Any) -> None:
    with closing(sqlite3.connect(file)) as database, database:
        database.execute(sql, values)


def settle(file: Path) -> None:
    """Let a store look as if nobody had written into it lately."""
    earlier = time.time_ns() - 5_000_000_000
    os.utime(file, ns=(earlier, earlier))


def test_the_index_mirrors_a_sqlite_store(pointed: Workspace, file: Path) -> None:
    done = syncing.sync(pointed)
    assert (done.n_runs, done.n_read) == (1, 1)
    assert done.store == f"sqlite:///{file}"
    (row,) = pointed.query(f"SELECT * FROM {RUNS}")
    assert (row["run_id"], row["experiment"], row["name"]) == ("a" * 32, "wine", "first")
    assert (row["params"], row["started_at"]) == ({"depth": "3"}, "1970-01-01T00:00:01.000000Z")
    assert row["datasets"][0]["name"] == "wine"
    assert len(pointed.query(f"SELECT * FROM {HISTORY}")) == 3
    assert {row["experiment_id"] for row in pointed.query(f"SELECT * FROM {EXPERIMENTS}")} >= {"7"}
    found = records.search(pointed, "params.depth = '3'", state="all")
    assert [run.run_id for run in found.runs] == ["a" * 32]


CHANGES = {
    "an overwritten tag": "UPDATE tags SET value = 'other' WHERE key = 'mlflow.runName'",
    "a removed tag": "DELETE FROM tags",
    "a new param": f"INSERT INTO params VALUES ('a', 'b', '{'a' * 32}')",
    "an older value of a metric": (
        "INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan) "
        f"VALUES ('rmse', 9, 1, '{'a' * 32}', 0, 0)"
    ),
    "a status": "UPDATE runs SET status = 'FAILED' WHERE end_time = 2000",
    "a restored run": "UPDATE runs SET lifecycle_stage = 'active' WHERE end_time = 2000",
    "a dataset less": "DELETE FROM inputs",
    "a context": "UPDATE input_tags SET value = 'test'",
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changed_is_read_again(pointed: Workspace, file: Path, change: str) -> None:
    put(file, "runs", run_uuid="b" * 32, experiment_id=7, status="FINISHED")
    settle(file)
    assert syncing.sync(pointed).n_read == 2
    stamps = pointed.run_index.stamps()
    assert syncing.sync(pointed).n_read == 0
    assert pointed.run_index.stamps() == stamps
    execute(file, CHANGES[change])
    assert syncing.sync(pointed).n_read == 1
    store = SqlStore(file)
    (expected,) = [run for run in store.read_all(store.places()) if run.run_id == "a" * 32]
    (row,) = pointed.query(f"SELECT * FROM {RUNS} WHERE run_id = ?", "a" * 32)
    assert row["tags"] == expected.tags
    assert row["params"] == expected.params
    assert (row["status"], row["lifecycle"]) == (expected.status, expected.lifecycle)
    assert [one["context"] for one in row["datasets"]] == [
        one["context"] for one in expected.datasets
    ]
    assert len(pointed.query(f"SELECT * FROM {HISTORY}")) == len(expected.history)


def test_a_store_that_did_not_change_is_not_looked_at(
    pointed: Workspace, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(file)
    syncing.sync(pointed)

    def places(store: SqlStore) -> None:
        raise AssertionError("looked at")

    monkeypatch.setattr(SqlStore, "places", places)
    assert syncing.sync(pointed).n_runs == 1
    execute(file, "DELETE FROM tags")
    with pytest.raises(UnexpectedError, match="looked at"):
        syncing.sync(pointed)


def test_a_removed_run_is_gone(pointed: Workspace, file: Path) -> None:
    syncing.sync(pointed)
    execute(file, "DELETE FROM runs")
    done = syncing.sync(pointed)
    assert (done.n_runs, done.n_gone) == (0, 1)
    assert pointed.query(f"SELECT * FROM {RUNS}") == []


def test_a_store_that_is_gone_or_damaged_leaves_what_was_indexed(
    pointed: Workspace, file: Path
) -> None:
    syncing.sync(pointed)
    data = file.read_bytes()
    for broken in (b"no database at all" * 99, data[: len(data) // 2], b""):
        file.write_bytes(broken)
        if broken:
            with pytest.raises(UnreadableError, match="cannot be read"):
                SqlStore(file).signature(SqlStore(file).places()[0], "files")
    file.unlink()
    pointed.run_index.looked = (0.0, 0.0, -1)
    (warning,) = syncing.before_reading(pointed)
    assert f"{file} is not there; it is shown as it was at 20" in warning
    assert len(pointed.query(f"SELECT * FROM {RUNS}")) == 1


def test_a_writer_at_work_keeps_no_reader_out_and_the_other_way_round(file: Path) -> None:
    execute(file, "PRAGMA journal_mode = WAL")
    store = SqlStore(file)
    with closing(sqlite3.connect(file, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE tags SET value = 'half'")
        runs = store.read_all(store.places())
        run = next(runs)
        assert run.name == "first"
        writer.execute("COMMIT")
        assert [one.name for one in store.read_all(store.places())] == ["half"]
        runs.close()  # type: ignore[attr-defined]


def test_nothing_is_written_and_no_view_is_run(file: Path) -> None:
    execute(file, "DROP TABLE params")
    execute(
        file,
        "CREATE VIEW params AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
        "SELECT 'aa' AS run_uuid, 'k' AS key, i AS value FROM n",
    )
    before = file.read_bytes()
    store = SqlStore(file)
    (run,) = store.read_all(store.places())
    assert run.params == {}
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.glob("mlflow.db*")] == ["mlflow.db"]


def test_a_folder_that_cannot_be_written_is_read(file: Path, unprivileged: Path) -> None:
    os.seteuid(os.getuid())
    execute(file, "PRAGMA journal_mode = WAL")
    folder = unprivileged / "store"
    folder.mkdir()
    copy = Path(shutil.copy(file, folder))
    copy.chmod(0o444)
    folder.chmod(0o555)
    if os.getuid() == 0:
        os.seteuid(65534)
    store = SqlStore(copy)
    (run,) = store.read_all(store.places())
    assert run.name == "first"
    assert os.listdir(folder) == ["mlflow.db"]  # noqa: PTH208


def odd_run(file: Path, **values: Any) -> StoredRun:
    put(file, "runs", run_uuid="odd", experiment_id=7, **values)
    store = SqlStore(file)
    (run,) = [run for run in store.read_all(store.places()) if run.run_id == "odd"]
    return run


def test_odd_values_are_told_or_left_out(file: Path) -> None:
    execute(file, "PRAGMA ignore_check_constraints = 1")
    run = odd_run(file, name=b"\xff", start_time="soon", end_time=2.5)
    put(file, "metrics", run_uuid="odd", key="m", value="high", timestamp="x", step=1, is_nan=0)
    assert "is no status" in (run.problem or "")
    assert (run.name, run.started_ms, run.ended_ms) == ("", None, 2)
    store = SqlStore(file)
    (run,) = [run for run in store.read_all(store.places()) if run.run_id == "odd"]
    assert repr(run.history) == "[('m', 1, 0, nan)]"


def test_text_that_is_none_is_read_as_far_as_it_goes(file: Path) -> None:
    execute(file, "UPDATE tags SET value = CAST(x'61ff62' AS TEXT)")
    execute(file, "UPDATE params SET value = ?", "a\0b\ud7ff")
    store = SqlStore(file)
    (run,) = store.read_all(store.places())
    assert run.tags["mlflow.runName"] == "a\ufffdb"
    assert run.params["depth"] == "a\0b\ud7ff"
    assert store.signature(store.places()[0], "files")


def test_artefacts_lie_where_the_uri_says_or_where_both_were_moved(file: Path) -> None:
    base = file.parent
    folder = base / "out" / "artifacts"
    folder.mkdir(parents=True)
    (folder / "plot.txt").write_text("x")
    run = odd_run(file, status="RUNNING", artifact_uri=str(folder))
    assert (run.artifact_folder, run.artifacts) == (folder, [("plot.txt", 1)])
    moved = base / "mlruns" / "7" / ("a" * 32) / "artifacts"
    moved.mkdir(parents=True)
    store = SqlStore(file)
    runs = {run.run_id: run for run in store.read_all(store.places())}
    assert runs["a" * 32].artifact_folder == moved


@pytest.mark.parametrize(
    "uri",
    ["/etc", "file:///etc", "../../../etc", "{base}/../../etc", "{base}/link/ssl", "s3://b/x"],
)
def test_an_artefact_uri_does_not_lead_out(file: Path, uri: str) -> None:
    (file.parent / "link").symlink_to("/etc")
    run = odd_run(file, status="RUNNING", artifact_uri=uri.format(base=file.parent))
    assert (run.artifact_folder, run.artifacts) == (None, [])


def test_logged_models_are_in_the_index(sample: str, tmp_path: Path) -> None:
    with Workspace.create(tmp_path / "ws", tracking_uri=sample, actor="tester") as workspace:
        syncing.sync(workspace)
        found = workspace.query(f"SELECT name, status, params FROM {MODELS} ORDER BY name")
        assert found == [
            {"name": "forest", "status": "READY", "params": {"depth": "3"}},
            {"name": "pending", "status": "PENDING", "params": {}},
        ]


def test_a_logged_model_that_changed_alone_is_read_again(pointed: Workspace, file: Path) -> None:
    put(
        *(file, "logged_models"),
        **{"model_id": "m-1", "experiment_id": 7, "name": "forest", "artifact_location": "x"},
        **{"creation_timestamp_ms": 1, "last_updated_timestamp_ms": 1, "status": 1},
    )
    syncing.sync(pointed)
    assert pointed.query(f"SELECT status FROM {MODELS}") == [{"status": "PENDING"}]
    execute(file, "UPDATE logged_models SET status = 2")
    syncing.sync(pointed)
    assert pointed.query(f"SELECT status FROM {MODELS}") == [{"status": "READY"}]


def test_a_search_is_that_of_mlflow(sample: str, tmp_path: Path) -> None:
    with Workspace.create(tmp_path / "ws", tracking_uri=sample, actor="tester") as workspace:
        for text in (
            "metrics.loss < 1",
            "params.`x y` LIKE '%DROP%'",
            "attributes.status = 'RUNNING'",
        ):
            with client(sample) as store:
                ids = [found.experiment_id for found in store.search_experiments(view_type=3)]
                expected = {run.info.run_id for run in store.search_runs(ids, text)}
            assert {run.run_id for run in records.search(workspace, text).runs} == expected
