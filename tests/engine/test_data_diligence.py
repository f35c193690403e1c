"""Due diligence of whole tables: what a careful person would say of them."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from diligence_kit import N, added, assessed, builtin, clean, finding, risks
from hypothesis import given, settings
from hypothesis import strategies as st

from local_stack.data import adding
from local_stack.data.assessing.diligence import DatasetDiligence, Question, assess
from local_stack.data.assessing.rules import RULES, SEVERITIES
from local_stack.data.assessing.subject import subject_of
from local_stack.data.diligence import diligence
from local_stack.errors import Cancelled, InputError, NotFoundError
from local_stack.progress import silent
from local_stack.results import plain as plain_values
from local_stack.workspace import Workspace


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> DatasetDiligence:
    with Workspace.create(tmp_path_factory.mktemp("plain") / "ws") as workspace:
        return assessed(workspace, clean())


def test_a_clean_table_carries_its_target(plain: DatasetDiligence) -> None:
    assert plain.verdict.status == "ready"
    assert risks(plain) <= {"rows", "more_data", "label_noise"}
    assert plain.task == "classification"
    assert {it.label for it in plain.classes} == {"yes", "no"}
    assert plain.columns[0].column == "x"
    assert plain.baseline is not None
    assert plain.baseline.metric == "roc_auc"
    scores = {it.model: it.score for it in plain.baseline.models}
    assert scores["baseline"].mean == pytest.approx(0.5)
    assert scores["linear"].low > 0.8
    assert plain.baseline.gain.low > 0.3
    assert plain.learning_curve is not None
    rows = [it.n_rows for it in plain.learning_curve.points]
    assert rows == sorted(rows)
    assert rows[-1] == N * 4 // 5


def test_what_more_rows_bring_is_one_number(plain: DatasetDiligence) -> None:
    curve, more = plain.learning_curve, finding(plain, "more_data")
    assert curve is not None
    begin, end = curve.points[-1].score.mean, curve.score_at_double
    assert end >= begin
    assert curve.relative_gain == pytest.approx((end - begin) / (1 - begin))
    assert more.value == curve.relative_gain
    assert f"{begin:.4g}" in more.message
    if more.value >= 0.01:
        assert f"to about {end:.4g}" in more.message
        assert f"({more.value:.1%} less error)" in more.message


def test_a_result_is_plain_and_whole(plain: DatasetDiligence) -> None:
    assert builtin(plain)
    text = json.dumps(plain.to_dict(), allow_nan=False)
    assert "NaN" not in text
    assert all(it.code in RULES and it.severity in SEVERITIES for it in plain.findings)
    assert all(it.advice for it in plain.risks)
    places = [SEVERITIES.index(it.severity) for it in plain.risks]
    assert places == sorted(places)


def test_the_same_rows_give_the_same_answer(workspace: Workspace, plain: DatasetDiligence) -> None:
    again = assessed(workspace, clean())
    left, right = plain.to_dict(), again.to_dict()
    for it in (left, right):
        it.pop("reproduction")
    assert left == right


def test_a_text_of_thousands_is_refused_as_a_target_with_a_way_on(workspace: Workspace) -> None:
    with pytest.raises(InputError, match="1,200 classes") as caught:
        assessed(workspace, {"x": list(range(1_200)), "y": [f"note {it}" for it in range(1_200)]})
    assert "another target" in caught.value.hint


@pytest.mark.parametrize("task", [None, "classification", "regression"])
def test_a_date_is_refused_as_a_target_in_words(workspace: Workspace, task: str | None) -> None:
    days = [datetime(2020, 1, 1) + timedelta(it) for it in range(80)]
    with pytest.raises(InputError) as caught:
        assessed(workspace, {"x": list(range(80)), "y": days}, task=task)
    assert "Datetime" not in caught.value.message
    assert "bins" in (caught.value.hint or "")


@pytest.mark.parametrize(("value", "step"), [(float("inf"), "filter"), (1e200, "logarithm")])
def test_numbers_out_of_bounds_are_refused_with_a_way_on(
    workspace: Workspace, value: float, step: str
) -> None:
    with pytest.raises(InputError) as caught:
        assessed(workspace, {"x": list(range(80)), "y": [it / 7 for it in range(79)] + [value]})
    assert step in (caught.value.hint or "")


def test_noise_carries_no_target(workspace: Workspace) -> None:
    columns = clean()
    columns["y"] = np.random.default_rng(11).permutation(columns["y"]).tolist()
    found = assessed(workspace, columns)
    assert found.verdict.status == "not viable"
    assert finding(found, "signal").severity == "high"
    assert "no better than a guess" in found.verdict.reasons[0]


@pytest.mark.parametrize("value", ["same", None])
def test_a_target_without_two_values_is_not_viable(workspace: Workspace, value: Any) -> None:
    frame = pl.DataFrame({"x": list(range(60)), "y": pl.Series([value] * 60, dtype=pl.String)})
    found = assessed(workspace, frame.to_dict())
    assert found.verdict.status == "not viable"
    assert finding(found, "target_constant").severity == "high"
    assert found.baseline is None


def test_few_rows_are_said_and_no_model_is_tried(workspace: Workspace) -> None:
    found = assessed(workspace, clean(n=30))
    assert found.verdict.status == "not viable"
    assert finding(found, "rows").severity == "high"
    assert found.baseline is None
    assert "50 rows" in found.notes[-1]


def test_hostile_names_and_cells_are_only_data(workspace: Workspace) -> None:
    columns = clean()
    columns['a"b; DROP'] = columns.pop("x")
    columns["[/nope]\x1b[2J"] = ["[red]\x1b]0;x\x07", "=1+1", "../../etc"] * 200
    columns["c0"] = columns.pop("noise")
    columns["rows"] = [None, float("inf"), 1.0] * 200
    found = assessed(workspace, columns)
    assert found.columns[0].column == 'a"b; DROP'
    assert finding(found, "column_infinite", "rows").value == pytest.approx(1 / 3)


def test_odd_columns_break_nothing(workspace: Workspace) -> None:
    columns = clean()
    frame = pl.DataFrame(columns).with_columns(
        constant=pl.lit(1),
        empty=pl.lit(None, dtype=pl.Float64),
        flag=pl.Series([True, None, False] * 200),
        day=pl.Series([date(2024, 1, 1) + timedelta(days=i % 90) for i in range(N)]),
        marker=pl.when(pl.int_range(N) % 7 == 0).then(pl.lit("x")),
        huge=pl.Series([2**62 - i for i in range(N)]),
    )
    found = assessed(workspace, frame.to_dict())
    constant = {it.column for it in found.findings if it.code == "column_constant"}
    assert constant == {"constant", "empty"}
    assert found.verdict.status in ("ready", "usable with care")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"target": "Y"}, "no column 'Y'"),
        ({"sensitive": ("sx",)}, "no column 'sx'"),
        ({"time": "when"}, "no column 'when'"),
        ({"group": "y"}, "cannot split"),
        ({"group": "kind", "time": "x"}, "not by both"),
        ({"rows": 5}, "at least 100"),
        ({"against": "table"}, "same version"),
        ({"task": "regression"}, "not a number"),
    ],
)
def test_what_cannot_be_is_refused(
    workspace: Workspace, options: dict[str, Any], said: str
) -> None:
    added(workspace, clean(n=80))
    with pytest.raises(InputError, match=said):
        diligence(workspace, "table", **{"target": "y", **options})


def test_a_target_has_to_be_known(workspace: Workspace) -> None:
    added(workspace, clean(n=80))
    with pytest.raises(InputError, match="what to predict"):
        diligence(workspace, "table")
    with pytest.raises(NotFoundError):
        diligence(workspace, "tabel", target="y")


def test_it_stops_when_told(workspace: Workspace) -> None:
    added(workspace, clean(n=200))
    heard: list[str] = []

    def stop(step: Any) -> None:
        heard.append(step.label)
        if step.label.startswith("Cross-validating"):
            raise Cancelled()

    with pytest.raises(Cancelled):
        diligence(workspace, "table", target="y", progress=stop)
    assert len(heard) > 3


def test_a_sample_is_said(workspace: Workspace) -> None:
    found = assessed(workspace, clean(n=900), rows=300)
    assert found.baseline.n_rows == 300
    assert any("300 of 900" in it for it in found.notes)
    assert finding(found, "rows").value == 900


HUGE = [float("inf"), float("-inf"), 1e308, -1e308, 0.0, None]


def odd_column(generator: np.random.Generator, n: int) -> pl.Series:
    day, second = date(1900, 1, 1), datetime(2020, 1, 1)
    kinds = [
        lambda: pl.Series(generator.normal(size=n)),
        lambda: pl.Series(generator.integers(0, 3, n)),
        lambda: pl.Series(generator.integers(-(2**62), 2**62, n)),
        lambda: pl.Series([["a", "b", None, "", "[/x]"][it] for it in generator.integers(0, 5, n)]),
        lambda: pl.Series([f"w{it}" for it in generator.integers(0, n, n)]),
        lambda: pl.Series([[True, False, None][it] for it in generator.integers(0, 3, n)]),
        lambda: pl.Series([day + timedelta(int(it)) for it in generator.integers(0, 60_000, n)]),
        lambda: pl.Series(
            [second + timedelta(0, int(it)) for it in generator.integers(0, 9**9, n)]
        ),
        lambda: pl.Series([None] * n, dtype=pl.Float64),
        lambda: pl.Series((HUGE * n)[:n]),
        lambda: pl.Series(np.full(n, 7)),
        lambda: pl.Series(generator.choice([1e-320, 1e300, 5.0], n)),
        lambda: pl.Series(np.arange(n)),
    ]
    return kinds[generator.integers(len(kinds))]()


@settings(max_examples=25)
@given(st.integers(0, 10**6))
def test_any_table_is_judged_or_refused_in_words(seed: int) -> None:
    generator = np.random.default_rng(seed)
    n = int(generator.choice([1, 2, 3, 20, 49, 51, 120]))
    names = ["rows", "c0", 'a"b', "[/n]", "sex", "n", "value", ""][: generator.integers(1, 9)]
    frame = pl.DataFrame({name: odd_column(generator, n) for name in names})
    target, other = str(generator.choice(names)), names[-1]
    roles = {"time": other} if generator.random() < 0.2 else {}
    try:
        subject = subject_of(frame, target, **roles)
    except InputError as error:
        assert error.message  # noqa: PT017 - a sentence, whatever it is about
        return
    question = Question(sensitive=(names[0],), created_at="2026-01-01T00:00:00Z")
    found = assess(frame, subject, target, question, silent)
    assert builtin(found)
    json.dumps(plain_values(found), allow_nan=False)
    assert found.verdict.reasons


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "target", "codes"),
    [
        ("german_credit.csv", "default", {"events_per_parameter", "sensitive_unmarked"}),
        ("titanic.csv", "survived", {"identifier", "column_missing", "group_effect"}),
        ("california_housing.csv", "median_house_value", {"target_capped"}),
        ("winequality-white.csv", "quality", {"duplicates", "split_overlap", "class_rows"}),
        ("airlines_allyears2k.csv", "IsArrDelayed", {"leak_score", "leak_pair", "leak_name"}),
    ],
)
def test_known_tables_have_their_known_faults(
    workspace: Workspace, shared_data: Path, file: str, target: str, codes: set[str]
) -> None:
    adding.add(workspace, "table", str(shared_data / "tabular" / file))
    found = diligence(workspace, "table", target=target)
    assert codes <= risks(found)
    assert found.verdict.status == "usable with care"
