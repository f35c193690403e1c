"""The prediction log: durable before acknowledged, sealed, adopted after a death, readable."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from local_stack.errors import ConflictError, DamagedError, NotFoundError, WorkspaceBusyError
from local_stack.serving import prediction_log
from local_stack.serving.folder import EndpointConfig, folder_of, hold, holder, write_json
from local_stack.serving.prediction_log import PredictionLog, Sealed
from local_stack.workspace import Workspace

NAME = "wine"


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.create(tmp_path / "w", actor="tester") as opened:
        yield opened


@pytest.fixture
def folder(workspace: Workspace) -> Path:
    place = folder_of(workspace.root, NAME)
    (place / "log").mkdir(parents=True)
    config = EndpointConfig(
        NAME, "wine", 1, "Production", "r1", "127.0.0.1", 0, "model-x", {}, 10, 1000, 1.0, "tester"
    )
    write_json(place / "endpoint.json", config)
    return place


def line(number: int, *, version: int = 1, prediction: object = 0.5, **row: object) -> bytes:
    value = {
        "id": f"p{number}",
        "request": f"p{number}",
        "at": f"2026-01-01T00:00:{number % 60:02d}.000000Z",
        "model": "wine",
        "version": version,
        "ms": 0.1,
        "row": row or {"x": number},
        "prediction": prediction,
    }
    return json.dumps(value).encode() + b"\n"


def write(log: PredictionLog, *numbers: int) -> None:
    for number in numbers:
        data = line(number)
        log.append(data, 1, json.loads(data)["at"]).result(5)


def test_a_line_is_in_the_file_when_its_future_is_done(folder: Path):
    log = PredictionLog(folder / "log", "wine", 1, lambda sealed: None)
    try:
        write(log, 1)
        (path,) = (folder / "log").glob("*.open")
        assert path.read_bytes() == line(1)
    finally:
        log.close()


def test_closing_seals_and_tells_the_facts(folder: Path):
    sealed: list[Sealed] = []
    log = PredictionLog(folder / "log", "wine", 3, sealed.append)
    write(log, 1, 2, 3)
    log.close()
    (path,) = (folder / "log").iterdir()
    assert path.suffix == ".jsonl"
    assert path.stat().st_mode & 0o777 == 0o400
    data = path.read_bytes()
    assert data == line(1) + line(2) + line(3)
    digest = hashlib.sha256(data).hexdigest()
    first, last = "2026-01-01T00:00:01.000000Z", "2026-01-01T00:00:03.000000Z"
    assert sealed == [Sealed(path.stem, "wine", 3, 3, digest, first, last)]


def test_closing_an_unused_log_leaves_nothing(folder: Path):
    PredictionLog(folder / "log", "wine", 1, lambda sealed: None).close()
    assert list((folder / "log").iterdir()) == []


def test_segments_turn_by_size_and_by_age(folder: Path):
    sealed: list[Sealed] = []
    log = PredictionLog(folder / "log", "wine", 1, sealed.append, segment_bytes=len(line(1)) + 1)
    write(log, *range(6))
    log.close()
    assert [s.n_predictions for s in sealed] == [2, 2, 2]
    assert len({s.segment for s in sealed}) == 3
    sealed.clear()
    log = PredictionLog(folder / "log", "wine", 1, sealed.append, segment_seconds=0.1)
    write(log, 1)
    deadline = time.monotonic() + 5
    while not sealed and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(sealed) == 1
    log.close()


def test_concurrent_writers_share_commits_and_lose_nothing(folder: Path, monkeypatch):
    syncs = []
    real = os.fdatasync

    def slow(descriptor: int) -> None:
        syncs.append(descriptor)
        time.sleep(0.005)
        real(descriptor)

    monkeypatch.setattr(prediction_log.os, "fdatasync", slow)
    log = PredictionLog(folder / "log", "wine", 1, lambda sealed: None)
    threads = [
        threading.Thread(target=write, args=(log, *range(start, start + 25)))
        for start in range(0, 400, 25)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    (path,) = (folder / "log").iterdir()
    assert {json.loads(text)["row"]["x"] for text in path.read_text().splitlines()} == set(
        range(400)
    )
    assert len(syncs) < 200


def test_a_disk_fault_is_told_to_the_waiting_and_the_next_segment_works(folder: Path, monkeypatch):
    sealed: list[Sealed] = []
    log = PredictionLog(folder / "log", "wine", 1, sealed.append)
    write(log, 1)
    real = os.fdatasync

    def broken(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(prediction_log.os, "fdatasync", broken)
    with pytest.raises(OSError, match="Input/output"):
        write(log, 2)
    monkeypatch.setattr(prediction_log.os, "fdatasync", real)
    write(log, 3)
    log.close()
    assert [s.n_predictions for s in sealed] == [1, 1]
    for facts in sealed:
        data = (folder / "log" / f"{facts.segment}.jsonl").read_bytes()
        assert hashlib.sha256(data).hexdigest() == facts.sha256


def test_a_file_size_limit_loses_nothing_that_was_acknowledged(folder: Path):
    program = textwrap.dedent("""
        import sys
        from pathlib import Path
        from local_stack.serving.prediction_log import PredictionLog
        log = PredictionLog(Path(sys.argv[1]), "wine", 1, lambda sealed: None)
        for number in range(8):
            try:
                log.append(b'{"n": %d, "pad": "%s"}\\n' % (number, b"x" * 300), 1, "t").result(5)
                print(number, flush=True)
            except OSError:
                pass
        log.close()
    """)
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder / "log")],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)),
    )
    acknowledged = [int(text) for text in done.stdout.split()]
    kept = [
        json.loads(text)["n"]
        for path in sorted((folder / "log").glob("*.jsonl"))
        for text in path.read_text().splitlines()
    ]
    assert acknowledged == kept
    assert len(kept) >= 6


def test_sealing_is_recorded_in_the_journal_without_duckdb(workspace: Workspace, folder: Path):
    def tell(sealed: Sealed) -> None:
        prediction_log.record(workspace.journal, "tester", NAME, sealed)

    log = PredictionLog(folder / "log", "wine", 2, tell)
    write(log, 1, 2)
    log.close()
    row = workspace.query("SELECT * FROM prediction_segments")[0]
    assert (row["endpoint"], row["model"], row["version"]) == (NAME, "wine", 2)
    assert row["n_predictions"] == 2
    assert (
        workspace.query("SELECT kind FROM events ORDER BY seq DESC")[0]["kind"]
        == "serving.segment_sealed"
    )
    assert prediction_log.adopt(workspace) == 0


def test_a_busy_journal_delays_no_request_and_the_segment_is_recorded_later(
    workspace: Workspace, folder: Path
):
    def busy(sealed: Sealed) -> None:
        raise WorkspaceBusyError("busy")

    log = PredictionLog(folder / "log", "wine", 1, busy, segment_bytes=10)
    write(log, 1, 2)
    log.close()
    assert workspace.query("SELECT * FROM prediction_segments") == []
    assert prediction_log.adopt(workspace) == 2
    assert len(workspace.query("SELECT * FROM prediction_segments")) == 2
    assert prediction_log.adopt(workspace) == 0


@pytest.mark.parametrize("torn", [b"", b"{", line(9)[:-1], line(9)[:40]])
def test_a_dead_writers_segment_is_adopted_to_its_last_whole_line(
    workspace: Workspace, folder: Path, torn: bytes
):
    whole = line(1) + line(2)
    path = folder / "log" / "20260101T000000-aa-000001.open"
    path.write_bytes(whole + torn)
    assert prediction_log.orphans(workspace) == [NAME]
    assert prediction_log.adopt(workspace, NAME) == 1
    assert prediction_log.orphans(workspace) == []
    sealed = path.with_suffix(".jsonl")
    assert sealed.read_bytes() == whole
    assert not path.exists()
    row = workspace.query("SELECT * FROM prediction_segments")[0]
    assert row["sha256"] == hashlib.sha256(whole).hexdigest()
    assert row["n_predictions"] == 2
    assert row["first_at"] == "2026-01-01T00:00:01.000000Z"
    assert row["last_at"] == "2026-01-01T00:00:02.000000Z"


def test_a_segment_with_no_whole_line_disappears(workspace: Workspace, folder: Path):
    (folder / "log" / "a.open").write_bytes(b'{"id"')
    assert prediction_log.adopt(workspace) == 0
    assert list((folder / "log").iterdir()) == []


def test_the_log_of_a_living_server_is_left_alone(workspace: Workspace, folder: Path):
    path = folder / "log" / "a.open"
    path.write_bytes(line(1))
    lock = hold(folder, is_server=True)
    try:
        assert holder(folder) == os.getpid()
        assert prediction_log.adopt(workspace) == 0
        assert path.exists()
        with pytest.raises(ConflictError):
            hold(folder, is_server=True, wait_seconds=0)
    finally:
        os.close(lock)
    assert holder(folder) is None


def test_who_mends_a_log_is_not_taken_for_its_server(folder: Path):
    lock = hold(folder, is_server=False)
    try:
        assert holder(folder) is None
    finally:
        os.close(lock)


def test_a_kill_at_any_moment_loses_no_acknowledged_line(workspace: Workspace, folder: Path):
    program = textwrap.dedent("""
        import sys, threading
        from pathlib import Path
        from local_stack.serving.folder import hold
        from local_stack.serving.prediction_log import PredictionLog
        folder = Path(sys.argv[1])
        lock = hold(folder, is_server=True)
        log = PredictionLog(folder / "log", "wine", 1, lambda s: None, segment_bytes=4000)
        def work(start):
            for n in range(start, 10**9, 4):
                text = '{"id":"%s-%d","request":"r","at":"t","model":"wine","version":1}\\n' % (
                    sys.argv[2], n)
                log.append(text.encode(), 1, "t").result()
                sys.stdout.write("%s-%d\\n" % (sys.argv[2], n)); sys.stdout.flush()
        for start in range(4):
            threading.Thread(target=work, args=(start,)).start()
    """)
    acknowledged: set[str] = set()
    for attempt in range(5):
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(folder), f"k{attempt}"], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.03 + 0.04 * attempt)
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read()
        process.stdout.close()
        process.wait()
        acknowledged.update(text for text in rest.decode().split("\n")[:-1] if "-" in text)
        prediction_log.adopt(workspace)
    kept = {record["id"] for record in prediction_log.records(workspace, NAME)}
    assert len(acknowledged) > 20
    assert {text for text in acknowledged if text.count("k") == 1} <= kept
    rows = workspace.query("SELECT sum(n_predictions) AS n FROM prediction_segments")
    assert rows[0]["n"] == len(kept)
    assert list((folder / "log").glob("*.open")) == []


def test_read_gives_one_row_a_prediction_over_all_segments(workspace: Workspace, folder: Path):
    log = folder / "log"
    (log / "a.jsonl").write_bytes(line(1, a=1, c="x") + line(2, a=None, c="y"))
    (log / "b.jsonl").write_bytes(line(3, version=2, prediction=7, a=2.5, c=None, d=True))
    (log / "c.open").write_bytes(line(4, version=2, prediction=None, a=4, c="z") + b'{"id":"to')
    frame = prediction_log.read(workspace, NAME)
    assert set(frame.columns) == {"a", "c", "d"} | {
        f"paceml.{name}" for name in ("id", "request", "at", "model", "version", "ms", "prediction")
    }
    assert frame["paceml.id"].to_list() == ["p1", "p2", "p3", "p4"]
    assert frame["paceml.version"].to_list() == [1, 1, 2, 2]
    assert frame["paceml.prediction"].to_list() == [0.5, 0.5, 7.0, None]
    assert frame["a"].to_list() == [1.0, None, 2.5, 4.0]
    assert frame["c"].to_list() == ["x", "y", None, "z"]
    assert frame["d"].to_list() == [None, None, True, None]
    assert [r["id"] for r in prediction_log.records(workspace, NAME)] == frame[
        "paceml.id"
    ].to_list()


def test_segments_with_labels_and_numbers_as_predictions_read_together(
    workspace: Workspace, folder: Path
):
    (folder / "log" / "a.jsonl").write_bytes(line(1, prediction="good"))
    (folder / "log" / "b.jsonl").write_bytes(line(2, prediction=3))
    assert prediction_log.read(workspace, NAME)["paceml.prediction"].to_list() == [
        "good",
        "3",
    ]


def test_columns_of_the_model_may_have_the_names_of_the_logs_own(
    workspace: Workspace, folder: Path
):
    (folder / "log" / "a.jsonl").write_bytes(line(1, id=5, model="m", prediction_=2))
    frame = prediction_log.read(workspace, NAME)
    assert frame["id"].to_list() == [5]
    assert frame["paceml.id"].to_list() == ["p1"]


def test_duckdb_reads_the_segments_where_they_lie(folder: Path):
    (folder / "log" / "a.jsonl").write_bytes(line(1, a=1.5) + line(2, a=2.5))
    with duckdb.connect() as connection:
        found = connection.execute(
            "SELECT id, row.a, prediction FROM read_json_auto(?) ORDER BY id",
            [str(folder / "log" / "*.jsonl")],
        ).fetchall()
    assert found == [("p1", 1.5, 0.5), ("p2", 2.5, 0.5)]


def test_reading_an_unused_an_unknown_and_a_damaged_log(workspace: Workspace, folder: Path):
    assert prediction_log.read(workspace, NAME).height == 0
    with pytest.raises(NotFoundError, match="no endpoint 'nobody'"):
        prediction_log.read(workspace, "nobody")
    (folder / "log" / "a.jsonl").write_bytes(line(1) + b"not json\n")
    with pytest.raises(DamagedError, match="segment a"):
        prediction_log.read(workspace, NAME)
    with pytest.raises(DamagedError, match="segment a"):
        list(prediction_log.records(workspace, NAME))
