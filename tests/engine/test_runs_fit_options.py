"""Weights, constraints, early stopping, gaps and folds in training, against the libraries alone."""

from __future__ import annotations

import re
from typing import Any

import lightgbm
import numpy as np
import polars as pl
import pytest
from fit_kit import BOOSTER, BY_HAND, design, recipe, sides, table
from sklearn import metrics as reference
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.utils.class_weight import compute_sample_weight

from local_stack.errors import InputError
from local_stack.evaluation.split import folds, hold_out, keys_of
from local_stack.runs.fit import Fitted, fit
from local_stack.runs.folding import measured, outcome_of
from local_stack.runs.recipe import parse_recipe


def test_weights_are_those_of_lightgbm_and_no_feature() -> None:
    frame = table()
    found = fit(recipe(weights="w"), frame)
    train, test = sides(frame, found)
    data = lightgbm.Dataset(design(train), train["y"].to_numpy(), weight=train["w"].to_numpy())
    by_hand = lightgbm.train(BY_HAND | {"objective": "regression"}, data, 20)

    assert [f.name for f in found.model.features] == ["a", "b"]
    np.testing.assert_array_equal(found.test.predicted, by_hand.predict(design(test)))
    assert found.metrics["rmse"] != fit(recipe(), frame).metrics["rmse"]


def test_weights_are_those_of_sklearn() -> None:
    frame = table()
    found = fit(recipe(estimator="sklearn.linear_model.Ridge", params={}, weights="w"), frame)
    train, test = sides(frame, found)
    by_hand = Ridge(random_state=0).fit(design(train), train["y"], train["w"].to_numpy())

    np.testing.assert_allclose(found.test.predicted, by_hand.predict(design(test)), rtol=1e-12)


@pytest.mark.parametrize("class_weight", ["balanced", {"yes": 4, "no": 0.5}, {"yes": 3}])
def test_class_weights_are_those_of_sklearn(class_weight: Any) -> None:
    frame = table()
    logistic = "sklearn.linear_model.LogisticRegression"
    found = fit(recipe("label", logistic, params={}, class_weight=class_weight), frame)
    train, test = sides(frame, found)
    whole = class_weight if isinstance(class_weight, str) else {"no": 1, **class_weight}
    by_hand = LogisticRegression(class_weight=whole).fit(design(train), train["label"])
    assert found.test.probability is not None
    np.testing.assert_allclose(
        found.test.probability, by_hand.predict_proba(design(test)), rtol=1e-12
    )

    boosted = fit(recipe("label", class_weight=class_weight), frame)
    truth = (train["label"] == "yes").to_numpy()
    weight = compute_sample_weight(whole, train["label"])
    booster = lightgbm.train(
        BY_HAND | {"objective": "binary"}, lightgbm.Dataset(design(train), truth, weight=weight), 20
    )
    assert boosted.test.probability is not None
    np.testing.assert_allclose(
        boosted.test.probability[:, 1], booster.predict(design(test)), rtol=1e-12
    )


def test_both_weights_are_multiplied_and_balanced_sums_are_equal() -> None:
    frame = table()
    both = recipe("grade", class_weight="balanced", weights="w", split={"test": 0})
    found = fit(both, frame)
    rows, classes = frame["w"].to_numpy(), frame["grade"].to_numpy()
    sums = np.bincount(classes, weights=rows)
    weight = rows * (rows.sum() / 4 / sums)[classes]
    np.testing.assert_allclose(np.bincount(classes, weights=weight), rows.sum() / 4)
    by_hand = lightgbm.train(
        BY_HAND | {"objective": "multiclass", "num_class": 4},
        lightgbm.Dataset(design(frame), classes, weight=weight),
        20,
    )

    probability = found.model.probabilities(design(frame))
    np.testing.assert_allclose(probability, by_hand.predict(design(frame)), rtol=1e-12)


# Constraints -------------------------------------------------------------------------------


