"""What is measured after a fit: on real tables, on odd ones, and as pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image
from sklearn import metrics

from local_stack.runs import checks, evaluating, pictures
from local_stack.runs.evaluating import Evaluation, evaluate, write
from local_stack.runs.fit import fit
from local_stack.runs.fitted import Fitted
from local_stack.runs.recipe import Recipe, parse_recipe

HOSTILE = "a$b$_{x}\x1b[31m\u202e" + "long" * 30


def beans(n: int = 400, seed: int = 0) -> pl.DataFrame:
    generator = np.random.default_rng(seed)
    size, weight = generator.normal(size=n), generator.normal(size=n)
    kind = generator.choice(["red", "white", "black"], n)
    score = size + 0.5 * weight + (kind == "red")
    yes = generator.random(n) < 1 / (1 + np.exp(-2 * score))
    return pl.DataFrame(
        {
            "size": size,
            "weight": np.where(generator.random(n) < 0.1, np.nan, weight),
            "kind": kind,
            "good": np.where(yes, "yes", "no"),
            "price": 10 + 3 * score + generator.normal(size=n),
            "sort": np.digitize(score + generator.normal(size=n), [-0.5, 1.0]),
        }
    ).with_columns(pl.col("weight").fill_nan(None))


def trained(frame: pl.DataFrame, target: str, **keys: Any) -> tuple[Recipe, Fitted, Evaluation]:
    others = sorted(({"good", "price", "sort"} - {target}) & set(frame.columns))
    plan: dict[str, Any] = {"dataset": "beans", "target": target}
    if others:
        plan["features"] = [{"drop": {"columns": others}}]
    if "estimator" not in keys:
        plan["params"] = {"num_threads": 1, "n_estimators": 40}
    recipe = parse_recipe({**plan, **keys}, check=True)
    fitted = fit(recipe, frame)
    return recipe, fitted, evaluate(recipe, fitted, frame)


@pytest.fixture(scope="module")
def binary() -> tuple[Recipe, Fitted, Evaluation]:
    keys = {
        "split": {"folds": 3},
        "calibrate": "isotonic",
        "metrics": ["balanced_accuracy", "neg_log_loss"],
        "slices": ["kind", "size"],
    }
    return trained(beans(600), "good", **keys)


def test_metrics_by_name_and_baselines_stand_beside_the_usual_ones(binary: Any) -> None:
    _, fitted, found = binary
    test = fitted.test
    wanted = metrics.balanced_accuracy_score(test.truth, test.predicted)
    assert found.metrics["balanced_accuracy"] == pytest.approx(wanted, abs=1e-12)
    assert found.metrics["neg_log_loss"] == pytest.approx(-fitted.metrics["log_loss"], abs=1e-12)
    assert found.metrics["baseline_dummy_roc_auc"] == 0.5
    assert found.metrics["baseline_dummy_balanced_accuracy"] == 0.5
    assert found.table["linear"].keys() == found.table["model"].keys()
    assert found.table["model"].keys() >= {"balanced_accuracy", "roc_auc"}
    assert 0.6 < found.metrics["baseline_linear_roc_auc"] < 1
    assert found.table["model"] == {k: fitted.metrics[k] for k in found.table["model"]}
    for name, (low, high) in found.intervals.items():
        value = {**fitted.metrics, **found.metrics}[name]
        assert low <= value <= high, name


def test_calibration_is_shown_before_and_after(binary: Any) -> None:
    _, fitted, found = binary
    before, after = found.details["calibration_before"], found.details["calibration"]
    brier = metrics.brier_score_loss(fitted.test.truth, fitted.test.uncalibrated[:, 1])
    assert before.brier == pytest.approx(brier, abs=1e-12)
    assert after.brier == pytest.approx(fitted.metrics["brier"], abs=1e-12)
    assert found.metrics["ece"] == after.expected_error
    assert found.metrics["uncalibrated_ece"] == before.expected_error


def test_slices_are_measured_by_themselves(binary: Any) -> None:
    _, fitted, found = binary
    groups = found.details["slices"]
    names = [it["group"] for it in groups if it["column"] == "kind"]
    assert sorted(names) == ["kind is black", "kind is red", "kind is white"]
    assert len(groups) == 7
    frame = beans(600)
    red = frame["kind"].to_numpy()[fitted.test.rows] == "red"
    (shown,) = [it for it in groups if it["group"] == "kind is red"]
    wanted = metrics.roc_auc_score(fitted.test.truth[red], fitted.test.probability[red, 1])
    assert shown["metrics"]["roc_auc"] == pytest.approx(wanted, abs=1e-12)
    assert shown["n_rows"] == red.sum()


def test_everything_is_plain_and_the_same_again(binary: Any, tmp_path: Path) -> None:
    recipe, fitted, found = binary
    write(found, tmp_path)
    again = evaluate(recipe, fitted, beans(600))
    (tmp_path / "again").mkdir()
    write(again, tmp_path / "again")
    names = sorted(path.name for path in (tmp_path / "evaluation").iterdir())
    assert names == [pictures.CLASSIFICATION, "evaluation.json", pictures.IMPORTANCE]
    for name in names:
        first = (tmp_path / "evaluation" / name).read_bytes()
        assert first == (tmp_path / "again" / "evaluation" / name).read_bytes(), name
    document = evaluating.read(tmp_path)
    assert document == json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert evaluating.read(tmp_path / "nowhere") == {}


def test_a_regression_has_residuals_and_a_learning_curve(tmp_path: Path) -> None:
    recipe, fitted, found = trained(beans(), "price")
    left = fitted.test.truth - fitted.test.predicted
    assert found.details["residuals"].mean == pytest.approx(left.mean(), abs=1e-12)
    curve = found.details["learning_curve"]
    assert curve["n_rows"] == [40, 80, 160, 320]
    assert curve["held_out"][-1] == fitted.metrics["rmse"]
    half = fit(parse_recipe({**recipe.to_dict(), "split": {"test": 0}}), _half(recipe, fitted))
    wanted = half.metrics["train_rmse"]
    assert curve["train"][2] == pytest.approx(wanted, abs=1e-12)
    write(found, tmp_path)
    for name in (pictures.REGRESSION, pictures.IMPORTANCE, pictures.LEARNING):
        with Image.open(tmp_path / "evaluation" / name) as picture:
            assert picture.size[0] >= 600
            assert not picture.info.keys() & {"Software", "Creation Time", "date"}


def _half(recipe: Recipe, fitted: Fitted) -> pl.DataFrame:
    known = np.setdiff1d(np.arange(400), fitted.test.rows)
    order = np.random.default_rng(recipe.split.seed).permutation(known)
    return beans()[order[:160]]


def test_names_from_outside_are_plain_text_in_pictures(tmp_path: Path) -> None:
    frame = beans().rename({"size": HOSTILE, "good": "$target$"})
    labels = frame["$target$"].replace({"yes": "$\\frac{1}{2}$", "no": "\x1b[2J"})
    frame = frame.with_columns(labels.alias("$target$")).drop("price", "sort")
    params = {"num_threads": 1, "n_estimators": 20}
    plan = {"dataset": "x", "target": "$target$", "slices": [HOSTILE], "params": params}
    recipe = parse_recipe(plan)
    fitted = fit(recipe, frame)
    write(evaluate(recipe, fitted, frame), tmp_path)
    assert (tmp_path / "evaluation" / pictures.CLASSIFICATION).stat().st_size > 10_000


def test_settings_of_matplotlib_change_no_picture(binary: Any, tmp_path: Path) -> None:
    import matplotlib as mpl

    document = binary[2].to_dict()
    pictures.draw(document, tmp_path)
    first = (tmp_path / pictures.CLASSIFICATION).read_bytes()
    with mpl.rc_context({"lines.linewidth": 9, "figure.facecolor": "red", "font.size": 30}):
        pictures.draw(document, tmp_path)
        assert mpl.rcParams["font.size"] == 30
    assert (tmp_path / pictures.CLASSIFICATION).read_bytes() == first


ODD: dict[str, tuple[str, dict[str, Any]]] = {
    "several classes": ("sort", {"slices": ["kind"], "metrics": ["f1", "f1_macro"]}),
    "no probabilities": (
        "good",
        {
            "estimator": "sklearn.linear_model.RidgeClassifier",
            "features": [{"select": {"columns": ["size"]}}],
        },
    ),
    "no resamples": ("price", {"bootstrap": {"resamples": 0}}),
    "all out of fold": ("price", {"split": {"test": 0, "folds": 3}}),
    "nothing held out": ("good", {"split": {"test": 0}}),
    "by time": ("price", {"split": {"time": "size", "gap": 3}}),
    "quantiles": ("price", {"quantiles": [0.1, 0.9]}),
    "class weights": ("good", {"class_weight": "balanced", "threshold": {"metric": "f1"}}),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_recipes_are_evaluated(name: str, tmp_path: Path) -> None:
    target, keys = ODD[name]
    _, fitted, found = trained(beans(200), target, **keys)
    write(found, tmp_path)
    assert found.task == fitted.model.task
    assert found.rows == {"all out of fold": "out_of_fold", "nothing held out": ""}.get(
        name, "test"
    )
    assert {it.name for it in found.details["checks"]} >= {"leakage"}
    if name == "quantiles":
        truth, said = fitted.test.truth, fitted.test.quantiles[:, 1]
        wanted = metrics.mean_pinball_loss(truth, said, alpha=0.9)
        assert found.metrics["pinball_q0.9"] == pytest.approx(wanted, abs=1e-12)
        assert found.metrics["below_q0.9"] == np.mean(truth < said)
    if name == "several classes":
        assert "The metric 'f1' is not defined here" in "".join(found.warnings)
        assert len(found.details["roc"]) == 3


@pytest.mark.parametrize("n", [4, 7, 25])
def test_tables_of_a_few_rows_are_evaluated(n: int, tmp_path: Path) -> None:
    frame = beans(n, seed=2).drop("price", "sort")
    frame = frame.with_columns(pl.Series("good", ["yes", "no"] * n)[:n])
    _, _, found = trained(frame, "good", split={"stratify": True})
    write(found, tmp_path)


def test_a_class_that_only_the_test_rows_have_is_always_wrong(tmp_path: Path) -> None:
    frame = beans(200).with_columns(t=pl.int_range(200))
    late = pl.when(pl.col("t") >= 190).then(pl.lit("perhaps")).otherwise("good")
    _, _, found = trained(frame.with_columns(late.alias("good")), "good", split={"time": "t"})
    write(found, tmp_path)
    assert found.details["loss"] == "share of wrong rows"
    assert "roc" not in found.details


# ------------------------------------------------------------------ checks


def warned(found: Evaluation) -> set[str]:
    return {it.name for it in found.details["checks"] if it.is_warning}


def test_a_column_that_gives_the_target_away_is_named() -> None:
    frame = beans()
    frame = frame.with_columns(told=pl.col("good").eq("yes").cast(pl.Float64) + 0.1)
    _, _, found = trained(frame, "good")
    assert "leakage" in warned(found)
    assert "'told' (ROC AUC 1)" in " ".join(found.warnings)
    frame = beans().with_columns(told=pl.col("price") * 2 + 1)
    _, _, found = trained(frame, "price")
    assert "leakage" in warned(found)
    assert "leakage" not in warned(trained(beans(), "price")[2])


def test_columns_of_no_use_are_named() -> None:
    frame = beans().with_columns(same=pl.lit(1.0))
    _, _, found = trained(frame, "price")
    assert "makes no use of 'same'" in " ".join(found.warnings)
    keys = {
        "estimator": "sklearn.linear_model.Lasso",
        "features": [{"select": {"columns": ["size", "same"]}}],
    }
    _, _, found = trained(frame, "price", **keys)
    assert found.details["importance"]["kind"] == "permutation"
    assert "makes no use of 'same'" in " ".join(found.warnings)


def test_learning_by_heart_is_told() -> None:
    frame = beans(300).with_columns(good=pl.Series(["yes", "no"] * 150).shuffle(seed=1))
    params = {"min_child_samples": 1, "n_estimators": 60, "num_threads": 1}
    _, _, found = trained(frame, "good", params=params)
    assert "overfit" in warned(found)
    assert "baseline" in warned(found)
    plain = {"estimator": "sklearn.linear_model.LinearRegression"}
    plain |= {"features": [{"select": {"columns": ["size"]}}]}
    assert "overfit" not in warned(trained(beans(), "price", **plain)[2])


def test_a_better_model_than_the_linear_one_is_not_warned_of() -> None:
    generator = np.random.default_rng(3)
    x = generator.uniform(-2, 2, 600)
    frame = pl.DataFrame({"x": x, "y": x**2 + 0.1 * generator.normal(size=600)})
    _, _, found = trained(frame, "y")
    assert "baseline" not in warned(found)
    gap = found.details["gain_over_linear"]["rmse"]
    assert gap[1] < 0
    assert checks.main_metric({"accuracy": 1, "log_loss": 2}) == "log_loss"
