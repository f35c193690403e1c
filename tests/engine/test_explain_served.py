"""Explanations of served predictions: given over HTTP, logged, and made again bit for bit."""

from __future__ import annotations

import contextlib
import json
import math
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from explained_kit import lender, loans, model_of, served
from serving_kit import ab, post, raw, register, running, status_of

from local_stack import catalog, registry, results, serving
from local_stack.data import versions
from local_stack.errors import InputError, NotFoundError, StackError
from local_stack.explain import recalling
from local_stack.explain.single import RowExplainer, background_columns
from local_stack.explain.subject import subject_of
from local_stack.runs.records import find_run
from local_stack.serving.folder import folder_of
from local_stack.stores.artifacts import Blob
from local_stack.stores.journal import Draft
from local_stack.workspace import Workspace
from paceml_tui.printing_explain import row_lines

__all__ = ["lender"]

ROW = {"income": 0.3, "debt": 1.25, "kind": "house", "day": "2026-03-01", "children": 2}
MISSING = {**ROW, "debt": None, "kind": "unseen"}


def total(explanation: dict[str, Any]) -> float:
    return explanation["base_value"] + sum(explanation["contributions"].values())


@pytest.mark.parametrize("version", [1, 2])
async def test_an_answer_explains_each_row_as_the_model_itself_does(
    lender: Workspace, version: int
):
    rows = [ROW, MISSING, *loans(20).drop("repaid").to_dicts()]
    rows = [{**row, "day": str(row["day"])} for row in rows]
    async with served(lender, f"answers{version}", version) as at:
        answer = await at.client.post("/explain", json={"dataframe_records": rows})
        plain = await at.client.post("/invocations", json={"dataframe_records": rows})
    assert answer.status_code == 200
    assert answer.json()["predictions"] == plain.json()["predictions"]
    assert answer.headers["x-paceml-model"] == f"loans/{version}"
    subject = subject_of(lender, f"loans/{version}")
    for row, told in zip(rows, answer.json()["explanations"], strict=True):
        matrix = at.model.matrix(
            {name: [it] for name, it in at.model.preparation.validate_row(row).items()}
        )
        found = subject.explainer.attribute(matrix)
        assert (told["output"], told["unit"]) == ("yes", "log-odds")
        assert told["base_value"] == found.base[0]  # to the last bit
        assert list(told["contributions"]) == list(found.columns)
        assert list(told["contributions"].values()) == found.values[0, :, 0].tolist()
        odds = at.model.probabilities(matrix)[0]
        assert total(told) == pytest.approx(np.log(odds[1] / odds[0]), rel=1e-9)
        assert told["prediction"] == ("yes" if total(told) >= 0 else "no")
        assert told["reasons"]
        assert told["reasons"][0].endswith(".")


async def test_every_format_and_every_refusal_is_that_of_invocations(lender: Workspace):
    names = list(ROW)
    bodies = [
        {"dataframe_records": [ROW]},
        {"dataframe_split": {"columns": names, "data": [list(ROW.values())]}},
        {"instances": [[ROW[it.name] for it in model_of(lender, 1).inputs]]},
        {"inputs": {name: [value] for name, value in ROW.items()}},
    ]
    async with served(lender, "formats", 1, max_explained_rows=3) as at:
        answers = [await at.client.post("/explain", json=body) for body in bodies]
        csv = ",".join(names) + "\n" + ",".join(map(str, ROW.values())) + "\n"
        headers = {"content-type": "text/csv"}
        answers.append(await at.client.post("/explain", content=csv, headers=headers))
        assert [it.status_code for it in answers] == [200] * 5
        assert len({json.dumps(it.json()) for it in answers}) == 1
        many = {"dataframe_records": [ROW] * 4}
        assert (await at.client.post("/explain", json=many)).status_code == 413
        assert (await at.client.post("/invocations", json=many)).status_code == 200
        assert (await at.client.get("/explain")).status_code == 405
        for body in (
            {},
            {"dataframe_records": []},
            {"dataframe_records": [{**ROW, "income": "x"}]},
        ):
            mine = await at.client.post("/explain", json=body)
            assert mine.status_code in (400, 422)
            assert mine.json() == (await at.client.post("/invocations", json=body)).json()
        euros = await at.client.post("/explain?unit=%1b%5b31m", json=bodies[0])
        assert (euros.status_code, euros.json()["error_code"]) == (422, "EXPLANATION_UNAVAILABLE")
        assert "Ask for one of: log-odds, probability." in euros.json()["message"]
        assert "\x1b" not in euros.text
        told = await at.client.post(
            "/explain", json={**bodies[0], "params": {"unit": "probability"}}
        )
        assert {it["unit"] for it in told.json()["explanations"]} == {"probability"}
        odd = await at.client.post("/explain", json={**bodies[0], "params": {"unit": 3}})
        assert (odd.status_code, "params.unit" in odd.text) == (400, True)
        wrong = await at.client.post("/explain", content=b"x", headers={"content-type": "a/b"})
        assert wrong.status_code == 415