def is_rising(found: Fitted, column: int) -> bool:
    """Whether predictions rise with a column everywhere on a grid of the other."""
    grid = np.linspace(-3, 3, 61)
    rises = []
    for other in np.linspace(-2, 2, 9):
        matrix = np.full((61, 2), other)
        matrix[:, column] = grid
        outputs = found.model.outputs(matrix)
        rises.append((np.diff(outputs) >= 0).all())
    return bool(np.all(rises))


@pytest.mark.parametrize(
    ("estimator", "params"),
    [("lightgbm", BOOSTER), ("sklearn.ensemble.HistGradientBoostingRegressor", {"max_iter": 20})],
)
def test_predictions_are_monotone_where_asked(estimator: str, params: dict[str, Any]) -> None:
    frame = table()
    free = fit(recipe("y", estimator, params=params), frame)
    bound = fit(recipe("y", estimator, params=params, monotone={"b": "increasing"}), frame)
    scaled = recipe("y", estimator, params=params, monotone={"b": "increasing"}).to_dict()
    scaled["features"].append({"scale": {"columns": "numeric"}})

    assert not is_rising(free, 1)
    assert is_rising(bound, 1)
    assert is_rising(fit(parse_recipe(scaled), frame), 1)


def test_constraints_are_those_of_sklearn() -> None:
    frame = table()
    estimator = "sklearn.ensemble.HistGradientBoostingRegressor"
    monotone = {"a": "increasing", "b": "decreasing"}
    found = fit(recipe("y", estimator, params={"max_iter": 20}, monotone=monotone), frame)
    train, test = sides(frame, found)
    by_hand = HistGradientBoostingRegressor(max_iter=20, monotonic_cst=[1, -1], random_state=0)
    by_hand.fit(design(train), train["y"])

    np.testing.assert_allclose(found.test.predicted, by_hand.predict(design(test)), rtol=1e-12)


@pytest.mark.parametrize(
    ("monotone", "steps", "words"),
    [
        ("c", [], "'c', which is neither a column nor a feature"),
        ("bb", [], "Did you mean 'b'"),
        ("word", [], "'word', which is a category and has no order"),
        ("b", [{"drop": {"columns": ["b"]}}], "column 'b', which no feature is made of"),
        (
            "b",
            [{"ratio": {"columns": ["a", "b"]}}],
            "Column 'b' goes into 2 features .'b', 'a_per_b'.",
        ),
        ("b", [{"expression": {"b": "col('b') * col('b')"}}], "'b' by 'expression', which need no"),
        ("day", [{"dates": {"columns": "day", "parts": ["month", "day"]}}], "goes into 2 features"),
    ],
)
def test_a_constraint_that_cannot_be_kept_is_a_sentence(
    monotone: str, steps: list[Any], words: str
) -> None:
    value = recipe(monotone={monotone: "increasing"}).to_dict()
    value["features"] = [{"drop": {"columns": ["label", "grade", "w"]}}]
    if monotone != "day":
        value["features"] += [{"drop": {"columns": ["day"]}}]
    value["features"] += steps
    with pytest.raises(InputError, match=words) as caught:
        fit(parse_recipe(value), table())

    assert "\n" not in str(caught.value)


def test_an_estimator_that_no_file_may_hold_is_refused_as_such() -> None:
    path = "sklearn.ensemble.HistGradientBoostingClassifier"
    params = {"max_iter": 2, "categorical_features": [0]}
    frame = table(60).select((pl.col("grade") % 3).alias("part"), "a", "label")
    asked = {"dataset": "t", "target": "label", "estimator": path, "params": params}
    with pytest.raises(InputError, match="cannot be stored as it was trained: it names") as told:
        fit(parse_recipe(asked, check=True), frame)
    assert "Change params" in told.value.hint


def test_a_feature_that_a_step_makes_can_be_constrained() -> None:
    value = recipe(monotone={"a_per_b": "decreasing"}).to_dict()
    value["features"].append({"ratio": {"columns": ["a", "b"]}})
    found = fit(parse_recipe(value), table())

    assert b"\n[monotone_constraints: 0,0,-1]\n" in found.model.content


