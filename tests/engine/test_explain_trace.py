"""The trace of a prediction: every step is the preparation's own, and the numbers add up."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from deciding_kit import Case, loan_case

from local_stack.explain.attributing import trees
from local_stack.explain.deciding.leaves import leaves_of
from local_stack.explain.deciding.reasons import shown
from local_stack.explain.deciding.trace import trace

HOSTILE = "[/nope]\x1b[31m\u202e{x}%s"


def matrix_of(case: Case, row: dict[str, Any]) -> np.ndarray:
    return case.model.matrix({name: [value] for name, value in row.items()})


@pytest.mark.parametrize("estimator", ["lightgbm", "sklearn.linear_model.LogisticRegression"])
def test_the_features_and_every_value_on_the_way_are_those_of_the_model(estimator: str) -> None:
    case = loan_case("paid", estimator)
    for index in (0, 3, 4, 23):  # some with missing values
        row = case.row(index)
        found = trace(case.model, row)
        expected = matrix_of(case, row)[0].tolist()
        told = [np.nan if it is None else it for it in found.features.values()]
        assert np.array_equal(told, expected, equal_nan=True)
        written = {k: v for step in found.steps for k, v in step.writes.items()}
        for name, value in found.features.items():
            if name in written:
                assert written[name] == value
        assert found.n_steps == len(case.model.preparation.operations)
        assert found.prediction == case.model.predict_row(row)
        assert found.ending[-1] == f"The prediction is '{found.prediction}'."


def test_a_missing_number_is_filled_and_scaled_in_words() -> None:
    case = loan_case("paid", "sklearn.linear_model.LogisticRegression")
    index = next(at for at in range(300) if case.frame["income"][at] is None)
    found = trace(case.model, case.row(index))
    fill = next(it for it in found.steps if it.reads.get("income", 0) is None)
    median = fill.writes["income"]
    assert abs(median - case.frame["income"].median()) < 500  # that of the training rows
    assert fill.text == (
        f"fill what is missing with {median:.0f}: income missing -> income {median:.0f}"
    )
    homes = next(it for it in found.steps if it.operation == "one_hot")
    assert sum(homes.writes.values()) == 1
    day = str(case.frame["since"][index])
    elapsed = next(it for it in found.steps if "since" in it.reads)
    assert elapsed.reads == {"since": day}
    assert f"since '{day}' -> since_elapsed_days " in elapsed.text


@pytest.mark.parametrize(
    ("target", "estimator"),
    [
        ("paid", "sklearn.linear_model.LogisticRegression"),
        ("grade", "sklearn.linear_model.LogisticRegression"),
        ("limit", "sklearn.linear_model.Ridge"),
        ("limit", "sklearn.cross_decomposition.PLSRegression"),
    ],
)
def test_the_terms_of_a_linear_model_add_up_to_its_score(target: str, estimator: str) -> None:
    case = loan_case(target, estimator)
    row = case.row(5)
    found = trace(case.model, row)
    assert found.intercept is not None
    total = found.intercept + sum(term.product for term in found.terms)
    estimator_ = case.model.estimator
    says = getattr(estimator_, "decision_function", estimator_.predict)(matrix_of(case, row))
    number = list(case.model.classes).index(found.prediction) if target == "grade" else 0
    assert total == pytest.approx(np.ravel(says)[number], rel=1e-12)
    assert found.score == pytest.approx(total, rel=1e-12)
    sizes = [abs(term.product) for term in found.terms]
    assert sizes == sorted(sizes, reverse=True)


FOREST = "sklearn.ensemble.RandomForestClassifier"


@pytest.mark.parametrize(
    ("target", "estimator"),
    [("paid", "lightgbm"), ("grade", "lightgbm"), ("limit", "lightgbm"), ("grade", FOREST)],
)
def test_the_leaves_add_up_to_the_score(target: str, estimator: str) -> None:
    case = loan_case(target, estimator)
    ensemble = trees.ensemble_of(case.model)
    assert ensemble is not None
    for index in (0, 3, 4):
        matrix = matrix_of(case, case.row(index))
        for number in range(ensemble.n_outputs):
            leaves, n_trees = leaves_of(case.model, matrix, number, 10_000)
            assert len(leaves) == n_trees
            moved = sum(leaf.value - leaf.expected for leaf in leaves)
            score = trees.scores(case.model, matrix)[0, number]
            assert ensemble.base[number] + moved == pytest.approx(score, abs=1e-9)
            sizes = [abs(leaf.value - leaf.expected) for leaf in leaves]
            assert sizes == sorted(sizes, reverse=True)


def test_the_leaves_are_those_that_lightgbm_says() -> None:
    case = loan_case()
    booster = case.model.estimator
    for index in (0, 3, 4, 11):
        matrix = matrix_of(case, case.row(index))
        numbers = np.ravel(booster.predict(matrix, pred_leaf=True)).astype(int)
        expected = [booster.get_leaf_output(tree, leaf) for tree, leaf in enumerate(numbers)]
        leaves, n_trees = leaves_of(case.model, matrix, 0, 10_000)
        assert n_trees == booster.num_trees()
        found = sorted(leaves, key=lambda leaf: leaf.tree)
        assert [leaf.value for leaf in found] == pytest.approx(expected, abs=1e-12)


def test_conditions_hold_for_the_row_and_name_its_categories() -> None:
    case = loan_case()
    row = case.row(2)
    leaves, _ = leaves_of(case.model, matrix_of(case, row), 0, 1_000)
    conditions = [it for leaf in leaves for it in leaf.conditions]
    about = [it for it in conditions if "months" in it]
    assert about
    for text in about:
        low, _, rest = text.rpartition("months ")
        value, _, high = rest.partition(" <= ")
        assert int(value) == row["months"]
        assert not low or float(low.removesuffix(" < ")) < row["months"]
        assert not high or row["months"] <= float(high)
    homes = [it for it in conditions if it.startswith("home ")]
    assert homes
    assert all(it.startswith(f"home {shown(row['home'])}") for it in homes)
    missing = next(at for at in range(300) if case.frame["home"][at] is None)
    leaves, _ = leaves_of(case.model, matrix_of(case, case.row(missing)), 0, 1_000)
    assert any("home is missing" in leaf.conditions for leaf in leaves)


def test_what_is_told_is_bounded_and_prints() -> None:
    generator = np.random.default_rng(0)
    word = generator.choice([f"{HOSTILE}{it}" for it in range(60)], 200)
    frame = pl.DataFrame({HOSTILE: word, "b": generator.normal(size=200)}).with_columns(
        (pl.col("b") > 0).alias("y")
    )
    steps = [{"encode": {"columns": [HOSTILE], "as": "onehot"}}]
    case = Case(
        frame,
        "y",
        task="classification",
        features=steps,
        estimator="sklearn.linear_model.LogisticRegression",
    )
    found = trace(case.model, case.row(0))
    (step,) = found.steps
    assert step.n_written == len(case.model.features) - 1 > 50
    assert step.writes == {f"{HOSTILE}_{word[0]}": 1.0}
    assert step.text.isprintable()
    assert len(found.terms) == 50 < found.n_terms
    assert all(line.isprintable() for line in found.ending)


def test_calibration_and_threshold_are_told() -> None:
    from deciding_kit import loans

    case = Case(
        loans().drop("grade", "limit", "since"),
        "paid",
        task="classification",
        params={"n_estimators": 10, "num_threads": 1},
        calibrate="sigmoid",
        threshold=0.7,
        split={"folds": 3},
    )
    matrix = matrix_of(case, case.row(0))
    before = case.model.uncalibrated(matrix)[0, 1]
    after = case.model.probabilities(matrix)[0, 1]
    ending = trace(case.model, case.row(0)).ending
    assert f"As a probability of 'yes' that is {before:.6g}." in ending
    assert f"Calibrated (sigmoid) it is {after:.6g}." in ending
    assert any("the threshold of 0.7" in line for line in ending)
