"""SHAP values of models of every kind, against shap's own explainers and against their sums."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
import shap
from scipy.integrate import quad_vec
from scipy.special import expit, softmax
from sklearn.utils import all_estimators

from local_stack.errors import InputError
from local_stack.explain.attributing.attributing import Explainer, attribute, class_scores
from local_stack.explain.attributing.attributions import column_groups
from local_stack.explain.attributing.sampled import sampled_values
from local_stack.preparation.fitting import raw_columns
from local_stack.runs.fit import fit
from local_stack.runs.recipe import parse_recipe
from local_stack.stores.model import Model
from local_stack.stores.model_guards import SKLEARN_PACKAGES
from tests.fit_kit import BOOSTER, table

EXACT = {"rtol": 1e-9, "atol": 1e-12}
ONE_HOT = {"encode": {"columns": ["word"], "as": "onehot"}}
WITHOUT_ANSWER = {"RadiusNeighborsClassifier", "RadiusNeighborsRegressor"}
NOT_OF_THIS_TABLE = {"GammaRegressor", "PoissonRegressor", "NuSVC", "QuadraticDiscriminantAnalysis"}
"""They refuse targets below zero, a rare class, or one-hot columns."""


def trained(
    target: str, estimator: str, *steps: dict[str, Any], n_rows: int = 200, **more: Any
) -> tuple[Model, np.ndarray]:
    """Return a model of the table's columns a, b and word, and the features of all rows."""
    frame = table(n_rows).with_columns(count=pl.col("grade"))
    dropped = [c for c in ("w", "day", "y", "label", "grade", "count") if c != target]
    recipe = parse_recipe(
        {
            "dataset": "t",
            "target": target,
            "task": "regression" if target in ("y", "count") else "classification",
            "estimator": estimator,
            "params": BOOSTER if estimator == "lightgbm" else {},
            "features": [{"drop": {"columns": dropped}}, *steps],
        }
        | more,
        check=True,
    )
    model = fit(recipe, frame).model
    return model, model.matrix(raw_columns(frame, model.inputs))


def test_a_pipeline_has_the_values_of_shaps_linear_explainer_in_raw_columns() -> None:
    model, matrix = trained(
        "label",
        "sklearn.linear_model.LogisticRegression",
        {"scale": {"columns": "numeric"}},
        ONE_HOT,
    )
    masker = shap.maskers.Independent(matrix, max_samples=len(matrix))
    expected = shap.LinearExplainer(model.estimator, masker).shap_values(matrix)
    groups = column_groups(model.preparation)
    assert list(groups) == ["a", "b", "word"]
    assert len(groups["word"]) == 3
    found = attribute(Explainer(model, matrix), matrix)
    summed = np.column_stack([expected[:, places].sum(axis=1) for places in groups.values()])
    np.testing.assert_allclose(found.values[:, :, 0], summed, **EXACT)
    assert (found.unit, found.columns) == ("log-odds", ("a", "b", "word"))
    np.testing.assert_allclose(found.raw, model.estimator.decision_function(matrix)[:, None])
    assert found.additivity_error < 1e-12


def test_a_feature_of_several_columns_stands_under_its_own_name() -> None:
    step = {"expression": {"ratio": "pl.col('a') / (pl.col('b') * pl.col('b') + 1)"}}
    model, matrix = trained("y", "sklearn.linear_model.Ridge", step, ONE_HOT)
    found = attribute(Explainer(model, matrix), matrix)
    assert set(found.columns) == {"a", "b", "word", "ratio"}
    assert found.additivity_error < 1e-12


@pytest.mark.parametrize(
    ("target", "estimator"),
    [("y", "sklearn.svm.SVR"), ("grade", "sklearn.neural_network.MLPClassifier")],
)
@pytest.mark.slow
def test_few_columns_have_the_values_of_shaps_exact_explainer(target: str, estimator: str) -> None:
    model, matrix = trained(target, estimator, {"scale": {"columns": "numeric"}}, ONE_HOT)
    groups = list(column_groups(model.preparation).values())
    background = matrix[:20]

    def function(coalitions: np.ndarray) -> np.ndarray:
        asked = np.repeat(background[None], len(coalitions), axis=0)
        for place, group in enumerate(groups):
            is_in = np.flatnonzero(coalitions[:, place])
            asked[np.ix_(is_in, np.arange(len(background)), group)] = matrix[number, group]
        flat = asked.reshape(-1, matrix.shape[1])
        said = model.outputs(flat)[:, None] if target == "y" else model.probabilities(flat)
        return np.asarray(said.reshape(len(asked), len(background), -1).mean(axis=1))

    found = attribute(Explainer(model, background), matrix[:3])
    assert found.is_exact
    assert found.unit == ("target" if target == "y" else "probability")
    masker = shap.maskers.Independent(np.zeros((1, len(groups))))
    for number in range(3):
        expected = shap.explainers.Exact(function, masker)(np.ones((1, len(groups)))).values[0]
        values = expected.reshape(len(groups), -1)
        np.testing.assert_allclose(found.values[number], values, rtol=1e-7, atol=1e-9)
    assert found.additivity_error < 1e-12