# Early stopping ----------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["y", "label"])
def test_early_stopping_is_that_of_lightgbm(target: str) -> None:
    frame = table()
    chosen = recipe(
        target,
        early_stopping={"rounds": 5, "share": 0.25},
        params=BOOSTER | {"n_estimators": 500},
        weights="w",
        split={"test": 0},
    )
    found = fit(chosen, frame)
    keys = keys_of(frame, chosen.split, None)
    learnt, held = hold_out(keys, 0.25, chosen.split.seed + 1)
    truth = frame["y"].to_numpy() if target == "y" else (frame["label"] == "yes").to_numpy()
    data = lightgbm.Dataset(design(frame[learnt]), truth[learnt], weight=frame["w"][learnt])
    valid = data.create_valid(design(frame[held]), truth[held], weight=frame["w"][held])
    record: dict[str, Any] = {}
    objective = "regression" if target == "y" else "binary"
    by_hand = lightgbm.train(
        BY_HAND | {"objective": objective},
        data,
        500,
        valid_sets=[valid],
        callbacks=[
            lightgbm.early_stopping(5, verbose=False),
            lightgbm.record_evaluation(record),
        ],
    )

    assert found.curve is not None
    (values,) = record["valid_0"].values()
    expected = np.sqrt(values) if target == "y" else values
    assert found.curve.metric == ("rmse" if target == "y" else "log_loss")
    np.testing.assert_allclose(found.curve.values, expected, rtol=1e-12)
    assert found.curve.best == by_hand.best_iteration == np.argmin(values) + 1
    assert found.model.estimator.num_trees() == found.curve.best
    assert len(found.curve.values) == found.curve.best + 5
    assert fit(recipe(), frame).curve is None


@pytest.mark.parametrize("target", ["y", "label"])
def test_a_refit_learns_from_all_rows_with_the_best_rounds(target: str) -> None:
    frame = table()
    more = {"params": BOOSTER | {"n_estimators": 500}, "weights": "w", "split": {"test": 0}}
    stopped = fit(recipe(target, early_stopping={"rounds": 5}, **more), frame)
    labels: list[str] = []
    found = fit(
        recipe(target, early_stopping={"rounds": 5, "refit": True}, **more),
        frame,
        progress=lambda step: labels.append(step.label),
    )
    truth = frame["y"].to_numpy() if target == "y" else (frame["label"] == "yes").to_numpy()
    data = lightgbm.Dataset(design(frame), truth, weight=frame["w"].to_numpy())
    objective = "regression" if target == "y" else "binary"
    by_hand = lightgbm.train(BY_HAND | {"objective": objective}, data, stopped.curve.best)

    assert found.curve == stopped.curve
    assert labels.count("Training on all rows") == found.curve.best
    assert found.model.estimator.num_trees() == found.curve.best
    np.testing.assert_array_equal(
        found.model.estimator.predict(design(frame)), by_hand.predict(design(frame))
    )
    assert (
        found.model.estimator.predict(design(frame))
        != stopped.model.estimator.predict(design(frame))
    ).any()


# Folds and gaps ----------------------------------------------------------------------------


def test_each_fold_has_its_metrics_and_its_predictions() -> None:
    frame = table()
    found = fit(recipe("label", split={"folds": 4, "stratify": True}), frame)
    train, _ = sides(frame, found)
    held = found.out_of_fold
    assert held is not None
    assert held.probability is not None

    assert [score.number for score in found.folds] == [1, 2, 3, 4]
    assert sum(score.n_rows_test for score in found.folds) == train.height
    for name in ("log_loss", "roc_auc"):
        values = [score.metrics[name] for score in found.folds]
        assert found.metrics[f"cv_{name}_mean"] == pytest.approx(np.mean(values), rel=1e-12)
        assert found.metrics[f"cv_{name}_std"] == pytest.approx(np.std(values), rel=1e-12)
    np.testing.assert_array_equal(held.rows, np.setdiff1d(np.arange(frame.height), found.test.rows))
    np.testing.assert_array_equal(held.truth, (train["label"] == "yes").to_numpy())
    assert reference.log_loss(held.truth, held.probability) == pytest.approx(
        found.metrics["cv_log_loss_mean"], rel=0.02
    )
    assert list(found.feature_importance) == ["a", "b"]
    assert min(found.feature_importance.values()) > 0


