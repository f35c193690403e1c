"""DVC itself fetches what was pushed, and what it tracks is imported."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from s3_kit import BUCKET
from versions_kit import add

from local_stack.catalog import call
from local_stack.data import versions
from local_stack.data.sharing import dvc_files
from local_stack.errors import ConflictError, DamagedError, InputError, NotFoundError, StackError
from local_stack.stores.artifacts import Blob
from local_stack.workspace import Workspace

DVC = shutil.which("dvc", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
needs_dvc = pytest.mark.skipif(DVC is None, reason="dvc is not installed")
WINE = b"id,alcohol\r\n1,13.2\r\n2,14.1\r\n"


class Repository:
    """A DVC repository that the real program runs in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)

    def run(self, *words: str) -> str:
        ended = subprocess.run(
            [str(DVC), *words],
            cwd=self.folder,
            env={**os.environ, "DVC_NO_ANALYTICS": "1", "PYTHONWARNINGS": "ignore"},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def add(self, name: str, files: dict[str, bytes] | bytes) -> Path:
        """Track a file, or a folder of files; return its .dvc file."""
        for member, data in (files if isinstance(files, dict) else {"": files}).items():
            path = self.folder / name / member if member else self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        self.run("add", "-q", name)
        return self.folder / f"{name}.dvc"

    def forget(self, name: str) -> None:
        """Remove the data and the cache: what is left has to come from a remote."""
        path = self.folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.rmtree(self.folder / ".dvc" / "cache", ignore_errors=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A new repository that asks nothing of the network."""
    if DVC is None:
        pytest.skip("dvc is not installed")
    made = Repository(tmp_path_factory.mktemp("made") / "repository")
    made.run("init", "--no-scm", "-q")
    made.run("config", "core.analytics", "false")
    made.run("config", "core.check_update", "false")
    return made


@pytest.fixture
def repository(made: Repository, tmp_path: Path) -> Repository:
    shutil.copytree(made.folder, tmp_path / "repository")
    return Repository(tmp_path / "repository")


def import_dvc(workspace: Workspace, file: Path, **options: Any) -> versions.DataVersion:
    found = call(workspace, "data.import-dvc", {"file": str(file), **options})
    assert isinstance(found, versions.DataVersion)
    return found


def original(workspace: Workspace, version: versions.DataVersion) -> bytes:
    return workspace.artifacts.read(Blob.of(versions.record(workspace, version)["original"]))


def test_dvc_pull_fetches_what_was_pushed_to_a_folder(workspace, repository, tmp_path):
    added = add(workspace, "wine", WINE)
    call(workspace, "data.push", {"remote": str(tmp_path / "remote")})
    repository.run("remote", "add", "-d", "team", str(tmp_path / "remote"))
    for name, options in (("wine.csv", {}), ("wine.parquet", {"format": "parquet"})):
        path = repository.folder / name
        done = call(
            workspace,
            "data.checkout",
            {"name": "wine", "path": str(path), "dvc": True, **options},
        )
        written = path.read_bytes()
        assert hashlib.sha256(written).hexdigest() == done.sha256
        path.unlink()
        repository.run("pull", f"{name}.dvc")
        assert path.read_bytes() == written
    assert "up to date" in repository.run("status")
    assert (repository.folder / "wine.csv").read_bytes() == WINE
    row = versions.record(workspace, added)
    told = yaml.safe_load((repository.folder / "wine.csv.dvc").read_text())
    assert told == {
        "outs": [
            {
                "md5": row["original"]["md5"],
                "size": len(WINE),
                "hash": "md5",
                "path": "wine.csv",
            }
        ]
    }


@pytest.mark.slow
def test_dvc_pull_fetches_what_was_pushed_to_a_bucket(
    workspace, repository, s3_environment, s3_server, tmp_path
):
    url = f"s3://{BUCKET}/{tmp_path.name}"
    add(workspace, "wine", WINE)
    call(workspace, "data.push", {"remote": url})
    repository.run("remote", "add", "-d", "team", url)
    repository.run("remote", "modify", "team", "endpointurl", s3_server.url)
    path = repository.folder / "wine.csv"
    call(workspace, "data.checkout", {"name": "wine", "path": str(path), "dvc": True})
    path.unlink()
    repository.run("pull")
    assert path.read_bytes() == WINE
    # And back: what DVC pushes to that bucket is imported from there.
    file = repository.add("more.csv", b"a,b\n1,2\n")
    repository.run("push", "more.csv.dvc")
    repository.forget("more.csv")
    found = import_dvc(workspace, file)
    assert original(workspace, found) == b"a,b\n1,2\n"
    assert found.lineage["dvc"]["from"] == [url]


def test_dvc_pull_fetches_a_folder_of_files(workspace, repository, tmp_path):
    folder = tmp_path / "parts"
    folder.mkdir()
    parts = {"a.csv": b"x,y\n1,2\n", "b.csv": b"x,y\n3,4\n"}
    for name, data in parts.items():
        (folder / name).write_bytes(data)
    call(workspace, "data.add", {"name": "t", "source": str(folder / "*.csv")})
    call(workspace, "data.push", {"remote": str(tmp_path / "remote")})
    repository.run("remote", "add", "-d", "team", str(tmp_path / "remote"))
    path = repository.folder / "t"
    call(workspace, "data.checkout", {"name": "t", "path": str(path), "dvc": True})
    shutil.rmtree(path)
    repository.run("pull")
    assert {p.name: p.read_bytes() for p in path.iterdir()} == parts
    assert "up to date" in repository.run("status")


def test_a_dvc_file_that_is_there_or_could_not_be_fetched_is_refused_first(workspace, tmp_path):
    add(workspace, "wine", WINE)
    path = tmp_path / "out.csv"
    for kind in ("csv", "jsonl"):
        with pytest.raises(InputError, match=f"no {kind}"):
            call(workspace, "data.checkout", {
                "name": "wine", "path": str(path), "dvc": True, "format": kind
            })  # fmt: skip
    (tmp_path / "out.csv.dvc").write_text("mine")
    with pytest.raises(ConflictError, match="exists already"):
        call(workspace, "data.checkout", {"name": "wine", "path": str(path), "dvc": True})
    assert not path.exists()
    arguments = {"name": "wine", "path": str(path), "dvc": True, "force": True}
    call(workspace, "data.checkout", arguments)
    assert path.read_bytes() == WINE
    assert "hash: md5" in (tmp_path / "out.csv.dvc").read_text()


@needs_dvc
@pytest.mark.parametrize("name", ["a b.csv", "- x.csv", "'q'.csv", "naïve.csv", "yes", "1.csv"])
def test_dvc_reads_the_names_that_are_written(name):
    document = yaml.safe_load(dvc_files.pointer(name, {"md5": "0" * 32, "sha256": "", "size": 5}))
    assert document["outs"][0]["path"] == name


def test_what_dvc_tracks_is_imported_from_its_cache(workspace, repository):
    file = repository.add("wine.csv", WINE)
    (repository.folder / "wine.csv").unlink()
    found = import_dvc(workspace, file, target="alcohol", tag="golden", note="from the lab")
    assert (found.dataset, found.rows, found.columns, found.target) == ("wine", 2, 2, "alcohol")
    assert (found.tags, found.note, found.source) == (("golden",), "from the lab", str(file))
    assert original(workspace, found) == WINE
    assert found.lineage["dvc"] == {
        "file": str(file),
        "path": "wine.csv",
        "md5": hashlib.md5(WINE).hexdigest(),
        "from": ["the DVC cache"],
        "members": [],
    }
    assert found.version == add(workspace, "same", WINE).version  # the same bytes


def test_what_dvc_tracks_is_imported_from_its_remote(workspace, repository, tmp_path):
    repository.run("remote", "add", "-d", "team", "../remote")  # relative to the repository
    file = repository.add("wine.csv", WINE)
    repository.run("push", "-q")
    repository.forget("wine.csv")
    found = import_dvc(workspace, file, name="lab wine")
    assert (found.dataset, original(workspace, found)) == ("lab wine", WINE)
    assert found.lineage["dvc"]["from"] == [str(tmp_path / "remote")]
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(file, alone)
    with pytest.raises(InputError, match="no DVC repository"):
        import_dvc(workspace, alone / "wine.csv.dvc")
    named = import_dvc(workspace, alone / "wine.csv.dvc", remote=str(tmp_path / "remote"))
    assert original(workspace, named) == WINE


def test_a_tracked_folder_is_one_table_of_the_members_that_are_named(workspace, repository):
    files = {"2025/a.csv": b"x\n1\n", "2026/b.csv": b"x\n2\n3\n", "README.md": b"# About\n"}
    file = repository.add("years", files)
    found = import_dvc(workspace, file, member=["*.csv"])
    assert (found.dataset, found.rows) == ("years", 3)
    assert found.lineage["dvc"]["md5"].endswith(".dir")
    assert [f["name"] for f in found.lineage["files"]] == ["2025/a.csv", "2026/b.csv"]
    assert import_dvc(workspace, file, member=["2026/*"], name="one").rows == 2
    with pytest.raises(NotFoundError, match="no such file") as caught:
        import_dvc(workspace, file, member=["2027/*"])
    assert "2025/a.csv" in caught.value.hint
    with pytest.raises(InputError, match="a file, not a folder"):
        import_dvc(workspace, repository.add("w.csv", WINE), member=["x"])


def legacy(folder: Path, data: bytes, layout: Path, *, name: str = "wine.csv") -> Path:
    """Write what DVC 2 did: an MD5 that takes CRLF as LF, and no files/md5/."""
    parts = [data[at : at + 2**20] for at in range(0, len(data), 2**20)]
    md5 = hashlib.md5(b"".join(part.replace(b"\r\n", b"\n") for part in parts)).hexdigest()
    place = layout / md5[:2] / md5[2:]
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)
    file = folder / f"{name}.dvc"
    file.write_text(f"outs:\n- md5: {md5}\n  size: {len(data)}\n  path: {name}\n")
    return file


def bare(tmp_path: Path, config: str = "") -> Path:
    folder = tmp_path / "bare"
    (folder / ".dvc").mkdir(parents=True)
    (folder / ".dvc" / "config").write_text(config)
    return folder


@pytest.mark.parametrize("data", [WINE, b"a,b\n1,2\n", b"x" * 1_048_575 + b"\r\n1\r\n2\r\n"])
def test_what_dvc_2_tracked_is_imported(workspace, tmp_path, data):
    folder = bare(tmp_path, "[core]\n    remote = old\n['remote \"old\"']\n    url = ../store\n")
    cached = legacy(folder, data, folder / ".dvc" / "cache")
    found = import_dvc(workspace, cached, name="cached")
    assert original(workspace, found) == data
    shutil.rmtree(folder / ".dvc" / "cache")
    remote = legacy(folder, data, folder / "store", name="far.csv")
    assert original(workspace, import_dvc(workspace, remote)) == data
    assert import_dvc(workspace, remote, name="b").lineage["dvc"]["from"] == [str(folder / "store")]


@needs_dvc
def test_dvc_agrees_on_the_hash_of_dvc_2(tmp_path):
    from dvc_data.hashfile.hash import file_md5

    path = tmp_path / "file"
    binary = bytes(range(256)) * 30 + b"\r\n"
    for data in (WINE, b"", b"\r\n" * 600_000, binary, b"a" * 1_048_575 + b"\r\n", b"\xff\r\n" * 9):
        path.write_bytes(data)
        dvc_files.verify(path, file_md5(str(path), name="md5-dos2unix"), is_legacy=True)
        dvc_files.verify(path, file_md5(str(path)), is_legacy=False)
        with pytest.raises(DamagedError):
            dvc_files.verify(path, "0" * 32, is_legacy=True)


def test_other_bytes_than_the_tracked_ones_are_never_taken(workspace, repository, tmp_path):
    repository.run("remote", "add", "-d", "team", str(tmp_path / "remote"))
    file = repository.add("wine.csv", WINE)
    repository.run("push", "-q")
    md5 = hashlib.md5(WINE).hexdigest()
    cached = repository.folder / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]
    far = tmp_path / "remote" / "files" / "md5" / md5[:2] / md5[2:]
    (repository.folder / "wine.csv").unlink()
    (repository.folder / "wine.csv").write_bytes(b"edited\n1\n")
    for path in (cached, far):
        path.chmod(0o600)
    cached.write_bytes(b"rotten\n1\n")
    assert original(workspace, import_dvc(workspace, file)) == WINE  # from the remote
    far.write_bytes(b"rotten\n2\n")
    with pytest.raises(DamagedError, match="another MD5"):
        import_dvc(workspace, file, name="other")
    far.unlink()
    with pytest.raises(DamagedError, match="another MD5"):
        import_dvc(workspace, file, name="other")
    cached.unlink()
    with pytest.raises(NotFoundError, match="neither in the DVC cache nor at"):
        import_dvc(workspace, file, name="other")
    assert workspace.get("datasets", "other") is None
    assert workspace.leftovers() == []


OUT = "outs:\n- md5: " + "ab" * 16 + "\n  hash: md5\n  path: "


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (OUT + "../../etc/passwd", "not a path inside"),
        (OUT + "/etc/passwd", "not a path inside"),
        (OUT + '"a\\0b"', "not a path inside"),
        (OUT + "c:\\x", "not a path inside"),
        (OUT + "[a]", "needs a text"),
        (OUT + "x\n- md5: " + "1" * 32 + "\n  path: y", "it tracks 2 things"),
        ("outs: []", "it tracks 0 things"),
        ("outs:\n- path: x\n", "by no MD5"),
        ("outs:\n- md5: ../../x\n  path: x", "is no MD5"),
        ("outs:\n- md5: " + "ab" * 16 + "\n  hash: sha1\n  path: x", "cannot be 'sha1'"),
        ("outs:\n- md5: " + "ab" * 16, "names no path"),
        ("deps:\n- path: x\n", "tracks nothing"),
        ("outs: &a [*a]", ""),
        ("- 1", "needs keys and values"),
        ("a: !!python/object/apply:os.system [id]\n" + OUT + "x", "the tag"),
        ("a: " + "[" * 100_000, ""),
        ("a: " + "x" * 2_000_000, "larger than"),
        ("a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b]\n"
         "d: &d [*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d,*d,*d,*d,*d,*d]\n" + OUT + "x", "more than"),
    ],
)  # fmt: skip
def test_a_hostile_dvc_file_is_refused_with_its_line(workspace, tmp_path, text, told):
    file = bare(tmp_path) / "x.dvc"
    file.write_text(text)
    with pytest.raises(InputError) as caught:
        import_dvc(workspace, file)
    assert told in caught.value.message
    assert "x.dvc" in caught.value.message
    assert workspace.query("SELECT * FROM datasets") == []


@pytest.mark.parametrize(
    "entries",
    [
        [{"md5": "0" * 32, "relpath": "../../evil.csv"}],
        [{"md5": "0" * 32, "relpath": "/etc/evil.csv"}],
        [{"md5": "0" * 32, "relpath": "a/../../b.csv"}],
        [{"md5": "../../../etc/passwd", "relpath": "a.csv"}],
        [{"md5": "0" * 32 + ".dir", "relpath": "a.csv", "x": 1}, 5],
        [{"relpath": "a.csv"}],
        {"md5": "0" * 32},
        "text",
    ],
)
def test_a_hostile_folder_manifest_is_refused(workspace, tmp_path, entries):
    folder = bare(tmp_path)
    data = json.dumps(entries).encode()
    md5 = hashlib.md5(data).hexdigest()
    place = folder / ".dvc" / "cache" / "files" / "md5" / md5[:2] / f"{md5[2:]}.dir"
    place.parent.mkdir(parents=True)
    place.write_bytes(data)
    (folder / "d.dvc").write_text(f"outs:\n- md5: {md5}.dir\n  hash: md5\n  path: d\n")
    with pytest.raises(StackError) as caught:
        import_dvc(workspace, folder / "d.dvc")
    assert caught.value.exit_code == 2
    assert workspace.leftovers() == []
    assert not list(tmp_path.rglob("evil.csv"))


@given(text=st.text(max_size=200) | st.binary(max_size=200).map(lambda b: b.decode("latin-1")))
def test_no_text_breaks_the_reader(tmp_path_factory, text):
    file = tmp_path_factory.getbasetemp() / "any.dvc"
    file.write_text(text, encoding="utf-8", errors="surrogateescape", newline="")
    with contextlib.suppress(InputError):
        dvc_files.read(file)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ("", "no default remote"),
        ("[core]\nremote = gone\n", "no remote 'gone'"),
        ("[core]\nremote = x\n['remote \"x\"']\nurl = http://169.254.169.254/\n", "not on S3"),
        ("[core]\nremote = x\n['remote \"x\"']\nurl = ssh://host/x\n", "not on S3"),
        ("[core\nremote = x\n", "not a DVC configuration"),
        ("remote = x\n", "not a DVC configuration"),
    ],
)
def test_a_repository_whose_settings_do_not_do_is_told(workspace, tmp_path, config, told):
    file = bare(tmp_path, config) / "x.csv.dvc"
    file.write_text(OUT + "x.csv\n")
    with pytest.raises(InputError, match=told):
        import_dvc(workspace, file)


def test_secrets_are_read_from_the_local_settings_only(tmp_path):
    shared = (
        "[core]\n    remote = s\n['remote \"s\"']\n    url = s3://b/p\n"
        "    endpointurl = http://x\n    access_key_id = shared\n    secret_access_key = shared\n"
    )
    folder = bare(tmp_path, shared)
    found = dvc_files.repository(folder / "x.dvc")
    assert found is not None
    assert found.remote() == ("s3://b/p", {"endpoint_url": "http://x"})
    local = "['remote \"s\"']\n    access_key_id = k\n    secret_access_key = s\n    profile = me\n"
    (folder / ".dvc" / "config.local").write_text(local)
    found = dvc_files.repository(folder / "x.dvc")
    assert found is not None
    options = {"endpoint_url": "http://x", "profile": "me", "key": "k", "secret": "s"}
    assert found.remote() == ("s3://b/p", options)


def test_a_cache_may_lie_elsewhere(workspace, tmp_path):
    folder = bare(tmp_path, "[cache]\n    dir = ../../shared-cache\n")
    file = legacy(folder, WINE, tmp_path / "shared-cache")
    assert original(workspace, import_dvc(workspace, file)) == WINE


@pytest.fixture(autouse=True)
def _no_repository_around(tmp_path: Path) -> Iterator[None]:
    yield
    assert not (tmp_path.parent / ".dvc").exists()
