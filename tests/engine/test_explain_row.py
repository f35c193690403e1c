"""One row explained: as the command does it, as a warm process does it, and in plain language."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl
import pytest
from deciding_kit import loan_case, loans
from explained_kit import add_model, served

from local_stack import catalog
from local_stack.data import versions
from local_stack.errors import InputError, NotFoundError, UnavailableError
from local_stack.explain.deciding.answers import answer
from local_stack.explain.deciding.inquiry import Inquiry
from local_stack.explain.deciding.reasons import Contribution, Measure, reasons, shown, summary
from local_stack.explain.deciding.similar import Past, similar_rows
from local_stack.explain.deciding.whatif import Session
from local_stack.explain.subject import subject_of
from local_stack.runs.fit import fit
from local_stack.runs.recipe import parse_recipe
from local_stack.workspace import Workspace

HOSTILE = "[/nope]\x1b[31m\u202e"


# ------------------------------------------------------------------ plain language


def test_reasons_tell_direction_and_size_in_each_unit() -> None:
    parts = [
        Contribution("credit_amount", 12_579, -0.83),
        Contribution("purpose", "radio/tv", 0.31),
        Contribution("age", None, -0.12),
        Contribution("is_known", True, 0.05),
        Contribution("rate", 2.5, -0.001),
    ]
    told = reasons(parts, Measure("good", "log-odds"), most=3)
    assert told == (
        "credit_amount 12,579 lowers the log-odds of 'good' by 0.83 (odds x 0.44).",
        "purpose 'radio/tv' raises the log-odds of 'good' by 0.31 (odds x 1.36).",
        "age, which is missing, lowers the log-odds of 'good' by 0.12 (odds x 0.89).",
        "The 2 other columns together raise the log-odds of 'good' by 0.049 (odds x 1.05).",
    )
    assert reasons(parts, Measure("good", "probability"), most=1)[0] == (
        "credit_amount 12,579 lowers the probability of 'good' by 83.0 points."
    )
    many = reasons(parts, Measure("good", "log-odds", is_odds=False), most=1)[0]
    assert many == "credit_amount 12,579 lowers the log-odds of 'good' by 0.83."
    assert reasons(parts, Measure("price", "target"), most=1)[0] == (
        "credit_amount 12,579 lowers the predicted price by 0.83."
    )
    assert reasons(parts, Measure("price", "log target"), most=1)[0] == (
        "credit_amount 12,579 lowers the logarithm of price by 0.83 (x 0.44)."
    )


def test_reasons_of_one_side_come_largest_first_and_the_order_of_parts_is_no_matter() -> None:
    parts = [Contribution(name, 1, shap) for name, shap in zip("abcd", (3, -1, -2, 0), strict=True)]
    measure = Measure("y", "target")
    assert [it.split()[0] for it in reasons(parts, measure, sign=-1)] == ["c", "b"]
    assert reasons(parts, measure) == reasons(parts[::-1], measure)
    assert reasons([Contribution("a", 1, 0.0)], measure) == (
        "The only column does not move the predicted y.",
    )
    assert reasons([], measure) == ()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "missing"),
        (True, "true"),
        (12_579.0, "12,579"),
        (0.123456789, "0.123457"),
        (1e300, "1e+300"),
        ("x" * 500, "'" + "x" * 59 + "…'"),
        (HOSTILE, "'[/nope]\ufffd[31m\ufffd'"),
    ],
)
def test_values_from_outside_are_short_and_print(value: Any, text: str) -> None:
    assert shown(value) == text
    part = Contribution(HOSTILE, value, 1e9)
    for unit in ("log-odds", "probability", "target", "log target", "decision function"):
        (told,) = reasons([part], Measure(HOSTILE, unit))
        assert told.isprintable()


def test_the_summary_names_threshold_and_average() -> None:
    measure = Measure("bad", "log-odds")
    told = summary("bad", measure, base=-1.0, score=0.4, probability=0.6, threshold=0.5)
    assert told == (
        "The model says 'bad': the probability of 'bad' is 0.600, at or above the threshold of "
        "0.5. From its average, -1, the columns take the log-odds of 'bad' to 0.4."
    )


# ------------------------------------------------------------------ answers


@pytest.mark.parametrize(
    ("target", "estimator", "units"),
    [
        ("paid", "lightgbm", ("log-odds", "probability")),
        ("grade", "lightgbm", ("log-odds", "probability")),
        ("limit", "sklearn.linear_model.Ridge", ("target",)),
        ("paid", "sklearn.svm.LinearSVC", ("decision function",)),
    ],
)
def test_contributions_add_up_in_every_unit(
    target: str, estimator: str, units: tuple[str, ...]
) -> None:
    case = loan_case(target, estimator)
    for index in (0, 3, 4):
        row = case.row(index)
        for unit in units:
            found = answer(case.explainer, row, unit)
            total = found.base_value + math.fsum(it.shap for it in found.contributions)
            assert total == pytest.approx(found.score, abs=1e-9)
            assert found.unit == unit
            assert found.units == units
            assert found.prediction == case.model.predict_row(row)
            if case.model.has_probabilities:
                matrix = case.model.matrix({name: [value] for name, value in row.items()})
                expected = case.model.probabilities(matrix)[0].tolist()
                assert list(found.probabilities.values()) == expected
            sizes = [abs(it.shap) for it in found.contributions]
            assert sizes == sorted(sizes, reverse=True)
            for it in found.contributions:
                assert it.value == row[it.feature]
            if unit == "probability":
                assert found.score == pytest.approx(found.probabilities[found.output], abs=1e-9)


def test_contributions_are_those_of_lightgbm_in_original_columns() -> None:
    case = loan_case()
    row = case.row(1)
    matrix = case.model.matrix({name: [value] for name, value in row.items()})
    theirs = case.model.estimator.predict(matrix, pred_contrib=True)[0]
    names = [case.model.preparation.sources[it.name][0] for it in case.model.features]
    expected = dict.fromkeys(names, 0.0)
    for name, value in zip(names, theirs, strict=False):
        expected[name] += value
    found = answer(case.explainer, row)
    assert {it.feature: it.shap for it in found.contributions} == pytest.approx(expected, abs=1e-9)
    assert found.base_value == pytest.approx(theirs[-1], abs=1e-9)


@pytest.mark.parametrize("unit", ["log-odds", "probability"])
def test_the_first_of_two_classes_is_the_second_turned_around(unit: str) -> None:
    case = loan_case()
    row = case.row(1)
    yes, no = (answer(case.explainer, row, unit, name) for name in ("yes", "no"))
    theirs = {it.feature: it.shap for it in yes.contributions}
    assert {it.feature: -it.shap for it in no.contributions} == theirs
    whole = 1.0 if unit == "probability" else 0.0
    assert no.score == pytest.approx(whole - yes.score, abs=1e-12)
    assert no.base_value == pytest.approx(whole - yes.base_value, abs=1e-12)
    said = yes if yes.prediction == "yes" else no
    assert {it.split(" ")[0] for it in yes.adverse[:1]} == {
        it.split(" ")[0] for it in no.adverse[:1]
    }
    assert said.adverse != said.against
    with pytest.raises(InputError, match="Did you mean 'yes'"):
        answer(case.explainer, row, unit, "yess")


# ------------------------------------------------------------------ similar rows


def test_similar_rows_are_the_nearest_and_say_what_became_of_them() -> None:
    case = loan_case()
    outcomes = case.frame["paid"].to_list()
    past = Past(case.explainer, case.space, outcomes, np.arange(300) * 10)
    row = case.row(4)
    found = similar_rows(past, row, 7)
    apart = case.space.distances(case.space.coded, case.space.coded[4]).mean(axis=1)
    order = sorted(range(300), key=lambda at: (apart[at], at))[:7]
    assert [it.index for it in found.rows] == [at * 10 for at in order]
    assert found.rows[0].distance == 0.0
    assert found.rows[0].differs == ()
    said = case.model.predict_row(row)
    assert found.n_agree == sum(outcomes[at] == said for at in order)
    for it, at in zip(found.rows, order, strict=True):
        assert it.outcome == outcomes[at]
        assert it.prediction == case.model.predict_row(case.row(at))
        differing = {
            name
            for name, value in it.values.items()
            if value != case.space.row(case.space.coded[4])[name]
        }
        assert set(it.differs) == differing
    without = similar_rows(past, row, 7, leave_out=40)
    assert 40 not in [it.index for it in without.rows]
    assert without.n_looked_at == 299


def test_similar_by_profile_compares_what_the_values_did() -> None:
    case = loan_case("limit", "lightgbm")
    past = Past(case.explainer, case.space, case.frame["limit"].to_list(), np.arange(300))
    row = case.row(6)
    found = similar_rows(past, row, 5, by="profile")
    shap = case.explainer.attribute(case.model.matrix(case.raw)).values[:, :, 0]
    apart = np.abs(shap - shap[6]).sum(axis=1)
    assert [it.distance for it in found.rows] == pytest.approx(np.sort(apart)[:5], abs=1e-9)
    assert found.n_agree is None
    assert found.mean_outcome == pytest.approx(np.mean([it.outcome for it in found.rows]))


# ------------------------------------------------------------------ the command

CONTRACT = """
columns:
  months: {min: 6, max: {value: 36, severity: warning}}
  income: {direction: increase}
  since: {immutable: true}
  home: {allowed: [own, rent]}