def test_many_columns_are_sampled_with_a_standard_error_that_holds() -> None:
    generator = np.random.default_rng(0)
    background, rows = generator.normal(size=(20, 10)), generator.normal(size=(12, 10))

    def function(matrix: np.ndarray) -> np.ndarray:
        return np.column_stack(
            [np.prod(1 + matrix[:, :4] / 2, axis=1) + matrix[:, 5] * matrix[:, 6]]
        )

    groups = [[place] for place in range(10)]
    found, base, errors = sampled_values(function, rows, background, groups, permutations=20)
    exact, again, none = sampled_values(function, rows, background, groups, permutations=2000)
    assert (none, errors is None) == (None, False)
    np.testing.assert_array_equal(base, again)
    np.testing.assert_allclose(base + found.sum(axis=1), function(rows), **EXACT)
    missed = np.abs(found - exact) / np.maximum(errors, 1e-9)
    assert np.mean(missed < 3) > 0.95
    assert missed.max() < 8
    np.testing.assert_allclose(found[:, 7:], 0, atol=1e-12)


def test_log_odds_become_probabilities_that_add_up() -> None:
    model, matrix = trained("label", "lightgbm", {"encode": {"columns": ["word"], "as": "native"}})
    explainer = Explainer(model, matrix)
    assert explainer.units == ("log-odds", "probability")
    odds, chance = explainer.attribute(matrix), explainer.attribute(matrix, "probability")
    np.testing.assert_allclose(expit(odds.base), chance.base)
    np.testing.assert_allclose(
        chance.base + chance.values.sum(axis=1), model.probabilities(matrix)[:, 1:], atol=1e-12
    )
    factor = (expit(odds.raw) - expit(odds.base)) / (odds.raw - odds.base)
    np.testing.assert_allclose(chance.values, odds.values * factor[:, None], rtol=1e-9, atol=1e-12)
    assert "rescaled" in chance.method


@pytest.mark.parametrize("method", ["isotonic", "sigmoid"])
@pytest.mark.parametrize("estimator", ["lightgbm", "sklearn.linear_model.LogisticRegression"])
def test_calibrated_probabilities_add_up(method: str, estimator: str) -> None:
    model, matrix = trained("label", estimator, ONE_HOT, calibrate=method)
    found = attribute(Explainer(model, matrix), matrix, unit="probability")
    assert found.additivity_error < 1e-12
    np.testing.assert_allclose(found.raw[:, 0], model.probabilities(matrix)[:, 1])


def test_probabilities_of_many_classes_are_integrated_along_the_way() -> None:
    model, matrix = trained("grade", "sklearn.linear_model.LogisticRegression", ONE_HOT)
    odds = attribute(Explainer(model, matrix), matrix[:5])
    found = attribute(Explainer(model, matrix), matrix[:5], unit="probability")
    assert found.outputs == ("0", "1", "2", "3")
    for number in range(5):
        moved, values = odds.raw[number] - odds.base, odds.values[number]

        def speed(t: float, moved: np.ndarray = moved, values: np.ndarray = values) -> np.ndarray:
            p = softmax(odds.base + t * moved)
            return values @ (np.diag(p) - np.outer(p, p))

        expected, _ = quad_vec(speed, 0, 1, epsabs=1e-13)
        np.testing.assert_allclose(found.values[number], expected, atol=1e-10)
    assert found.additivity_error < 1e-10
    np.testing.assert_allclose(found.values.sum(axis=2), 0, atol=1e-12)


@pytest.mark.parametrize(
    ("estimator", "params"),
    [
        ("lightgbm", {**BOOSTER, "objective": "poisson"}),
        ("sklearn.linear_model.PoissonRegressor", {}),
    ],
)
def test_a_model_of_the_logarithm_says_so(estimator: str, params: dict[str, Any]) -> None:
    model, matrix = trained("count", estimator, ONE_HOT, params=params)
    found = attribute(Explainer(model, matrix), matrix)
    assert found.unit == "log target"
    np.testing.assert_allclose(np.exp(found.raw[:, 0]), model.outputs(matrix))
    there = attribute(Explainer(model, matrix), matrix, unit="target")
    np.testing.assert_allclose(there.raw[:, 0], model.outputs(matrix))
    assert there.additivity_error < 1e-9


def test_values_of_the_predicted_class_add_up_to_its_score() -> None:
    model, matrix = trained("grade", "lightgbm", {"drop": {"columns": ["word"]}})
    found = attribute(Explainer(model, matrix), matrix)
    assert found.values.shape == (len(matrix), 2, 4)
    assert found.additivity_error < 1e-9
    one = found.for_predicted()
    assert one.additivity_error < 1e-9
    np.testing.assert_array_equal(one.values[3, :, 0], found.values[3, :, found.predicted[3]])
    np.testing.assert_allclose(found.importance, np.abs(found.values).mean(axis=0).sum(axis=1))


