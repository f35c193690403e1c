"""Comparisons of explanations: sums that hold, differences whose truth is known, plain NumPy."""

from __future__ import annotations

import itertools
import json
import math
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from explained_kit import LATER, add_model, lender, loans, trained
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr, rankdata

from local_stack import catalog
from local_stack.errors import InputError, NotFoundError
from local_stack.explain.attributing.attributing import Explainer
from local_stack.explain.attributing.attributions import Attributions
from local_stack.explain.contrasting.choosing import chosen, since
from local_stack.explain.contrasting.parts import Comparison
from local_stack.explain.contrasting.shifting import coded, divided, resampled
from local_stack.explain.contrasting.sides import _decided
from local_stack.explain.subject import Subject, subject_of
from local_stack.serving.folder import folder_of, write_json
from local_stack.workspace import Workspace

__all__ = ["lender"]

EXACT = {"rel": 1e-12, "abs": 1e-12}


def compare(workspace: Workspace, target: str, **options: Any) -> Comparison:
    found = catalog.call(workspace, "explain.compare", {"target": target, **options})
    json.dumps(found.to_dict(), allow_nan=False)
    return found


CASES = [
    {"target": "loans/1", "against": "loans@later"},
    {"target": "loans/2", "against": "loans@later", "unit": "log-odds", "output": "no"},
    {"target": "loans/1", "time": "day", "since": "2026-04"},
    {"target": "loans/1", "by": "kind", "a": "house", "b": "car", "unit": "log-odds"},
    {"target": "loans/2", "by": "debt", "a": "missing", "output": "no"},
    {"target": "loans/2", "other": "loans/1", "unit": "log-odds"},
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_sum_holds(lender: Workspace, case: dict[str, str]) -> None:
    found = compare(lender, **case)
    assert found.difference == found.outcome_b - found.outcome_a
    total = found.base_difference + sum(it.difference for it in found.columns) + found.residual
    assert total == pytest.approx(found.difference, **EXACT)
    assert abs(found.residual) < 1e-12
    is_models = found.kind == "models"
    assert (found.base_difference != 0) == is_models
    for column in found.columns:
        assert column.difference == pytest.approx(column.b - column.a, **EXACT)
        assert column.by_measure[found.unit] == column.difference
        assert column.low <= column.difference <= column.high
        if is_models:
            assert (column.moved, column.rest, column.values) == (None, None, ())
        else:
            assert column.moved + column.rest == pytest.approx(column.difference, **EXACT)
    assert next(it.measure for it in found.outcomes) == found.unit
    assert {it.measure for it in found.outcomes} == {"log-odds", "probability", "decisions"}
    for outcome in found.outcomes:
        parts = sum(it.by_measure[outcome.measure] for it in found.columns)
        if not is_models:  # the base is the same, so the columns make the whole difference
            assert parts == pytest.approx(outcome.difference, rel=1e-9, abs=1e-12)
        assert parts + outcome.base_difference == pytest.approx(outcome.difference, abs=1e-9)
        assert outcome.low <= outcome.difference <= outcome.high
    sizes = [abs(it.difference) for it in found.columns]
    assert sizes == sorted(sizes, reverse=True)
    assert found.sentences[0].startswith("On average ")


def values_of(subject: Subject, frame: pl.DataFrame, unit: str) -> np.ndarray:
    return subject.explainer.attribute(subject.matrix(frame), unit).values[:, :, 0]


def test_means_shares_and_intervals_are_those_of_numpy(lender: Workspace) -> None:
    found = compare(lender, "loans/1", time="day", a="..2026-02", b="2026-05-10..2026-06")
    subject = subject_of(lender, "loans/1", "loans@then")
    day = pl.col("day")
    before = subject.frame.filter(day <= pl.date(2026, 2, 28))
    after = subject.frame.filter((day >= pl.date(2026, 5, 10)) & (day <= pl.date(2026, 6, 30)))
    assert (found.a.n_rows, found.b.n_rows) == (before.height, after.height)
    one, two = (values_of(subject, it, "probability") for it in (before, after))
    names = list(subject.explainer.columns)
    draws = [
        np.concatenate(
            [np.random.default_rng(seed).integers(0, len(it), (500, len(it))) for seed in seeds]
        )
        for it, seeds in ((one, (0, 1)), (two, (1, 0)))
    ]
    for column in found.columns:
        place = names.index(column.feature)
        assert column.a == pytest.approx(one[:, place].mean(), **EXACT)
        assert column.b == pytest.approx(two[:, place].mean(), **EXACT)
        samples = two[draws[1], place].mean(axis=1) - one[draws[0], place].mean(axis=1)
        wanted = np.quantile(samples, [0.025, 0.975])
        assert (column.low, column.high) == pytest.approx(tuple(wanted), **EXACT)
        assert column.importance_a == pytest.approx(np.abs(one[:, place]).mean(), **EXACT)
    odds = [subject.model.probabilities(subject.matrix(it))[:, 1] for it in (before, after)]
    said = {it.measure: it for it in found.outcomes}
    assert said["probability"].a == pytest.approx(odds[0].mean(), **EXACT)
    assert said["decisions"].b == pytest.approx((odds[1] >= 0.5).mean(), **EXACT)


def test_a_shift_that_was_made_is_found_in_its_columns(lender: Workspace) -> None:
    """In a linear model a column's SHAP value depends on nothing but its own value."""
    found = compare(lender, "loans/2", against="loans@later", unit="log-odds")
    subject = subject_of(lender, "loans/2", "loans@then")
    names = [feature.name for feature in subject.model.features]
    slope = subject.model.estimator.coef_[0][names.index("income")]
    changes = {it.feature: it for it in found.columns}
    then, later = (subject.matrix(it)[:, names.index("income")] for it in (subject.frame, LATER))
    moved = slope * (later.mean() - then.mean())
    assert changes["income"].difference == pytest.approx(moved, **EXACT)
    assert changes["income"].high < 0
    assert abs(changes["income"].rest) < 0.1 * abs(moved)
    kind = changes["kind"]
    assert kind.rest == pytest.approx(0, abs=1e-12)
    assert kind.moved == pytest.approx(kind.difference, **EXACT)
    shares = {it.value: (it.share_a, it.share_b) for it in kind.values}
    for value in ("house", "car", "other"):
        wanted = [(it["kind"] == value).mean() for it in (subject.frame, LATER)]
        assert shares[f"'{value}'"] == pytest.approx(tuple(wanted), **EXACT)
    assert changes["children"].rest == pytest.approx(0, abs=1e-12)
    assert changes["day"].low <= 0 <= changes["day"].high
    assert "income lowers it by" in found.sentences[2]


def test_two_models_are_compared_on_the_same_rows(lender: Workspace) -> None:
    found = compare(lender, "loans/1", other="loans/2")
    one, two = (subject_of(lender, f"loans/{n}", "loans@then") for n in (1, 2))
    a, b = (values_of(it, it.frame, "probability") for it in (one, two))
    names = list(one.explainer.columns)
    assert list(two.explainer.columns) == names
    ranks = [rankdata(-np.abs(it).mean(axis=0), method="ordinal") for it in (a, b)]
    draws = np.random.default_rng(0).integers(0, len(a), (1000, len(a)))
    sizes = [np.stack([np.abs(it)[draw].mean(axis=0) for draw in draws]) for it in (a, b)]
    moves = rankdata(-sizes[1], axis=1, method="ordinal") - rankdata(
        -sizes[0], axis=1, method="ordinal"
    )
    for column in found.columns:
        place = names.index(column.feature)
        assert (column.rank_a, column.rank_b) == (ranks[0][place], ranks[1][place])
        assert column.rank_change == column.rank_b - column.rank_a
        wanted = tuple(np.quantile(moves[:, place], [0.025, 0.975]))
        assert (column.rank_low, column.rank_high) == wanted
        if np.ptp(a[:, place]) and np.ptp(b[:, place]):
            wanted = pearsonr(a[:, place], b[:, place]).statistic
            assert column.correlation == pytest.approx(wanted, abs=1e-9)
        else:
            assert column.correlation is None
    distances = np.abs(b - a).sum(axis=1)
    assert [it.distance for it in found.rows] == pytest.approx(np.sort(distances)[::-1][:10])
    row = found.rows[0]
    shown = catalog.call(
        lender, "data.show", {"name": "loans@then", "start": row.index, "limit": 1}
    )
    order = [it.name for it in shown.version.schema]
    for entry in row.columns:
        assert shown.rows[0][order.index(entry["feature"])] == entry["value"]
        assert entry["a"] == a[row.index, names.index(entry["feature"])]
    odds = one.model.probabilities(one.matrix(one.frame[row.index]))
    assert row.score_a == pytest.approx(odds[0, 1], **EXACT)
    assert row.prediction_a == ("yes" if row.score_a >= 0.5 else "no")


def test_rows_of_a_prediction_log_are_compared_by_their_time(lender: Workspace) -> None:
    frames = {"2026-05-03": loans(60, seed=4), "2026-06-20": loans(80, seed=5, income=1.0)}
    log = folder_of(lender.root, "desk") / "log"
    log.mkdir(parents=True)
    write_json(log.parent / "endpoint.json", {"endpoint": "desk"})
    for number, (day, frame) in enumerate(frames.items()):
        facts = {"request": "r", "at": f"{day}T10:00:00.000000Z", "model": "loans", "version": 9}
        lines = [
            json.dumps(
                {"id": f"{n}", **facts, "ms": 1.0, "row": row, "prediction": "yes"}, default=str
            )
            for n, row in enumerate(frame.drop("repaid").to_dicts())
        ]
        (log / f"{number}.jsonl").write_text("\n".join(lines) + "\n")
    found = compare(lender, "loans/1", log="desk", since="2026-06", data="loans@then")
    assert (found.kind, found.a.n_rows, found.b.n_rows) == ("windows", 60, 80)
    assert "predicted by loans/9" in found.notes[0]
    subject = subject_of(lender, "loans/1", "loans@then")
    one, two = (values_of(subject, it, "probability").mean(axis=0) for it in frames.values())
    wanted = dict(zip(subject.explainer.columns, two - one, strict=True))
    assert {it.feature: it.difference for it in found.columns} == pytest.approx(wanted, **EXACT)
    assert found.columns[0].feature == "income"
    whole = compare(lender, "loans/1", log="desk", data="loans@then")
    assert (whole.kind, whole.a.n_rows, whole.b.n_rows) == ("data", 400, 140)
    with pytest.raises(InputError, match="no row before 2026-05"):
        compare(lender, "loans/1", log="desk", since="2026-05")
    with pytest.raises(InputError, match="No row has a time of '2027'") as refused:
        compare(lender, "loans/1", log="desk", a="2027")
    assert str(refused.value.hint).startswith("It goes from 2026-05-03 10:00:00")
    with pytest.raises(InputError, match="Every row has a time of '2026'"):
        compare(lender, "loans/1", log="desk", a="2026")
    other = {"id": "w", **facts, "model": "wine", "ms": 1.0, "row": {"ph": 3.1}, "prediction": 5.5}
    (log / "2.jsonl").write_text(json.dumps(other) + "\n")  # the endpoint serves another model now
    again = compare(lender, "loans/1", log="desk", data="loans@then")
    assert again.outcomes == whole.outcomes
    assert again.notes == (*whole.notes[:1], again.notes[1])
    assert again.notes[1].startswith("Without 1 row of a model that had no column")
    (log / "2.jsonl").unlink()


def test_samples_and_sides_of_few_rows_are_said(lender: Workspace) -> None:
    found = compare(lender, "loans/1", against="loans@later", data="loans@then", rows=19)
    assert (found.a.n_rows, found.a.n_total, found.b.n_total) == (19, 400, 300)
    assert (found.low, found.columns[0].high) == (None, None)
    assert "too few rows for an interval" in found.sentences[0]
    assert len(found.notes) == 2
    again = compare(lender, "loans/1", against="loans@later", data="loans@then", rows=19)
    assert again == found


def test_a_pipeline_repeats_it_when_models_data_or_the_log_changed(lender: Workspace) -> None:
    reads = catalog.find("explain.compare").reads
    one = {"target": "loans/1", "against": "loans@later"}
    assert reads(lender, one) == reads(lender, one)
    assert reads(lender, one) != reads(lender, {**one, "against": "loans@then"})
    assert reads(lender, one) != reads(lender, {**one, "target": "loans/2"})
    assert reads(lender, {"target": "loans/1", "log": "e"}) != reads(
        lender, {"target": "loans/1", "log": "e"}
    )


def test_regressions_and_many_classes_have_their_own_measures(
    lender: Workspace, tmp_path: Path
) -> None:
    frame = loans().with_columns(
        price=pl.col("income") * 3 + pl.col("children"),
        grade=pl.Series(np.digitize(loans()["income"], [-0.5, 0.5])),
    )
    frame.write_parquet(tmp_path / "many.parquet")
    source = {"name": "many", "source": str(tmp_path / "many.parquet")}
    reference = catalog.call(lender, "data.add", source).reference
    drop = "features: [{drop: {columns: [day, kind, repaid, %s]}}]\n"
    small = "params: {n_estimators: 8, num_leaves: 5, num_threads: 1}\ntask: %s\ntarget: %s\n"
    tree = trained(frame, drop % "grade" + small % ("regression", "price"))
    many = trained(frame, drop % "price" + small % ("classification", "grade"))
    add_model(lender, "price", reference, tree)
    add_model(lender, "grade", reference, many)
    price = compare(lender, "price/1", by="children", a="0..1", b="2..")
    assert (price.unit, price.output) == ("target", "price")
    assert [it.measure for it in price.outcomes] == ["target"]
    assert price.columns[0].feature in ("children", "income")
    grade = compare(lender, "grade/1", by="income", a="..0", b="0..")
    assert grade.output in ("0", "2")
    assert {it.measure for it in grade.outcomes} == {"probability", "log-odds", "decisions"}
    assert grade.columns[0].feature == "income"
    assert "decisions" not in grade.columns[0].by_measure  # no way divides them
    total = sum(it.difference for it in grade.columns)
    assert total == pytest.approx(grade.difference, abs=1e-12)
    with pytest.raises(InputError, match="One model predicts price, the other grade"):
        compare(lender, "price/1", other="grade/1")


def test_a_model_that_answers_by_chance_is_told_once(lender: Workspace, monkeypatch) -> None:
    monkeypatch.setattr(Explainer, "chance", "It throws dice.")
    assert compare(lender, "loans/1", against="loans@later").notes.count("It throws dice.") == 1
    told = catalog.call(lender, "explain.row", {"target": "loans/1", "index": 3})
    assert told.notes == ("It throws dice.",)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "With what"),
        ({"other": "loans/1"}, "differs in nothing"),
        ({"other": "loans1"}, "loans/1 and loans1 are the same model"),
        ({"other": "loans/2", "by": "kind"}, "on the same rows"),
        ({"by": "kind", "time": "day"}, "exclude each other"),
        ({"against": "loans@later", "a": "1"}, "as a whole"),
        ({"by": "kind"}, "is not clear"),
        ({"by": "kind", "b": "car"}, "is not clear"),
        ({"time": "day", "since": "2026-03", "b": "2026-04"}, "is not clear"),
        ({"time": "day", "a": "2026-03", "until": "2026-04"}, "is not clear"),
        ({"by": "children", "a": "0..1", "b": "1.."}, "rows belong to both parts"),
        ({"by": "kimd", "a": "x"}, "no column 'kimd'"),
        ({"by": "kind", "a": "hous"}, "No row has a kind of 'hous'"),
        ({"by": "children", "a": "two"}, "'two' is not a number"),
        ({"by": "children", "a": "0.."}, "Every row has a children"),
        ({"time": "day", "a": "yesterday"}, "'yesterday' is not a time"),
        ({"time": "day", "a": "2026-02-30"}, "is not a time"),
        ({"time": "day", "a": "..", "b": "2026"}, "at least one end"),
        ({"time": "day", "since": "2030"}, "no row from 2030"),
        ({"time": "kind", "since": "a"}, "no before and after"),
        ({"log": "nobody", "since": "2026"}, "no endpoint 'nobody'"),
        ({"against": "loans@later", "unit": "euros"}, "not measured in 'euros'"),
        ({"against": "loans@later", "output": "maybe"}, "'maybe' is not a class"),
        ({"against": "loans@later", "rows": 0}, "At least one row"),
    ],
    ids=str,
)
def test_what_cannot_be_compared_is_said(
    lender: Workspace, options: dict[str, Any], words: str
) -> None:
    with pytest.raises((InputError, NotFoundError), match=words) as caught:
        compare(lender, "loans/1", **options)
    assert caught.value.hint


