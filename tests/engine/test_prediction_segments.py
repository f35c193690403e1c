"""The reading end of the prediction log: a prediction by its id, and hashes that must hold."""

from __future__ import annotations

import hashlib
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from local_stack.errors import DamagedError, NotFoundError
from local_stack.results import iso
from local_stack.serving import prediction_log
from local_stack.serving.folder import write_json
from local_stack.serving.prediction_log import Sealed
from local_stack.stores.prediction_segments import PredictionSegments, folder_of
from local_stack.workspace import Workspace

REQUEST = "0193d4a5b6c0ffee0000001"
OTHER = "0193d4a5b6d0ffee0000002"


def line(identity: str, request: str, **more: object) -> bytes:
    value = {"id": identity, "request": request, "at": "2026-01-01T00:00:00.000000Z"}
    value |= {"model": "wine", "version": 1, "ms": 0.1, "row": {"x": 1}, "prediction": 2.5, **more}
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def logged(workspace: Workspace, endpoint: str, **segments: bytes) -> Path:
    log = folder_of(workspace.root, endpoint) / "log"
    log.mkdir(parents=True)
    write_json(log.parent / "endpoint.json", {"endpoint": endpoint})
    for name, data in segments.items():
        (log / f"{name}.jsonl").write_bytes(data)
    return log


def recorded(workspace: Workspace, endpoint: str, log: Path, name: str, at: str) -> None:
    digest = hashlib.sha256((log / f"{name}.jsonl").read_bytes()).hexdigest()
    sealed = Sealed(name, "wine", 1, 1, digest, at, at)
    prediction_log.record(workspace.journal, "tester", endpoint, sealed)


def reader(workspace: Workspace) -> PredictionSegments:
    return PredictionSegments(workspace.root, workspace.query)


def test_a_prediction_is_found_in_whatever_segment_and_endpoint(workspace: Workspace):
    logged(workspace, "a", one=line(OTHER, OTHER))
    log = logged(workspace, "b", one=b"".join(line(f"{REQUEST}.{n}", REQUEST) for n in range(3)))
    (log / "two.open").write_bytes(line("0193d4a5b6e0", "0193d4a5b6e0") + b'{"id":"torn')
    found = reader(workspace).find(f"{REQUEST}.2")
    assert (found.endpoint, found.segment, found.place) == ("b", "one", 2)
    assert [it["id"] for it in found.lines] == [f"{REQUEST}.{n}" for n in range(3)]
    assert reader(workspace).find(OTHER).endpoint == "a"
    assert reader(workspace).find("0193d4a5b6e0").segment == "two"


def test_a_text_in_a_row_is_not_taken_for_a_line(workspace: Workspace):
    text = line(OTHER, OTHER).decode()
    logged(workspace, "a", one=line(REQUEST, REQUEST, row={"x": text}))
    with pytest.raises(NotFoundError):
        reader(workspace).find(OTHER)


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        (REQUEST, f"3 rows: {REQUEST}.0 to {REQUEST}.2"),
        (f"{REQUEST}.3", "3 rows"),
        (OTHER[:15], f"Did you mean '{OTHER}'"),
        ("", "X-Paceml-Prediction-Id"),
        ('"\n\x1b[31m\ud800', "X-Paceml-Prediction-Id"),
        ("9" * 400, "X-Paceml-Prediction-Id"),
    ],
)
def test_an_unknown_id_is_told_with_the_nearest_help(workspace: Workspace, asked: str, hint: str):
    three = b"".join(line(f"{REQUEST}.{n}", REQUEST) for n in range(3))
    logged(workspace, "a", one=three + line(OTHER, OTHER))
    with pytest.raises(NotFoundError) as caught:
        reader(workspace).find(asked)
    assert hint in caught.value.hint


def test_a_segment_that_is_not_the_recorded_one_is_not_read(workspace: Workspace):
    log = logged(workspace, "a", one=line(REQUEST, REQUEST), two=line(OTHER, OTHER))
    for name in ("one", "two"):
        recorded(workspace, "a", log, name, "2020-01-01T00:00:00.000000Z")
    assert reader(workspace).find(REQUEST).line["prediction"] == 2.5
    (log / "one.jsonl").write_bytes(line(REQUEST, REQUEST, prediction=2.6))
    with pytest.raises(DamagedError, match="segment one is not the one that was recorded"):
        reader(workspace).find(REQUEST)
    assert reader(workspace).find(OTHER).segment == "two"
    with pytest.raises(DamagedError, match="segment one"):
        prediction_log.read(workspace, "a")
    (log / "one.jsonl").unlink()
    assert reader(workspace).find(OTHER).segment == "two"
    with pytest.raises(NotFoundError, match="1 recorded segment of the log is gone"):
        reader(workspace).find(REQUEST)


def test_the_segments_of_the_time_of_an_id_are_read_first(workspace: Workspace):
    moment = int(REQUEST[:11], 16) // 1000
    log = logged(workspace, "a", old=line(OTHER, OTHER), right=line(REQUEST, REQUEST))
    recorded(workspace, "a", log, "old", "2020-01-01T00:00:00.000000Z")
    recorded(workspace, "a", log, "right", iso(datetime.fromtimestamp(moment, UTC)))
    (log / "old.jsonl").write_bytes(b"damaged\n")  # it would be refused, were it read
    assert reader(workspace).find(REQUEST).segment == "right"


@pytest.mark.parametrize("lost", ["id", "request", "at", "model", "version", "row", "prediction"])
def test_a_line_without_one_of_its_parts_is_damaged(workspace: Workspace, lost: str):
    data = line(f"{REQUEST}.0", REQUEST) + line(f"{REQUEST}.1", REQUEST)
    place = data.rfind(f'"{lost}":'.encode())
    log = logged(workspace, "a")
    (log / "one.open").write_bytes(data[: place + 1] + b"X" + data[place + 2 :])
    with pytest.raises(DamagedError, match="segment one holds a line that is not a prediction"):
        reader(workspace).find(f"{REQUEST}.1")


def test_a_row_that_is_no_object_is_damaged(workspace: Workspace):
    logged(workspace, "a", one=line(REQUEST, REQUEST, row=[1]))
    with pytest.raises(DamagedError, match="holds a line that is not a prediction"):
        reader(workspace).find(REQUEST)


def test_a_log_is_read_where_the_file_of_its_endpoint_is_damaged(workspace: Workspace):
    log = logged(workspace, "a", one=line(REQUEST, REQUEST))
    recorded(workspace, "a", log, "one", "2026-01-01T00:00:00.000000Z")
    (log.parent / "endpoint.json").write_bytes(b"{")
    assert reader(workspace).find(REQUEST).endpoint == "a"
    shutil.rmtree(log.parent)
    with pytest.raises(NotFoundError, match="1 recorded segment of the log is gone"):
        reader(workspace).find(REQUEST)
