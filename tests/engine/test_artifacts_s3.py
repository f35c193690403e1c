"""Artefacts in a bucket of a real S3 server (SeaweedFS), over the wire."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from s3_kit import BUCKET, Server, client, free_ports

from local_stack.errors import DamagedError, NotFoundError, UnavailableError
from local_stack.stores.artifacts import Artifacts, Blob, fetch


@pytest.fixture
def store(s3_environment: dict[str, str], tmp_path: Path) -> Artifacts:
    return Artifacts(f"s3://{BUCKET}/{tmp_path.name}", tmp_path / "cache")


def keys(s3_server: Server, store: Artifacts) -> list[str]:
    root = store.url.removeprefix("s3://")
    return sorted(path.removeprefix(f"{root}/") for path in client(s3_server.url).find(root))


def test_files_and_folders_go_there_and_come_back(s3_server, store, tmp_path):
    blob = store.put_bytes(b"hello")
    assert keys(s3_server, store) == ["files/md5/5d/41402abc4b2a76b9719d911017c592"]
    assert store.has(blob)
    assert store.read(blob) == b"hello"
    assert store.uri(blob) == f"{store.url}/files/md5/5d/41402abc4b2a76b9719d911017c592"
    assert fetch(store.uri(blob), tmp_path / "fetched").read_bytes() == b"hello"
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.txt").write_bytes(b"1")
    (folder / "sub" / "b.txt").write_bytes(b"2" * 100_000)
    tree = store.put_tree(folder)
    manifest = f"files/md5/{tree.manifest.md5[:2]}/{tree.manifest.md5[2:]}.dir"
    assert manifest in keys(s3_server, store)
    elsewhere = Artifacts(store.url, tmp_path / "other-cache")
    out = elsewhere.checkout(tree, tmp_path / "out")
    assert (out / "sub" / "b.txt").read_bytes() == b"2" * 100_000
    assert not list((tmp_path / "other-cache").rglob(".*"))


def test_what_is_not_there_is_not_found(store, tmp_path):
    absent = Blob(hashlib.md5(b"absent").hexdigest(), hashlib.sha256(b"absent").hexdigest(), 6)
    assert not store.has(absent)
    with pytest.raises(NotFoundError):
        store.read(absent)
    with pytest.raises(NotFoundError, match="nothing at"):
        fetch(f"{store.url}/absent.csv", tmp_path / "copy")


def test_a_tampered_object_is_refused_and_a_spoilt_copy_is_fetched_anew(s3_server, store, tmp_path):
    blob = store.put_bytes(b"weights" * 1000)
    local = store.path(blob)
    local.chmod(0o600)
    local.write_bytes(b"WEIGHTS" * 1000)
    assert store.read(blob) == b"weights" * 1000
    root = store.url.removeprefix("s3://")
    key = f"{root}/files/md5/{blob.md5[:2]}/{blob.md5[2:]}"
    client(s3_server.url).pipe_file(key, b"Weights" * 1000)
    elsewhere = Artifacts(store.url, tmp_path / "other-cache")
    with pytest.raises(DamagedError):
        elsewhere.read(blob)
    client(s3_server.url).pipe_file(key, b"weights" * 1000)  # the bucket is restored
    assert elsewhere.read(blob) == b"weights" * 1000


def test_a_bucket_or_a_key_that_is_wrong_is_a_sentence(s3_environment, monkeypatch, tmp_path):
    import s3fs

    with pytest.raises(UnavailableError, match="s3://nosuchbucket/x"):
        Artifacts("s3://nosuchbucket/x", tmp_path / "cache").put_bytes(b"x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(UnavailableError) as caught:
        Artifacts(f"s3://{BUCKET}/x", tmp_path / "cache").put_bytes(b"x")
    assert "keys" in caught.value.hint
    assert "wrong" not in str(caught.value)


PUTTING = """
    import sys
    from pathlib import Path
    from local_stack import environment

    environment.prepare()
    from local_stack.stores.artifacts import Artifacts

    store = Artifacts(sys.argv[1], Path(sys.argv[2]))
    store.has(store.put_bytes(b"warm"))
    source = Path(sys.argv[2] + ".big")
    source.write_bytes(bytes(range(256)) * (120_000_000 // 256))
    print("putting", flush=True)
    store.put_file(source)
    print("put", flush=True)
"""


@pytest.mark.parametrize("n_kills", [2, pytest.param(50, marks=pytest.mark.slow)])
def test_a_client_killed_in_a_put_leaves_nothing_visible(s3_server, store, tmp_path, n_kills):
    words = [sys.executable, "-c", textwrap.dedent(PUTTING), store.url, str(tmp_path / "c")]
    for kill in range(n_kills):
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "putting\n"
        time.sleep(0.05 + 0.25 * (kill % 4))
        process.kill()
        rest = process.communicate()[0]
        warm = hashlib.md5(b"warm").hexdigest()
        visible = set(keys(s3_server, store)) - {f"files/md5/{warm[:2]}/{warm[2:]}"}
        for key in visible:  # a put that was done in time is whole
            data = client(s3_server.url).cat_file(f"{store.url.removeprefix('s3://')}/{key}")
            assert hashlib.md5(data).hexdigest() == "".join(key.split("/")[-2:])
            client(s3_server.url).rm_file(f"{store.url.removeprefix('s3://')}/{key}")
        assert "put" not in rest.split() or visible


ASKING = """
    import sys, time
    from pathlib import Path
    from local_stack import environment

    environment.prepare()
    from local_stack.errors import StackError
    from local_stack.stores.artifacts import Artifacts

    store = Artifacts(sys.argv[1], Path(sys.argv[2]))
    store._open()
    start = time.monotonic()
    try:
        store.put_bytes(b"x")
    except StackError as error:
        print(round(time.monotonic() - start, 1), type(error).__name__, error)
        sys.exit(error.exit_code)
"""


def ask(url: str, cache: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", textwrap.dedent(ASKING), url, str(cache)]
    return subprocess.run(
        words, env={**os.environ, **environment}, capture_output=True, text=True, timeout=90
    )


def assert_unavailable(ended: subprocess.CompletedProcess[str]) -> None:
    assert (ended.returncode, ended.stderr) == (3, "")
    seconds, name = ended.stdout.split()[:2]
    assert name == "UnavailableError"
    assert float(seconds) < 20


def test_a_server_that_is_not_there_is_unavailable(s3_environment, tmp_path):
    (port,) = free_ports(1)
    ended = ask(f"s3://{BUCKET}/x", tmp_path / "c", AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}")
    assert_unavailable(ended)


def test_a_server_that_does_not_answer_is_unavailable(s3_server, s3_environment, tmp_path):
    s3_server.process.send_signal(signal.SIGSTOP)
    try:
        ended = ask(f"s3://{BUCKET}/x", tmp_path / "c")
    finally:
        s3_server.process.send_signal(signal.SIGCONT)
    assert_unavailable(ended)
