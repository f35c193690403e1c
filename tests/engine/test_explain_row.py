"""One row explained: as the command does it, and as a warm process does it."""

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
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from deciding_kit import loans
from explained_kit import add_model, served

from local_stack import catalog, pipeline
from local_stack.data import versions
from local_stack.errors import InputError, NotFoundError, UnavailableError
from local_stack.explain.deciding.inquiry import Inquiry
from local_stack.explain.subject import subject_of
from local_stack.explain.whatif import Session
from local_stack.results import plain
from local_stack.runs.fit import fit
from local_stack.runs.recipe import parse_recipe
from local_stack.workspace import Workspace

HOSTILE = "[/nope]\x1b[31m\u202e"


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


def test_a_row_is_explained_by_trees_when_the_rows_of_the_version_are_gone(
    bank: tuple[Workspace, str],
) -> None:
    first = explain(bank, index=8, counterfactuals=0)
    path = versions.table_path(bank[0], versions.find(bank[0], "loans"))
    path.rename(path.with_name("away"))
    try:
        workspace, run = bank
        again = catalog.find("explain.row").call(workspace, run, row=first["row"], similar=3)
        assert plain(again.contributions) == first["contributions"]
        assert (again.counterfactual, again.similar) == (None, None)
        assert "The rows of loans@" in again.notes[-1]
        assert "counterfactuals and similar rows are not looked for" in again.notes[-1]
        with pytest.raises(NotFoundError):
            explain(bank, index=8)
    finally:
        path.with_name("away").rename(path)


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


ROW = (
    '{"income": 3000, "months": 12, "rate": 2.5, "home": "own", "is_known": true, '
    '"since": "2021-01-01"}'
)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "Exactly one of --row, --index and --prediction"),
        ({"index": 1, "row": "{}"}, "Exactly one of --row, --index and --prediction"),
        ({"index": -1}, "has no row -1"),
        ({"index": 300}, "has no row 300"),
        ({"row": "[1]"}, "not a JSON object"),
        ({"row": '{"income": NaN}'}, "NaN is not JSON. Write null"),
        ({"row": "[" * 100_000}, "not a JSON object"),
        ({"row": '{"incom": 3}'}, "Did you mean 'income'"),
        ({"row": '{"income": "3"}'}, "Column 'income': the model expects"),
        (
            {"row": '{"income": 3}'},
            "4 columns are absent: 'months' (a whole number), 'rate' (a number), "
            "'is_known' (true or false) and 'since' (a date such as 2026-01-31).",
        ),
        ({"row": ROW.replace('"rate": 2.5, ', "")}, "Column 'rate' is absent; the model expects"),
        ({"row": ROW.replace("2.5", '"2.5"')}, "Column 'rate': the model expects a number"),
        ({"row": ROW.replace('"rate"', '"rate": 1, "rate"')}, "names 'rate' twice"),
        ({"row": ROW.replace("own", r"\ud800")}, "Column 'home' holds half of a character"),
        ({"row": {**json.loads(ROW), "home": "\ud800x"}}, "holds half of a character"),
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


def test_a_pipeline_takes_a_mapping_and_asks_again_when_the_contract_has_changed(
    bank: tuple[Workspace, str], tmp_path: Path
) -> None:
    workspace, run = bank
    step = {"target": run, "row": json.loads(ROW), "counterfactuals": 1}
    file = tmp_path / "p.yaml"
    file.write_text(json.dumps({"name": "p", "steps": [{"explain.row": step}]}))

    def done() -> Any:
        (it,) = pipeline.run(workspace, file).steps
        return it

    first = done()
    assert (first.status, first.error) == ("done", None)
    plainly = explain(bank, row=ROW, counterfactuals=0)
    assert json.loads(json.dumps(plain(first.result)))["contributions"] == plainly["contributions"]
    assert done().status == "skipped"
    text = CONTRACT.replace("since:", "rate: {immutable: true}\n  since:")
    catalog.call(workspace, "data.contract", {"name": "loans", "text": text})
    try:
        again = done()
        assert again.status == "done"
        assert plain(again.result)["held"]["rate"] == "the contract"
    finally:
        catalog.call(workspace, "data.contract", {"name": "loans", "text": CONTRACT})
    reads = catalog.find("explain.row").reads
    assert reads is not None
    read = reads(workspace, {"target": run})
    assert ["is_known"] in read  # the sensitive columns
    asked = {"target": "gone", "prediction": "p"}  # whether it still holds is asked every time
    assert reads(workspace, asked) != reads(workspace, asked)
    file.write_text(json.dumps({"name": "p", "steps": [{"explain.row": {**step, "unit": {}}}]}))
    with pytest.raises(InputError, match=r"p.yaml, line 1: 'unit' needs one value, not a mapping"):
        pipeline.run(workspace, file)


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
    with pytest.raises(InputError, match="was made by loans/1, which is another version of loans"):
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
    assert _ends(last)
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


def _ends(pid: int) -> bool:
    until = time.monotonic() + 20
    while _is_alive(pid) and time.monotonic() < until:
        time.sleep(0.05)
    return not _is_alive(pid)


@pytest.mark.slow
def test_the_process_ends_when_whoever_asked_is_killed(bank: tuple[Workspace, str]) -> None:
    workspace, run = bank
    program = (
        "import sys, time; from pathlib import Path\n"
        "from local_stack.explain.whatif import Session\n"
        "session = Session(Path(sys.argv[1]), sys.argv[2]); session.start()\n"
        "print(session.pid, flush=True); time.sleep(60)\n"
    )
    command = [sys.executable, "-c", program, str(workspace.root), run]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as asker:
        assert asker.stdout is not None
        pid = int(asker.stdout.readline())
        assert _is_alive(pid)
        asker.kill()
    assert _ends(pid)


def test_the_side_of_a_screen_imports_nothing_heavy() -> None:
    program = (
        "import sys, local_stack.explain.whatif\n"
        "heavy = {'numpy', 'polars', 'lightgbm', 'sklearn', 'duckdb', 'mlflow', 'shap'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