checks:
  - {name: dear, expression: "income < 4000 OR home = 'own'"}
"""


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workspace, str]]:
    """A workspace with loans, one row without its target, a contract, and two models of them."""
    folder = tmp_path_factory.mktemp("bank")
    paid = pl.when(pl.int_range(pl.len()) == 5).then(None).otherwise(pl.col("paid")).alias("paid")
    frame = loans().drop("grade", "limit").with_columns(paid)
    frame.write_parquet(folder / "loans.parquet")
    recipe = {
        "dataset": "loans",
        "target": "paid",
        "features": [{"dates": {"columns": ["since"], "parts": ["elapsed_days"]}}],
        "params": {"n_estimators": 15, "num_leaves": 7, "num_threads": 1},
        "threshold": 0.6,
    }
    models = [fit(parse_recipe(recipe | more), frame).model for more in ({}, {"threshold": 0.4})]
    with Workspace.create(folder / "ws", actor="tester") as workspace:
        given = {"name": "loans", "source": str(folder / "loans.parquet"), "target": "paid"}
        catalog.call(workspace, "data.add", {**given, "sensitive": ["is_known"]})
        catalog.call(workspace, "data.contract", {"name": "loans", "text": CONTRACT})
        add_model(workspace, "loans", versions.find(workspace, "loans").reference, *models)
        yield workspace, "loans/1"


def explain(bank: tuple[Workspace, str], **arguments: Any) -> dict[str, Any]:
    workspace, run = bank
    found = catalog.call(workspace, "explain.row", {"target": run, **arguments})
    result: dict[str, Any] = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    return result


def test_a_row_by_its_number_and_the_same_row_as_json(bank: tuple[Workspace, str]) -> None:
    first = explain(bank, index=8, counterfactuals=3, similar=4, trace=True)
    row = catalog.call(bank[0], "data.show", {"name": "loans", "start": 8, "limit": 1})
    names = [column.name for column in row.version.schema]
    values = dict(zip(names, row.rows[0], strict=True))
    assert first["outcome"] == values.pop("paid")
    assert first["row"] == pytest.approx(
        {k: v[:10] if k == "since" else v for k, v in values.items()}
    )
    again = explain(bank, row=json.dumps(first["row"]), counterfactuals=3)
    same = ("prediction", "probabilities", "base_value", "contributions", "reasons", "unit")
    assert {k: first[k] for k in same} == {k: again[k] for k in same}
    assert again["counterfactuals"] == first["counterfactuals"]
    assert again["index"] is None
    assert again["similar"] is None
    assert first["counterfactual"] == first["counterfactuals"][0]
    assert first["threshold"] == 0.6
    assert len(first["similar"]["rows"]) == 4
    assert 8 not in [it["index"] for it in first["similar"]["rows"]]
    assert first["trace"]["ending"][-1] == f"The prediction is '{first['prediction']}'."
    assert {it["feature"] for it in first["contributions"]} == set(first["row"])


def test_numbers_are_those_of_the_data_version_with_rows_that_have_no_target(
    bank: tuple[Workspace, str],
) -> None:
    assert explain(bank, index=5, counterfactuals=0)["outcome"] is None
    frame = loans()
    for it in explain(bank, index=5, similar=5)["similar"]["rows"]:
        assert it["index"] != 5
        assert it["outcome"] == frame["paid"][it["index"]]
        assert it["values"]["rate"] == frame["rate"][it["index"]]


def test_the_contract_and_the_data_set_hold_what_may_not_change(
    bank: tuple[Workspace, str],
) -> None:
    n_found = 0
    for index in (4, 8, 24, 40, 60, 72):  # of 24 and 60 the income alone would do
        found = explain(bank, index=index, counterfactuals=4, decrease=["rate"])
        assert found["held"] == {"is_known": "sensitive", "since": "the contract"}
        before = found["row"]
        for way in found["counterfactuals"]:
            after = {**before, **{it["feature"]: it["after"] for it in way["changes"]}}
            was_kept = (before["income"] or 0) < 4000 or before["home"] in ("own", None)
            is_kept = (after["income"] or 0) < 4000 or after["home"] in ("own", None)
            assert is_kept or not was_kept
            for it in way["changes"]:
                n_found += 1
                assert it["feature"] not in ("is_known", "since")
                assert it["feature"] != "months" or 6 <= it["after"] <= 36
                assert it["feature"] != "home" or it["after"] in ("own", "rent")
                is_up = it["feature"] != "income" or it["before"] is None
                assert is_up or it["after"] > it["before"]
                assert it["feature"] != "rate" or it["after"] < it["before"]
    assert n_found >= 5
    none = explain(bank, index=4, immutable=["income", "rate", "months", "home"])
    assert none["counterfactual"] is None
    assert none["held"]["rate"] == "asked for"
    assert none["counterfactual_note"] == "Every column is held as it is, so nothing can change."
    clash = explain(bank, index=4, decrease=["income"])["held"]
    assert clash["income"] == "the contract lets it only increase"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "Exactly one of --row, --index and --prediction"),
        ({"index": 1, "row": "{}"}, "Exactly one of --row, --index and --prediction"),
        ({"index": -1}, "has no row -1"),
        ({"index": 300}, "has no row 300"),
        ({"row": "[1]"}, "not a JSON object"),
        ({"row": '{"income": NaN}'}, "not a JSON object"),
        ({"row": "[" * 100_000}, "not a JSON object"),
        ({"row": '{"incom": 3}'}, "Did you mean 'income'"),
        ({"row": '{"income": "3"}'}, "column 'income'"),
        ({"row": "{}"}, "is absent"),
        ({"index": 1, "unit": "euros"}, "not measured in 'euros'"),
        ({"index": 1, "output": "maybe"}, "is not a class"),
        ({"index": 1, "desired": "maybe"}, "is not a class"),
        ({"index": 1, "immutable": ["incme"]}, "Did you mean 'income'"),
        ({"index": 1, "increase": ["home"]}, "neither increases nor decreases"),
        ({"index": 1, "increase": ["rate"], "decrease": ["rate"]}, "only increase and only"),
        ({"index": 1, "counterfactuals": 21}, "At most 20 counterfactuals"),
        ({"index": 1, "similar": -1}, "no fewer than 0"),
    ],
)
def test_bad_questions_end_in_a_sentence(
    bank: tuple[Workspace, str], arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError) as caught:
        explain(bank, **arguments)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("direction: up", "line 2"),
        ("immutable: perhaps", "line 2"),
        ("directon: increase", "Did you mean 'direction'"),
    ],
)
def test_words_of_the_contract_are_checked(
    bank: tuple[Workspace, str], words: str, message: str
) -> None:
    text = f"columns:\n  income: {{{words}}}\n"
    with pytest.raises(InputError, match=message):
        catalog.call(bank[0], "data.contract", {"name": "loans", "text": text})


async def test_a_logged_prediction_is_explained_by_the_model_that_made_it(
    bank: tuple[Workspace, str],
) -> None:
    row = explain(bank, index=8, counterfactuals=0)["row"]
    async with served(bank[0], "desk", 1) as at:
        answer = await at.client.post("/invocations", json={"inputs": [row]})
    identity = answer.headers["x-paceml-prediction-id"]
    found = explain(bank, prediction=identity)
    assert found["prediction_id"] == identity
    assert found["prediction"] == answer.json()["predictions"][0]
    assert found["row"] == row
    assert found["notes"] == ["The model says the same now as it did then, to the last bit."]
    with pytest.raises(InputError, match="was made by loans/1, which is another model"):
        explain((bank[0], "loans/2"), prediction=identity)
    with pytest.raises(NotFoundError):
        explain(bank, prediction="nothing")


# ------------------------------------------------------------------ the warm process


@pytest.fixture(scope="module")
def session(bank: tuple[Workspace, str]) -> Iterator[Session]:
    workspace, run = bank
    with Session(workspace.root, run) as opened:
        yield opened


def test_the_process_says_what_the_command_says_to_the_last_bit(
    bank: tuple[Workspace, str], session: Session
) -> None:
    workspace, run = bank
    inquiry = Inquiry(workspace, subject_of(workspace, run))
    for index in (0, 8, 20):
        row = inquiry.row(index)
        for unit in (None, "probability"):
            here = inquiry.answer(inquiry.check(row), unit).to_dict()
            assert session.what_if(row, unit) == json.loads(json.dumps(here))
    whole = session.explain(index=8, counterfactuals=2, similar=3, has_trace=True)
    assert whole == explain(bank, index=8, counterfactuals=2, similar=3, trace=True)
    wishes = {"immutable": ["income"], "increase": ["rate"]}
    held = session.explain(row=inquiry.row(8), wishes=wishes)
    assert held["held"]["income"] == "asked for"


def test_rows_come_with_predictions_and_can_be_chosen_by_them(
    bank: tuple[Workspace, str], session: Session
) -> None:
    every = session.rows(0, 500)
    assert every["n_rows"] == 300
    assert [it["index"] for it in every["rows"]] == list(range(300))
    frame = loans()
    assert [it["outcome"] for it in every["rows"]][6:] == frame["paid"].to_list()[6:]
    refused = session.rows(2, 3, only="no")
    chosen = [it for it in every["rows"] if it["prediction"] == "no"]
    assert refused["n_rows"] == len(chosen)
    assert refused["rows"] == chosen[2:5]
    assert all(it["probability"] < 0.6 for it in chosen)
    one = explain(bank, index=chosen[0]["index"], counterfactuals=0)
    assert one["probabilities"]["yes"] == chosen[0]["probability"]
    assert session.rows(1_000, 5)["rows"] == []


def test_columns_are_told_as_an_editor_needs_them(session: Session) -> None:
    found = {it["name"]: it for it in session.columns()}
    assert (found["months"]["low"], found["months"]["high"]) == (6, 48)
    assert found["income"]["is_nullable"]
    assert set(found["home"]["levels"]) == {"own", "rent", "[/nope]\x1b[31m"}
    assert found["since"]["low"] >= "2020-01-01"
    assert found["since"]["held"] == "the contract"


def test_errors_cross_over_and_the_process_goes_on(session: Session) -> None:
    row = session.rows(0, 1)["rows"][0]["values"]
    pid = session.pid
    with pytest.raises(InputError, match="Did you mean 'income'"):
        session.what_if({**row, "incme": 3})
    with pytest.raises(InputError, match="expects a whole number"):
        session.what_if({**row, "months": HOSTILE})
    with pytest.raises(InputError, match="no word for"):
        session.what_if({**row, "rate": math.nan})
    with pytest.raises(InputError, match="has no row 99999"):
        session.explain(index=99_999)
    assert session.what_if(row)["prediction"] in ("yes", "no")
    assert session.pid == pid


def test_many_threads_ask_one_after_the_other(session: Session) -> None:
    rows = [it["values"] for it in session.rows(0, 4)["rows"]]
    alone = [session.what_if(row) for row in rows]
    found: list[Any] = [None] * 4

    def work(at: int) -> None:
        found[at] = session.what_if(rows[at])

    threads = [threading.Thread(target=work, args=(at,)) for at in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == alone


def test_a_process_that_is_killed_while_it_is_asked_is_said(session: Session) -> None:
    row = session.rows(0, 1)["rows"][0]["values"]
    pid = session.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)  # it is asked while it dies
    threading.Timer(0.2, os.kill, (pid, signal.SIGKILL)).start()
    with pytest.raises(UnavailableError, match="Ask again"):
        session.what_if(row)
    assert not _is_alive(pid)
    assert session.pid is None


@pytest.mark.slow
def test_a_process_that_died_starts_anew_and_closing_ends_it(bank: tuple[Workspace, str]) -> None:
    workspace, run = bank
    with Session(workspace.root, run) as session:
        row = session.rows(0, 1)["rows"][0]["values"]
        before, first = session.what_if(row), session.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        again = _asked_twice(session, row)
        assert again == before
        last = session.pid
        assert last is not None
        assert last != first
        os.kill(last, signal.SIGSTOP)  # so that it is being asked when somebody closes it
        threading.Timer(0.3, session.close).start()
        with pytest.raises(UnavailableError, match="closed"):
            session.what_if(row)
    assert not _is_alive(last)
    with pytest.raises(UnavailableError, match="closed"):
        session.what_if(row)


def _asked_twice(session: Session, row: dict[str, Any]) -> Any:
    """The first question may still have gone to the process that was killed."""
    try:
        return session.what_if(row)
    except UnavailableError:
        return session.what_if(row)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
def test_the_process_ends_when_whoever_asked_is_killed(bank: tuple[Workspace, str]) -> None:
    workspace, run = bank
    program = (
        "import sys, time; from pathlib import Path\n"
        "from local_stack.explain.deciding.whatif import Session\n"
        "session = Session(Path(sys.argv[1]), sys.argv[2]); session.start()\n"
        "print(session.pid, flush=True); time.sleep(60)\n"
    )
    command = [sys.executable, "-c", program, str(workspace.root), run]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as asker:
        assert asker.stdout is not None
        pid = int(asker.stdout.readline())
        assert _is_alive(pid)
        asker.kill()
    until = time.monotonic() + 20
    while _is_alive(pid) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _is_alive(pid)


def test_the_side_of_a_screen_imports_nothing_heavy() -> None:
    program = (
        "import sys, local_stack.explain.deciding.whatif\n"
        "heavy = {'numpy', 'polars', 'lightgbm', 'sklearn', 'duckdb', 'mlflow', 'shap'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
