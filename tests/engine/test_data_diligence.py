"""Due diligence of whole tables: what a careful person would say of them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local_stack.data import adding
from local_stack.data.assessing.diligence import DatasetDiligence, Question, assess
from local_stack.data.assessing.rules import RULES, SEVERITIES, Finding
from local_stack.data.assessing.subject import subject_of
from local_stack.data.diligence import diligence
from local_stack.errors import Cancelled, InputError, NotFoundError
from local_stack.progress import silent
from local_stack.results import plain as plain_values
from local_stack.workspace import Workspace

N = 600


def clean(seed: int = 0, n: int = N) -> dict[str, Any]:
    """Three numbers and a text, of which two tell of a binary target."""
    generator = np.random.default_rng(seed)
    x = generator.normal(size=n)
    kind = generator.choice(["a", "b", "c"], n)
    z = 2 * x + (kind == "a")
    return {
        "x": x,
        "noise": generator.normal(size=n),
        "kind": kind.tolist(),
        "y": np.where(generator.random(n) < 1 / (1 + np.exp(-z)), "yes", "no").tolist(),
    }


def added(
    workspace: Workspace, columns: Mapping[str, Any], name: str = "table", **more: Any
) -> None:
    path = workspace.root.parent / f"{name}.parquet"
    pl.DataFrame(columns).write_parquet(path)
    adding.add(workspace, name, str(path))


def assessed(workspace: Workspace, columns: Mapping[str, Any], **more: Any) -> DatasetDiligence:
    added(workspace, columns)
    return diligence(workspace, "table", **{"target": "y", **more})


def finding(result: DatasetDiligence, code: str, column: str | None = None) -> Finding:
    found = [it for it in result.findings if it.code == code]
    found = [it for it in found if column is None or it.column == column]
    assert found, f"{code} of {column}: {[(it.code, it.column) for it in result.findings]}"
    return found[0]


def risks(result: DatasetDiligence) -> set[str]:
    return {it.code for it in result.risks}


def builtin(value: Any) -> bool:
    """Whether a value holds nothing but plain Python values."""
    if dataclasses.is_dataclass(value):
        return all(builtin(getattr(value, it.name)) for it in dataclasses.fields(value))
    if isinstance(value, Mapping):
        return all(builtin(key) and builtin(item) for key, item in value.items())
    if isinstance(value, tuple | list):
        return all(map(builtin, value))
    return value is None or type(value) in (bool, int, float, str)


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


def test_leaks_are_named_and_left_out_of_the_models(workspace: Workspace) -> None:
    columns = clean()
    y = np.array(columns["y"]) == "yes"
    generator = np.random.default_rng(1)
    columns |= {
        "copy": np.where(y, "J", "N").tolist(),
        "score": y + generator.normal(0, 0.1, N),
        "closed_on": [7.0 if it else None for it in y],
    }
    found = assessed(workspace, columns)
    assert found.verdict.status == "usable with care"
    assert finding(found, "target_copy", "copy").severity == "high"
    assert finding(found, "leak_score", "score").severity == "high"
    assert finding(found, "leak_score", "closed_on").severity == "high"
    assert found.baseline is not None
    assert set(found.baseline.left_out_as_leaks) == {"copy", "score", "closed_on"}
    assert found.baseline.with_suspects.mean > 0.99
    best = max(it.score.mean for it in found.baseline.models)
    assert best < 0.95
    assert any("copy" in it for it in found.verdict.next_steps)


def test_a_difference_that_gives_the_target_away_is_named(workspace: Workspace) -> None:
    generator = np.random.default_rng(2)
    planned = generator.integers(0, 1_000, N).astype(float)
    late = generator.normal(0, 10, N)
    columns = {
        "planned": planned,
        "real": planned + late,
        "y": np.where(late > 0, "late", "on time").tolist(),
    }
    found = assessed(workspace, columns)
    pair = finding(found, "leak_pair")
    assert pair.severity == "high"
    assert "'planned'" in pair.message
    assert "'real'" in pair.message
    assert pair.column in ("planned", "real")
    assert found.baseline.left_out_as_leaks == (pair.column,)
    assert found.baseline.n_columns == 1
    assert found.baseline.with_suspects.mean > 0.7
    assert max(it.score.mean for it in found.baseline.models) < 0.6


def test_of_a_pair_the_side_named_like_the_target_is_left_out(workspace: Workspace) -> None:
    generator = np.random.default_rng(2)
    planned = generator.integers(0, 1_000, N).astype(float)
    late = generator.normal(0, 10, N)
    columns = clean() | {
        "planned": planned,
        "arriving_at": planned + late,
        "again": planned + late,
        "arrived": np.where(late > 0, "late", "on time").tolist(),
    }
    found = assessed(workspace, columns, target="arrived")
    pairs = {it.column for it in found.findings if it.code == "leak_pair"}
    assert "arriving_at" in pairs
    assert set(found.baseline.left_out_as_leaks) == pairs
    assert len(pairs) == 2  # 'planned' or 'again' goes as well: the two are a pair of their own


def test_scores_that_rest_on_suspected_leaks_say_so(workspace: Workspace) -> None:
    columns = clean()
    late = np.array(columns["y"]) == "yes"
    noise = np.random.default_rng(3).normal(size=N)
    columns["delay_code"] = (late + 0.9 * noise).tolist()
    columns["delayed"] = columns.pop("y")
    found = assessed(workspace, columns, target="delayed")
    assert finding(found, "leak_name", "delay_code").severity == "medium"
    assert found.baseline.suspected_leaks == ("delay_code",)
    still = "still with suspected leaks ('delay_code')"
    assert still in finding(found, "signal").message
    assert still in found.verdict.reasons[-1]
    more = finding(found, "more_data")
    assert still in more.message
    assert "leaks first" in more.advice or more.severity == "ok"


def test_a_target_that_names_the_rows_has_no_copies(workspace: Workspace) -> None:
    generator = np.random.default_rng(4)
    columns = {name: generator.normal(size=300) for name in ("a", "b", "c")}
    found = assessed(workspace, columns | {"y": [f"note {it} of a day" for it in range(300)]})
    assert "target_copy" not in risks(found)
    named = finding(found, "target_identifier", "y")
    assert named.severity == "high"
    assert "300 different values in 300 rows" in named.message
    assert found.verdict.status == "not viable"
    assert named.message in found.verdict.reasons


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


def test_one_row_is_one_row(workspace: Workspace) -> None:
    columns = clean()
    columns["y"] = ["rare", None, *columns["y"][2:]]
    frame = pl.DataFrame(columns)
    found = assessed(workspace, pl.concat([frame, frame[5:6]]).to_dict(as_series=False))
    assert finding(found, "duplicates").message.startswith("1 row (0.2%) repeats an earlier")
    assert finding(found, "target_missing").message == "1 of 601 rows has no target."
    assert finding(found, "class_rows").message.startswith("1 of 3 classes has fewer than")
    assert not [it.message for it in found.findings if " 1 rows" in f" {it.message}"]


def test_one_column_that_gives_a_number_away_is_no_pair(workspace: Workspace) -> None:
    generator = np.random.default_rng(12)
    cost = generator.lognormal(3, 2, N)
    columns = {
        "total": cost * (1 + 0.001 * generator.normal(size=N)),
        "small": generator.normal(size=N),
        "other": generator.normal(size=N),
        "y": cost,
    }
    found = assessed(workspace, columns)
    assert finding(found, "leak_score", "total").severity == "high"
    assert "leak_pair" not in risks(found)


def test_rows_sorted_by_the_target_are_noticed(workspace: Workspace) -> None:
    columns = clean()
    order = np.argsort(columns["y"])
    columns = {name: np.array(values)[order].tolist() for name, values in columns.items()}
    found = assessed(workspace, columns | {"id": list(range(N))})
    assert finding(found, "leak_order").severity == "high"
    assert finding(found, "leak_order", "id").severity == "high"
    assert finding(found, "identifier", "id").severity == "low"
    assert "id" in found.baseline.left_out


def test_duplicates_conflicts_and_overlap_are_counted(workspace: Workspace) -> None:
    columns = clean()
    frame = pl.DataFrame(columns)
    wrong = frame.head(30).with_columns(
        pl.when(pl.col("y") == "yes").then(pl.lit("no")).otherwise(pl.lit("yes")).alias("y")
    )
    found = assessed(workspace, pl.concat([frame, frame.head(60), wrong]).to_dict(as_series=False))
    repeats = finding(found, "duplicates")
    assert repeats.value == pytest.approx(60 / 690)
    assert "60 rows" in repeats.message
    assert repeats.examples
    conflicts = finding(found, "conflicting_labels")
    assert conflicts.value == pytest.approx(30 / 690)
    assert {it.values["y"] for it in conflicts.examples} == {"yes", "no"}
    assert finding(found, "split_overlap").severity in ("medium", "high")


def test_overlap_with_a_hold_out_is_counted(workspace: Workspace) -> None:
    frame = pl.DataFrame(clean())
    other = pl.concat([frame.head(40), pl.DataFrame(clean(seed=9, n=160))])
    added(workspace, other.to_dict(as_series=False), name="holdout")
    found = assessed(workspace, frame.to_dict(as_series=False), against="holdout")
    overlap = finding(found, "against_overlap")
    assert overlap.value == pytest.approx(40 / 200)
    assert overlap.severity == "high"
    assert {it.row for it in overlap.examples} <= set(range(40))


def test_injected_label_noise_is_found(workspace: Workspace) -> None:
    generator = np.random.default_rng(4)
    n = 1_000
    true = generator.integers(0, 2, n)
    columns = {f"x{i}": true * 3 + generator.normal(size=n) for i in range(4)}
    flipped = generator.choice(n, 60, replace=False)
    labels = true.copy()
    labels[flipped] = 1 - labels[flipped]
    found = assessed(workspace, columns | {"y": np.where(labels == 1, "p", "q").tolist()})
    assert found.label_noise is not None
    assert found.label_noise.share == pytest.approx(0.06, abs=0.01)
    listed = {it.row for it in found.label_noise.suspects}
    assert len(listed & set(flipped.tolist())) >= 50
    assert len(listed - set(flipped.tolist())) <= 6
    noise = finding(found, "label_noise")
    assert noise.severity in ("low", "medium")
    assert noise.examples[0].row in set(flipped.tolist())


def test_a_number_is_a_regression_with_its_own_checks(workspace: Workspace) -> None:
    generator = np.random.default_rng(5)
    x = generator.normal(size=N)
    y = np.minimum(10 + 3 * x + generator.normal(0, 0.5, N), 14.0)
    y[7] = -40.0
    found = assessed(workspace, {"x": x, "z": generator.normal(size=N), "y": y})
    assert found.task == "regression"
    assert found.baseline.metric == "r2"
    assert finding(found, "target_capped").severity in ("low", "medium", "high")
    assert "14" in finding(found, "target_capped").message
    assert found.label_noise.suspects[0].row == 7
    assert found.learning_curve.metric == "rmse"
    assert not found.classes


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


def test_sensitive_columns_have_proxies_and_outcomes(workspace: Workspace) -> None:
    generator = np.random.default_rng(6)
    columns = clean()
    sex = generator.choice(["male", "female"], N)
    columns["sex"] = sex.tolist()
    columns["height"] = np.where(sex == "male", 180, 166) + generator.normal(0, 5, N)
    columns["y"] = np.where(
        (np.array(columns["y"]) == "yes") & ((sex == "male") | (generator.random(N) < 0.3)),
        "yes",
        "no",
    ).tolist()
    found = assessed(workspace, columns, sensitive=("sex",))
    (trait,) = found.sensitive
    assert trait.proxies[0].column == "height"
    assert trait.proxies[0].score > 0.85
    assert trait.predicted_by_others > 0.85
    assert finding(found, "proxy", "sex").severity in ("medium", "high")
    outcome = finding(found, "sensitive_outcome", "sex")
    rates = {it.group: it.value for it in trait.groups}
    assert outcome.value == pytest.approx(min(rates.values()) / max(rates.values()))
    assert "sensitive_unmarked" not in risks(found)


def test_sensitive_columns_are_noticed_by_name_and_texts(workspace: Workspace) -> None:
    columns = clean()
    columns |= {
        "age": list(range(18, 68)) * 12,
        "housing_median_age": list(range(N)),
        "status": ["married", "single", "divorced"] * 200,
    }
    found = assessed(workspace, columns)
    marked = {it.column for it in found.findings if it.code == "sensitive_unmarked"}
    assert marked == {"age", "status"}


def test_time_is_split_by_and_judged(workspace: Workspace) -> None:
    generator = np.random.default_rng(7)
    days = [date(2020, 1, 1) + timedelta(days=it) for it in range(N)]
    late = np.arange(N) / N
    columns = {
        "day": days,
        "x": generator.normal(size=N),
        "y": np.where(generator.random(N) < 0.2 + 0.6 * late, "yes", "no").tolist(),
    }
    found = assessed(workspace, columns, time="day")
    assert finding(found, "target_drift").severity == "high"
    assert finding(found, "freshness").severity in ("medium", "low")
    assert found.timing.newest == str(days[-1])
    assert [it.n_rows for it in found.timing.periods] == [60] * 10
    assert found.timing.periods[-1].value != found.timing.periods[0].value
    assert "by time" in found.baseline.method


def test_groups_stay_together(workspace: Workspace) -> None:
    generator = np.random.default_rng(8)
    person = np.repeat(np.arange(60), 10)
    habit = generator.normal(size=60)
    columns = {
        "person": [f"p{it}" for it in person],
        "a": habit[person] + generator.normal(0, 0.01, N),
        "b": generator.normal(size=N),
        "y": generator.permutation(np.repeat(["u", "v"], 30))[person].tolist(),
    }
    found = assessed(workspace, columns, group="person")
    assert "by group" in found.baseline.method
    assert finding(found, "split_flatters").severity == "high"
    assert found.baseline.when_split_at_random.mean > 0.85


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