@pytest.mark.parametrize("target", ["y", "label"])
def test_metrics_by_name_and_of_weighted_rows_are_those_of_sklearn(target: str) -> None:
    frame = table()
    name = "neg_median_absolute_error" if target == "y" else "balanced_accuracy"
    chosen = recipe(target, split={"folds": 3}, weights="w", metrics=[name])
    found = fit(chosen, frame)
    held = found.out_of_fold
    assert held is not None

    def measured(truth: np.ndarray, predicted: np.ndarray, w: np.ndarray) -> dict[str, float]:
        if target == "y":
            return {
                "weighted_rmse": reference.root_mean_squared_error(
                    truth, predicted, sample_weight=w
                ),
                name: -reference.median_absolute_error(truth, predicted),
                f"weighted_{name}": -reference.median_absolute_error(
                    truth, predicted, sample_weight=w
                ),
            }
        return {
            "weighted_accuracy": reference.accuracy_score(truth, predicted, sample_weight=w),
            name: reference.balanced_accuracy_score(truth, predicted),
            f"weighted_{name}": reference.balanced_accuracy_score(
                truth, predicted, sample_weight=w
            ),
        }

    w = frame["w"].to_numpy()
    expected = measured(found.test.truth, found.test.predicted, w[found.test.rows])
    for key, value in expected.items():
        assert found.metrics[key] == pytest.approx(value, abs=1e-12)
        assert f"train_{key}" in found.metrics
    train, _ = sides(frame, found)
    parts = folds(keys_of(train, chosen.split, None), 3, chosen.split.seed)
    for score, (_, rows) in zip(found.folds, parts, strict=True):
        weights = train["w"].to_numpy()[rows]
        for key, value in measured(held.truth[rows], held.predicted[rows], weights).items():
            assert score.metrics[key] == pytest.approx(value, abs=1e-12)


def test_the_loss_of_a_quantile_is_weighted_as_sklearn_weighs_it() -> None:
    frame = table()
    found = fit(recipe(quantiles=[0.9], weights="w"), frame)
    assert found.test.quantiles is not None
    values, w = found.test.quantiles[:, 0], frame["w"].to_numpy()[found.test.rows]
    loss = reference.mean_pinball_loss(found.test.truth, values, alpha=0.9, sample_weight=w)
    assert found.metrics["weighted_pinball_q0.9"] == pytest.approx(loss, abs=1e-12)
    below = np.average(found.test.truth < values, weights=w)
    assert found.metrics["weighted_below_q0.9"] == pytest.approx(below, abs=1e-12)


def test_a_class_that_a_fold_has_not_seen_is_wrong_there_and_nowhere_else() -> None:
    frame = table().with_columns(
        grade=pl.when(pl.int_range(pl.len()) == 7).then(pl.lit(9)).otherwise(pl.col("grade"))
    )
    found = fit(recipe("grade", split={"folds": 3, "test": 0}), frame)
    held = found.out_of_fold
    assert held is not None
    assert held.probability is not None

    assert found.model.classes == (0, 1, 2, 3, 9)
    assert held.truth[7] == -1
    assert held.truth.tolist().count(-1) == 1
    assert held.probability.shape == (400, 5)
    np.testing.assert_allclose(held.probability.sum(axis=1), 1)
    assert "cv_log_loss_mean" not in found.metrics
    assert "cv_f1_macro_mean" in found.metrics