@pytest.mark.slow
def test_the_drift_that_was_drawn_into_the_loans_is_what_is_told(tmp_path: Path) -> None:
    """Columns and days are those that sample_data/README.md tells of."""
    samples = Path(__file__).parents[2] / "sample_data"
    with Workspace.create(tmp_path / "ws", actor="tester") as workspace:
        for year in (2024, 2025):
            given = {"name": "loans", "source": str(samples / f"loans_{year}.csv")}
            catalog.call(workspace, "data.add", {**given, "target": "default", "tag": f"y{year}"})
        recipe = {"recipe": str(samples / "loans-recipe.yaml")}
        run = catalog.call(workspace, "runs.train", recipe).run_id
        found = compare(workspace, run, against="loans@y2025")
    assert (found.a.n_total, found.b.n_total) == (12_000, 12_000)  # without a target too
    changes = {it.feature: it for it in found.columns}
    assert {it.feature for it in found.columns[:4]} == {
        *("credit_score", "rate", "n_open_accounts", "income"),
    }
    assert changes["credit_score"].high < 0 < changes["rate"].low
    assert changes["n_open_accounts"].values[0].value == "0"
    for name in ("age", "region", "employment", "purpose"):
        assert abs(changes[name].moved) < 0.001
    assert abs(changes["rate"].rest) < 0.1 * changes["rate"].moved


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_moved_and_rest_always_make_the_difference(data: Any) -> None:
    texts = st.lists(st.sampled_from(["a", "b", "\x1b[31m", None]), min_size=1, max_size=30)
    numbers = st.lists(st.floats(-5, 5) | st.just(np.nan), min_size=1, max_size=60)
    if data.draw(st.booleans()):
        a, b = data.draw(texts), data.draw(texts)
    else:
        a, b = (np.array(data.draw(numbers), dtype=np.float64) for _ in range(2))
    one, two = (np.random.default_rng(len(it)).normal(size=len(it)) for it in (a, b))
    names, *codes = coded(a, b)
    moved, rest, shifts = divided((one, two), (codes[0], codes[1]), names)
    assert moved + rest == pytest.approx(two.mean() - one.mean(), abs=1e-12)
    assert sum(it.moved for it in shifts) == pytest.approx(moved, abs=1e-12)
    assert sum(it.share_a for it in shifts) == pytest.approx(1)
    means = sum(it.share_b * it.shap_b for it in shifts if it.shap_b is not None)
    assert means == pytest.approx(two.mean(), abs=1e-12)
    assert all(it.value.isprintable() for it in shifts)


