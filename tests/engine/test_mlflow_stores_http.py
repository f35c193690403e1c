"""Tracking servers: one of MLflow itself, and some that do not behave."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from operator import eq, ge, gt, le
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit
from urllib.request import urlopen

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

from local_stack.runs import records, syncing
from local_stack.runs.relation import HISTORY, MODELS, RUNS
from local_stack.stores.mlflow_stores import http_api, http_store
from local_stack.stores.mlflow_stores.opening import opened
from local_stack.workspace import Workspace


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of MLflow, filled through its own interface."""
    folder = tmp_path_factory.mktemp("server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    words += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--workers", "1"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            words, cwd=folder, stdout=log, stderr=log, env=os.environ, start_new_session=True
        )
    uri = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                urlopen(f"{uri}/health", timeout=5).close()
                break
            except OSError:
                assert time.monotonic() < deadline, (folder / "log").read_text()
                assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.2)
        write_sample(uri)
        yield uri
    finally:
        os.killpg(process.pid, 15)
        process.wait(30)


@pytest.mark.slow
def test_a_server_of_mlflow_is_read_whole(server: str, tmp_path: Path) -> None:
    store = opened(server)
    expected = mlflow_runs(server)
    assert len(expected) == 5
    assert our_runs(store) == expected
    assert our_experiments(store) == mlflow_experiments(server)
    assert our_models(store) == mlflow_models(server)
    assert len(our_models(store)) == 2


@pytest.mark.slow
def test_the_index_follows_a_server(server: str, tmp_path: Path) -> None:
    with (
        Workspace.create(tmp_path / "ws", tracking_uri=server, actor="tester") as workspace,
        client(server) as mlflow,
    ):
        assert syncing.sync(workspace).n_read == 5
        assert len(workspace.query(f"SELECT * FROM {MODELS}")) == 2
        stamps = workspace.run_index.stamps()
        assert syncing.sync(workspace).n_read == 0
        assert workspace.run_index.stamps() == stamps
        named = {row["name"]: row for row in workspace.query(f"SELECT * FROM {RUNS}")}
        child, running = (named[name]["run_id"] for name in ("kind: ü # x", "running"))
        mlflow.set_tag(child, "team", "blue")
        mlflow.log_metric(running, "loss", 0.125, step=3)
        mlflow.log_text(running, "x", "folder/text.txt")
        experiment = named["running"]["experiment_id"]
        new = mlflow.create_run(experiment, run_name="new", start_time=5).info.run_id
        done = syncing.sync(workspace)
        assert (done.n_runs, done.n_read) == (6, 3)
        rows = {row["run_id"]: row for row in workspace.query(f"SELECT * FROM {RUNS}")}
        assert rows.keys() >= {new}
        assert rows[child]["tags"]["team"] == "blue"
        assert (rows[running]["metrics"], rows[running]["artifacts"]) == (
            *({"loss": 0.125}, ["folder/text.txt"]),
        )
        history = workspace.query(f"SELECT step FROM {HISTORY} WHERE run_id = ?", running)
        assert history == [{"step": 3}]
        for text in ("metrics.loss < 1", "attributes.run_name = 'new'", "tags.team = 'blue'"):
            found = {run.info.run_id for run in mlflow.search_runs([experiment], text)}
            assert found
            assert {run.run_id for run in records.search(workspace, text).runs} == found


# ------------------------------------------------------------------ servers that do not behave

RUN = {
    "info": {"run_id": "a" * 32, "experiment_id": "7", "status": "FINISHED", "start_time": "5"},
    "data": {
        "metrics": [{"key": "loss", "value": "NaN", "timestamp": "9", "step": "2"}],
        "params": [{"key": "depth", "value": "3"}],
    },
}
ANSWERS: dict[str, Any] = {
    "experiments/search": {"experiments": [{"experiment_id": "7", "name": "wine"}]},
    "runs/search": {"runs": [RUN]},
    "runs/get": {"run": RUN},
    "metrics/get-history": {"metrics": RUN["data"]["metrics"]},
    "artifacts/list": {},
    "logged-models/search": {},
}


