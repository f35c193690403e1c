"""A workspace: found by walking up, refused with the way out, closed to others."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from local_stack import environment
from local_stack import workspace as module
from local_stack.errors import InputError, NotFoundError, ReadOnlyError
from local_stack.stores.journal import Draft
from local_stack.workspace import Workspace, find_root


def modes(root: Path) -> dict[str, int]:
    return {
        path.relative_to(root).as_posix(): stat.S_IMODE(path.lstat().st_mode)
        for path in (root, *root.rglob("*"))
    }


def test_it_is_found_by_walking_up(workspace):
    deep = workspace.root / "serving" / "a" / "b"
    deep.mkdir(parents=True)
    for start in (workspace.root, deep, deep / "absent.csv"):
        with Workspace.open(start) as found:
            assert found.root == workspace.root
            assert found.identity == workspace.identity != ""


def test_a_hidden_one_belongs_to_the_folder_around_it(tmp_path):
    Workspace.create(tmp_path / "project" / ".paceml").close()
    deep = tmp_path / "project" / "src"
    deep.mkdir()
    assert find_root(deep) == tmp_path / "project" / ".paceml"
    assert find_root(tmp_path / "project") == tmp_path / "project" / ".paceml"
    assert find_root(tmp_path / "other") is None


def test_the_nearest_one_wins(tmp_path):
    Workspace.create(tmp_path / "outer").close()
    Workspace.create(tmp_path / "outer" / "cache" / "inner").close()
    assert find_root(tmp_path / "outer" / "cache" / "inner" / "jobs").name == "inner"


def test_no_workspace_names_the_way_out(tmp_path):
    with pytest.raises(NotFoundError) as caught:
        Workspace.open(tmp_path)
    assert str(tmp_path) in caught.value.message
    assert "paceml-tui init" in caught.value.hint


def test_foreign_folders_are_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError) as caught:
        Workspace.create(tmp_path)
    assert "not an empty folder" in caught.value.message
    assert f"paceml-tui init {tmp_path / 'paceml'}" in caught.value.hint
    with pytest.raises(InputError, match="not an empty folder"):
        Workspace.create(tmp_path / "thesis.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_marker_without_a_journal_is_somebody_elses(tmp_path):
    (tmp_path / "paceml.toml").write_text("")
    with pytest.raises(InputError, match="no journal"):
        Workspace.open(tmp_path)
    with pytest.raises(InputError, match="workspace already"):
        Workspace.create(tmp_path)


def test_making_it_twice_is_refused(workspace):
    with pytest.raises(InputError) as caught:
        Workspace.create(workspace.root)
    assert f"paceml-tui {workspace.root}" in caught.value.hint
    assert workspace.query("SELECT count(*) AS n FROM events") == [{"n": 1}]


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o000])
def test_nobody_else_sees_into_it(tmp_path, umask):
    before = os.umask(umask)
    try:
        (tmp_path / "ws").mkdir(mode=0o755)
        with Workspace.create(tmp_path / "ws") as made:
            made.append(lambda _: Draft("test", "s", {}))
            made.artifacts.put_bytes(b"x")
        found = modes(tmp_path / "ws")
    finally:
        os.umask(before)
    assert found["."] == 0o700
    for name in ("journal", "objects", "mlruns", "serving", "jobs", "cache", "logs"):
        assert found[name] == 0o700
    assert found["journal/000001.jsonl"] == found["journal/lock"] == 0o600


def test_with_the_prepared_umask_nothing_is_open_to_others(tmp_path):
    environment.prepare()
    with Workspace.create(tmp_path / "ws") as made:
        made.append(lambda _: Draft("test", "s", {}))
        made.artifacts.put_bytes(b"x")
        made.log_incident(ValueError("x"))
    assert {name for name, mode in modes(tmp_path / "ws").items() if mode & 0o077} == set()


def test_the_environment_is_prepared_for_heavy_libraries(tmp_path):
    code = (
        "import os; from pathlib import Path; from local_stack import environment as e;"
        "os.environ['AWS_EC2_METADATA_DISABLED'] = 'false'; os.umask(0o022);"
        f"e.prepare(Path({str(tmp_path / 'tmp')!r}));"
        "assert all(os.environ[k] == v for k, v in e.FIXED.items());"
        "assert os.environ['AWS_EC2_METADATA_DISABLED'] == 'false';"
        "import tempfile; print(tempfile.gettempdir(), oct(os.umask(0)))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split() == [str(tmp_path / "tmp"), "0o77"]
    for name in ("MLFLOW_ALLOW_FILE_STORE", "MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
        assert environment.FIXED[name] == "true"


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_what_is_only_read_needs_no_place_to_write_in(workspace, monkeypatch, number):
    made = module.tempfile.TemporaryDirectory

    def refused(**options):
        if "dir" in options:
            raise OSError(number, os.strerror(number))
        return made(**options)

    monkeypatch.setattr(module.tempfile, "TemporaryDirectory", refused)
    with pytest.raises(OSError, match=os.strerror(number)):
        workspace.scratch()
    with Workspace.open(workspace.root, readonly=True) as reader, reader.scratch() as folder:
        assert not Path(folder).is_relative_to(reader.root)
    assert not Path(folder).exists()


def test_reading_writes_nothing(workspace):
    from local_stack import jobs
    from local_stack.catalog import call

    workspace.close()
    before = {p: p.stat().st_mtime_ns for p in workspace.root.rglob("*") if p.is_file()}
    with Workspace.open(workspace.root, readonly=True) as reader:
        assert reader.query("SELECT count(*) AS n FROM events") == [{"n": 1}]
        assert jobs.listed(reader) == []
        call(reader, "audit.verify", {})
        with pytest.raises(ReadOnlyError) as caught:
            call(reader, "data.add", {"name": "t", "source": "t.csv"})
    assert caught.value.exit_code == 2
    assert before == {p: p.stat().st_mtime_ns for p in workspace.root.rglob("*") if p.is_file()}


def test_settings_come_from_the_environment(workspace, monkeypatch):
    monkeypatch.setenv("PACEML_JOURNAL_WAIT_SECONDS", "0.25")
    monkeypatch.setenv("PACEML_ACTOR", "ada")
    with Workspace.open(workspace.root) as opened:
        assert opened.settings.journal.wait_seconds == 0.25
        assert opened.actor == "ada"
        event = opened.append(lambda _: Draft("test", "s", {}))
    assert event.actor == "ada"


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "9p"])
def test_a_network_file_system_is_refused_unless_it_is_allowed(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(module, "_file_system", lambda folder: kind)
    with pytest.raises(InputError) as caught:
        Workspace.create(tmp_path / "ws")
    assert kind in caught.value.message
    assert "allow_network_file_system" in caught.value.hint
    name = "PACEML_STORAGE_ALLOW_NETWORK_FILE_SYSTEM"
    monkeypatch.setenv(name, "false")
    with pytest.raises(InputError):
        Workspace.create(tmp_path / "ws")
    monkeypatch.setenv(name, "true")
    Workspace.create(tmp_path / "ws").close()
    monkeypatch.delenv(name)
    with pytest.raises(InputError):
        Workspace.open(tmp_path / "ws")


def test_the_kind_of_file_system_is_read_from_the_kernel(tmp_path):
    told = subprocess.run(
        ["stat", "-f", "-c", "%T", "/proc"], capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == module._file_system(Path("/proc/self")) == "proc"
    assert module._file_system(tmp_path) not in ("", "proc")


def test_temporary_files_are_swept(workspace):
    with workspace.scratch() as folder:
        assert Path(folder).is_relative_to(workspace.root)
        (Path(folder) / "x").write_text("x")
        assert workspace.leftovers() == [Path(folder)]
        workspace.sweep()
        assert workspace.leftovers() == []


def test_artifacts_and_tracking_may_lie_elsewhere(tmp_path):
    other, uri = (tmp_path / "other").as_uri(), f"sqlite:///{tmp_path}/m.db"
    with Workspace.create(tmp_path / "ws", artifacts=other, tracking_uri=uri) as made:
        made.artifacts.put_bytes(b"hello")
        assert (tmp_path / "other/files/md5/5d/41402abc4b2a76b9719d911017c592").is_file()
        assert made.tracking.uri == uri
    with Workspace.open(tmp_path / "ws") as again:
        assert (again.artifacts.url, again.tracking.uri) == (other, uri)
