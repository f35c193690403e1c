"""The HTTP surface of a real endpoint process: routes, answers, limits, and hostile clients."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from serving_kit import (
    WINE,
    ab,
    expected,
    post,
    prepared,
    raw,
    register,
    running,
    shared_data,
    status_of,
)

from local_stack.preparation.fitted import Column, Feature, Preparation
from local_stack.serving import prediction_log
from local_stack.serving.app import Endpoint
from local_stack.serving.folder import EndpointConfig
from local_stack.serving.prediction_log import PredictionLog
from local_stack.stores import model_files
from local_stack.workspace import Workspace

ROW = {"a": 1.5, "b": 2}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    with Workspace.create(tmp_path_factory.mktemp("http") / "w", actor="tester") as opened:
        register(opened, "Modèle ab", ab(), ab(2.0))
        yield opened


@pytest.fixture(scope="module")
def endpoint(workspace):
    with running(workspace, "Modèle ab", name="ab") as started:
        yield started


@pytest.fixture
def client(endpoint):
    with httpx.Client(base_url=endpoint.url, timeout=10) as opened:
        yield opened


def ask(client, value, **headers):
    return client.post("/invocations", json=value, headers=headers)


@pytest.mark.parametrize("path", ["/ping", "/health"])
def test_health_is_a_newline_as_mlflow_says_it(client, path):
    answer = client.get(path)
    assert (answer.status_code, answer.text) == (200, "\n")
    assert answer.headers["content-type"] == "application/json"


def test_version_is_that_of_the_protocol(client):
    from importlib.metadata import version

    answer = client.get("/version")
    assert (answer.status_code, answer.text) == (200, version("mlflow"))


def test_a_prediction_and_its_headers(client):
    answer = ask(client, {"dataframe_records": [ROW]})
    assert answer.status_code == 200
    assert answer.json() == {"predictions": expected(2.0, (1.5, 2))}
    assert len(answer.headers["x-paceml-prediction-id"]) >= 16
    assert answer.headers["x-paceml-model"] == "Mod%C3%A8le%20ab/2"


def test_rows_answer_in_order_by_the_fast_path_and_by_the_batch_path(client):
    rows = [{"a": n / 7, "b": n} for n in range(1000)]
    batch = ask(client, {"dataframe_records": rows}).json()["predictions"]
    singles = [ask(client, {"instances": [row]}).json()["predictions"][0] for row in rows[:50]]
    assert batch[:50] == singles
    assert batch == expected(2.0, *((row["a"], row["b"]) for row in rows))


def test_each_row_is_logged_as_it_was_used(workspace, client):
    answer = ask(client, {"instances": [[3, 4], [5.5, 6]]})
    identity = answer.headers["x-paceml-prediction-id"]
    logged = [r for r in prediction_log.records(workspace, "ab") if r["request"] == identity]
    assert [r["id"] for r in logged] == [f"{identity}.0", f"{identity}.1"]
    assert [r["row"] for r in logged] == [{"a": 3.0, "b": 4}, {"a": 5.5, "b": 6}]
    assert [r["prediction"] for r in logged] == answer.json()["predictions"]
    assert {(r["model"], r["version"]) for r in logged} == {("Modèle ab", 2)}
    single = ask(client, {"instances": [[3, 4]]}).headers["x-paceml-prediction-id"]
    assert [r["id"] for r in prediction_log.records(workspace, "ab")][-1] == single


def test_a_csv_body(client):
    headers = {"content-type": "text/csv; charset=utf-8"}
    answer = client.post("/invocations", content="b,a\n2,1.5\n", headers=headers)
    assert answer.json() == {"predictions": expected(2.0, (1.5, 2))}


@pytest.mark.parametrize(
    ("rows", "details"),
    [
        ([{"a": "secret", "b": 2}], {"row": 0, "column": "a", "expected": "double"}),
        ([ROW, {"a": 1, "b": 1.5}], {"row": 1, "column": "b", "expected": "long"}),
        ([{"a": 1}], {"row": None, "column": "b", "expected": "long"}),
        ([ROW, {"a": 1, "b": None}], {"row": 1, "column": "b", "expected": "long"}),
        ([{"a": 1, "b": 10**30}], {"row": 0, "column": "b", "expected": "long"}),
        ([{"a": True, "b": 1}], {"row": 0, "column": "a", "expected": "double"}),
        ([{"a": {"x": []}, "b": 1}], {"row": 0, "column": "a", "expected": "double"}),
    ],
)
def test_a_wrong_row_is_422_and_names_row_column_and_type(client, rows, details):
    answer = ask(client, {"dataframe_records": rows})
    assert answer.status_code == 422
    assert answer.json()["details"] == details
    assert answer.json()["error_code"] == "INVALID_PARAMETER_VALUE"
    assert "secret" not in answer.text


def test_errors_are_json(client):
    answers = {
        404: client.get("/nope"),
        405: client.get("/invocations"),
        415: client.post("/invocations", content=b"x", headers={"content-type": "text/plain"}),
        413: ask(client, {"instances": [[1, 2]] * 1001}),
        400: ask(client, {"nothing": 1}),
    }
    for status, answer in answers.items():
        assert answer.status_code == status
        assert {"error_code", "message"} <= answer.json().keys()
    assert answers[405].headers["allow"] == "POST"
    assert answers[404].json()["error_code"] == "ENDPOINT_NOT_FOUND"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.1:80", ""])
def test_a_foreign_host_header_is_refused(client, host):
    assert client.get("/ping", headers={"host": host}).status_code == 400


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:80", "127.0.0.1", "[::1]:80", "127.9.9.9"]
)
def test_a_host_header_of_this_machine_is_served(client, host):
    assert client.get("/ping", headers={"host": host}).status_code == 200


def test_metrics_count_what_was_answered(client):
    def sample(text, name):
        found = [line for line in text.splitlines() if line.startswith(name + " ")]
        return float(found[0].rpartition(" ")[2]) if found else 0.0

    ok = 'paceml_requests_total{route="/invocations",status="200"}'
    bad = 'paceml_requests_total{route="/invocations",status="422"}'
    before = client.get("/metrics").text
    ask(client, {"instances": [[1, 2], [3, 4]]})
    ask(client, {"instances": [["x", 2]]})
    after = client.get("/metrics").text
    assert sample(after, ok) - sample(before, ok) == 1
    assert sample(after, bad) - sample(before, bad) == 1
    name = "paceml_predictions_total"
    assert sample(after, name) - sample(before, name) == 2
    name = "paceml_request_duration_seconds_count"
    assert sample(after, name) - sample(before, name) == 2
    assert sample(after, "paceml_requests_in_flight") == 1  # this very request
    assert 'paceml_model_info{model="Modèle ab",version="2"} 1' in after


def test_concurrent_clients_each_get_their_own_answer(workspace, endpoint):
    answers = [expected(2.0, (a, 1)) for a in range(20)]
    assert len({answer[0] for answer in answers}) > 10

    def work(start):
        with httpx.Client(base_url=endpoint.url, timeout=30) as own:
            identities = []
            for n in range(start, start + 40):
                answer = ask(own, {"instances": [[n % 20, 1]]})
                assert answer.json() == {"predictions": answers[n % 20]}
                identities.append(answer.headers["x-paceml-prediction-id"])
            return identities

    with ThreadPoolExecutor(8) as pool:
        identities = [i for got in pool.map(work, range(1000, 1320, 40)) for i in got]
    assert len(set(identities)) == 320
    assert set(identities) <= {r["id"] for r in prediction_log.records(workspace, "ab")}


CORPUS = {
    "deep lists": post(b'{"instances": ' + b"[" * 100_000),
    "deep objects": post(b'{"a":' * 100_000),
    "5,000 digits": post(b'{"instances": [[1, ' + b"9" * 5000 + b"]]}"),
    "300 digits": post(b'{"instances": [[1, ' + b"9" * 300 + b"]]}"),
    "NaN": post(b'{"instances": [[NaN, 1]]}'),
    "Infinity": post(b'{"instances": [[Infinity, 1]]}'),
    "1e400": post(b'{"instances": [[1e400, 1]]}'),
    "1e308 for a long": post(b'{"instances": [[1, 1e308]]}'),
    "no content type": post(b'{"instances": [[1, 1]]}', None),
    "wrong charset": post(b"{}", b"application/json; charset=utf-16"),
    "utf-16": post('{"instances": [[1, 1]]}'.encode("utf-16")),
    "not utf-8": post(b'{"instances": [["\xff\xfe", 1]]}'),
    "lone surrogate": post(b'{"instances": [["\\ud800", 1]]}'),
    "NUL": post(b"\0" * 100),
    "empty": post(b""),
    "csv NUL": post(b"a,b\n\0,1\n", b"text/csv"),
    "csv cells": post(b"a,b\n" + b"," * 900_000, b"text/csv"),
    "csv quote": post(b'a,b\n"' + b"x" * 900_000, b"text/csv"),
    "csv digits": post(b"a,b\n1," + b"9" * 100_000 + b"\n", b"text/csv"),
    "many keys": post(json.dumps({str(n): n for n in range(50_000)}).encode()),
    "wide record": post(
        json.dumps({"dataframe_records": [{str(n): n for n in range(50_000)}]}).encode()
    ),
    "scalars": post(b'{"instances": 1}'),
    "content type of 10 KB": post(b"{}", b"application/json;" + b"x" * 10_000),
    "declared oversize": b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    b"Content-Type: application/json\r\nContent-Length: 99999999999999999999\r\n\r\n{}",
    "bad length": b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
    "two lengths": b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n"
    b"Content-Length: 2\r\n\r\nab",
    "bad chunk": b"POST /invocations HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "not http": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 10 + b"\r\n\r\n",
    "long header": b"GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX: "
    + b"x" * 100_000
    + b"\r\n\r\n",
    "endless header": b"GET /ping HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 1_000_000,
    "no host": b"GET /ping HTTP/1.1\r\nConnection: close\r\n\r\n",
    "strange method": b"BREW /invocations HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "strange path": b"GET /..%2f..%2fetc HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
}


@pytest.mark.parametrize("name", CORPUS)
def test_hostile_bytes_are_refused_below_500(endpoint, name):
    assert 400 <= status_of(raw(endpoint, CORPUS[name])) < 500


def test_a_chunked_body_beyond_the_limit_is_413_and_the_answer_arrives(endpoint):
    head = (
        b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    assert status_of(raw(endpoint, head + chunk * 40)) == 413


def test_a_declared_oversize_is_refused_before_its_body_is_sent(endpoint):
    head = (
        b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Expect: 100-continue\r\nContent-Length: 2000000\r\n\r\n"
    )
    answer = raw(endpoint, head)
    assert status_of(answer) == 413


def test_slow_and_idle_clients_are_cut_off_and_a_good_one_is_served(endpoint, client):
    port = int(endpoint.url.rpartition(":")[2])
    idle = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(200)]
    slow_header = socket.create_connection(("127.0.0.1", port), timeout=10)
    slow_header.sendall(b"GET /ping HTT")
    slow_body = socket.create_connection(("127.0.0.1", port), timeout=10)
    slow_body.sendall(post(b'{"instances": [[1, 2]]}')[:-5])
    try:
        started = time.monotonic()
        assert ask(client, {"instances": [[1, 2]]}).status_code == 200
        assert time.monotonic() - started < 3
        slow_header.sendall(b"P/1.1\r\nX")
        assert _closed(slow_header)
        assert time.monotonic() - started < 10
        assert status_of(_rest(slow_body)) == 408
        assert all(_closed(connection) for connection in idle)
        assert time.monotonic() - started < 20
    finally:
        for connection in (*idle, slow_header, slow_body):
            connection.close()


def _rest(connection):
    answer = b""
    while chunk := connection.recv(65536):
        answer += chunk
    return answer


def _closed(connection):
    try:
        return connection.recv(100) == b""
    except ConnectionResetError:
        return True


def test_the_server_still_answers_and_made_no_500(client):
    assert ask(client, {"dataframe_records": [ROW]}).status_code == 200
    text = client.get("/metrics").text
    assert 'status="5' not in text


# --- MLflow's own server as the reference

DIFFERENT = {
    "wine missing column": 422,
    "wine string for double": 422,
    "wine null": 422,
    "mixed float for long": 422,
    "mixed null long": 422,
}
"""Cases where the surface asks for 422 and MLflow answers 400 (or, for 1.5 as a long, 200)."""


@pytest.fixture(scope="module")
def reference():
    path = shared_data() / "truth" / "mlflow_scoring_server.json"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return json.loads(path.read_text())


def wine():
    """ElasticNet(0.5, 0.5) on all red wines, as the reference was made."""
    import polars as pl
    from sklearn.linear_model import ElasticNet

    path = shared_data() / "tabular" / "winequality-red.csv"
    separator = ";" if ";" in path.read_text().partition("\n")[0] else ","
    frame = pl.read_csv(path, separator=separator, infer_schema_length=None)
    fitted = ElasticNet(alpha=0.5, l1_ratio=0.5, random_state=42)
    fitted.fit(frame.select(WINE).to_numpy(), frame["quality"].to_numpy())
    preparation = prepared(tuple(Column(name, "double") for name in WINE))
    return model_files.from_estimator(fitted, preparation, task="regression", target="quality")


def iris():
    """A nearest-neighbour classifier on the first two features of iris."""
    from sklearn.datasets import load_iris
    from sklearn.neighbors import KNeighborsClassifier

    data = load_iris()
    fitted = KNeighborsClassifier().fit(data.data[:, :2], data.target)
    preparation = prepared((Column("0", "double"), Column("1", "double")))
    return model_files.from_estimator(
        fitted, preparation, task="classification", target="species", classes=(0, 1, 2)
    )


def mixed():
    """A model of long, double, text and boolean columns that counts one row as 1."""
    from sklearn.dummy import DummyRegressor

    kinds = {"i": "long", "f": "double", "s": "string", "b": "boolean"}
    fitted = DummyRegressor(strategy="constant", constant=1.0).fit([[0.0]], [1.0])
    columns = tuple(Column(name, kind) for name, kind in kinds.items())
    preparation = Preparation(columns, (Feature("i", "i"),))
    return model_files.from_estimator(fitted, preparation, task="regression", target="n")


@pytest.mark.parametrize(
    ("name", "build"), [("iris_nosig", iris), ("wine_sig", wine), ("mixed_sig", mixed)]
)
async def test_mlflows_cases_have_its_status_and_its_predictions(tmp_path, reference, name, build):
    config = EndpointConfig(
        name, name, 1, "None", "r", "127.0.0.1", 0, "m", {}, 1000, 1_000_000, 10.0, "tester"
    )
    cases = [case for case in reference["cases"] if case["model"] == name]
    assert len(cases) >= 3
    with contextlib.closing(PredictionLog(tmp_path, name, 1, lambda sealed: None)) as log:
        transport = httpx.ASGITransport(Endpoint(build(), config, log).application())
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            for case in cases:
                headers = {"content-type": case["content_type"]}
                body = case["body"].encode()
                check(case, await client.post("/invocations", content=body, headers=headers))


def check(case, answer):
    assert answer.status_code == DIFFERENT.get(case["name"], case["status"]), case["name"]
    if answer.status_code == 200:
        found = answer.json()["predictions"]
        assert found == pytest.approx(case["response"]["predictions"], rel=1e-9), case["name"]
        assert answer.headers["content-type"] == "application/json"
    elif answer.status_code == 400:
        assert answer.json()["error_code"] == "BAD_REQUEST"


def test_a_scikit_learn_model_is_served_and_extreme_numbers_are_no_500(workspace, reference):
    register(workspace, "red wine", wine())
    case = next(case for case in reference["cases"] if case["name"] == "wine records")
    with running(workspace, "red wine") as served:
        url = f"{served.url}/invocations"
        headers = {"content-type": "application/json"}
        check(case, httpx.post(url, content=case["body"], headers=headers, timeout=30))
        for value in (1.7e308, -1.7e308, 1e39):
            for n_rows in (1, 2):
                answer = httpx.post(url, json={"instances": [[value] * len(WINE)] * n_rows})
                assert answer.status_code in (200, 422)
                json.loads(answer.text, parse_constant=pytest.fail)
