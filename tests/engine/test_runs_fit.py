"""Training: metrics against scikit-learn's, splits, tasks, determinism, and cancelling."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference
from sklearn.linear_model import ElasticNet, LogisticRegression
from sklearn.preprocessing import StandardScaler

from local_stack.errors import Cancelled, InputError
from local_stack.evaluation import measure
from local_stack.evaluation.split import Split
from local_stack.progress import Step
from local_stack.runs.fit import Fitted, fit
from local_stack.runs.recipe import Recipe, load_recipe, parse_recipe

SAMPLES = Path(__file__).parents[2] / "sample_data"
TOLERANCE = 1e-12


def table(n_rows: int = 300, seed: int = 3) -> pl.DataFrame:
    """A table with a number, a text, holes, groups and dates; both targets depend on them."""
    generator = np.random.default_rng(seed)
    x = generator.normal(size=n_rows)
    word = generator.choice(["a", "b", "c"], n_rows)
    y = 2 * x + (word == "b") + generator.normal(scale=0.3, size=n_rows)
    start = np.datetime64("2024-01-01", "D")
    return pl.DataFrame(
        {
            "x": [None if i % 11 == 5 else float(v) for i, v in enumerate(x)],
            "word": word,
            "group": generator.integers(0, 20, n_rows),
            "day": start + generator.integers(0, 60, n_rows),
            "y": y,
            "label": np.where(y > 0.5, "yes", "no"),
            "grade": np.digitize(y, [-1, 0, 1]),
        }
    )


def recipe(target: str = "y", **more: Any) -> Recipe:
    others = [c for c in ("y", "label", "grade", "group", "day") if c != target]
    used = set((more.get("split") or {}).values())
    return parse_recipe(
        {
            "dataset": "t",
            "target": target,
            "features": [{"drop": {"columns": [c for c in others if c not in used]}}],
            "params": {"n_estimators": 20, "num_leaves": 7},
            **more,
        },
        check=True,
    )


def sklearn_recipe(estimator: str, target: str = "y", **params: Any) -> Recipe:
    found = recipe(target, estimator=f"sklearn.{estimator}", params=params).to_dict()
    found["features"] += [
        {"impute": {"columns": "numeric", "strategy": "median"}},
        {"scale": {"columns": "numeric"}},
        {"encode": {"columns": "categorical", "as": "onehot"}},
    ]
    return parse_recipe(found, check=True)


# Metrics -----------------------------------------------------------------------------------


# Nothing below 1e-6 but zero: squares of smaller numbers leave float64, in the reference too.
_values = st.floats(-1e6, 1e6).map(lambda value: round(value, 6))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(_values, _values), min_size=2, max_size=30))
def test_regression_metrics_equal_sklearn(pairs: list[tuple[float, float]]) -> None:
    truth, predicted = (np.array(v) for v in zip(*pairs, strict=True))
    found = measure.regression_metrics(truth, predicted)

    assert found["rmse"] == pytest.approx(
        reference.root_mean_squared_error(truth, predicted), rel=1e-9, abs=1e-300
    )
    assert found["mae"] == pytest.approx(reference.mean_absolute_error(truth, predicted), rel=1e-9)
    # Relative to 1 - R2, which grows without bound as the truth becomes constant.
    assert 1 - found["r2"] == pytest.approx(
        1 - reference.r2_score(truth, predicted), rel=1e-9, abs=1e-9
    )


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.5000001, 0.9, 1.0])),
        min_size=1,
        max_size=40,
    )
)
def test_binary_metrics_equal_sklearn_with_ties_and_single_classes(
    rows: list[tuple[bool, float]],
) -> None:
    truth = np.array([int(row[0]) for row in rows])
    score = np.array([row[1] for row in rows])
    probability = np.column_stack([1 - score, score])
    predicted = (score > 0.5).astype(np.int64)
    found = measure.classification_metrics(truth, predicted, probability, 2)

    expected = {
        "accuracy": reference.accuracy_score(truth, predicted),
        "precision": reference.precision_score(truth, predicted, zero_division=0),
        "recall": reference.recall_score(truth, predicted, zero_division=0),
        "f1": reference.f1_score(truth, predicted, zero_division=0),
        "log_loss": reference.log_loss(truth, probability, labels=[0, 1]),
        "brier": reference.brier_score_loss(truth, score, pos_label=1, labels=[0, 1]),
    }
    if len(set(truth.tolist())) == 2:
        expected["roc_auc"] = reference.roc_auc_score(truth, score)
        expected["average_precision"] = reference.average_precision_score(truth, score)
    assert found == pytest.approx(expected, rel=1e-9, abs=TOLERANCE)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10**6), st.integers(3, 5), st.integers(5, 60))
def test_multiclass_metrics_equal_sklearn(seed: int, n_classes: int, n_rows: int) -> None:
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, n_classes, n_rows)
    probability = np.round(generator.dirichlet(np.ones(n_classes), n_rows), 1) + 0.01
    probability /= probability.sum(axis=1, keepdims=True)
    predicted = probability.argmax(axis=1)
    found = measure.classification_metrics(truth, predicted, probability, n_classes)

    labels = list(range(n_classes))
    expected = {
        "accuracy": reference.accuracy_score(truth, predicted),
        "f1_macro": reference.f1_score(truth, predicted, average="macro", zero_division=0),
        "log_loss": reference.log_loss(truth, probability, labels=labels),
    }
    if len(set(truth.tolist())) == n_classes:
        expected["roc_auc_ovr"] = reference.roc_auc_score(truth, probability, multi_class="ovr")
    assert found == pytest.approx(expected, rel=1e-9, abs=TOLERANCE)


def test_metrics_that_are_not_defined_are_left_out() -> None:
    one = np.array([1.0])
    assert "r2" not in measure.regression_metrics(one, one)
    assert measure.regression_metrics(one[:0], one[:0]) == {}
    unseen = np.array([0, 1, -1])
    half = np.full((3, 2), 0.5)
    found = measure.classification_metrics(unseen, np.array([0, 1, 1]), half, 2)
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert not {"log_loss", "roc_auc"} & set(found)


# Training ----------------------------------------------------------------------------------


def held_out(frame: pl.DataFrame, found: Fitted) -> tuple[pl.DataFrame, pl.DataFrame]:
    rows = np.arange(frame.height)
    return frame[np.setdiff1d(rows, found.test.rows)], frame[found.test.rows]


def test_an_elastic_net_equals_sklearn_by_hand() -> None:
    frame = table().with_columns(pl.col("x").fill_null(0.0))
    found = fit(sklearn_recipe("linear_model.ElasticNet", alpha=0.05), frame)
    train, test = held_out(frame, found)

    def design(part: pl.DataFrame, scaler: StandardScaler) -> np.ndarray:
        words = [(part["word"] == w).to_numpy().astype(float) for w in ("a", "b", "c")]
        return np.column_stack([scaler.transform(part[["x"]].to_numpy()), *words])

    scaler = StandardScaler().fit(train[["x"]].to_numpy())
    by_hand = ElasticNet(alpha=0.05, random_state=0).fit(design(train, scaler), train["y"])
    predicted = by_hand.predict(design(test, scaler))
    np.testing.assert_allclose(found.test.predicted, predicted, rtol=1e-9)
    np.testing.assert_array_equal(found.test.truth, test["y"].to_numpy())
    assert found.metrics["rmse"] == pytest.approx(
        reference.root_mean_squared_error(test["y"], predicted)
    )
    assert found.metrics["train_r2"] == pytest.approx(
        reference.r2_score(train["y"], by_hand.predict(design(train, scaler)))
    )
    assert found.params["model"] == "ElasticNet"
    assert (found.params["alpha"], found.params["l1_ratio"]) == (0.05, 0.5)


def test_a_booster_equals_lightgbm_by_hand() -> None:
    import lightgbm

    frame = table()
    found = fit(recipe(), frame)
    train, test = held_out(frame, found)

    def design(part: pl.DataFrame) -> np.ndarray:
        words = {"a": 0.0, "b": 1.0, "c": 2.0}
        return np.column_stack([part["x"].to_numpy(), [words[w] for w in part["word"]]])

    params = {
        "objective": "regression",
        "num_leaves": 7,
        "seed": 0,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    data = lightgbm.Dataset(design(train), train["y"].to_numpy(), categorical_feature=[1])
    by_hand = lightgbm.train(params, data, 20)
    np.testing.assert_array_equal(found.test.predicted, by_hand.predict(design(test)))
    assert found.params["model"] == "lightgbm"
    assert found.params["n_estimators"] == 20
    assert found.params["learning_rate"] == 0.1
    assert found.params["objective"] == "regression"


def test_a_classifier_answers_with_labels_and_equals_sklearn() -> None:
    frame = table()
    found = fit(sklearn_recipe("linear_model.LogisticRegression", "label"), frame)
    _, test = held_out(frame, found)

    assert found.model.classes == ("no", "yes")
    assert isinstance(found.model.estimator, LogisticRegression)
    assert found.test.probability is not None
    truth = (test["label"] == "yes").to_numpy()
    assert found.metrics["roc_auc"] == pytest.approx(
        reference.roc_auc_score(truth, found.test.probability[:, 1])
    )
    assert set(found.metrics) >= {"accuracy", "f1", "log_loss", "brier", "train_accuracy"}


@pytest.mark.parametrize(
    "chosen",
    [
        recipe(),
        recipe("label"),
        recipe("grade", task="classification"),
        recipe(params={"n_estimators": 20, "subsample": 0.5, "subsample_freq": 1}),
        recipe(params={"n_estimators": 50, "early_stopping_rounds": 3}),
        sklearn_recipe("ensemble.RandomForestRegressor", n_estimators=5),
        sklearn_recipe("ensemble.HistGradientBoostingClassifier", "label", max_iter=5),
        sklearn_recipe("linear_model.SGDClassifier", "label"),
    ],
    ids=lambda r: f"{r.estimator}-{r.target}-{len(r.params)}",
)
def test_the_same_input_gives_the_same_bytes(chosen: Recipe) -> None:
    first, second = fit(chosen, table()), fit(chosen, table())

    assert first.model.content == second.model.content
    assert first.metrics == second.metrics
    np.testing.assert_array_equal(first.test.rows, second.test.rows)


def test_the_number_of_threads_is_not_part_of_the_model() -> None:
    one = recipe(params={"n_estimators": 20, "num_threads": 1})
    two = recipe(params={"n_estimators": 20, "num_threads": 2})

    assert fit(one, table()).model.content == fit(two, table()).model.content


@pytest.mark.parametrize(
    ("target", "expected", "classes"),
    [
        (pl.Series("y", [0.5, 1.5] * 30), "regression", ()),
        (pl.Series("y", range(60)), "regression", ()),
        (pl.Series("y", [1, 2, 3] * 20), "classification", (1, 2, 3)),
        (pl.Series("y", [1.0, 0.0] * 30), "classification", (0, 1)),
        (pl.Series("y", [1.0, 2.0] * 30), "regression", ()),
        (pl.Series("y", ["b", "a"] * 30), "classification", ("a", "b")),
        (pl.Series("y", [True, False] * 30), "classification", (False, True)),
        (pl.Series("y", ["b", "a"] * 30, pl.Categorical), "classification", ("a", "b")),
    ],
)
def test_the_task_is_inferred(target: pl.Series, expected: str, classes: tuple[Any, ...]) -> None:
    frame = pl.DataFrame({"x": np.arange(60.0), "y": target})
    found = fit(Recipe("t", "t", "y", params={"n_estimators": 3}), frame).model

    assert (found.task, found.classes) == (expected, classes)
    predicted = found.predict({"x": [1.0]})[0]
    assert type(predicted) is (float if expected == "regression" else type(classes[0]))


def test_the_estimator_or_objective_decides_the_task_of_whole_numbers() -> None:
    frame = table()
    assert fit(sklearn_recipe("linear_model.Ridge", "grade"), frame).model.task == "regression"
    poisson = recipe("grade", params={"objective": "poisson", "n_estimators": 3})
    assert fit(poisson, frame).model.task == "regression"
    assert fit(recipe("grade"), frame).model.task == "classification"


def test_rows_without_a_target_are_dropped_and_counted() -> None:
    frame = table().with_columns(
        y=pl.when(pl.int_range(pl.len()) % 10 == 0)
        .then(None)
        .when(pl.int_range(pl.len()) % 10 == 1)
        .then(float("nan"))
        .otherwise(pl.col("y"))
    )
    found = fit(recipe(), frame)

    assert found.n_rows_dropped == 60
    assert found.n_rows_train + found.n_rows_test == 240
    np.testing.assert_array_equal(found.test.truth, frame["y"].to_numpy()[found.test.rows])


def test_the_preparation_sees_training_rows_only() -> None:
    frame = table().with_columns(
        word=pl.when(pl.col("day").rank() > 280).then(pl.lit("late")).otherwise(pl.col("word"))
    )
    found = fit(recipe(split={"test": 0.3, "time": "day"}), frame)

    word = next(f for f in found.model.features if f.column == "word")
    assert word.n_categories == 3
    assert {f.column for f in found.model.features} == {"x", "word"}  # the split's own column


def test_folds_add_means_and_deviations() -> None:
    found = fit(recipe(split={"test": 0.2, "folds": 4}), table())

    assert set(found.metrics) >= {"cv_rmse_mean", "cv_rmse_std", "cv_r2_mean", "rmse"}
    assert found.metrics["cv_rmse_mean"] == pytest.approx(found.metrics["rmse"], rel=0.5)
    assert found.metrics["cv_rmse_std"] > 0
    assert not any(key.startswith("cv_") for key in fit(recipe(), table()).metrics)


def test_early_stopping_keeps_the_best_rounds() -> None:
    params = {"n_estimators": 2_000, "learning_rate": 0.3, "early_stopping_rounds": 5}
    found = fit(recipe(params=params), table())

    assert 1 <= found.model.estimator.num_trees() < 300
    assert found.params["n_estimators"] == 2_000


def test_progress_ticks_at_every_round_and_cancelling_stops_there() -> None:
    steps: list[Step] = []
    fit(recipe(), table(), progress=steps.append)
    assert [s.done for s in steps if s.label == "Training"] == [0, *range(1, 21)]
    assert {s.total for s in steps if s.label == "Training" and s.done} == {20}

    def cancel(step: Step) -> None:
        if step.done == 4:
            raise Cancelled

    with pytest.raises(Cancelled):
        fit(recipe(), table(), progress=cancel)


def test_nothing_held_out_measures_the_training_rows_only() -> None:
    found = fit(recipe(split={"test": 0}), table())

    assert found.n_rows_test == 0
    assert set(found.metrics) == {"train_rmse", "train_mae", "train_r2"}


def test_what_libraries_warn_of_is_told_and_not_raised() -> None:
    stopped = sklearn_recipe("neural_network.MLPRegressor", max_iter=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = fit(stopped, table())

    assert any("ConvergenceWarning" in note for note in found.warnings)
    assert found.seconds > 0
    assert found.peak_memory_bytes > 10_000_000


def test_odd_column_names_can_be_learnt_from() -> None:
    frame = pl.DataFrame(
        {"[/nope]\x1b[2J": np.arange(50.0), 'a"b': np.arange(50.0) % 3, "é ,:{}": [1, 2] * 25}
    ).with_columns(y=pl.int_range(50) * 0.5)
    found = fit(Recipe("t", "t", "y", params={"n_estimators": 3}), frame)

    assert [f.name for f in found.model.features] == frame.columns[:3]


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        (recipe("label", task="regression"), "not a number"),
        (recipe("day"), "no classes"),
        (recipe("y", task="classification"), "fractions"),
        (recipe("grades"), "no column 'grades'.*Did you mean 'grade'"),
        (recipe(split={"group": "grup"}), "no.* there.*Did you mean 'group'"),
        (recipe(split={"stratify": True}), "regression cannot be split by stratify"),
        (
            recipe(params={"objective": "binary", "n_estimators": 3}, task="regression"),
            "does class",
        ),
        (recipe(params={"objective": "lambdarank"}), "objective cannot be 'lambdarank'"),
        (recipe("grade", params={"objective": "binary"}), "does not fit 4 classes"),
        (recipe(params={"n_estimators": "many"}), "whole number"),
        (recipe(params={"n_estimators": 5, "num_iterations": 6}), "twice"),
        (recipe(params={"num_leaves": -5}), "lightgbm cannot be trained so"),
        (sklearn_recipe("linear_model.ElasticNet", alpha="x"), "ElasticNet cannot be trained so"),
        (sklearn_recipe("linear_model.ElasticNet", "label"), "not a number"),
        (sklearn_recipe("svm.SVC", "y"), "fractions"),
    ],
)
def test_what_cannot_be_trained_is_a_sentence(chosen: Recipe, words: str) -> None:
    with pytest.raises(InputError) as caught:
        fit(chosen, table())

    assert re.search(words, str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["wine", "breast_cancer", "diabetes"])
def test_the_samples_can_be_learnt(name: str) -> None:
    found = fit(load_recipe(SAMPLES / f"{name}-recipe.yaml"), pl.read_csv(SAMPLES / f"{name}.csv"))

    assert found.metrics.get("accuracy", 1) > 0.9
    assert found.metrics.get("r2", 1) > 0.4


def test_real_wine_is_learnt_by_both_estimators(shared_data: Path) -> None:
    frame = pl.read_csv(
        shared_data / "tabular" / "winequality-red.csv", separator=";", infer_schema_length=None
    )
    booster = Recipe("wine", "wine", "quality", "regression", Split(seed=7))
    linear = parse_recipe(
        {
            **booster.to_dict(),
            "estimator": "sklearn.linear_model.ElasticNet",
            "params": {"alpha": 0.01},
            "features": [{"scale": {"columns": "numeric"}}],
        }
    )

    # The quality of red wine has a standard deviation of 0.81.
    assert fit(booster, frame).metrics["rmse"] < 0.65
    assert fit(linear, frame).metrics["rmse"] < 0.7
