"""The life of an endpoint process: start, look, stop, kill, and start again."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import psutil
import pytest
from serving_kit import ab, expected, register, running

from local_stack import serving
from local_stack.command import COMMANDS
from local_stack.errors import (
    Cancelled,
    ConflictError,
    DamagedError,
    InputError,
    NotFoundError,
    UnavailableError,
    WorkspaceBusyError,
)
from local_stack.serving import prediction_log
from local_stack.serving.folder import folder_of, holder
from local_stack.workspace import Workspace

ROW = '{"a": 1, "b": 2}'


@pytest.fixture
def workspace(tmp_path):
    with Workspace.create(tmp_path / "w", actor="tester") as opened:
        register(opened, "wine", ab(), ab(2.0))
        yield opened


def kinds(workspace):
    """Return the kinds of the events so far, without those of jobs that ended."""
    rows = workspace.query("SELECT kind FROM events WHERE kind <> 'job.ended' ORDER BY seq")
    return [row["kind"] for row in rows]


def test_the_whole_life(workspace):
    started = serving.start(workspace, "wine")
    try:
        assert {"endpoint", "url", "pid", "model_version"} <= started.to_dict().keys()
        assert (started.endpoint, started.status, started.model_version) == ("wine", "running", 2)
        assert started.stage == "Production"
        row = workspace.get("endpoints", "wine")
        assert (row["url"], row["pid"], row["stopped_at"]) == (started.url, started.pid, None)

        answer = serving.predict(workspace, "wine", row=ROW)
        assert answer.predictions == expected(2.0, (1, 2))
        assert (answer.model, answer.version) == ("wine", 2)
        assert answer.ms > 0
        assert serving.predict(workspace, "wine", row=f"[{ROW}, {ROW}]").predictions == (
            expected(2.0, (1, 2), (1, 2))
        )

        seen = serving.status(workspace, "wine")
        assert (seen.status, seen.n_predictions, seen.n_errors) == ("running", 3, 0)
        assert seen.n_requests >= 3
        assert 0 < seen.p50_ms <= seen.p99_ms
        assert seen.uptime_seconds > 0
        assert seen.memory_bytes == pytest.approx(
            psutil.Process(started.pid).memory_info().rss, rel=0.2
        )
        assert [e.status for e in serving.listing(workspace).endpoints] == ["running"]

        with pytest.raises(ConflictError, match=f"already running at {started.url}"):
            serving.start(workspace, "wine/1")
    finally:
        stopped = serving.stop(workspace, "wine")
    assert (stopped.status, stopped.pid, stopped.url) == ("stopped", None, None)
    assert stopped.stopped_at is not None
    assert not psutil.pid_exists(started.pid) or (
        psutil.Process(started.pid).status() == psutil.STATUS_ZOMBIE
    )
    assert serving.stop(workspace, "wine").stopped_at == stopped.stopped_at
    found = kinds(workspace)
    assert found[-3:] == ["serving.started", "serving.segment_sealed", "serving.stopped"]
    segment = workspace.query("SELECT * FROM prediction_segments")[0]
    assert (segment["endpoint"], segment["model"], segment["version"]) == ("wine", "wine", 2)
    assert segment["n_predictions"] == 3
    (path,) = (folder_of(workspace.root, "wine") / "log").iterdir()
    assert hashlib.sha256(path.read_bytes()).hexdigest() == segment["sha256"]
    with pytest.raises(UnavailableError, match="'wine' is stopped"):
        serving.predict(workspace, "wine", row=ROW)


def test_a_killed_server_is_dead_and_loses_no_acknowledged_prediction(workspace):
    started = serving.start(workspace, "wine", name="live")
    acknowledged: list[str] = []

    def load():
        with httpx.Client(base_url=started.url, timeout=10) as client:
            while True:
                try:
                    answer = client.post("/invocations", json={"instances": [[1, 2], [3, 4]]})
                except httpx.HTTPError:
                    return
                assert answer.status_code == 200
                acknowledged.append(answer.headers["x-paceml-prediction-id"])

    threads = [threading.Thread(target=load) for _ in range(6)]
    for thread in threads:
        thread.start()
    while len(acknowledged) < 40:
        time.sleep(0.01)
    os.kill(started.pid, signal.SIGKILL)
    for thread in threads:
        thread.join()
    time.sleep(0.05)
    dead = serving.status(workspace, "live")
    assert (dead.status, dead.pid, dead.url, dead.n_requests) == ("dead", None, None, None)
    assert [e.status for e in serving.listing(workspace).endpoints] == ["dead"]
    with pytest.raises(UnavailableError, match="'live' is dead"):
        serving.predict(workspace, "live", row=ROW)

    with running(workspace, "wine/1", name="live") as again:
        assert again.model_version == 1
        serving.predict(workspace, "live", row=ROW)
    frame = prediction_log.read(workspace, "live")
    kept = frame.group_by("paceml.request").len()
    assert set(acknowledged) <= set(kept["paceml.request"])
    assert set(kept.filter(kept["paceml.request"].is_in(acknowledged))["len"]) == {2}
    assert frame["paceml.version"].to_list()[-1] == 1
    rows = workspace.query("SELECT sum(n_predictions) AS n FROM prediction_segments")
    assert rows[0]["n"] == frame.height


def test_a_request_in_flight_is_answered_before_the_server_ends(workspace):
    with running(workspace, "wine") as started:
        body = b'{"instances": [[1, 2]]}'
        head = (
            b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body)
        )
        port = int(started.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(head + body[:5])
            time.sleep(0.1)
            os.kill(started.pid, signal.SIGTERM)
            time.sleep(0.3)
            connection.sendall(body[5:])
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        deadline = time.monotonic() + 5
        while holder(folder_of(workspace.root, "wine")) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(list(prediction_log.records(workspace, "wine"))) == 1
        assert [e.status for e in serving.listing(workspace).endpoints] == ["dead"]


def test_a_taken_port_is_told_with_the_servers_own_sentence(workspace):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"did not start: Port {port} on 127.0.0.1"):
            serving.start(workspace, "wine", port=port)
    assert kinds(workspace)[-1] == "registry.registered"
    assert "Port" in serving.log(workspace, "wine").lines[-1]
    assert serving.status(workspace, "wine").status == "stopped"
    assert serving.log(workspace, "wine", lines=0).lines == ()


def test_a_damaged_artefact_starts_nothing(workspace):
    for path in (workspace.root / "objects").rglob("*"):
        if path.is_file() and path.suffix != ".dir":
            path.chmod(0o600)
            path.write_bytes(b"x" + path.read_bytes()[1:])
    with pytest.raises(DamagedError):
        serving.start(workspace, "wine")
    assert serving.listing(workspace).endpoints == ()


@pytest.mark.parametrize(
    ("target", "options", "error", "words"),
    [
        ("nobody", {}, NotFoundError, "no model 'nobody'"),
        ("wine@Staging", {}, NotFoundError, "Staging"),
        ("wine/9", {}, NotFoundError, "no version '9'"),
        ("wine", {"host": "0.0.0.0"}, InputError, "not an address of this machine"),
        ("wine", {"host": "example.org"}, InputError, "not an address of this machine"),
        ("wine", {"port": 70000}, InputError, "not a port"),
        ("wine", {"port": -1}, InputError, "not a port"),
        ("wine", {"name": "../../x"}, InputError, "U+002F"),
        ("wine", {"name": ""}, InputError, "cannot be empty"),
    ],
)
def test_bad_arguments_end_in_a_sentence_and_start_nothing(
    workspace, target, options, error, words
):
    with pytest.raises(error) as caught:
        serving.start(workspace, target, **options)
    assert words in caught.value.message + caught.value.hint
    assert list((workspace.root / "serving").iterdir()) == []


LIVE = "[nope] (live) é"


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    """A workspace with one running endpoint, for tests that only look at it and ask it."""
    folder = tmp_path_factory.mktemp("live") / "w"
    with Workspace.create(folder, actor="tester") as opened:
        register(opened, "wine", ab())
        with running(opened, "wine", name=LIVE):
            yield opened


def run_server(folder):
    return subprocess.run(
        [sys.executable, "-m", "local_stack.serving.server", str(folder)],
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_a_hostile_name_stays_a_label(live):
    assert serving.listing(live).endpoints[0].endpoint == LIVE
    assert serving.predict(live, LIVE, row=ROW).predictions == expected(1.0, (1, 2))
    (folder,) = (live.root / "serving").iterdir()
    assert folder.name.isascii()
    assert "[" not in folder.name


@pytest.mark.parametrize("library", ["duckdb", "polars", "pandas", "sklearn", "pyarrow"])
def test_the_server_of_a_booster_maps_only_what_it_needs(live, library):
    serving.predict(live, LIVE, row=f"[{ROW}, {ROW}]")
    maps = Path(f"/proc/{serving.status(live, LIVE).pid}/maps").read_text()
    assert "lightgbm" in maps
    assert f"/{library}/" not in maps


def test_a_second_server_on_the_folder_ends_with_a_sentence(live):
    pid = serving.status(live, LIVE).pid
    done = run_server(folder_of(live.root, LIVE))
    assert done.returncode == 2
    assert "Another process serves this endpoint" in done.stderr
    assert "Traceback" not in done.stderr
    assert serving.status(live, LIVE).pid == pid


def test_bytes_changed_after_the_checkout_are_refused_before_they_are_parsed(live, tmp_path):
    shutil.copy(live.root / "paceml.toml", tmp_path)
    folder = tmp_path / "serving" / "copy"
    shutil.copytree(folder_of(live.root, LIVE), folder)
    (model,) = folder.glob("model-*")
    for victim in (model / "model.lgb", model / "preparation.json"):
        data = victim.read_bytes()
        victim.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        done = run_server(folder)
        assert done.returncode == DamagedError.exit_code
        assert "Traceback" not in done.stderr
        victim.write_bytes(data)


def test_an_unknown_endpoint_is_named_with_the_nearest(live):
    for verb in (serving.stop, serving.status, serving.log):
        with pytest.raises(NotFoundError, match=r"no endpoint '\[nope\] \(livo\) é'") as caught:
            verb(live, LIVE.replace("live", "livo"))
        assert LIVE in caught.value.hint


def test_a_row_that_the_endpoint_refuses_is_an_input_error_with_its_place(live):
    with pytest.raises(InputError, match="answered 422") as caught:
        serving.predict(live, LIVE, row='{"a": "x", "b": 1}')
    assert caught.value.details == {"row": 0, "column": "a", "expected": "double"}
    for text in ("", "{", "1", "[1]", '"a"'):
        with pytest.raises(InputError, match="row"):
            serving.predict(live, LIVE, row=text)
    with pytest.raises(InputError, match="NaN is not JSON"):
        serving.predict(live, LIVE, row='{"a": NaN, "b": 1}')
    with pytest.raises(InputError, match="answered 400"):
        serving.predict(live, LIVE, row='{"a": "\\ud800", "b": 1}')


def test_cancelling_a_start_leaves_no_process(workspace):
    def cancel(step):
        if step.label.startswith("Waiting"):
            raise Cancelled("The job was cancelled.")

    with pytest.raises(Cancelled):
        serving.start(workspace, "wine", progress=cancel)
    assert holder(folder_of(workspace.root, "wine")) is None
    assert "serving.started" not in kinds(workspace)


def test_a_start_that_cannot_be_recorded_leaves_no_server(workspace, monkeypatch):
    real = workspace.append

    def busy(decide):
        if holder(folder_of(workspace.root, "wine")) is not None:
            raise WorkspaceBusyError("The workspace has been busy.")
        return real(decide)

    monkeypatch.setattr(workspace, "append", busy)
    with pytest.raises(WorkspaceBusyError):
        serving.start(workspace, "wine")
    assert holder(folder_of(workspace.root, "wine")) is None


def test_foreground_ends_with_its_host(workspace):
    seen = []

    def interrupt(step):
        if step.label.startswith("Serving"):
            seen.append(holder(folder_of(workspace.root, "wine")))
            raise Cancelled("Interrupted.")

    with pytest.raises(Cancelled):
        serving.start(workspace, "wine", foreground=True, progress=interrupt)
    assert seen[0] is not None
    assert holder(folder_of(workspace.root, "wine")) is None
    assert kinds(workspace)[-2:] == ["serving.started", "serving.stopped"]


def test_importing_the_commands_and_the_server_loads_nothing_heavy():
    program = (
        "import json, sys; import local_stack.serving{0}; "
        "print(json.dumps(sorted(m for m in sys.modules if '.' not in m)))"
    )
    heavy = {"mlflow", "sklearn", "lightgbm", "pandas", "pyarrow", "polars", "numpy", "duckdb"}
    for module, more in (("", {"uvicorn", "starlette"}), (".server", {"shap", "httpx"})):
        done = subprocess.run(
            [sys.executable, "-c", program.format(module)], capture_output=True, check=True
        )
        assert not (heavy | more) & set(json.loads(done.stdout)), module


def test_every_verb_is_declared_with_an_example():
    verbs = {name: c for name, c in COMMANDS.items() if c.word == "serving"}
    assert verbs.keys() == {
        f"serving.{verb}" for verb in ("start", "stop", "list", "status", "log", "predict")
    }
    for name, declared in verbs.items():
        word, verb = name.split(".")
        assert declared.example.startswith(f"paceml-tui {word} {verb}")
        assert all(parameter.help for parameter in declared.parameters), name