async def test_what_takes_too_long_is_503_and_predictions_go_on(
    lender: Workspace, monkeypatch: pytest.MonkeyPatch
):
    import time

    real = RowExplainer.explain

    def slow(self: RowExplainer, row: Any, prediction: Any, unit: Any) -> Any:
        time.sleep(0.1)
        return real(self, row, prediction, unit)

    monkeypatch.setattr(RowExplainer, "explain", slow)
    async with served(lender, "slow", 1, request_seconds=0.3) as at:
        answer = await at.client.post("/explain", json={"dataframe_records": [ROW] * 50})
        assert answer.status_code == 503
        assert (await at.client.post("/invocations", json={"inputs": [ROW]})).status_code == 200
        for _ in range(20):  # the thread gives up at its deadline and is free again
            last = await at.client.post("/explain", json={"inputs": [ROW]})
            if last.status_code == 200:
                break
        assert last.status_code == 200


@pytest.mark.parametrize("version", [1, 2])
async def test_a_logged_explanation_is_made_again_to_the_last_bit(lender: Workspace, version: int):
    async with served(lender, f"again{version}", version) as at:
        one = await at.client.post("/explain", json={"inputs": [ROW]})
        many = await at.client.post("/explain", json={"inputs": [ROW, MISSING, ROW]})
        plain = await at.client.post("/invocations", json={"inputs": [MISSING]})
        share = await at.client.post("/explain?unit=probability", json={"inputs": [ROW]})
    assert share.json()["explanations"][0]["unit"] == "probability"
    for answer, ending, place in ((one, "", 0), (share, "", 0), (many, ".1", 1), (plain, "", 0)):
        identity = answer.headers["x-paceml-prediction-id"] + ending
        found = recalling.recalled(lender, identity)
        assert found.is_equal is True
        assert found.notes == ()
        assert found.logged.prediction_id == identity
        assert found.logged.run_id == registry.resolve(lender, f"loans/{version}").run_id
        assert found.prediction == answer.json()["predictions"][place]
        if answer is plain:
            assert found.logged.explanation is None
            assert found.is_explanation_equal is None
            assert found.logged.row["debt"] is None
            assert (
                found.explanation
                == recalling.recalled(
                    lender, many.headers["x-paceml-prediction-id"] + ".1"
                ).explanation
            )
        else:
            told = answer.json()["explanations"][place]
            assert found.is_explanation_equal is True
            assert found.logged.explanation["contributions"] == told["contributions"]
            assert found.reasons == tuple(told["reasons"])


