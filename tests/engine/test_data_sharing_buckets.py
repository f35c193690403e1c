"""Buckets and other file systems are remotes as folders are."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest
from s3_kit import BUCKET, client
from sharing_kit import pull, push, read, states, stopping
from versions_kit import add

from local_stack.catalog import call
from local_stack.errors import Cancelled, DamagedError, UnavailableError
from local_stack.progress import Step
from local_stack.stores.artifacts import stored
from local_stack.stores.depots import depot
from local_stack.workspace import Workspace


@pytest.fixture
def bucket(s3_environment: dict[str, str], tmp_path: Path) -> str:
    return f"s3://{BUCKET}/{tmp_path.name}"


def keys(server: Any, url: str) -> list[str]:
    root = url.removeprefix("s3://")
    return sorted(p.removeprefix(f"{root}/") for p in client(server.url).find(root))


def test_a_bucket_is_a_remote(workspace, other, bucket, s3_server):
    add(workspace, "wine", "a,b\n1,x\n2,y\n", tag="golden")
    pushed = push(workspace, bucket)
    assert (states(pushed), pushed.objects) == (["pushed"], 2)
    assert states(push(workspace, bucket)) == ["present"]
    assert states(pull(other, bucket)) == ["pulled"]
    assert read(other, "wine@golden").equals(read(workspace, "wine"))
    places = [key for key in keys(s3_server, bucket) if key.startswith("files/md5/")]
    root = bucket.removeprefix("s3://")
    files = client(s3_server.url)
    data = files.cat_file(f"{root}/{places[0]}")
    files.pipe_file(f"{root}/{places[0]}", bytes([data[0] ^ 1]) + data[1:])
    mended = push(workspace, bucket, verify=True)
    assert (states(mended), mended.objects) == (["pushed"], 1)
    files.rm_file(f"{root}/{places[1]}")
    with Workspace.create(other.root.parent / "third") as third:
        with pytest.raises(DamagedError):
            pull(third, bucket)
        assert third.query("SELECT * FROM data_versions") == []
        push(workspace, bucket, verify=True)
        assert states(pull(third, bucket)) == ["pulled"]


def test_a_workspace_that_keeps_its_artefacts_there_sends_manifests_only(
    bucket, s3_server, tmp_path
):
    with Workspace.create(tmp_path / "ws", artifacts=bucket) as workspace:
        add(workspace, "wine", "a,b\n1,x\n2,y\n")
        before = keys(s3_server, bucket)
        pushed = push(workspace, bucket)
        assert (states(pushed), pushed.objects, pushed.bytes) == (["pushed"], 0, 0)
        new = set(keys(s3_server, bucket)) - set(before)
        assert len(new) == 1
        assert new.pop().startswith("paceml/data/")
        assert states(push(workspace, bucket)) == ["present"]
        with Workspace.create(tmp_path / "second", artifacts=bucket) as second:
            pulled = pull(second, bucket)
            assert (states(pulled), pulled.objects) == (["pulled"], 0)
            assert read(second, "wine").equals(read(workspace, "wine"))


@pytest.mark.slow
def test_a_big_object_goes_in_parts_with_progress_and_leaves_none_when_it_is_stopped(
    workspace, bucket, s3_server, tmp_path, monkeypatch
):
    monkeypatch.setattr("local_stack.data.sharing.remotes._TICK_SECONDS", 0)
    big = tmp_path / "big.bin"
    big.write_bytes(random.Random(0).randbytes(150_000_000))
    blob = workspace.artifacts.put_file(big)
    added = add(workspace, "t", "x\n1\n")
    row = {**workspace.get("data_versions", "t", added.version), "original": blob.to_dict()}
    from local_stack.stores.journal import Draft

    workspace.append(lambda _: Draft("data.added", "data:t", {}, [("data_versions", row)]))
    place = depot(bucket)
    with pytest.raises(Cancelled):
        call(workspace, "data.push", {"remote": bucket}, progress=stopping(1))
    assert place.unfinished("files/md5/") == []
    assert place.look(stored(row["original"])[0].key) is None
    steps: list[Step] = []
    call(workspace, "data.push", {"remote": bucket}, progress=steps.append)
    done = [step.done for step in steps if step.label.startswith("Pushing")]
    assert len({n for n in done if 0 < n < blob.size}) >= 1
    assert done == sorted(done)
    found = place.look(stored(row["original"])[0].key)
    assert found is not None
    assert found.size == blob.size


def test_a_bucket_that_is_not_there_or_does_not_answer_is_a_sentence(
    workspace, s3_environment, monkeypatch
):
    import s3fs

    add(workspace, "a", "x\n1\n")
    with pytest.raises(UnavailableError, match="s3://nosuchbucket/x") as caught:
        push(workspace, "s3://nosuchbucket/x")
    assert caught.value.exit_code == 3
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(UnavailableError, match="did not take part"):
        pull(workspace, f"s3://{BUCKET}/x")


def test_any_other_file_system_will_do(workspace, other):
    url = f"memory://{os.getpid()}-share"
    add(workspace, "a", "x\n1\n")
    assert states(push(workspace, url)) == ["pushed"]
    assert states(push(workspace, url)) == ["present"]
    assert states(pull(other, url)) == ["pulled"]
    assert read(other, "a").height == 1
