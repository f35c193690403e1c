"""Collecting: bytes that nothing refers to go, those of whatever is referred to never do."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
from s3_kit import BUCKET, client
from versions_kit import add

from local_stack.catalog import call
from local_stack.data import versions
from local_stack.data.collecting import Collected, seconds
from local_stack.errors import (
    DamagedError,
    InputError,
    NotFoundError,
    ReadOnlyError,
    RefusedError,
    UnavailableError,
    WorkspaceBusyError,
)
from local_stack.stores import claims
from local_stack.stores.artifacts import Blob
from local_stack.stores.depots import depot
from local_stack.stores.journal import Draft
from local_stack.stores.schema import TABLES
from local_stack.workspace import Workspace


def series(workspace: Workspace, n: int, name: str = "t") -> list[str]:
    return [add(workspace, name, f"x\n{k}\n").version for k in range(n)]


def gc(workspace: Workspace, **options: Any) -> Collected:
    found = call(workspace, "data.gc", {"older_than": "0s", **options})
    assert isinstance(found, Collected)
    return found


def orphan(workspace: Workspace, data: bytes = b"half an import") -> Path:
    return workspace.artifacts.path(workspace.artifacts.put_bytes(data))


def n_objects(workspace: Workspace) -> int:
    return len(depot(workspace.artifacts.url).names("files/md5"))


def assert_readable(workspace: Workspace) -> None:
    for row in workspace.query("SELECT * FROM data_versions WHERE collected_at IS NULL"):
        versions.read(workspace, versions.find(workspace, f"{row['dataset']}@{row['version']}"))
        workspace.artifacts.read(Blob.of(row["original"]))
    assert call(workspace, "doctor.check", {}).healthy


def test_what_a_killed_import_left_goes_once_it_is_old(workspace):
    add(workspace, "t", "x\n1\n")
    path = orphan(workspace)
    size = path.stat().st_size
    assert gc(workspace, older_than="1h").objects == 0
    assert path.exists()
    dry = gc(workspace, dry_run=True)
    assert (dry.is_dry_run, dry.objects, dry.bytes) == (True, 1, size)
    assert path.exists()
    os.utime(path, (time.time() - 4000,) * 2)
    done = gc(workspace, older_than="1h")
    assert [(item.why, item.bytes) for item in done.freed] == [("orphan", size)]
    assert not path.exists()
    assert_readable(workspace)
    (event,) = workspace.query("SELECT body FROM events WHERE kind = 'data.freed'")
    assert (event["body"]["objects"], event["body"]["bytes"]) == (1, size)
    assert gc(workspace).freed == ()


def test_a_clock_that_ran_backwards_makes_nothing_old(workspace):
    path = orphan(workspace)
    os.utime(path, (time.time() + 10_000,) * 2)
    assert gc(workspace).objects == 0
    assert path.exists()


def test_temporary_files_of_killed_writers_go_too(workspace):
    add(workspace, "t", "x\n1\n")
    left = Path(workspace.artifacts.url) / "tmp" / "tmpabcdef"
    left.parent.mkdir(exist_ok=True)
    left.write_bytes(b"x" * 100)
    assert [(item.why, item.bytes) for item in gc(workspace).freed] == [("temporary", 100)]
    assert not left.exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [("30m", 1800), ("1h", 3600), ("7d", 604_800), ("0s", 0), ("1.5h", 5400), ("90", 90)],
)
def test_durations(text, expected):
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "soon", "-1h", "1y", "1e9", "\u0661h", "9" * 40])
def test_what_is_no_duration_is_told(workspace, text):
    with pytest.raises(InputError, match="no duration"):
        gc(workspace, older_than=text)


def test_keep_needs_a_version_and_a_workspace_for_writing(workspace):
    with pytest.raises(InputError, match="keep no version"):
        gc(workspace, keep=0)
    with Workspace.open(workspace.root, readonly=True) as reader, pytest.raises(ReadOnlyError):
        gc(reader)


def test_old_versions_go_and_their_records_stay(workspace):
    found = series(workspace, 5)
    foreseen = gc(workspace, keep=2, dry_run=True)
    done = gc(workspace, keep=2)
    assert [v.version for v in done.versions] == found[:3]
    assert (done.objects, done.bytes) == (foreseen.objects, foreseen.bytes)
    assert foreseen.freed == done.freed
    assert {item.why for item in done.freed} == {"collected"}
    assert done.objects == 6
    assert n_objects(workspace) == 4
    gone = versions.find(workspace, f"t@{found[0]}")
    assert (gone.rows, gone.collected_at is not None) == (1, True)
    for verb in ("data.show", "data.profile"):
        with pytest.raises(NotFoundError, match="were collected at") as caught:
            call(workspace, verb, {"name": f"t@{found[0]}"})
        assert f"paceml-tui data pull --name t@{found[0]}" in caught.value.hint
    with pytest.raises(NotFoundError, match="were collected"):
        call(workspace, "data.checkout", {
            "name": f"t@{found[0]}", "path": str(workspace.root.parent / "o.csv"), "original": True
        })  # fmt: skip
    assert_readable(workspace)
    assert gc(workspace, keep=2).freed == ()


def test_a_collected_version_comes_back_by_pull_and_by_import(workspace, tmp_path):
    found = series(workspace, 3)
    remote = str(tmp_path / "remote")
    call(workspace, "data.push", {"remote": remote})
    gc(workspace, keep=1)
    pushed = call(workspace, "data.push", {"remote": remote})
    assert [v.state for v in pushed.versions] == ["present"] * 3
    empty = call(workspace, "data.push", {"remote": str(tmp_path / "empty"), "name": ["t"]})
    assert [v.state for v in empty.versions] == ["collected", "collected", "pushed"]
    pulled = call(workspace, "data.pull", {"remote": remote, "name": [f"t@{found[0]}"]})
    assert [(v.state, v.objects) for v in pulled.versions] == [("restored", 2)]
    assert versions.find(workspace, f"t@{found[0]}").collected_at is None
    assert add(workspace, "t", "x\n1\n").version == found[1]
    assert versions.find(workspace, f"t@{found[1]}").collected_at is None
    assert_readable(workspace)
    assert [len(depot(remote).names("files/md5"))] == [6]  # a remote is never collected


def refer(workspace: Workspace, table: str, **values: Any) -> None:
    kinds = {"VARCHAR": "x", "BIGINT": 1, "DOUBLE": 1.0, "BOOLEAN": True, "JSON": {}}
    row = {name: kinds[kind] for name, kind in TABLES[table].columns.items()}
    workspace.append(lambda _: Draft("test", "x", {}, [(table, {**row, **values})]))


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("runs", "datasets", lambda v: [{"name": "t", "digest": v, "context": "training"}]),
        ("runs", "recipe", lambda v: {"dataset": f"t@{v}"}),
        ("explanations", "version", lambda v: v),
        ("checks", "version", lambda v: v),
        ("drift_reports", "reference", lambda v: f"t@{v}"),
        ("drift_reports", "current", lambda v: f"t@{v}"),
        ("steps", "result", lambda v: {"version": v}),
        ("data_tags", "version", lambda v: v),
        ("model_versions", "model", lambda v: {"data": [v]}),
        ("endpoints", "model", lambda v: f"made from t@{v}"),
        ("prediction_segments", "model", lambda v: f"t@{v}"),
        ("contracts", "document", lambda v: {"learnt_from": f"t@{v}"}),
    ],
)
def test_whatever_refers_to_a_version_keeps_its_bytes(workspace, table, column, value):
    found = series(workspace, 3)
    refer(workspace, table, **{column: value(found[0])})
    done = gc(workspace, keep=1)
    assert [v.version for v in done.versions] == [found[1]]
    assert [(v.version, bool(v.kept_by)) for v in done.kept] == [(found[0], True)]
    call(workspace, "data.show", {"name": f"t@{found[0]}"})


def test_bytes_that_another_version_or_a_model_has_too_stay(workspace):
    found = series(workspace, 2)
    row = workspace.get("data_versions", "t", found[0])
    add(workspace, "same", "x\n0\n")  # the same bytes under another name
    done = gc(workspace, keep=1)
    assert ([v.version for v in done.versions], done.objects) == ([], 0)  # and the same hash
    twin = {**row, "dataset": "twin", "version": "0" * 16}
    workspace.append(lambda _: Draft("test", "x", {}, [("data_versions", twin)]))
    removed = {**workspace.get("data_versions", "same", found[0]), "version": "1" * 16}
    workspace.append(lambda _: Draft("test", "x", {}, [("data_versions", removed)]))
    refer(workspace, "runs", model={"members": {"a": row["table"]}, "manifest": row["table"]})
    gc(workspace, keep=1)
    assert workspace.artifacts.has(Blob.of(row["table"]))
    assert workspace.artifacts.has(Blob.of(row["original"]))


def test_a_training_keeps_its_data_and_its_model(workspace, tmp_path):
    rows = "\n".join(f"{k},{k % 7},{k * 2 + k % 3}" for k in range(60))
    first = add(workspace, "t", f"a,b,y\n{rows}\n")
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        "experiment: e\ndataset: t\ntarget: y\ntask: regression\n"
        "estimator: sklearn.linear_model.Ridge\nfeatures: []\n"
    )
    run = call(workspace, "runs.train", {"recipe": str(recipe)})
    call(workspace, "explain.model", {"target": run.run_id})
    before = n_objects(workspace)
    for k in range(3):
        add(workspace, "t", f"a,b,y\n{k},1,2\n")
    done = gc(workspace, keep=1)
    assert [v.version for v in done.kept] == [first.version]
    assert n_objects(workspace) == before + 2
    assert call(workspace, "explain.model", {"target": run.run_id}).n_rows == 60


def test_a_damaged_journal_lets_nothing_go(workspace):
    add(workspace, "t", "x\n1\n")
    path = orphan(workspace)
    segment = workspace.root / "journal" / "000001.jsonl"
    data = segment.read_bytes()
    segment.write_bytes(data.replace(b'"x"', b'"y"', 1) if b'"x"' in data else data[:-20] + b"\n")
    with Workspace.open(workspace.root) as opened, pytest.raises(DamagedError):
        gc(opened)
    assert path.exists()


def test_a_store_that_another_workspace_uses_is_left_alone(tmp_path):
    store = str(tmp_path / "store")
    with (
        Workspace.create(tmp_path / "a", artifacts=store) as a,
        Workspace.create(tmp_path / "b", artifacts=store) as b,
    ):
        add(a, "t", "x\n1\n")
        orphan(a)
        assert gc(a, dry_run=True).objects == 1
        add(b, "u", "x\n2\n")
        for workspace in (a, b):
            with pytest.raises(RefusedError, match="also used by 1 other") as caught:
                gc(workspace)
            assert caught.value.exit_code == 4
            with pytest.raises(RefusedError):
                gc(workspace, dry_run=True)
        assert_readable(a)
        marker = Path(store) / "paceml" / "workspaces" / f"{b.identity}.json"
        marker.unlink()  # b is no more, says its owner
        assert [item.why for item in gc(a).freed] == ["orphan"]  # what b put is not a's to take
        assert_readable(b)


def test_objects_that_a_pushed_manifest_names_stay_in_a_store_that_is_a_remote(tmp_path):
    store = str(tmp_path / "store")
    with Workspace.create(tmp_path / "a", artifacts=store) as a:
        series(a, 2)
        call(a, "data.push", {"remote": store})
        assert gc(a, keep=1).objects == 0
        assert n_objects(a) == 4


def test_nobody_stores_in_a_depot_while_somebody_collects_there(workspace, tmp_path):
    add(workspace, "t", "x\n1\n")
    remote = depot(str(tmp_path / "remote"))
    with (
        claims.collecting(remote, "f" * 16),
        pytest.raises(UnavailableError, match="is removing objects"),
    ):
        call(workspace, "data.push", {"remote": str(tmp_path / "remote")})
    with pytest.raises(RefusedError), claims.collecting(remote, "f" * 16):
        pass  # the pusher was there first
    remote.write("paceml/collecting.json", b"{}")  # of a collector that was killed long ago
    os.utime(tmp_path / "remote" / "paceml" / "collecting.json", (1, 1))
    assert call(workspace, "data.push", {"remote": str(tmp_path / "remote")}).n_changed == 1


def test_a_collector_waits_for_who_stores_and_then_says_so(workspace, monkeypatch):
    monkeypatch.setenv("PACEML_JOURNAL_WAIT_SECONDS", "0.2")
    path = orphan(workspace)
    with Workspace.open(workspace.root) as second:
        with workspace.artifacts.holding(), pytest.raises(WorkspaceBusyError, match="in use"):
            gc(second)
        assert path.exists()
        assert gc(second).objects == 1


ADDING = """
    import os, sys
    from pathlib import Path
    from local_stack.catalog import call
    from local_stack.data import versions
    from local_stack.stores.artifacts import Blob
    from local_stack.workspace import Workspace

    out = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    source = Path(sys.argv[2] + ".csv")
    with Workspace.open(sys.argv[1]) as workspace:
        for n in range(int(sys.argv[3])):
            source.write_text(f"x\\n{n % 2}\\n")
            name = Path(sys.argv[2]).name
            added = call(workspace, "data.add", {"name": name, "source": str(source)})
            assert versions.read(workspace, added)["x"].to_list() == [n % 2]
            workspace.artifacts.read(Blob.of(versions.record(workspace, added)["original"]))
            os.write(out, f"{added.reference}\\n".encode())