async def test_what_differs_or_cannot_be_made_again_is_said(
    lender: Workspace, monkeypatch: pytest.MonkeyPatch
):
    async with served(lender, "differs", 2) as at:
        answer = await at.client.post("/explain", json={"inputs": [ROW]})
    identity = answer.headers["x-paceml-prediction-id"]
    with monkeypatch.context() as patched:
        model = registry.load(lender, registry.resolve(lender, "loans/2").model)
        model.estimator.coef_ = np.nextafter(model.estimator.coef_, 9)  # a bit of each
        model.estimator.intercept_ = -model.estimator.intercept_ - 9
        patched.setattr(recalling, "load", lambda *_: model)
        found = recalling.recalled(lender, identity)
        assert (found.is_equal, found.is_explanation_equal) == (False, False)
        assert "loans/2 now predicts 'no', where 'yes' was logged." in found.notes
        assert "explanation differs" in found.notes[1]
        assert "were not recorded" in found.notes[2]
    row = lender.get("model_versions", "loans", 2)
    lost = Path(lender.artifacts.uri(Blob.of(row["model"]["members"]["model.skops"])))
    lost.rename(lost.with_suffix(".away"))
    try:
        found = recalling.recalled(lender, identity)
    finally:
        lost.with_suffix(".away").rename(lost)
    assert (found.prediction, found.is_equal, found.explanation) == (None, None, None)
    assert (
        found.logged.explanation["contributions"]
        == (answer.json()["explanations"][0]["contributions"])
    )
    assert "cannot be made again with loans/2" in found.notes[0]


# ------------------------------------------------------------------ by explain row


SAME = "The model says the same now as it did then, to the last bit."


def explain(workspace: Workspace, target: str, identity: str, **more: Any) -> dict[str, Any]:
    given = {"target": target, "prediction": identity, "counterfactuals": 0, **more}
    found: dict[str, Any] = results.plain(catalog.call(workspace, "explain.row", given))
    return found


@contextlib.contextmanager
def away(path: Path) -> Iterator[None]:
    path.rename(path.with_suffix(".away"))
    try:
        yield
    finally:
        path.with_suffix(".away").rename(path)


async def ask(workspace: Workspace, name: str, version: int, verb: str = "explain") -> Any:
    async with served(workspace, name, version) as at:
        answer = await at.client.post(f"/{verb}", json={"inputs": [ROW]})
    return answer.headers["x-paceml-prediction-id"], answer.json()


async def test_a_bare_name_means_the_version_that_the_log_names(lender: Workspace) -> None:
    identity, answer = await ask(lender, "bare", 1)  # and 2 is the newest
    found = explain(lender, "loans", identity)
    assert found["run_id"] == "loans1"
    assert found["prediction"] == answer["predictions"][0]
    assert (found["is_equal"], found["is_explanation_equal"]) == (True, True)
    assert found["notes"] == [SAME, "Its explanation is the logged one, to the last bit."]
    assert explain(lender, "loans1", identity) == found
    with pytest.raises(InputError, match=r"was made by loans/1, which is another") as caught:
        explain(lender, "loans2", identity)
    assert "row loans/1 --prediction" in caught.value.hint
    with pytest.raises(InputError, match="another version of loans"):
        explain(lender, "loans/2", identity)
    with pytest.raises(NotFoundError, match="neither a run nor a model"):
        explain(lender, "lones", identity)


async def test_what_was_logged_is_shown_when_data_or_model_are_gone(lender: Workspace) -> None:
    identity, answer = await ask(lender, "gone", 2)  # a linear model, which needs its rows
    said, _ = await ask(lender, "gone", 2, "invocations")
    (told,) = answer["explanations"]
    row = lender.get("model_versions", "loans", 2)
    lost = {
        "data": versions.table_path(lender, versions.find(lender, "loans@then")),
        "model": Path(lender.artifacts.uri(Blob.of(row["model"]["members"]["model.skops"]))),
    }
    bare: dict[str, Any] = {}
    for what, path in lost.items():
        with away(path):
            found = explain(lender, "loans", identity, counterfactuals=3, similar=3)
            bare = explain(lender, "loans", said) if what == "data" else bare
            with pytest.raises(StackError, match="is not in"):  # as ever where nothing is logged
                catalog.call(lender, "explain.row", {"target": "loans/2", "row": ROW})
        assert found["prediction"] == answer["predictions"][0]
        shap = {it["feature"]: it["shap"] for it in found["contributions"]}
        assert shap == told["contributions"]
        assert {it["feature"]: it["value"] for it in found["contributions"]} == ROW
        assert (found["unit"], found["output"]) == (told["unit"], told["output"])
        assert found["base_value"] == told["base_value"]
        score = told["base_value"] + math.fsum(told["contributions"].values())
        assert found["score"] == pytest.approx(score, abs=1e-12)
        assert (found["counterfactual"], found["similar"], found["trace"]) == (None, None, None)
        assert found["is_equal"] is (True if what == "data" else None)
        assert (SAME in found["notes"]) is (what == "data")
        assert "is not in" in found["notes"][-1]
        assert len(found["notes"]) == (2 if what == "data" else 1)  # no cause: no bit differs
        again = "explained again" if what == "data" else "made again with loans/2"
        assert any(again in it for it in found["notes"])
        text = "\n".join(row_lines(found))
        assert f"loans/2 said '{found['prediction']}'. This is what was logged." in text
        assert "income" in text
        assert bare["contributions"] == []
        assert bare["base_value"] is None
        assert "Its contributions were not logged." in "\n".join(row_lines(bare))


