"""What due diligence finds in rows and labels: repeats, noise, time, groups, people."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from diligence_kit import N, added, assessed, clean, finding, risks

from local_stack.data.assessing.sensitive import _without_rare, given_away
from local_stack.data.assessing.subject import subject_of
from local_stack.progress import silent
from local_stack.workspace import Workspace


def test_one_row_is_one_row(workspace: Workspace) -> None:
    columns = clean()
    columns["y"] = ["rare", None, *columns["y"][2:]]
    frame = pl.DataFrame(columns)
    found = assessed(workspace, pl.concat([frame, frame[5:6]]).to_dict(as_series=False))
    assert finding(found, "duplicates").message.startswith("1 row (0.2%) repeats an earlier")
    assert finding(found, "target_missing").message == "1 of 601 rows has no target."
    assert finding(found, "class_rows").message.startswith("1 of 3 classes has fewer than")
    assert not [it.message for it in found.findings if " 1 rows" in f" {it.message}"]


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


def test_a_value_of_few_rows_hides_no_proxy() -> None:
    generator = np.random.default_rng(6)
    sex = generator.choice(["male", "female"], N)
    height = np.where(sex == "male", 180, 166) + generator.normal(0, 5, N)
    frame = pl.DataFrame({"sex": sex, "height": height, "y": generator.integers(0, 2, N)})
    odd = pl.DataFrame({"sex": ["x"], "height": [190.0], "y": [1]})
    found, seen = (
        given_away(subject_of(table, "y"), "sex", ["height"], silent)
        for table in (frame, pl.concat([frame, odd]))
    )
    assert found.proxies[0].score > 0.9
    assert found.together > 0.9
    assert seen == found
    rare = frame.with_columns(sex=pl.lit("male")).vstack(odd)
    assert given_away(subject_of(rare, "y"), "sex", ["height"], silent) is None
    assert _without_rare(subject_of(rare, "sex").take(np.arange(N))) is None  # a sample without it


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
