"""What SHAP values are measured in: units, their names, and the ways from one to another."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.special import expit

from local_stack.errors import InputError
from local_stack.explain.attributing.attributing import Explainer, some_of
from local_stack.explain.attributing.attributions import column_groups
from local_stack.explain.attributing.coalitions import values_of_sum
from local_stack.explain.attributing.sampled import evenly
from local_stack.explain.contrasting.sides import units_of
from local_stack.explain.deciding.answers import answer
from local_stack.runs.fit import fit
from local_stack.runs.recipe import parse_recipe
from local_stack.stores.model import Model
from tests.engine.explain_kit import table

BEFORE = "log-odds before calibration"
ONE_HOT = {"encode": {"columns": ["word"], "as": "onehot"}}
LOGISTIC = "sklearn.linear_model.LogisticRegression"
BOOSTED = "sklearn.ensemble.GradientBoostingClassifier"
SGD = "sklearn.linear_model.SGDClassifier"


def trained(
    estimator: str, *steps: dict[str, Any], target: str = "label", **more: Any
) -> tuple[Model, np.ndarray]:
    """Return a model of a, b and word, and the features of all rows."""
    frame = table().select("a", "b", "word", target)
    given = {"dataset": "t", "target": target, "estimator": estimator, "split": {"seed": 1}}
    recipe = parse_recipe(given | {"features": [*steps, ONE_HOT]} | more, check=True)
    model = fit(recipe, frame).model
    return model, model.matrix({name: frame[name].to_list() for name in ("a", "b", "word")})


def by_orders(function: Any, base: float, terms: np.ndarray) -> np.ndarray:
    """Return the Shapley values of a function of base + terms, by every order of them."""
    found = np.zeros(len(terms))
    orders = list(itertools.permutations(range(len(terms))))
    for order in orders:
        sums = base + np.concatenate([[0], np.cumsum(terms[list(order)])])
        found[list(order)] += np.diff(function(sums))
    return found / len(orders)


@pytest.mark.parametrize("n_rows", [1, 2, 99, 100, 101, 150, 199, 201, 1_999])
def test_a_background_reaches_from_the_first_row_to_the_last(n_rows: int) -> None:
    chosen = evenly(n_rows, 100)
    assert len(chosen) == min(n_rows, 100)
    assert (chosen[0], chosen[-1]) == (0, n_rows - 1)
    steps = np.diff(chosen)
    assert n_rows == 1 or steps.max() - steps.min() <= 1
    np.testing.assert_array_equal(some_of(np.arange(n_rows)[:, None])[:, 0], chosen)


def test_the_base_of_sorted_rows_is_that_of_all_of_them() -> None:
    model, matrix = trained(LOGISTIC)
    raw = model.estimator.decision_function(matrix)
    order = np.argsort(raw)[:150]
    found = Explainer(model, some_of(matrix[order])).attribute(matrix[:1])
    assert found.base[0] == pytest.approx(raw[order].mean(), abs=0.05)
    assert raw[order][:100].mean() < found.base[0] - 0.2  # what the first rows alone would say


def steps_of(sums: np.ndarray) -> np.ndarray:
    return np.floor(sums) / 4 + (sums > 1.3)


@pytest.mark.parametrize("n_terms", [1, 2, 5])
def test_values_of_a_sum_are_those_of_every_order(n_terms: int) -> None:
    terms = np.random.default_rng(n_terms).normal(size=(30, n_terms))
    terms[:9, -1] = 0.0
    ends = steps_of(0.2 + terms.sum(axis=1))
    found, errors = values_of_sum(steps_of, 0.2, terms, ends)
    assert errors is None
    expected = [by_orders(steps_of, 0.2, row) for row in terms]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert n_terms == 1 or not found[:9, -1].any()
    for number in range(0, 30, 7):
        at = slice(number, number + 1)
        alone, _ = values_of_sum(steps_of, 0.2, terms[at], ends[at])
        np.testing.assert_array_equal(alone[0], found[number])


def test_values_of_a_sum_of_many_terms_have_a_standard_error_that_holds() -> None:
    terms = np.random.default_rng(3).normal(size=(40, 13))
    terms[:, 11:] = 0.0  # eleven count: every coalition of these is looked at below
    ends = steps_of(0.2 + terms.sum(axis=1))
    found, errors = values_of_sum(steps_of, 0.2, terms, ends)
    assert errors is not None
    np.testing.assert_allclose(found.sum(axis=1), ends - steps_of(np.array(0.2)), atol=1e-12)
    assert not found[:, 11:].any()
    present = (np.arange(2**11)[:, None] >> np.arange(11)) & 1
    weights = np.array([1 / (11 * n) for n in (1, 10, 45, 120, 210, 252, 210, 120, 45, 10, 1)])
    worth = steps_of(0.2 + present @ terms[:, :11].T)
    exact = np.empty((40, 11))
    for place in range(11):
        without = np.flatnonzero(present[:, place] == 0)
        gains = worth[without + 2**place] - worth[without]
        exact[:, place] = weights[present[without].sum(axis=1)] @ gains
    missed = np.abs(found[:, :11] - exact) / np.maximum(errors[:, :11], 1e-3)
    assert np.mean(missed < 2) > 0.9
    assert np.mean(missed < 3) > 0.97
    assert np.abs(found[:, :11] - exact).max() < 0.2
    alone, error = values_of_sum(steps_of, 0.2, terms[3:4], ends[3:4])
    np.testing.assert_array_equal(alone[0], found[3])
    assert error is not None
    np.testing.assert_array_equal(error[0], errors[3])


@pytest.mark.parametrize("estimator", ["lightgbm", "sklearn.ensemble.RandomForestClassifier"])
def test_isotonic_probabilities_are_bounded_and_those_of_every_order(estimator: str) -> None:
    params = {"n_estimators": 10}
    model, matrix = trained(estimator, calibrate="isotonic", params=params)
    explainer = Explainer(model, matrix)
    found = explainer.attribute(matrix, "probability")
    assert found.additivity_error < 1e-12
    assert np.abs(found.values).max() <= 1
    assert found.is_exact
    assert "every coalition" in found.method
    np.testing.assert_array_equal(found.raw[:, 0], model.probabilities(matrix)[:, 1])
    own = explainer._own(matrix, explainer._link)  # type: ignore[arg-type]
    at, height = model.record.calibration.maps[0]  # type: ignore[union-attr]

    def predicted(scores: np.ndarray) -> np.ndarray:
        shares = expit(scores) if estimator == "lightgbm" else scores
        return np.interp(shares, at, height)

    for number in range(0, len(matrix), 29):
        expected = by_orders(predicted, own.base[0], own.values[number, :, 0])
        np.testing.assert_allclose(found.values[number, :, 0], expected, atol=1e-6)
        alone = explainer.attribute(matrix[number : number + 1], "probability")
        np.testing.assert_array_equal(alone.values[0], found.values[number])


@pytest.mark.parametrize("method", ["isotonic", "sigmoid"])
def test_the_log_odds_of_a_calibrated_model_are_named_as_what_they_are(method: str) -> None:
    model, matrix = trained(LOGISTIC, calibrate=method)
    explainer = Explainer(model, matrix)
    assert explainer.units == (BEFORE, "probability")
    found = explainer.attribute(matrix[:3], "log-odds")
    assert found.unit == BEFORE
    np.testing.assert_allclose(expit(found.raw[:, 0]), model.uncalibrated(matrix[:3])[:, 1])
    chance = explainer.attribute(matrix[:3], "probability")
    assert BEFORE in chance.method
    for output, at in (("yes", found.base[0]), ("no", -found.base[0])):
        likely = explainer.probability_of(float(at), output)
        expected = chance.base[0] if output == "yes" else 1 - chance.base[0]
        assert likely == pytest.approx(expected)
    said = answer(explainer, {"a": 1.0, "b": 0.5, "word": "t"})
    told = " ".join([said.summary, *said.reasons])
    assert "the log-odds of 'yes' before calibration" in told
    assert "odds x" not in told


def test_log_odds_before_calibration_are_not_compared_with_those_of_predictions() -> None:
    subjects: list[Any] = [
        SimpleNamespace(explainer=Explainer(*trained(LOGISTIC, **more)))
        for more in ({"calibrate": "sigmoid"}, {})
    ]
    assert units_of(*subjects, None) == ("probability",)
    assert units_of(subjects[0], subjects[0], "log-odds") == (BEFORE, "probability")
    with pytest.raises(
        InputError, match="One model has log-odds before calibration, the other log"
    ):
        units_of(*subjects, "log-odds")


def test_log_odds_without_calibration_keep_their_odds() -> None:
    model, matrix = trained(LOGISTIC)
    explainer = Explainer(model, matrix)
    assert explainer.units == ("log-odds", "probability")
    assert explainer.probability_of(0.7, "yes") == pytest.approx(expit(0.7))
    assert explainer.probability_of(0.7, "no") == pytest.approx(expit(0.7))
    said = answer(explainer, {"a": 1.0, "b": 0.5, "word": "t"})
    assert "(odds x " in said.reasons[0]


def test_the_loss_of_adaboost_is_explained_exactly_by_its_trees() -> None:
    params = {"loss": "exponential", "n_estimators": 20}
    model, matrix = trained(BOOSTED, params=params)
    explainer = Explainer(model, matrix)
    assert explainer.is_quick
    found = explainer.attribute(matrix)
    assert found.unit == "log-odds"
    assert found.additivity_error < 1e-9
    np.testing.assert_allclose(expit(found.raw), model.probabilities(matrix)[:, 1:])


def test_the_modified_huber_loss_is_explained_exactly_in_both_units() -> None:
    model, matrix = trained(SGD, params={"loss": "modified_huber", "random_state": 0})
    explainer = Explainer(model, matrix)
    assert explainer.units == ("decision function", "probability")
    own, chance = explainer.attribute(matrix), explainer.attribute(matrix, "probability")
    np.testing.assert_allclose(own.raw[:, 0], model.estimator.decision_function(matrix))
    np.testing.assert_allclose(chance.raw, model.probabilities(matrix)[:, 1:])
    assert (own.is_exact, chance.is_exact) == (True, True)
    assert max(own.additivity_error, chance.additivity_error) < 1e-12


def test_the_one_hot_columns_of_what_two_columns_make_are_added_up() -> None:
    steps = [
        {"expression": {"high": "when(col('a') > 0).then(lit('up')).otherwise(lit('down'))"}},
        {"expression": {"cross": "concat_str(['high', 'word'], separator='|')"}},
        {"encode": {"columns": ["high", "cross"], "as": "onehot"}},
    ]
    model, matrix = trained("sklearn.linear_model.Ridge", *steps, target="y", task="regression")
    groups = column_groups(model.preparation)
    assert set(groups) == {"a", "b", "word", "cross"}
    assert len(groups["cross"]) == 6
    found = Explainer(model, matrix).attribute(matrix)
    at = groups["cross"]
    expected = (matrix[:, at] - matrix[:, at].mean(axis=0)) @ model.estimator.coef_[at]
    np.testing.assert_allclose(found.values[:, found.columns.index("cross"), 0], expected)