async def test_a_logged_row_of_other_columns_is_shown_as_it_was_logged(
    lender: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity, answer = await ask(lender, "torn", 1)
    request = recalling._request(lender, identity)
    name, *_ = request.line["row"]
    row = {f"x{name}" if it == name else it: value for it, value in request.line["row"].items()}
    torn = replace(request, lines=(request.line | {"row": row},))
    monkeypatch.setattr(recalling, "_request", lambda *_: torn)
    found = explain(lender, "loans", identity, unit="probability", counterfactuals=2)
    (note,) = found["notes"]
    assert "cannot be made again with loans/1: The logged row lacks" in note
    assert f"'{name}'" in note
    assert found["row"] == row
    assert found["prediction"] == answer["predictions"][0]
    assert (found["is_equal"], found["is_explanation_equal"]) == (None, None)


def test_a_unit_that_was_renamed_is_no_difference() -> None:
    then = {"unit": "log-odds", "base_value": 0.5}
    now = "log-odds before calibration"
    assert recalling._renamed(then, now) == {"unit": now, "base_value": 0.5}
    assert recalling._renamed(then, "log-odds") is then
    assert recalling._renamed({"unit": "probability"}, now) == {"unit": "probability"}


# ------------------------------------------------------------------ libraries and servers


def test_libraries_of_then_and_now_are_compared(lender: Workspace, monkeypatch: Any):
    model = model_of(lender, 1)
    now = recalling.environment()
    assert {"python", "numpy", "lightgbm", "scikit-learn", "processor"} <= now.keys()
    logged = recalling.Logged("p", "e", "", "loans", 1, "", {}, 1, None, {**now})
    assert recalling._causes(logged, model, []) == ()
    assert recalling._causes(logged, model, ["x"])[1] == "Libraries and machine are as they were."
    then = {**now, "lightgbm": "4.0.0", "scikit-learn": "1.0"}
    causes = recalling._causes(replace(logged, environment=then), model, ["x"])
    assert causes[1] == f"lightgbm was 4.0.0, now {now['lightgbm']}."


def test_the_environment_is_that_of_the_server_which_answered(workspace: Workspace):
    for number, at in enumerate(("2026-01-01", "2026-02-01", "2026-03-01")):
        body = {"started_at": at, "environment": {"numpy": f"{number}"}}
        draft = Draft("serving.started", "endpoint:e", body if number else {}, [])
        workspace.append(lambda _, draft=draft: draft)
    then = {
        at: recalling._environment_then(workspace, "e", at) for at in ("2026-01-15", "2026-02-15")
    }
    assert then == {"2026-01-15": {}, "2026-02-15": {"numpy": "1"}}
    assert recalling._environment_then(workspace, "e", "2026-03-02") == {"numpy": "2"}
    assert recalling._environment_then(workspace, "other", "2026-03-02") == {}


def test_trees_are_explained_without_their_training_rows_and_others_are_not(lender: Workspace):
    row = model_of(lender, 1).preparation.validate_row(ROW)
    run = find_run(lender, registry.resolve(lender, "loans/1").run_id)
    model = model_of(lender, 1)
    known = RowExplainer(model, background_columns(lender, run, model.inputs))
    prediction = model.predict_row(row)
    assert RowExplainer(model, None).explain(row, prediction) == known.explain(row, prediction)
    with pytest.raises(InputError, match="learnt from are not here"):
        RowExplainer(model_of(lender, 2), None)


def test_the_background_is_that_of_every_other_explanation(lender: Workspace):
    for version in (1, 2):
        subject = subject_of(lender, f"loans/{version}")
        columns = json.loads(
            json.dumps(background_columns(lender, subject.run, subject.model.inputs))
        )
        found = RowExplainer(subject.model, columns)._explainer.background
        assert found.tobytes() == subject.background.tobytes()


def test_a_server_explains_in_its_own_process_without_shap_or_pandas(tmp_path: Path):
    with Workspace.create(tmp_path / "w", actor="tester") as workspace:
        register(workspace, "ab", ab())
        with running(workspace, "ab") as endpoint:
            url = f"{endpoint.url}/explain"
            answer = httpx.post(url, json={"instances": [[1.5, 2]]}, timeout=30)
            assert answer.status_code == 200
            identity = answer.headers["x-paceml-prediction-id"]
            bad = {name: status_of(raw(endpoint, _to_explain(it))) for name, it in HOSTILE.items()}
            assert all(400 <= it < 500 for it in bad.values()), bad
            maps = Path(f"/proc/{endpoint.pid}/maps").read_text()
            for library in ("llvmlite", "pandas", "_duckdb", "polars"):
                assert library not in maps
            assert "lib_lightgbm" in maps
            assert 'route="/explain",status="200"} 1' in httpx.get(f"{endpoint.url}/metrics").text
            seen = serving.status(workspace, "ab")
        found = recalling.recalled(workspace, identity)
        assert (found.is_equal, found.is_explanation_equal) == (True, True)
        assert found.logged.environment == recalling.environment()
        assert seen.n_predictions == 1
        body = workspace.query("SELECT body FROM events WHERE kind = 'serving.started'")[0]["body"]
        shutil.rmtree(folder_of(workspace.root, "ab"))
        with pytest.raises(NotFoundError):
            recalling.logged(workspace, identity)
        assert body["environment"]["lightgbm"]


@pytest.mark.slow
def test_a_server_explains_what_needs_training_rows_by_those_of_the_run(lender: Workspace):
    for version in (1, 2):
        with running(lender, f"loans/{version}", name=f"live{version}") as endpoint:
            answer = httpx.post(f"{endpoint.url}/explain", json={"inputs": [ROW]}, timeout=30)
        told = answer.json()["explanations"][0]
        subject = subject_of(lender, f"loans/{version}")
        row = subject.model.preparation.validate_row(ROW)
        found = subject.explainer.attribute(subject.model.matrix({k: [v] for k, v in row.items()}))
        assert list(told["contributions"].values()) == found.values[0, :, 0].tolist()
        recalled = recalling.recalled(lender, answer.headers["x-paceml-prediction-id"])
        assert (recalled.is_equal, recalled.is_explanation_equal) == (True, True)


HOSTILE = {
    "deep lists": post(b'{"instances": ' + b"[" * 100_000),
    "NaN": post(b'{"instances": [[NaN, 1]]}'),
    "101 rows": post(json.dumps({"instances": [[1, 1]] * 101}).encode()),
    "no content type": post(b'{"instances": [[1, 1]]}', None),
    "lone surrogate": post(b'{"instances": [["\\ud800", 1]]}'),
    "a wrong type": post(b'{"instances": [[true, 1]]}'),
    "empty": post(b""),
    "csv NUL": post(b"a,b\n\0,1\n", b"text/csv"),
    "oversize": post(b" " * 1_000_001),
}


def _to_explain(data: bytes) -> bytes:
    return data.replace(b"POST /invocations", b"POST /explain", 1)


def test_the_code_of_a_server_imports_nothing_heavy_to_explain():
    code = (
        "import local_stack.serving.scoring, local_stack.explain.single, sys; print(*sys.modules)"
    )
    words = [sys.executable, "-c", code]
    loaded = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "shap", "sklearn", "polars", "duckdb", "mlflow"} & set(loaded)
