"""Editing runs of a tracking server: MLflow's own takes it, and what one refuses is told."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote
from urllib.request import urlopen

import pytest
from mlflow_stores_kit import client

from local_stack import doctor
from local_stack.catalog import call
from local_stack.results import plain
from local_stack.runs import syncing
from local_stack.runs.editing import NOTE, EditedRun, EditedRuns
from local_stack.workspace import Workspace

TOKEN = "t0ken%20of-ann"
SERVER = """
    import os, sys
    from werkzeug.serving import make_server, WSGIRequestHandler
    folder, port = sys.argv[1:]
    os.environ["_MLFLOW_SERVER_FILE_STORE"] = f"sqlite:///{folder}/mlflow.db"
    os.environ["_MLFLOW_SERVER_ARTIFACT_ROOT"] = f"{folder}/artifacts"
    from mlflow.server import app
    def guarded(environ, respond):
        reads = environ["REQUEST_METHOD"] == "GET" or environ["PATH_INFO"].endswith("/search")
        if os.path.exists(f"{folder}/closed") and not reads:
            respond("403 FORBIDDEN", [("Content-Type", "text/plain")])
            return [b"Permission denied"]
        return app(environ, respond)
    make_server("127.0.0.1", int(port), guarded, threaded=True).serve_forever()
"""


class Server:
    """MLflow's own server app on this machine; ``folder/closed`` makes it refuse to write."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.start()

    def start(self) -> None:
        words = [sys.executable, "-c", textwrap.dedent(SERVER), str(self.folder), str(self.port)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                words, cwd=self.folder, stdout=log, stderr=log, env=os.environ
            )

    def stop(self) -> None:
        self.process.kill()
        self.process.wait(30)

    def wait(self) -> None:
        deadline = time.monotonic() + 120
        while True:
            try:
                urlopen(f"{self.uri}/health", timeout=5).close()
                return
            except OSError:
                log = (self.folder / "log").read_text()
                assert time.monotonic() < deadline, log
                assert self.process.poll() is None, log
                time.sleep(0.1)

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("server"))
    try:
        made.wait()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def workspace(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A workspace that points at the server, with a token in the URI."""
    uri = server.uri.replace("://", f"://{TOKEN}@")
    root = tmp_path_factory.mktemp("pointed") / "ws"
    with Workspace.create(root, tracking_uri=uri, actor="ann") as opened:
        yield opened


@pytest.fixture
def run(server: Server, request: pytest.FixtureRequest) -> str:
    """A new run of another tool."""
    with client(server.uri) as store:
        made = store.create_run("0", run_name=request.node.name, tags={"team": "red"})
        store.set_terminated(made.info.run_id)
        return str(made.info.run_id)


def tag(workspace: Workspace, run: str, *tags: str) -> EditedRun:
    found = call(workspace, "runs.tag", {"run": run, "tags": list(tags)})
    assert isinstance(found, EditedRun)
    return found


def change(workspace: Workspace, verb: str, run: str) -> EditedRuns:
    found = call(workspace, f"runs.{verb}", {"runs": [run]})
    assert isinstance(found, EditedRuns)
    return found


def test_mlflow_sees_what_is_edited_over_its_server(
    workspace: Workspace, server: Server, run: str
) -> None:
    assert tag(workspace, run, "team=blue", "stage=").warnings == ()
    call(workspace, "runs.note", {"run": run, "text": "best\nso far"})
    with client(server.uri) as store:
        found = store.get_run(run)
        assert found.data.tags["team"] == "blue"
        assert found.data.tags[NOTE] == "best\nso far"
        assert change(workspace, "delete", run).warnings == ()
        assert store.get_run(run).info.lifecycle_stage == "deleted"
        assert call(workspace, "runs.search", {}).runs == ()
        assert change(workspace, "restore", run).warnings == ()
        assert store.get_run(run).info.lifecycle_stage == "active"
    assert workspace.query("SELECT * FROM run_edits") == []


def test_a_server_that_refuses_is_told_in_a_sentence_without_the_token(
    workspace: Workspace, server: Server, run: str
) -> None:
    (server.folder / "closed").touch()
    try:
        (told,) = tag(workspace, run, "team=green").warnings
    finally:
        (server.folder / "closed").unlink()
    assert told.startswith(f"MLflow at http://***@127.0.0.1:{server.port} did not take the record")
    assert "403" in told
    assert "ann" not in told
    with client(server.uri) as store:
        assert store.get_run(run).data.tags["team"] == "red"
    (row,) = workspace.query("SELECT tags FROM run_edits")
    assert row["tags"] == {"team": "green"}
    found = doctor.check(workspace)
    assert "edit_unwritten" in {one.code for one in found.findings}
    assert doctor.check(workspace, repair=True).healthy
    with client(server.uri) as store:
        assert store.get_run(run).data.tags["team"] == "green"


@pytest.mark.slow
def test_a_server_that_is_down_keeps_nobody_waiting_and_the_doctor_writes_later(
    workspace: Workspace, server: Server, run: str
) -> None:
    syncing.sync(workspace)
    server.stop()
    began = time.monotonic()
    try:
        warned = tag(workspace, run, "team=green").warnings
    finally:
        server.start()
    assert time.monotonic() - began < 20
    told = warned[-1]
    assert told == (
        f"MLflow at http://***@127.0.0.1:{server.port} does not answer (Connection refused). "
        "PACE-ML's own record stands; 'paceml-tui doctor --repair' writes it again."
    )
    assert "ann" not in " ".join(warned)
    server.wait()
    assert doctor.check(workspace, repair=True).healthy
    with client(server.uri) as store:
        assert store.get_run(run).data.tags["team"] == "green"


def test_a_run_over_a_server_prints_no_address(
    workspace: Workspace, capfd: pytest.CaptureFixture[str]
) -> None:
    begun = workspace.tracking.begin_run("wine", "quiet", "ann", "train")
    workspace.tracking.end_run(begun.run_id, "FINISHED")
    assert capfd.readouterr().out == ""


def test_the_token_stands_in_no_output_and_in_no_file_but_the_settings(
    workspace: Workspace, server: Server, run: str
) -> None:
    shown = [str(plain(call(workspace, "runs.sync", {"full": True})))]
    shown += [str(plain(doctor.check(workspace, reindex=True)))]
    shown += [str(plain(call(workspace, "runs.search", {})))]
    for file in workspace.root.rglob("*"):
        if file.is_file() and file.name != "paceml.toml":
            shown.append(file.read_bytes().decode("latin-1"))
    assert f"http://***@127.0.0.1:{server.port}" in shown[0]
    assert not [text for text in shown if TOKEN in text or unquote(TOKEN) in text]