def test_no_column_adds_more_to_a_decision_than_there_is() -> None:
    parts = tuple("abcde")
    model: Any = SimpleNamespace(classes=("no", "yes"), decided=lambda it: it.argmax(axis=1))
    values = np.random.default_rng(4).normal(scale=0.2, size=(40, 5, 1))
    base = np.array([0.499])  # so near to the threshold that a small step crosses it
    raw = base + values.sum(axis=1)
    found = {"probability": Attributions(parts, ("yes",), values, base, raw, "probability", "")}
    for place in (0, 1):
        outputs = np.where(raw[:, 0] >= 0.5, place, 1 - place)
        told = _decided(model, found, place, outputs)
        assert told.steps is not None
        assert np.abs(told.steps).max() <= 1
        np.testing.assert_allclose(told.steps.sum(axis=1), told.rows - told.base, atol=1e-12)
    for row in (0, 17):
        total = np.zeros(len(parts))
        orders = list(itertools.permutations(range(len(parts))))
        for order in orders:
            sums = 0.499 + np.concatenate([[0.0], np.cumsum(values[row, list(order), 0])])
            total[list(order)] += np.diff((sums >= 0.5).astype(float))
        assert told.steps[row] == pytest.approx(total / len(orders), abs=1e-12)


def test_pairs_of_rows_are_drawn_together() -> None:
    values = np.random.default_rng(0).normal(size=(50, 2))
    found = resampled((values, values + 1), (values, values + 1), is_paired=True)
    assert found.differences == pytest.approx(np.ones((2, 2)))
    apart = resampled((values, values + 1), (values, values + 1), is_paired=False)
    assert (apart.differences[:, 1] - apart.differences[:, 0] > 0.3).all()


