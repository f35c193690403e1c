"""What an endpoint answers when the model, the disk or the machine lets it down."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
from dataclasses import replace
from datetime import date, datetime

import httpx
import pytest

from local_stack.preparation.fitted import Column, Feature, Preparation
from local_stack.serving import app as serving_app
from local_stack.serving import limits, meter, prediction_log
from local_stack.serving.app import Endpoint
from local_stack.serving.folder import EndpointConfig
from local_stack.serving.prediction_log import PredictionLog
from local_stack.serving.protocol import Refusal

CONFIG = EndpointConfig(
    "e", 'odd "name"\n', 1, "None", "r", "127.0.0.1", 0, "m", {}, 1000, 100_000, 2.0, "tester"
)
BODY = {"instances": [[1.5]]}


class OneColumn:
    """A model whose prediction is what the test wants it to be."""

    kind = "lightgbm"

    def __init__(self, answer, column=None):
        column = column or Column("x", "double", nullable=True)
        self.inputs = (column,)
        self.preparation = Preparation(self.inputs, (Feature("x", "x"),), True)
        self.answer = answer

        self.features = self.preparation.features

    def predict_row(self, row):
        return self.answer(row["x"])

    def matrix(self, columns):
        return self.preparation.compile().matrix(columns)

    def outputs(self, matrix):
        return [self.answer(x) for x in matrix[:, 0].tolist()]

    def labels(self, outputs):
        return outputs


@pytest.fixture
def log(tmp_path):
    opened = PredictionLog(tmp_path / "log", CONFIG.model, 1, lambda sealed: None)
    yield opened
    opened.close()


def lines(tmp_path):
    return [
        json.loads(text)
        for path in (tmp_path / "log").iterdir()
        for text in path.read_text().splitlines()
    ]


def client_of(endpoint):
    transport = httpx.ASGITransport(endpoint.application())
    return httpx.AsyncClient(transport=transport, base_url="http://localhost")


async def ask(endpoint, value=BODY, **headers):
    async with client_of(endpoint) as client:
        return await client.post("/invocations", json=value, headers=headers)


async def test_a_model_that_fails_is_500_with_an_incident_and_no_data(log, tmp_path, caplog):
    def fails(x):
        raise ZeroDivisionError("inside the model")

    endpoint = Endpoint(OneColumn(fails), CONFIG, log)
    with caplog.at_level(logging.ERROR, "paceml.serving"):
        answer = await ask(endpoint)
    assert answer.status_code == 500
    body = answer.json()
    assert body["error_code"] == "INTERNAL_ERROR"
    assert body["details"]["incident"] in body["message"]
    assert "1.5" not in answer.text
    assert body["details"]["incident"] in caplog.text
    assert "inside the model" in caplog.text
    assert lines(tmp_path) == []


async def test_a_value_that_the_estimator_cannot_compute_with_is_422(log):
    def fails(x):
        raise ValueError("Input X contains infinity or a value too large for dtype('float32').")

    endpoint = Endpoint(OneColumn(fails), CONFIG, log)
    answer = await ask(endpoint, {"instances": [[1.0], [1e300]]})
    assert answer.status_code == 422
    assert answer.json()["details"] == {"row": 1, "column": "x", "expected": "a 32-bit float"}
    assert (await ask(endpoint, {"instances": [[1.0], [2.0]]})).status_code == 500


async def test_a_prediction_that_cannot_be_logged_is_not_given(log, tmp_path, monkeypatch):
    endpoint = Endpoint(OneColumn(lambda x: x), CONFIG, log)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    real = prediction_log.os.fdatasync
    monkeypatch.setattr(prediction_log.os, "fdatasync", full)
    answer = await ask(endpoint)
    assert answer.status_code == 503
    assert "predictions" not in answer.json()
    assert answer.headers["retry-after"] == "1"
    monkeypatch.setattr(prediction_log.os, "fdatasync", real)
    assert (await ask(endpoint)).json() == {"predictions": [1.5]}
    assert len(lines(tmp_path)) == 1


async def test_an_answer_waits_for_the_disk(log, tmp_path, monkeypatch):
    endpoint = Endpoint(OneColumn(lambda x: x), CONFIG, log)
    real, synced = prediction_log.os.fdatasync, []

    def slow(descriptor):
        time.sleep(0.2)
        real(descriptor)
        synced.append(time.perf_counter())

    monkeypatch.setattr(prediction_log.os, "fdatasync", slow)
    await ask(endpoint)
    assert time.perf_counter() > synced[0]


async def test_a_request_that_takes_too_long_is_503(log):
    endpoint = Endpoint(
        OneColumn(lambda x: time.sleep(0.02) or x), replace(CONFIG, request_seconds=0.1), log
    )
    large = {"instances": [[1.23456789012345] for _ in range(900)]}
    started = time.perf_counter()
    assert (await ask(endpoint, large)).status_code == 503
    assert time.perf_counter() - started < 5


async def test_more_requests_than_may_be_answered_at_once_are_503(log, monkeypatch):
    monkeypatch.setattr(serving_app, "MAX_IN_FLIGHT", 2)
    real = prediction_log.os.fdatasync

    def slow(descriptor):
        time.sleep(0.3)
        real(descriptor)

    monkeypatch.setattr(prediction_log.os, "fdatasync", slow)
    endpoint = Endpoint(OneColumn(lambda x: x), CONFIG, log)
    answers = await asyncio.gather(*(ask(endpoint) for _ in range(6)))
    assert sorted(a.status_code for a in answers) == [200, 200, 503, 503, 503, 503]
    assert (await ask(endpoint)).status_code == 200


async def test_a_prediction_that_is_not_finite_is_null_in_valid_json(log, tmp_path):
    endpoint = Endpoint(OneColumn(lambda x: math.nan), CONFIG, log)
    assert (await ask(endpoint)).json() == {"predictions": [None]}
    assert lines(tmp_path)[0]["prediction"] is None


@pytest.mark.parametrize(
    ("kind", "given", "used", "logged"),
    [
        ("date", "2026-01-31", date(2026, 1, 31), "2026-01-31"),
        (
            "datetime",
            "2026-01-31T12:00:00+02:00",
            datetime(2026, 1, 31, 10),
            "2026-01-31T10:00:00.000000Z",
        ),
        ("double", 3, 3.0, 3.0),
        ("long", 2**53 + 1, 2**53 + 1, 2**53 + 1),
        ("string", "\0\x1b[2J\u202e😀é", "\0\x1b[2J\u202e😀é", "\0\x1b[2J\u202e😀é"),
        ("boolean", True, True, True),
        ("double", None, None, None),
    ],
)
async def test_the_log_holds_the_values_that_the_model_saw(
    log, tmp_path, kind, given, used, logged
):
    seen = []
    model = OneColumn(lambda x: seen.append(x) or 1, Column("x", kind, nullable=True))
    answer = await ask(Endpoint(model, CONFIG, log), {"dataframe_records": [{"x": given}]})
    assert answer.status_code == 200
    assert seen == [used]
    (line,) = lines(tmp_path)
    assert line["row"] == {"x": logged}
    assert line["model"] == CONFIG.model
    assert line["id"] == answer.headers["x-paceml-prediction-id"]


async def test_memory_for_bodies_is_bounded_for_all_requests_together(monkeypatch):
    monkeypatch.setattr(limits, "MAX_BUFFERED_BYTES", 1000)
    reader = limits.BodyReader(800)
    gate = asyncio.Event()

    def body(*chunks):
        waiting = [{"type": "http.request", "body": c, "more_body": True} for c in chunks]

        async def receive():
            if waiting:
                return waiting.pop(0)
            await gate.wait()
            return {"type": "http.request", "body": b"", "more_body": False}

        return receive

    first = asyncio.create_task(reader.read(body(b"x" * 600), {}))
    await asyncio.sleep(0)
    with pytest.raises(Refusal) as refused:
        await reader.read(body(b"y" * 600), {})
    assert refused.value.status == 503
    gate.set()
    assert await first == b"x" * 600
    assert await reader.read(body(b"z" * 800), {}) == b"z" * 800


async def test_metrics_escape_the_name_and_read_back(log):
    endpoint = Endpoint(OneColumn(lambda x: x), CONFIG, log)
    for _ in range(4):
        await ask(endpoint)
    await ask(endpoint, {"instances": [["x"]]})
    async with client_of(endpoint) as client:
        text = (await client.get("/metrics")).text
    assert r'paceml_model_info{model="odd \"name\"\n",version="1"} 1' in text
    numbers = meter.read(text)
    assert (numbers.n_requests, numbers.n_errors, numbers.n_predictions) == (5, 0, 4)


def test_quantiles_are_linear_inside_their_bucket():
    counts = meter.Meter("m", 1)
    for seconds in [0.004] * 50 + [0.04] * 49 + [20.0]:
        counts.count("/invocations", 200, seconds)
    numbers = meter.read(counts.render())
    assert numbers.p50_ms == pytest.approx(5.0)  # the end of the bucket (2.5, 5]
    assert numbers.p99_ms == pytest.approx(50.0)  # the end of the bucket (25, 50]
    assert meter.read(meter.Meter("m", 1).render()).p50_ms is None