@pytest.mark.parametrize("target", ["y", "label", "grade"])
def test_a_row_has_the_same_bits_alone_and_among_others(target: str) -> None:
    name = "LinearRegression" if target == "y" else "LogisticRegression"
    model, matrix = trained(target, f"sklearn.linear_model.{name}", ONE_HOT)
    explainer = Explainer(model, matrix)
    together = explainer.attribute(matrix)
    for number in range(0, len(matrix), 7):
        alone = explainer.attribute(matrix[number : number + 1])
        np.testing.assert_array_equal(alone.values[0], together.values[number])
        np.testing.assert_array_equal(alone.raw[0], together.raw[number])


def test_a_unit_that_a_model_does_not_have_is_refused_with_those_it_has() -> None:
    model, matrix = trained("label", "sklearn.svm.LinearSVC", ONE_HOT)
    with pytest.raises(InputError, match="not measured in 'probability'") as refused:
        attribute(Explainer(model, matrix), matrix, unit="probability")
    assert "decision function" in str(refused.value.hint)


def test_a_model_without_an_answer_everywhere_is_told_in_a_sentence() -> None:
    model, matrix = trained(
        "y",
        "sklearn.neighbors.RadiusNeighborsRegressor",
        {"drop": {"columns": ["word"]}},
        params={"radius": 0.02},
    )
    with pytest.raises(InputError, match="no number for rows that are mixed"):
        attribute(Explainer(model, matrix), matrix[:2])


@pytest.mark.parametrize("params", [{}, {"random_state": 3}])
def test_a_model_that_answers_by_chance_is_said_to_do_so(params: dict[str, Any]) -> None:
    estimator = "sklearn.dummy.DummyClassifier"
    told = {"strategy": "stratified", **params}
    model, matrix = trained("label", estimator, ONE_HOT, params=told)
    said = Explainer(model, matrix[:50]).chance
    assert said.startswith("DummyClassifier does not answer the same about the same row each time")
    model, matrix = trained("label", estimator, ONE_HOT, params={"strategy": "prior"})
    assert Explainer(model, matrix[:50]).chance == ""


@pytest.mark.parametrize("shape", ["ovr", "ovo"])
def test_the_weights_of_pairs_of_classes_are_not_those_of_classes(shape: str) -> None:
    frame = table(60).select("a", "b", part=pl.col("grade") % 3)
    params = {"kernel": "linear", "decision_function_shape": shape}
    recipe = {"dataset": "t", "target": "part", "task": "classification", "params": params}
    model = fit(parse_recipe({**recipe, "estimator": "sklearn.svm.SVC"}), frame).model
    matrix = model.matrix(raw_columns(frame, model.inputs))
    assert len(model.estimator.coef_) == len(model.classes)  # three pairs of three classes
    found = attribute(Explainer(model, matrix[:10]), matrix[:5])
    np.testing.assert_array_equal(found.raw.argmax(axis=1), model.outputs(matrix[:5]))
    np.testing.assert_array_equal(found.raw, class_scores(model, matrix[:5]))
    assert found.additivity_error < 1e-12


def test_partial_least_squares_are_a_weighted_sum_of_distances() -> None:
    model, matrix = trained("y", "sklearn.cross_decomposition.PLSRegression", ONE_HOT, n_rows=60)
    found = attribute(Explainer(model, matrix), matrix)
    assert found.is_exact
    assert found.method.startswith("linear SHAP")
    np.testing.assert_allclose(found.raw[:, 0], model.outputs(matrix), **EXACT)
    moved = (matrix - matrix.mean(axis=0)) * model.estimator.coef_
    groups = column_groups(model.preparation).values()
    summed = np.column_stack([moved[:, places].sum(axis=1) for places in groups])
    np.testing.assert_allclose(found.values[:, :, 0], summed, **EXACT)
    np.testing.assert_allclose(found.base, model.outputs(matrix).mean(), **EXACT)


def is_trainable(path: str) -> bool:
    try:
        parse_recipe({"dataset": "t", "target": "y", "estimator": path}, check=True)
    except InputError:
        return False
    return True


def estimators() -> list[tuple[str, str]]:
    found = []
    for kind, targets in (("regressor", ("y",)), ("classifier", ("label", "grade"))):
        for name, its_class in all_estimators(type_filter=kind):
            package = its_class.__module__.split(".")[1]
            path = f"sklearn.{package}.{name}"
            is_known = package in SKLEARN_PACKAGES and is_trainable(path)
            if is_known and name not in WITHOUT_ANSWER | NOT_OF_THIS_TABLE:
                found += [(path, target) for target in targets]
    return found


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("estimator", "target"), estimators())
def test_every_estimator_that_can_be_trained_is_explained(estimator: str, target: str) -> None:
    steps = [{"scale": {"columns": "numeric", "method": "minmax"}}, ONE_HOT]
    model, matrix = trained(target, estimator, *steps, n_rows=120)
    explainer = Explainer(model, matrix)
    for unit in explainer.units:
        found = explainer.attribute(matrix[:3], unit)
        assert np.isfinite(found.values).all()
        assert found.additivity_error < 1e-9