def test_rows_are_chosen_by_times_numbers_and_values() -> None:
    """Both ends count, a time lasts as long as it is written, and no range holds the missing."""
    hours = [datetime(2026, 5, 31, 23, 59, 59), datetime(2026, 6, 1), None, datetime(2025, 1, 1)]
    frame = pl.DataFrame(
        {
            "at": hours,
            "x": [1.0, 2.0, None, math.nan],
            "n": [1, 2, 3, 4],
            "t": ["a", "1", None, "a"],
        }
    ).with_columns(zoned=pl.col("at").dt.replace_time_zone("UTC"), yes=pl.col("n") > 2)
    cases = {
        ("at", "2026-05"): [1],
        ("at", "..2026-05-31"): [1, 4],
        ("at", "2026-05-31T23:59:59.."): [1, 2],
        ("zoned", "2026-05-31..2026"): [1, 2],
        ("x", "1.5.."): [2],
        ("x", "..2"): [1, 2],
        ("x", "missing"): [3, 4],
        ("n", "2..3"): [2, 3],
        ("n", "4"): [4],
        ("t", "1"): [2],
        ("t", "missing"): [3],
        ("yes", "true"): [3, 4],
        ("yes", "False"): [1, 2],  # as a class of a model is called
        ("t", "(missing)"): [3],  # as groups are called
        ("at", "2026-05-31T23:59:59.0"): [1],
        ("at", "2026-06-01 00:00:00.000000"): [2],
        ("at", "2026-06-01T00:00:00Z"): [2],
        ("at", "2026-06-01T02:00:00+02:00"): [2],
        ("at", "2026-05-31T22:30-01:30"): [2],
        ("zoned", "2026-06-01 00:00:00+00:00"): [2],
    }
    for (column, text), wanted in cases.items():
        assert chosen(frame, column, text)["n"].to_list() == wanted, (column, text)
    tick = pl.DataFrame({"at": [datetime(2026, 5, 1, 8, 0, 0, it) for it in (599_999, 600_000)]})
    early, late = since(tick, "at", str(tick["at"][1]), None)
    assert (early.height, late.height) == (1, 1)
    assert chosen(tick, "at", "2026-05-01T08:00:00.5").height == 1
    assert chosen(tick, "at", "2026-05-01T08:00:00.6").height == 1
    with pytest.raises(InputError, match="no column 'nosuch'") as caught:
        chosen(frame.rename({"n": "occ_h"}), "nosuch", "1")
    assert caught.value.hint.startswith("Columns: at, x")
    with pytest.raises(InputError, match="No row has a t of 'b'") as caught:
        chosen(frame, "t", "b")
    assert caught.value.hint == "It holds 1, a and rows without a value: missing."
    before, after = since(frame, "at", "2026-05", "2026-05")
    assert (before["n"].to_list(), after["n"].to_list()) == ([4], [1])
    before, after = since(frame, "x", "2", None)
    assert (before["n"].to_list(), after["n"].to_list()) == ([1], [2])
    for column, start, until in (("at", "2026-05", "2026-04"), ("x", "2", "1.5")):
        with pytest.raises(InputError, match=f"ends at {until}, before it begins at {start}"):
            since(frame, column, start, until)


def test_columns_of_times_have_values_of_times() -> None:
    days = np.array(["2026-01-01", "2026-01-02", "NaT"], dtype="datetime64[us]")
    names, one, two = coded(days, days + np.timedelta64(12, "h"))
    assert names == [
        *("2026-01-01", "2026-01-01T12:00:00", "2026-01-02", "2026-01-02T12:00:00", "missing"),
    ]
    assert (one.tolist(), two.tolist()) == ([0, 2, 4], [1, 3, 4])