"""


@pytest.mark.parametrize("n", [15, pytest.param(150, marks=pytest.mark.slow)])
def test_imports_and_collections_at_the_same_time_lose_nothing(workspace, tmp_path, n):
    """The imports store again what was just collected, and is being collected again."""
    words = [sys.executable, "-c", textwrap.dedent(ADDING), str(workspace.root)]
    names = [tmp_path / "one", tmp_path / "two"]
    processes = [subprocess.Popen([*words, str(name), str(n)]) for name in names]
    n_freed = n_rounds = 0
    while any(process.poll() is None for process in processes):
        try:
            n_freed += gc(workspace, keep=1).objects
            n_rounds += 1
        except WorkspaceBusyError:
            pass
        workspace.artifacts.put_bytes(b"bait %d" % n_rounds)
    assert [process.returncode for process in processes] == [0, 0]
    assert (n_rounds > 2, n_freed > 0) == (True, True)
    added = [line for name in names for line in name.read_text().split()]
    assert len(added) == 2 * n
    for name in ("one", "two"):
        assert versions.read(workspace, versions.find(workspace, name)).height == 1
    assert_readable(workspace)


def test_a_bucket_loses_orphans_and_unfinished_uploads_only(s3_environment, s3_server, tmp_path):
    url = f"s3://{BUCKET}/{tmp_path.name}"
    files, root = client(s3_server.url), url.removeprefix("s3://")
    with Workspace.create(tmp_path / "ws", artifacts=url) as workspace:
        found = series(workspace, 2)
        foreign = hashlib.md5(b"dvc's own").hexdigest()
        files.pipe_file(f"{root}/files/md5/{foreign[:2]}/{foreign[2:]}", b"dvc's own")
        workspace.artifacts.put_bytes(b"half an import")
        files.call_s3(
            "create_multipart_upload", Bucket=BUCKET, Key=f"{tmp_path.name}/files/md5/ab/{'c' * 30}"
        )
        assert gc(workspace, older_than="1h").freed == ()
        dry = gc(workspace, dry_run=True, keep=1)
        done = gc(workspace, keep=1)
        assert sorted(i.why for i in done.freed) == ["collected", "collected", "orphan", "upload"]
        assert (done.objects, done.uploads) == (3, 1)
        assert set(dry.freed) == set(done.freed)
        assert depot(url).unfinished("files/md5/") == []
        assert files.exists(f"{root}/files/md5/{foreign[:2]}/{foreign[2:]}")
        with pytest.raises(NotFoundError):
            call(workspace, "data.show", {"name": f"t@{found[0]}"})
        assert_readable(workspace)
        assert not [k for k in files.find(root) if "clock" in k or "collecting" in k]


def test_many_objects_go_in_batches(workspace, monkeypatch):
    monkeypatch.setattr("local_stack.data.collecting._BATCH", 3)
    add(workspace, "t", "x\n1\n")
    dice = random.Random(0)
    for _ in range(10):
        orphan(workspace, dice.randbytes(20))
    assert gc(workspace).objects == 10
    assert_readable(workspace)