class Stub(ThreadingHTTPServer):
    """A server that answers from a table: JSON, or a code and bytes, or what a call makes."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = dict(ANSWERS)
        self.asked: list[tuple[str, str, str]] = []

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Stub

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        parts = urlsplit(self.path)
        body = self.rfile.read(length).decode() or parts.query
        path = parts.path.removeprefix("/api/2.0/mlflow/")
        self.server.asked.append((path, body, self.headers.get("Authorization", "")))
        answer = self.server.answers.get(path, (404, b""))
        answer = answer(body) if callable(answer) else answer
        code, data = answer if isinstance(answer, tuple) else (200, json.dumps(answer).encode())
        self.send_response(code)
        if code == 302:
            self.send_header("Location", data.decode())
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(data)

    do_POST = do_GET

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def stub() -> Iterator[Stub]:
    with Stub() as server:
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def pointed(stub: Stub, tmp_path: Path) -> Iterator[Workspace]:
    """A workspace that points at the stub, with a password in the URI."""
    uri = f"http://ann:s3cr%20et@{stub.place}"
    with Workspace.create(tmp_path / "ws", tracking_uri=uri, actor="tester") as workspace:
        yield workspace


def warned(workspace: Workspace) -> str:
    """Return what a search warns of, after a pause."""
    workspace.run_index.looked = (0.0, 0.0, -1)
    return " ".join(syncing.before_reading(workspace))


def test_what_a_server_tells_is_indexed(pointed: Workspace, stub: Stub) -> None:
    assert syncing.sync(pointed).n_read == 1
    (row,) = pointed.query(f"SELECT * FROM {RUNS}")
    assert (row["experiment"], row["status"], row["params"]) == ("wine", "FINISHED", {"depth": "3"})
    assert row["metrics"] == {"loss": "NaN"}
    assert row["problem"] is None
    history = pointed.query(f"SELECT step, at_ms, isnan(value) AS nan FROM {HISTORY}")
    assert history == [{"step": 2, "at_ms": 9, "nan": True}]
    assert syncing.sync(pointed).n_read == 0


def test_credentials_go_to_the_server_and_nowhere_else(
    pointed: Workspace, stub: Stub, capsys: pytest.CaptureFixture[str]
) -> None:
    done = syncing.sync(pointed)
    assert {header for _, _, header in stub.asked} == {"Basic YW5uOnMzY3IgZXQ="}
    rows = pointed.query(f"SELECT * FROM {RUNS}")
    stub.answers["experiments/search"] = (401, b"who are you?")
    told = warned(pointed)
    assert "does not accept the credentials (401)" in told
    shown = f"{done} {rows} {told} {capsys.readouterr()}"
    for file in (pointed.root / "cache").glob("run-index*.json"):
        shown += file.read_text()
    assert "ann:***@" in shown
    assert "cr%20et" not in shown
    assert "cr et" not in shown


def test_credentials_may_stand_in_the_environment(
    stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(f"http://{stub.place}")
    store.experiments()
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0ken")
    opened(f"http://{stub.place}").experiments()
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "bob")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "pw")
    opened(f"http://{stub.place}").experiments()
    headers = [header for _, _, header in stub.asked]
    assert headers == ["", "Bearer t0ken", "Basic Ym9iOnB3"]


def test_a_redirection_is_not_followed(pointed: Workspace, stub: Stub) -> None:
    stub.answers["experiments/search"] = (302, f"http://{stub.place}/other".encode())
    assert "sends to another place, which is not followed" in warned(pointed)
    assert [path for path, _, _ in stub.asked] == ["experiments/search"]


BAD = {
    "html": (200, b"<html>"),
    "list": (200, b"[]"),
    "deep": (200, b"[" * 100_000),
    "missing": (404, b"not found"),
    "gateway": (502, b"bad gateway"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("path", ["experiments/search", "runs/search", "metrics/get-history"])
def test_a_server_that_is_none_of_mlflow_leaves_what_was_indexed(
    pointed: Workspace, stub: Stub, path: str, case: str
) -> None:
    syncing.sync(pointed)
    before = pointed.query(f"SELECT * FROM {RUNS}")
    changed = {**RUN, "info": {**RUN["info"], "status": "FAILED"}}
    stub.answers["runs/search"] = {"runs": [changed]}
    stub.answers[path] = BAD[case]
    told = warned(pointed)
    assert "does not answer" in told
    assert "it is shown as it was at 20" in told
    assert pointed.query(f"SELECT * FROM {RUNS}") == before


def test_a_server_that_is_down_leaves_what_was_indexed(pointed: Workspace, stub: Stub) -> None:
    syncing.sync(pointed)
    stub.server_close()
    assert "does not answer (Connection re" in warned(pointed)
    assert len(pointed.query(f"SELECT * FROM {RUNS}")) == 1


def test_a_server_that_hangs_is_waited_for_once(
    pointed: Workspace, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_api, "_WAIT_SECONDS", 1.1)
    monkeypatch.setattr(http_api, "_down", {})
    release = Event()
    stub.answers["experiments/search"] = lambda body: release.wait(20) and {}
    assert "does not answer (timed out)" in warned(pointed)
    assert "does not answer (timed out)" in warned(pointed)
    assert len(stub.asked) == 1
    release.set()


@pytest.mark.parametrize("value", ["x", 5, [None], {"runs": 1}, [{"info": 7}], [{"info": {}}]])
def test_odd_answers_are_no_runs(pointed: Workspace, stub: Stub, value: object) -> None:
    stub.answers["runs/search"] = {"runs": value}
    assert syncing.sync(pointed).n_runs == 0


def test_artefacts_in_folders_are_listed(pointed: Workspace, stub: Stub) -> None:
    def answer(query: str) -> Any:
        folder = parse_qs(query).get("path", [""])[0]
        if folder.count("/") > 3:
            return {}
        return {
            "files": [
                {"path": f"{folder}/a b".strip("/"), "is_dir": True},
                {"path": f"{folder}/x.txt".strip("/"), "file_size": "3"},
            ]
        }

    stub.answers["artifacts/list"] = answer
    syncing.sync(pointed)
    (row,) = pointed.query(f"SELECT artifacts, artifact_sizes, artifact_folder FROM {RUNS}")
    assert row["artifacts"][:2] == ["a b/a b/a b/a b/x.txt", "a b/a b/a b/x.txt"]
    assert len(row["artifacts"]) == 5
    assert row["artifact_sizes"]["x.txt"] == 3
    assert row["artifact_folder"] is None


def test_a_run_without_its_history_is_listed_with_what_is_wrong(
    pointed: Workspace, stub: Stub
) -> None:
    stub.answers["metrics/get-history"] = (500, b'{"error_code": "INTERNAL_ERROR"}')
    syncing.sync(pointed)
    (row,) = pointed.query(f"SELECT * FROM {RUNS}")
    assert "the history of metrics/loss cannot be read" in row["problem"]
    assert row["params"] == {"depth": "3"}


def test_histories_of_many_runs_are_asked_for_at_once(pointed: Workspace, stub: Stub) -> None:
    runs = [{**RUN, "info": {**RUN["info"], "run_id": letter * 32}} for letter in ("a", "b", "c")]
    stub.answers["runs/search"] = {"runs": runs}
    values = [
        {"run_id": letter * 32, "key": "loss", "value": at, "timestamp": at, "step": at}
        for letter, n_values in (("a", 3), ("b", 1))  # and none of the third
        for at in range(n_values)
    ]
    stub.answers[http_store._BULK] = {"metrics": values}
    syncing.sync(pointed)
    sql = f"SELECT run_id[1] AS run, count(*) AS n FROM {HISTORY} GROUP BY ALL ORDER BY ALL"
    assert pointed.query(sql) == [
        {"run": "a", "n": 3},
        {"run": "b", "n": 1},
        {"run": "c", "n": 1},
    ]
    asked = [path for path, _, _ in stub.asked]
    assert asked.count(http_store._BULK) == 1
    assert asked.count("metrics/get-history") == 1  # of the run that the answer left out


# ------------------------------------------------------------------ whose turn it is


def many(number: int) -> list[dict[str, Any]]:
    return [
        {"info": {"run_id": f"{i:032x}", "experiment_id": "7", "start_time": i * 10_000_000}}
        for i in range(number)
    ]


def searching(runs: list[dict[str, Any]]) -> Callable[[str], Any]:
    """Return an answer to searches, which understands the questions that are asked."""

    def answer(body: str) -> Any:
        asked = json.loads(body)
        assert asked["experiment_ids"] == ["7"]
        tests = [part.split() for part in asked["filter"].split(" AND ") if part]
        found = []
        for run in runs:
            info = {"status": "FINISHED", "end_time": 0} | run["info"]
            values = [
                (info[name.removeprefix("attributes.")], operator, text.strip("'"))
                for name, operator, text in tests
            ]
            compare = {">": gt, ">=": ge, "<=": le, "=": eq}
            if all(compare[o](value, type(value)(text)) for value, o, text in values):
                found.append(run)
        first = int(asked.get("page_token") or 0)
        page = {"runs": found[first : first + 70]}
        return page | ({"next_page_token": str(first + 70)} if first + 70 < len(found) else {})

    return answer


def test_old_runs_are_looked_at_in_turn(
    pointed: Workspace, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_store, "_WINDOW", 50)
    runs = many(180)
    stub.answers["runs/search"] = searching(runs)
    assert syncing.sync(pointed).n_read == 180
    assert len(pointed.query(f"SELECT * FROM {RUNS}")) == 180
    assert syncing.refresh(pointed, seconds=0.0).n_read == 0
    runs[3]["data"] = {"tags": [{"key": "late", "value": "1"}]}  # of a run that ended long ago
    removed = runs.pop(150)["info"]["run_id"]
    runs.append({"info": {"run_id": "f" * 32, "experiment_id": "7", "start_time": 10**12}})
    assert syncing.refresh(pointed, seconds=0.0).n_read == 1  # what is new is seen at once
    seen, gone = 0, 0
    for _ in range(4):
        done = syncing.refresh(pointed, seconds=0.0)
        seen, gone = seen + done.n_read, gone + done.n_gone
    assert (seen, gone) == (1, 1)
    rows = pointed.query(f"SELECT run_id, tags FROM {RUNS} WHERE len(tags::VARCHAR) > 2")
    assert rows == [{"run_id": f"{3:032x}", "tags": {"late": "1"}}]
    assert pointed.query(f"SELECT * FROM {RUNS} WHERE run_id = ?", removed) == []
    runs[0]["info"]["start_time"] = 10**12 + 1  # begun again: no longer where it was
    seen = sum(syncing.refresh(pointed, seconds=0.0).n_read for _ in range(4))
    assert (seen, len(pointed.query(f"SELECT * FROM {RUNS}"))) == (1, 180)
    stub.asked.clear()
    assert syncing.sync(pointed, full=True).n_read == 0
    assert len(stub.asked) == 5  # experiments, three pages of runs, logged models


def test_artefacts_of_very_many_new_runs_are_listed_later(
    pointed: Workspace, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_store, "_AT_ONCE", 5)
    monkeypatch.setattr(http_store, "_LATER", 4)
    stub.answers["runs/search"] = searching(many(20))
    stub.answers["artifacts/list"] = {"files": [{"path": "a.txt", "file_size": "3"}]}
    listed = f"SELECT count(*) AS n FROM {RUNS} WHERE artifacts::VARCHAR LIKE '%a.txt%'"
    counts = []
    for _ in range(5):
        assert syncing.refresh(pointed, seconds=0.0).n_runs == 20
        counts.append(pointed.query(listed)[0]["n"])
    assert counts == [5, 9, 13, 17, 20]
    assert syncing.refresh(pointed, seconds=0.0).n_read == 0


def test_a_server_without_filters_on_times_is_read_whole(pointed: Workspace, stub: Stub) -> None:
    runs = many(5)
    whole = searching(runs)
    refusal = (400, b'{"error_code": "INVALID_PARAMETER_VALUE"}')
    stub.answers["runs/search"] = lambda body: (
        whole(body) if not json.loads(body)["filter"] else refusal
    )
    assert syncing.sync(pointed).n_read == 5
    runs[0]["data"] = {"tags": [{"key": "late", "value": "1"}]}
    runs.pop()
    done = syncing.sync(pointed)
    assert (done.n_read, done.n_gone) == (1, 1)