def test_a_gap_leaves_out_the_days_before_what_is_held_out() -> None:
    frame = table()
    found = fit(recipe(split={"time": "day", "gap": "3d", "test": 0.2, "folds": 2}), frame)
    plain = fit(recipe(split={"time": "day", "test": 0.2, "folds": 2}), frame)

    assert found.n_rows_purged == 24
    assert found.n_rows_train == plain.n_rows_train - 24
    assert plain.n_rows_purged == 0
    for score, before in zip(found.folds, plain.folds, strict=True):
        assert score.n_rows_train < before.n_rows_train


# The same bytes ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "estimator", "params"),
    [
        ("label", "lightgbm", BOOSTER | {"subsample": 0.5, "subsample_freq": 1}),
        ("y", "sklearn.ensemble.RandomForestRegressor", {"n_estimators": 8, "n_jobs": 2}),
        ("label", "sklearn.ensemble.HistGradientBoostingClassifier", {"max_iter": 10}),
        ("y", "sklearn.linear_model.ElasticNet", {"alpha": 0.01}),
        ("y", "sklearn.kernel_ridge.KernelRidge", {"kernel": "rbf"}),
    ],
)
def test_the_number_of_threads_does_not_change_a_byte(
    target: str, estimator: str, params: dict[str, Any]
) -> None:
    chosen = recipe(target, estimator, params=params, split={"folds": 2})
    one, two = (fit(chosen, table(1_500), threads=n) for n in (1, 2))

    assert one.model.content == two.model.content
    assert one.metrics == two.metrics
    assert one.folds == two.folds


@pytest.mark.parametrize(
    ("target", "more", "words"),
    [
        ("y", {"weights": "ww"}, "weights names column 'ww', which is not there.*mean 'w'"),
        ("y", {"slices": ["word", "wrod"]}, "slices names column 'wrod', which .*mean 'word'"),
        ("y", {"weights": "y"}, "target cannot be the column of weights"),
        ("y", {"weights": "word"}, "'word' is not a number, so it cannot weigh"),
        ("y", {"weights": "a"}, "'a' has [0-9]+ weights that are missing, infinite or below zero"),
        ("label", {"class_weight": {"yess": 2}}, "'yess', which is no class of 'label'.*'yes'"),
        ("label", {"class_weight": {"yes": 0, "no": 0}}, "Every row to learn from has the weight"),
        ("grade", {"threshold": 0.3}, "threshold needs a target of two classes.*4 classes"),
        ("grade", {"monotone": {"a": "increasing"}}, "monotone needs a target of two classes"),
        ("y", {"calibrate": "isotonic", "task": None}, "calibrate is for a classification.*'y' is"),
        ("label", {"quantiles": [0.5], "task": None}, "not a number"),
        ("y", {"split": {"time": "day", "gap": 99}}, "gap of the split leaves no rows"),
        ("y", {"early_stopping": 5, "params": {"metric": "none"}}, "lightgbm cannot be trained so"),
    ],
)
def test_what_cannot_be_is_a_sentence(target: str, more: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as caught:
        fit(recipe(target, **more), table())

    assert re.search(words, str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value)


# The truth of the wine ---------------------------------------------------------------------


@pytest.mark.parametrize("target", ["y", "label", "grade"])
@pytest.mark.parametrize(
    "more",
    [
        {"params": {"n_estimators": 30, "bagging_fraction": 0.5, "bagging_freq": 1}},
        {"params": {"n_estimators": 10, "boosting": "dart"}},
        {"early_stopping": 5},
        {"early_stopping": {"rounds": 5, "refit": True}},
    ],
)
def test_metrics_of_the_rows_learnt_from_are_of_what_the_stored_model_says(target, more) -> None:
    found = fit(recipe(target, **more), table())
    lesson = found.lesson
    assert lesson is not None
    said = outcome_of(found.model, lesson.matrix, lesson.truth, lesson.rows)
    for name, value in measured(said, found.model).items():
        assert found.metrics[f"train_{name}"] == value
